// Package faults is the fault suite: many users upload, delete and confirm
// through the real `intray up` while somebody with the keys overwrites objects
// and every part beneath is killed, stopped, filled, cut and fed with poison, at
// moments that a seed chooses. At the end all is healed, and what the clients
// saw is held against the database, the bucket and the streams.
//
// A short run is part of `go test ./...`. For a longer one, or to see a failing
// one again:
//
//	go test -v -timeout 0 ./faults -args -faults.duration 20m -faults.users 12 -faults.seed 7
//
// The same seed makes the same faults at the same moments and the clients choose
// alike; how they fall together remains the machine's.
package faults

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
)

var (
	seedFlag     = flag.Uint64("faults.seed", 0, "chooses the faults and their moments; 0: by chance")
	durationFlag = flag.Duration("faults.duration", 30*time.Second, "how long faults go on")
	usersFlag    = flag.Int("faults.users", 6, "how many users are at work")
	onlyFlag     = flag.String("faults.only", "", "only the kinds of faults whose name contains this")
)

var quiet = slog.New(slog.DiscardHandler)

const (
	// healing bounds what a part needs to come back and the queues to empty;
	// messages in the hands of a replica that was killed come again after 30 s.
	healing = 3 * time.Minute
	// settling bounds what the sweeper needs to find what no event told.
	settling = 30 * time.Second
)

func TestFaults(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { // after everything that start cleans up
		if err := goleak.Find(leaks); err != nil {
			t.Error(err)
		}
	})
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64N(1_000_000) + 1
	}
	t.Logf("seed %d: to see this run again: go test -v -timeout 0 ./faults -args -faults.seed %d -faults.duration %v -faults.users %d",
		seed, seed, *durationFlag, *usersFlag)
	began := time.Now()
	s := start(t)
	if _, err := s.db.Exec(auditTables); err != nil {
		t.Fatal(err)
	}
	r := newRecord()
	c := newClients(s, r, users(t, s, *usersFlag))
	t.Logf("ready after %v", time.Since(began).Round(time.Millisecond))

	working, end := context.WithCancel(t.Context())
	c.work(working, seed)
	happened := inflict(t, schedule(seed, s, r, c))
	heal(t, s, r, c)
	end()
	c.stop()
	lost := verify(t, s, r, seed)
	report(t, r, happened, lost)
}

// schedule draws the faults: rounds of all kinds, each round in another order,
// spread over the duration.
func schedule(seed uint64, s *system, r *record, c *clients) (all []*fault) {
	choose := rand.New(rand.NewPCG(seed, 0))
	var some []kind
	for _, k := range kinds() {
		if strings.Contains(k.name, *onlyFlag) {
			some = append(some, k)
		}
	}
	// A fault every 2 s or so, but each kind once however short the run.
	rounds := max(1, int(*durationFlag/(2*time.Second))/len(some))
	step := *durationFlag / time.Duration(rounds*len(some))
	// Most are over soon, so that those that must not overlap do not queue up; some
	// outlast the 30 s after which messages are delivered again.
	longest := min(*durationFlag/10, 45*time.Second)
	hold := func() time.Duration {
		if choose.IntN(6) == 0 {
			return 500*time.Millisecond + upTo(choose, longest)
		}
		return 500*time.Millisecond + upTo(choose, min(longest, 8*time.Second))
	}
	for range rounds {
		for _, i := range choose.Perm(len(some)) {
			at := time.Duration(len(all))*step + upTo(choose, step)
			all = append(all, &fault{
				system: s, r: r, clients: c, kind: some[i], at: at, hold: hold(),
				choose: rand.New(rand.NewPCG(seed, choose.Uint64())),
			})
		}
	}
	return all
}

func upTo(choose *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(choose.Int64N(int64(most) + 1))
}

// inflict lets the faults happen, each at its time, and returns how often each
// kind really did.
func inflict(t *testing.T, all []*fault) map[string]int {
	began := time.Now()
	happened := map[string]int{}
	var mu sync.Mutex
	var running sync.WaitGroup
	targets := map[string]*sync.Mutex{}
	for _, f := range all {
		happened[f.kind.name] += 0
		for _, name := range f.kind.targets {
			if targets[name] == nil {
				targets[name] = &sync.Mutex{}
			}
		}
	}
	for i, f := range all {
		pause(t.Context(), time.Until(began.Add(f.at)))
		running.Go(func() {
			for _, name := range slices.Sorted(slices.Values(f.kind.targets)) {
				targets[name].Lock()
				defer targets[name].Unlock()
			}
			ctx, cancel := context.WithTimeout(t.Context(), f.hold+time.Minute)
			defer cancel()
			start := time.Since(began)
			err := f.kind.run(f, ctx)
			mu.Lock()
			defer mu.Unlock()
			outcome := "done"
			if err == nil {
				happened[f.kind.name]++
			} else {
				outcome = "did not happen: " + err.Error()
			}
			t.Logf("%7.2fs  fault %d of %d: %s, after %v %s; %d PUTs so far", start.Seconds(), i+1, len(all), f.kind.name,
				(time.Since(began) - start).Round(time.Millisecond), outcome, f.r.counted("PUTs acknowledged"))
		})
	}
	running.Wait()
	return happened
}

// heal waits until every part answers, restarts the replicas one after the other
// under load, as a new release does, and waits for uploads to go through.
func heal(t *testing.T, s *system, r *record, c *clients) {
	t.Helper()
	for name, p := range s.parts {
		await(t, healing, name+" to answer", func() error { return p.answer(t.Context()) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), healing)
	defer cancel()
	for _, name := range []string{partFirst, partSecond} {
		f := &fault{system: s, r: r, clients: c}
		if err := restart(name)(f, ctx); err != nil {
			t.Fatal(err)
		}
	}
	want := r.counted("PUTs acknowledged") + 10
	await(t, healing, "uploads to go on", func() error {
		if n := r.counted("PUTs acknowledged"); n < want {
			return fmt.Errorf("%d of %d", n, want)
		}
		return nil
	})
}

// verify waits until all is quiet and then for every sentence to hold: first
// with what the loss of events excuses, then, once reconciliation has found
// what those events would have told, without any excuse.
//
// It returns how many keys' events may have been lost.
func verify(t *testing.T, s *system, r *record, seed uint64) (lost int) {
	t.Helper()
	s.settle(seed)
	if !s.check(r, seed, "after the faults") {
		return 0
	}
	t.Logf("reconcile --fix: %s", s.reconcile(0, "--fix"))
	s.settle(seed)
	r.mu.Lock()
	lost = len(r.unheard)
	clear(r.unheard)
	r.mu.Unlock()
	if s.check(r, seed, "after the reconciliation") {
		t.Logf("reconcile: %s", s.reconcile(0))
	}
	return lost
}

// settle waits until all is quiet, for as long as there is progress: a long run
// leaves much behind that has still to be classified.
func (s *system) settle(seed uint64) {
	s.t.Helper()
	began := time.Now()
	end := began.Add(healing + 2**durationFlag)
	last, changed := "", began
	ctx, cancel := context.WithDeadline(s.t.Context(), end)
	defer cancel()
	var still error
	err := until(ctx, func() error {
		still = s.quietOnce(s.t.Context())
		if still == nil {
			return nil
		}
		if still.Error() != last {
			last, changed = still.Error(), time.Now()
		}
		if time.Since(changed) > healing {
			return nil
		}
		return still
	})
	if err = cmp.Or(err, still); err != nil {
		s.t.Errorf("seed %d: not quiet %v after the last request: %v", seed, time.Since(began).Round(time.Second), err)
		return
	}
	s.t.Logf("quiet after %v", time.Since(began).Round(time.Millisecond))
}

// check gives the sentences a little time to hold and reports whether they do.
func (s *system) check(r *record, seed uint64, when string) bool {
	s.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(s.t.Context(), settling)
	defer cancel()
	var found []violation
	err := until(ctx, func() (err error) {
		if found, err = s.violations(s.t.Context(), r); err != nil {
			return err
		}
		if len(found) > 0 {
			return fmt.Errorf("%d sentences do not hold", len(found))
		}
		return nil
	})
	s.t.Logf("checked %s in %v", when, time.Since(began).Round(time.Millisecond))
	if err != nil {
		s.t.Errorf("seed %d: %s: %v", seed, when, err)
	}
	tell(s.t, s, r, seed, found)
	return err == nil
}

// tell gives each sentence that does not hold, with how often, and the stories
// of the first documents that show it.
func tell(t *testing.T, s *system, r *record, seed uint64, found []violation) {
	t.Helper()
	const stories = 2
	digits := regexp.MustCompile(`[0-9a-f-]*[0-9][0-9a-f-]*`)
	alike := map[string][]violation{}
	for _, v := range found {
		sentence, _, _ := strings.Cut(v.sentence, ":") // details follow
		sentence = digits.ReplaceAllString(sentence, "…")
		alike[sentence] = append(alike[sentence], v)
	}
	for _, sentence := range slices.Sorted(maps.Keys(alike)) {
		t.Errorf("seed %d: %d × %s", seed, len(alike[sentence]), sentence)
		for _, v := range alike[sentence][:min(stories, len(alike[sentence]))] {
			if v.document == uuid.Nil {
				t.Logf("  %s", v.sentence)
			} else {
				t.Logf("  document %s: %s\n%s", v.document, v.sentence, s.story(t.Context(), v.document, r))
			}
		}
	}
}

// report says what happened, and fails where a kind of fault or of work never did.
func report(t *testing.T, r *record, happened map[string]int, lost int) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(happened)) {
		t.Logf("%4d × %s", happened[name], name)
		if happened[name] == 0 {
			t.Errorf("never happened: %s", name)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(r.counts)) {
		t.Logf("%6d %s", r.counts[name], name)
	}
	for _, name := range []string{"PUTs acknowledged", "DELETEs acknowledged", "confirms answered", "overwrites acknowledged", "PUTs to deleted documents", "URLs refused for the quota"} {
		if r.counts[name] == 0 {
			t.Errorf("no client got so far: %s", name)
		}
	}
	stored := 0
	for _, p := range r.poison {
		if p.stored == surely && !p.destroyed {
			stored++
		}
	}
	t.Logf("%6d documents; %d poisoned messages had to be, and are, dead letters; the events of %d keys may have been lost",
		len(r.documents), stored, lost)
}
