package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/local/localtest"
	intraynats "intray/infra/nats"
	"intray/schema"
)

// kind is a kind of fault. Its run makes it happen, lets it last for hold, heals
// it, and returns nil only if it really happened. Kinds that share a target do
// not overlap; others do.
type kind struct {
	name    string
	targets []string
	run     func(f *fault, ctx context.Context) error
}

// fault is one fault of the schedule.
type fault struct {
	*system
	r       *record
	clients *clients
	kind    kind
	at      time.Duration // from the start
	hold    time.Duration
	choose  *rand.Rand
}

// kinds are all of them.
func kinds() []kind {
	all := []kind{
		{"graceful restart of minio under load", []string{partMinIO}, (*fault).restartMinIO},
		{"graceful restart of consume", []string{partFirst}, restart(partFirst)},
		{"connection to postgres cut at commit", []string{partPostgres, partSecond}, (*fault).cutCommits},
		{"streams full", []string{partNATS}, (*fault).fill},
		{"disk of the streams full", []string{partNATS}, (*fault).fillDisk},
		{"quota lowered below what is used", []string{"quota"}, (*fault).lowerQuota},
		{"SIGKILL of " + partAPI, []string{partAPI}, kill(partAPI)},
		{"SIGKILL of " + partGateway, []string{partGateway}, kill(partGateway)},
		{"streams missing", []string{partNATS, partFirst, partSecond}, (*fault).deleteStreams},
		{"damaged queue files", []string{partMinIO}, (*fault).damageQueue},
		{"everything delivered again", []string{partNATS}, (*fault).deliverAgain},
		{"poisoned messages", []string{partNATS}, (*fault).poison},
	}
	for _, name := range []string{partNATS, partMinIO, partPostgres, partFirst, partSecond} {
		all = append(all,
			kind{"SIGKILL of " + name, []string{name}, kill(name)},
			kind{"SIGSTOP of " + name, []string{name}, stop(name)})
	}
	return all
}

// kill sends SIGKILL and waits until a successor answers. Of PostgreSQL either the
// postmaster alone dies, which its backends then notice, or all at once.
func kill(name string) func(*fault, context.Context) error {
	return func(f *fault, ctx context.Context) error {
		pid, err := f.running(ctx, name)
		if err != nil {
			return err
		}
		victims := []int{pid}
		if name == partPostgres && f.choose.IntN(2) == 0 {
			for _, p := range localtest.Descendants(pid) {
				victims = append(victims, p.PID)
			}
		}
		for _, v := range victims {
			if err := syscall.Kill(v, syscall.SIGKILL); err != nil && v == pid {
				return fmt.Errorf("kill %s: %w", name, err)
			}
		}
		return f.succeeded(ctx, name, pid)
	}
}

// stop sends SIGSTOP, and SIGCONT after a while.
func stop(name string) func(*fault, context.Context) error {
	return func(f *fault, ctx context.Context) error {
		pid, err := f.running(ctx, name)
		if err != nil {
			return err
		}
		thaw, err := freeze(pid)
		if err != nil {
			return fmt.Errorf("stop %s: %w", name, err)
		}
		pause(ctx, f.hold)
		thaw()
		return until(ctx, func() error { return f.parts[name].answer(ctx) })
	}
}

// restart ends a part as an operator does.
func restart(name string) func(*fault, context.Context) error {
	return func(f *fault, ctx context.Context) error {
		pid, err := f.running(ctx, name)
		if err != nil {
			return err
		}
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			return fmt.Errorf("end %s: %w", name, err)
		}
		return f.succeeded(ctx, name, pid)
	}
}

// restartMinIO waits for uploads that are under way.
func (f *fault) restartMinIO(ctx context.Context) error {
	if err := until(ctx, func() error {
		if f.clients.inFlight.Load() == 0 {
			return errors.New("no PUT is under way")
		}
		return nil
	}); err != nil {
		return err
	}
	return restart(partMinIO)(f, ctx)
}

// running returns the process of a part that answers.
func (f *fault) running(ctx context.Context, name string) (pid int, err error) {
	err = until(ctx, func() error {
		if pid = f.parts[name].pid(); pid == 0 {
			return errors.New("not running")
		}
		return f.parts[name].answer(ctx)
	})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return pid, nil
}

// succeeded waits until another process than the one answers.
func (f *fault) succeeded(ctx context.Context, name string, pid int) error {
	err := until(ctx, func() error {
		if now := f.parts[name].pid(); now == 0 || now == pid {
			return errors.New("no successor")
		}
		return f.parts[name].answer(ctx)
	})
	if err != nil {
		return fmt.Errorf("%s after its end: %w", name, err)
	}
	return nil
}

// cutCommits cuts commits of the second replica, at least one before and one
// after the server carried it out.
func (f *fault) cutCommits(ctx context.Context) error {
	before, after := f.cutter.before.Load(), f.cutter.after.Load()
	f.cutter.armed.Store(true)
	defer f.cutter.armed.Store(false)
	return until(ctx, func() error {
		if f.cutter.before.Load() == before || f.cutter.after.Load() == after {
			return errors.New("no COMMIT came by")
		}
		return nil
	})
}

// bound sets the size of a stream. One that is below what the stream holds makes
// it refuse whatever comes, as a full disk does; what it holds stays.
func (f *fault) bound(ctx context.Context, name string, bytes int64) error {
	return until(ctx, func() error {
		one, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		stream, err := f.stream(one, name)
		if err != nil {
			return err
		}
		config := stream.CachedInfo().Config
		config.MaxBytes = bytes
		_, err = f.operator.JetStream().UpdateStream(one, config)
		return err
	})
}

// provision makes what is missing and restores the limits.
func (f *fault) provision(ctx context.Context) error {
	return until(ctx, func() error {
		one, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		return intraynats.Provision(one, f.operator, intraynats.StreamLimits{})
	})
}

// harmless is about another bucket, so nobody does anything about it.
const harmless = `{"Records":[{"eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"another"},"object":{"key":"a"}}}]}`

const codeMaximumBytes = 10077 // nats-server's JSStreamStoreFailedF: "maximum bytes exceeded"

func (f *fault) fill(ctx context.Context) error {
	defer f.mend()
	for _, name := range []string{schema.StreamBucket, schema.StreamDocuments} {
		if err := f.bound(ctx, name, 1); err != nil {
			return fmt.Errorf("fill %s: %w", name, err)
		}
	}
	_, err := f.publish(ctx, "bucket.created.faults", []byte(harmless), nil)
	var refused *jetstream.APIError
	if !errors.As(err, &refused) || refused.ErrorCode != codeMaximumBytes {
		return fmt.Errorf("a full stream was to refuse, got: %w", err)
	}
	pause(ctx, f.hold)
	key, after, err := f.refusedEvent(ctx)
	if err != nil {
		return err
	}
	if err := f.provision(ctx); err != nil {
		return err
	}
	return f.toldAgain(ctx, key, after)
}

// mend provisions whatever happened before.
func (f *fault) mend() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := f.provision(ctx); err != nil {
		f.t.Errorf("the streams cannot be provisioned: %v", err)
	}
}

// deleteStreams deletes both streams of events. Both replicas stand still meanwhile,
// so that events are lost. What a stream holds that nobody has acknowledged is
// written down first, while it takes nothing more.
func (f *fault) deleteStreams(ctx context.Context) error {
	defer f.mend()
	names := []string{schema.StreamBucket, schema.StreamDocuments}
	for _, name := range []string{partFirst, partSecond} {
		pid, err := f.running(ctx, name)
		if err != nil {
			return err
		}
		thaw, err := freeze(pid)
		if err != nil {
			return fmt.Errorf("stop %s: %w", name, err)
		}
		defer thaw()
	}
	lost := f.r.counted("PUTs acknowledged") + 5
	if err := until(ctx, func() error {
		if n := f.r.counted("PUTs acknowledged"); n < lost {
			return fmt.Errorf("%d of %d PUTs whose events are to be lost", n, lost)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, name := range names {
		if err := f.bound(ctx, name, 1); err != nil {
			return fmt.Errorf("close %s: %w", name, err)
		}
		if err := until(ctx, func() error { return f.writeDown(ctx, name) }); err != nil {
			return fmt.Errorf("read what %s holds: %w", name, err)
		}
		if err := until(ctx, func() error {
			err := f.operator.JetStream().DeleteStream(ctx, name)
			if errors.Is(err, jetstream.ErrStreamNotFound) {
				return nil
			}
			return err
		}); err != nil {
			return fmt.Errorf("delete %s: %w", name, err)
		}
	}
	f.r.lower()
	pause(ctx, f.hold)
	for _, name := range names {
		if err := until(ctx, func() error {
			if _, err := f.stream(ctx, name); !errors.Is(err, jetstream.ErrStreamNotFound) {
				return fmt.Errorf("%s was to be missing, got: %w", name, err)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return f.provision(ctx)
}

// writeDown notes what is in a stream that one of the consumers it concerns has not
// acknowledged, be it before that was made anew.
func (f *fault) writeDown(ctx context.Context, name string) error {
	stream, err := f.stream(ctx, name)
	if err != nil {
		return err
	}
	state := stream.CachedInfo().State
	first := state.LastSeq + 1
	from := map[string]uint64{} // by the beginning of the subjects that a consumer hears
	for info := range stream.ListConsumers(ctx).Info() {
		next := f.r.raise(info.Name, info.AckFloor.Stream) + 1
		from[strings.TrimSuffix(info.Config.FilterSubject, "*")] = next
		first = min(first, next)
	}
	for sequence := max(first, state.FirstSeq); sequence <= state.LastSeq; sequence++ {
		m, err := stream.GetMsg(ctx, sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		for subjects, next := range from {
			if strings.HasPrefix(m.Subject, subjects) && sequence >= next {
				f.destroy(m)
			}
		}
	}
	return nil
}

func (f *fault) destroy(m *jetstream.RawStreamMsg) {
	if mark := m.Header.Get(poisonMark); mark != "" {
		f.r.poisons(mark, func(p *poisoned) { p.destroyed = true })
		return
	}
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	if records, err := schema.DecodeBucketEvent(m.Data); err == nil {
		for _, record := range records {
			f.r.unheard[record.Key] = true
		}
	}
}

// damageQueue leaves files in MinIO's queue such as a crash of the machine does.
// MinIO is stopped while they are written, and then killed.
func (f *fault) damageQueue(ctx context.Context) error {
	pid, err := f.running(ctx, partMinIO)
	if err != nil {
		return err
	}
	thaw, err := freeze(pid)
	if err != nil {
		return err
	}
	defer thaw()
	queue := filepath.Join(f.dir, "minio", "queue")
	event := `{"eventVersion":"2.0","eventSource":"minio:s3","eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"documents"},"obj`
	var aside []string
	for name, content := range map[string]string{"empty": "", "torn": event, "nul": strings.Repeat("\x00", 700)} {
		for _, target := range []string{"CREATED_DURABLE", "REMOVED_DURABLE"} {
			folders, err := filepath.Glob(filepath.Join(queue, "*"+target+"*"))
			if err != nil || len(folders) != 1 {
				return fmt.Errorf("the queue of %s is not one folder below %s: %v", target, queue, folders)
			}
			path := filepath.Join(folders[0], fmt.Sprintf("%s-%s.event", uuid.NewString(), name))
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				return err
			}
			below, err := filepath.Rel(queue, path)
			if err != nil {
				return err
			}
			aside = append(aside, filepath.Join(queue+"-bad", below))
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	if err := f.succeeded(ctx, partMinIO, pid); err != nil {
		return err
	}
	for _, path := range aside {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("a damaged event was to be set aside: %w", err)
		}
	}
	return nil
}

// deliverAgain makes every consumer anew, so that it is given all that its stream
// holds once more.
func (f *fault) deliverAgain(ctx context.Context) error {
	defer f.mend()
	for _, c := range durables {
		if err := until(ctx, func() error {
			stream, err := f.stream(ctx, c.stream)
			if err != nil {
				return err
			}
			if consumer, err := stream.Consumer(ctx, c.name); err == nil {
				f.r.raise(c.name, consumer.CachedInfo().AckFloor.Stream)
			}
			if err := stream.DeleteConsumer(ctx, c.name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
				return err
			}
			return nil
		}); err != nil {
			return fmt.Errorf("delete consumer %s: %w", c.name, err)
		}
	}
	if err := f.provision(ctx); err != nil {
		return err
	}
	return until(ctx, func() error {
		for _, c := range durables {
			consumer, err := f.operator.JetStream().Consumer(ctx, c.stream, c.name)
			if err != nil {
				return err
			}
			if info := consumer.CachedInfo(); info.Delivered.Consumer == 0 && info.NumPending > 0 {
				return fmt.Errorf("nothing of %d messages is delivered to %s", info.NumPending, c.name)
			}
		}
		return nil
	})
}

// durables are the consumers with their streams.
var durables = []struct{ stream, name string }{
	{schema.StreamBucket, schema.ConsumerConfirm}, {schema.StreamBucket, schema.ConsumerRemove},
	{schema.StreamDocuments, schema.ConsumerClassify},
}

// poisonMark is the header by which a poisoned message is known again.
const poisonMark = "Faults-Poison"

// poison publishes what no consumer can bear: what cannot be decoded, and keys
// that no object can have.
func (f *fault) poison(ctx context.Context) error {
	key := func(event, key string) string {
		text, err := json.Marshal(map[string]any{"Records": []any{map[string]any{"eventName": event,
			"s3": map[string]any{"bucket": map[string]any{"name": f.stack.MinIO.Bucket}, "object": map[string]any{"key": key}}}}})
		if err != nil {
			f.t.Error(err)
		}
		return string(text)
	}
	bodies := func(event string) []string {
		return []string{"\x00\xff{", "", "{}", `{"Records":[]}`, `{"Records":3}`, key(event, "%zz"), key(event, ""), key(event, "a%00b"), key(event, "%ff%fe")}
	}
	for _, target := range []struct {
		consumer, subject string
		bodies            []string
	}{
		{schema.ConsumerConfirm, "bucket.created.poison", bodies("s3:ObjectCreated:Put")},
		{schema.ConsumerRemove, "bucket.removed.poison", bodies("s3:ObjectRemoved:Delete")},
		{schema.ConsumerClassify, schema.SubjectDocumentUploaded, []string{"", "no JSON", "{}", `{"document_id":"7"}`, `[1]`}},
	} {
		stored := 0
		for _, body := range target.bodies {
			mark := uuid.NewString()
			f.r.poisons(mark, func(p *poisoned) { *p = poisoned{consumer: target.consumer, what: body, stored: perhaps} })
			if _, err := f.publish(ctx, target.subject, []byte(body), nats.Header{poisonMark: {mark}}); err == nil {
				f.r.poisons(mark, func(p *poisoned) { p.stored = surely })
				stored++
			}
		}
		if stored == 0 {
			return fmt.Errorf("no poisoned message for %s was stored", target.consumer)
		}
	}
	return nil
}
