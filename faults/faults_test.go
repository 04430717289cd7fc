// Package faults is the fault suite. It runs the real `intray up`. Many users upload, delete and
// confirm documents, and the root user of MinIO overwrites objects. Meanwhile the suite injects
// faults at times that a seed determines: it kills and stops processes, fills streams and disks,
// closes connections, publishes poisoned messages, and more. At the end it waits until the system
// has recovered and compares what the clients saw with the database, the bucket and the streams.
//
// A short run is part of `go test ./...`. Use a command such as the following for a longer run, or
// to repeat a run that failed:
//
//	go test -v -timeout 0 ./faults -args -faults.duration 20m -faults.users 12 -faults.seed 7
//
// Runs with the same seed have the same faults at the same times, and their clients make the same
// choices. How the operations interleave still differs from run to run.
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
	seedFlag = flag.Uint64("faults.seed", 0,
		"seed that determines the faults and their times; 0 means a random seed")
	durationFlag = flag.Duration("faults.duration", 30*time.Second,
		"time during which faults are injected")
	usersFlag = flag.Int("faults.users", 6, "number of users")
	onlyFlag  = flag.String("faults.only", "",
		"inject only the kinds of faults whose names contain this text")
)

var discardLog = slog.New(slog.DiscardHandler)

const (
	// recoveryTimeout bounds how long a part may take to recover and the queues to become empty.
	// Messages that a killed replica was handling are delivered again after 30 s.
	recoveryTimeout = 3 * time.Minute
	// sweepTimeout bounds how long the sweeper may take to repair the effects of lost events. If the
	// sweeping replica was killed, another one sweeps after up to 25 s.
	sweepTimeout = time.Minute
)

func TestFaults(t *testing.T) {
	ignored := goleak.IgnoreCurrent()
	t.Cleanup(func() { // runs after the cleanup functions that start registers
		if err := goleak.Find(ignored); err != nil {
			t.Error(err)
		}
	})
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64N(1_000_000) + 1
	}
	t.Logf("seed %d; to repeat this run: go test -v -timeout 0 ./faults -args -faults.seed %d "+
		"-faults.duration %v -faults.users %d", seed, seed, *durationFlag, *usersFlag)
	began := time.Now()
	s := start(t)
	if _, err := s.db.Exec(auditSchema); err != nil {
		t.Fatal(err)
	}
	// Clocks five minutes apart, either way, must not matter.
	skew := []time.Duration{0, 5 * time.Minute, -5 * time.Minute}[seed%3]
	s.skewClock(skew)
	r := newRecord()
	c := newClients(s, r, addUsers(t, s, *usersFlag))
	t.Logf("ready after %v; PostgreSQL's clock differs by %v",
		time.Since(began).Round(time.Millisecond), skew)

	ctx, cancel := context.WithCancel(t.Context())
	c.start(ctx, seed)
	injected := inject(t, schedule(seed, s, r, c))
	awaitRecovery(t, s, r, c)
	cancel()
	c.wait()
	lost := verify(t, s, r, seed)
	summarize(t, r, injected, lost)
}

// schedule returns the faults of the run, by time. They are spread over the duration in rounds.
// Each round contains every kind once, in random order.
func schedule(seed uint64, s *system, r *record, c *clients) (faults []*fault) {
	random := rand.New(rand.NewPCG(seed, 0))
	var selected []kind
	for _, k := range kinds() {
		if strings.Contains(k.name, *onlyFlag) {
			selected = append(selected, k)
		}
	}
	// There is a fault about every 2 s. Even a short run has at least one round.
	rounds := max(1, int(*durationFlag/(2*time.Second))/len(selected))
	interval := *durationFlag / time.Duration(rounds*len(selected))
	// Most faults are short, because those that must not overlap would have to wait for each other.
	// Some take longer than the 30 s after which messages are delivered again.
	longest := min(*durationFlag/10, 45*time.Second)
	duration := func() time.Duration {
		if random.IntN(6) == 0 {
			return 500*time.Millisecond + randomDuration(random, longest)
		}
		return 500*time.Millisecond + randomDuration(random, min(longest, 8*time.Second))
	}
	for range rounds {
		for _, i := range random.Perm(len(selected)) {
			at := time.Duration(len(faults))*interval + randomDuration(random, interval)
			faults = append(faults, &fault{
				system: s, r: r, clients: c, kind: selected[i], at: at, duration: duration(),
				random: rand.New(rand.NewPCG(seed, random.Uint64())),
			})
		}
	}
	return faults
}

// randomDuration returns a duration between 0 and maximum.
func randomDuration(random *rand.Rand, maximum time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(maximum) + 1))
}

// inject runs each fault at its time, or later if it has to wait for others. Faults that could not
// begin within the duration of the run are left out, except for the first of their kind. inject
// returns how many faults of each kind were successful.
func inject(t *testing.T, faults []*fault) map[string]int {
	began := time.Now()
	injected := map[string]int{}
	var mu sync.Mutex
	var running sync.WaitGroup
	targets := map[string]*sync.Mutex{}
	for _, f := range faults {
		injected[f.kind.name] = 0
		for _, name := range f.kind.targets {
			if targets[name] == nil {
				targets[name] = &sync.Mutex{}
			}
		}
	}
	for i, f := range faults {
		pause(t.Context(), time.Until(began.Add(f.at)))
		running.Go(func() {
			for _, name := range slices.Sorted(slices.Values(f.kind.targets)) {
				targets[name].Lock()
				defer targets[name].Unlock()
			}
			ctx, cancel := context.WithTimeout(t.Context(), f.duration+time.Minute)
			defer cancel()
			start := time.Since(began)
			mu.Lock()
			leaveOut := start > *durationFlag && injected[f.kind.name] > 0
			mu.Unlock()
			if leaveOut {
				return
			}
			err := f.kind.run(f, ctx)
			took := (time.Since(began) - start).Round(time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			result := "done"
			if err == nil {
				injected[f.kind.name]++
			} else {
				result = "failed: " + err.Error()
			}
			t.Logf("%7.2fs  fault %d of %d: %s: %s after %v; %d %s so far", start.Seconds(), i+1,
				len(faults), f.kind.name, result, took, f.r.count(countPUTs), countPUTs)
		})
	}
	running.Wait()
	return injected
}

// awaitRecovery waits until every part responds. Then it restarts the replicas one after the other
// under load, as the deployment of a new release does, and waits until uploads succeed.
func awaitRecovery(t *testing.T, s *system, r *record, c *clients) {
	t.Helper()
	for name, p := range s.parts {
		await(t, recoveryTimeout, name+" to respond", func() error { return p.probe(t.Context()) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), recoveryTimeout)
	defer cancel()
	for _, name := range []string{partConsume, partConsume2} {
		f := &fault{system: s, r: r, clients: c}
		if err := restart(name)(f, ctx); err != nil {
			t.Fatal(err)
		}
	}
	want := r.count(countPUTs) + 10
	await(t, recoveryTimeout, "uploads to succeed", func() error {
		if n := r.count(countPUTs); n < want {
			return fmt.Errorf("got %d %s, want %d", n, countPUTs, want)
		}
		return nil
	})
}

// verify waits until the system is idle and checks the invariants twice. The first check ignores
// violations that lost events can explain. Then verify runs reconcile, which repairs the effects of
// lost events, and the second check ignores no violation. verify returns the number of keys whose
// events may have been lost.
func verify(t *testing.T, s *system, r *record, seed uint64) (lost int) {
	t.Helper()
	s.awaitIdle(seed)
	if !s.check(r, seed, "after the faults") {
		return 0
	}
	t.Logf("reconcile --fix: %s", s.reconcile(0, "--fix"))
	s.awaitIdle(seed)
	r.mu.Lock()
	lost = len(r.lostEvents)
	clear(r.lostEvents)
	r.mu.Unlock()
	if s.check(r, seed, "after the reconciliation") {
		t.Logf("reconcile: %s", s.reconcile(0))
	}
	return lost
}

// awaitIdle waits until the system is idle. It fails the test if the remaining work does not change
// for recoveryTimeout. After a long run, many documents are still to be classified, so the total
// time limit grows with the duration of the run.
func (s *system) awaitIdle(seed uint64) {
	s.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithDeadline(s.t.Context(), began.Add(recoveryTimeout+2**durationFlag))
	defer cancel()
	last, changed := "", began
	var remaining error
	err := until(ctx, func() error {
		remaining = s.checkIdle(s.t.Context())
		if remaining == nil {
			return nil
		}
		if remaining.Error() != last {
			last, changed = remaining.Error(), time.Now()
		}
		if time.Since(changed) > recoveryTimeout {
			return nil // the remaining work has not changed for too long
		}
		return remaining
	})
	if err = cmp.Or(err, remaining); err != nil {
		s.t.Errorf("seed %d: not idle %v after the last request: %v",
			seed, time.Since(began).Round(time.Second), err)
		return
	}
	s.t.Logf("idle after %v", time.Since(began).Round(time.Millisecond))
}

// check waits up to sweepTimeout for all invariants to hold and reports whether they do.
func (s *system) check(r *record, seed uint64, when string) bool {
	s.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(s.t.Context(), sweepTimeout)
	defer cancel()
	var violations []violation
	err := until(ctx, func() (err error) {
		if violations, err = s.violations(s.t.Context(), r); err != nil {
			return err
		}
		if len(violations) > 0 {
			return fmt.Errorf("got %d violations of invariants, want none", len(violations))
		}
		return nil
	})
	s.t.Logf("checked %s in %v", when, time.Since(began).Round(time.Millisecond))
	if err != nil {
		s.t.Errorf("seed %d: %s: %v", seed, when, err)
	}
	reportViolations(s.t, s, r, seed, violations)
	return err == nil
}

// reportViolations fails the test for each invariant that does not hold. It logs the timelines of
// the first documents that violate it.
func reportViolations(t *testing.T, s *system, r *record, seed uint64, violations []violation) {
	t.Helper()
	const timelines = 2
	digits := regexp.MustCompile(`[0-9a-f-]*[0-9][0-9a-f-]*`)
	byInvariant := map[string][]violation{}
	for _, v := range violations {
		invariant, _, _ := strings.Cut(v.message, ":") // details follow
		invariant = digits.ReplaceAllString(invariant, "…")
		byInvariant[invariant] = append(byInvariant[invariant], v)
	}
	for _, invariant := range slices.Sorted(maps.Keys(byInvariant)) {
		found := byInvariant[invariant]
		t.Errorf("seed %d: %d × %s", seed, len(found), invariant)
		for _, v := range found[:min(timelines, len(found))] {
			if v.document == uuid.Nil {
				t.Logf("  %s", v.message)
			} else {
				t.Logf("  document %s: %s\n%s",
					v.document, v.message, s.timeline(t.Context(), v.document, r))
			}
		}
	}
}

// summarize logs what happened in the run. It fails the test if a kind of fault was never
// successful or no client ever performed an operation that the suite is meant to test.
func summarize(t *testing.T, r *record, injected map[string]int, lost int) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(injected)) {
		t.Logf("%4d × %s", injected[name], name)
		if injected[name] == 0 {
			t.Errorf("got no fault %q, want at least 1", name)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, operation := range slices.Sorted(maps.Keys(r.counts)) {
		t.Logf("%6d %s", r.counts[operation], operation)
	}
	for _, operation := range []string{
		countPUTs, countDELETEs, countConfirms, countOverwrites, countPUTsAfterDelete,
		countURLsRefused,
	} {
		if r.counts[operation] == 0 {
			t.Errorf("got no %s, want at least 1", operation)
		}
	}
	deadLetters := 0
	for _, p := range r.poison {
		if p.published == acknowledged && !p.destroyed {
			deadLetters++
		}
	}
	t.Logf("%6d documents; %d poisoned messages are dead letters; "+
		"events of %d keys may have been lost", len(r.documents), deadLetters, lost)
}
