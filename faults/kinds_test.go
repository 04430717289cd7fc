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

// kind is a kind of fault. Kinds that share a target do not overlap; others may.
type kind struct {
	name    string
	targets []string
	// run injects the fault, waits for the fault's duration, and removes the fault. It returns nil
	// only if the fault had the intended effect.
	run func(f *fault, ctx context.Context) error
}

// fault is one fault of the schedule.
type fault struct {
	*system
	r        *record
	clients  *clients
	kind     kind
	at       time.Duration // since the start of the run
	duration time.Duration
	random   *rand.Rand
}

// kinds returns all kinds of faults.
func kinds() []kind {
	replicas := []string{partConsume, partConsume2}
	all := []kind{
		{"graceful restart of minio under load", []string{partMinIO}, (*fault).restartMinIO},
		{"graceful restart of consume", []string{partConsume}, restart(partConsume)},
		{"connection to postgres cut at commit", []string{partPostgres, partConsume2}, (*fault).cutCommits},
		{"read-only postgres", []string{partPostgres}, (*fault).readOnly},
		// A replica that is stopped would keep its connections.
		{"smart shutdown of postgres", append(replicas, partPostgres), (*fault).smartShutdown},
		{"streams full", []string{partNATS}, (*fault).fillStreams},
		{"disk of the streams full", []string{partNATS}, (*fault).fillDisk},
		{"rows of one user locked", []string{partPostgres}, (*fault).lockRows},
		{"quota lowered below what is used", []string{"quota"}, (*fault).lowerQuota},
		{"SIGKILL of " + partAPI, []string{partAPI}, kill(partAPI)},
		{"SIGKILL of " + partGateway, []string{partGateway}, kill(partGateway)},
		{"streams missing", append(replicas, partNATS), (*fault).deleteStreams},
		{"damaged queue files", []string{partMinIO}, (*fault).damageQueue},
		{"everything delivered again", []string{partNATS}, (*fault).redeliverAll},
		{"poisoned messages", []string{partNATS}, (*fault).poison},
		{"frozen leader", replicas, (*fault).freezeLeader},
		{"damaged objects", append(replicas, partMinIO), (*fault).damageObjects},
	}
	for _, name := range []string{
		partNATS, partMinIO, partPostgres, partConsume, partConsume2,
	} {
		all = append(all,
			kind{"SIGKILL of " + name, []string{name}, kill(name)},
			kind{"SIGSTOP of " + name, []string{name}, stop(name)})
	}
	return all
}

// kill returns a fault that sends SIGKILL to a part and waits until its successor responds. For
// PostgreSQL, it kills either the postmaster alone, which its backends notice, or all processes.
func kill(name string) func(*fault, context.Context) error {
	return func(f *fault, ctx context.Context) error {
		pid, err := f.awaitRunning(ctx, name)
		if err != nil {
			return err
		}
		pids := []int{pid}
		if name == partPostgres && f.random.IntN(2) == 0 {
			for _, p := range localtest.Descendants(pid) {
				pids = append(pids, p.PID)
			}
		}
		for _, p := range pids {
			// A descendant may have exited in the meantime.
			if err := syscall.Kill(p, syscall.SIGKILL); err != nil && p == pid {
				return fmt.Errorf("kill %s: %w", name, err)
			}
		}
		return f.awaitSuccessor(ctx, name, pid)
	}
}

// stop returns a fault that sends SIGSTOP to a part and SIGCONT after the fault's duration, and
// waits until the part responds.
func stop(name string) func(*fault, context.Context) error {
	return func(f *fault, ctx context.Context) error {
		pid, err := f.awaitRunning(ctx, name)
		if err != nil {
			return err
		}
		thaw, err := freeze(pid)
		if err != nil {
			return fmt.Errorf("stop %s: %w", name, err)
		}
		pause(ctx, f.duration)
		thaw()
		return until(ctx, func() error { return f.parts[name].probe(ctx) })
	}
}

// freezeLeader suspends the sweeping replica until the other one sweeps, and for the fault's
// duration after that.
func (f *fault) freezeLeader(ctx context.Context) error {
	leader := func() (name string, err error) {
		var holder string
		err = f.db.GetContext(ctx, &holder,
			`SELECT holder FROM leases WHERE name = 'sweep' AND expires_at > now()`)
		if err != nil {
			return "", fmt.Errorf("read the lease of the sweeper: %w", err)
		}
		for _, name := range []string{partConsume, partConsume2} {
			if strings.HasSuffix(holder, fmt.Sprintf(":%d", f.parts[name].pid())) {
				return name, nil
			}
		}
		return "", fmt.Errorf("no replica is the sweeping one, %s", holder)
	}
	var frozen string
	if err := until(ctx, func() (err error) {
		frozen, err = leader()
		return err
	}); err != nil {
		return err
	}
	pid, err := f.awaitRunning(ctx, frozen)
	if err != nil {
		return err
	}
	thaw, err := freeze(pid)
	if err != nil {
		return fmt.Errorf("stop %s: %w", frozen, err)
	}
	defer thaw()
	if err := until(ctx, func() error {
		name, err := leader()
		if err == nil && name == frozen {
			err = fmt.Errorf("%s still holds the lease of the sweeper", frozen)
		}
		return err
	}); err != nil {
		return err
	}
	pause(ctx, f.duration)
	thaw()
	return until(ctx, func() error { return f.parts[frozen].probe(ctx) })
}

// restart returns a fault that sends SIGTERM to a part, as an operator does, and waits until its
// successor responds.
func restart(name string) func(*fault, context.Context) error {
	return func(f *fault, ctx context.Context) error {
		pid, err := f.awaitRunning(ctx, name)
		if err != nil {
			return err
		}
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			return fmt.Errorf("terminate %s: %w", name, err)
		}
		return f.awaitSuccessor(ctx, name, pid)
	}
}

// restartMinIO restarts MinIO while at least one upload is in flight.
func (f *fault) restartMinIO(ctx context.Context) error {
	if err := until(ctx, func() error {
		if f.clients.inFlight.Load() == 0 {
			return errors.New("no PUT is in flight")
		}
		return nil
	}); err != nil {
		return err
	}
	return restart(partMinIO)(f, ctx)
}

// awaitRunning waits until a part responds and returns its process id.
func (f *fault) awaitRunning(ctx context.Context, name string) (pid int, err error) {
	err = until(ctx, func() error {
		if pid = f.parts[name].pid(); pid == 0 {
			return errors.New("not running")
		}
		return f.parts[name].probe(ctx)
	})
	if err != nil {
		return 0, fmt.Errorf("wait for %s: %w", name, err)
	}
	return pid, nil
}

// awaitSuccessor waits until a part responds whose process id is not pid.
func (f *fault) awaitSuccessor(ctx context.Context, name string, pid int) error {
	err := until(ctx, func() error {
		if current := f.parts[name].pid(); current == 0 || current == pid {
			return errors.New("not restarted")
		}
		return f.parts[name].probe(ctx)
	})
	if err != nil {
		return fmt.Errorf("wait for the successor of %s: %w", name, err)
	}
	return nil
}

// cutCommits closes connections of the second replica at their COMMIT: at least one before the
// server has executed the COMMIT, and at least one after.
func (f *fault) cutCommits(ctx context.Context) error {
	before, after := f.proxy.before.Load(), f.proxy.after.Load()
	f.proxy.armed.Store(true)
	defer f.proxy.armed.Store(false)
	return until(ctx, func() error {
		if f.proxy.before.Load() == before || f.proxy.after.Load() == after {
			return errors.New("the second replica sent too few COMMITs")
		}
		return nil
	})
}

// setStreamLimit sets the maximum size of a stream. If the stream is larger, it keeps its messages
// and refuses new ones, as with a full disk.
func (f *fault) setStreamLimit(ctx context.Context, name string, bytes int64) error {
	return until(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		stream, err := f.stream(ctx, name)
		if err != nil {
			return err
		}
		config := stream.CachedInfo().Config
		config.MaxBytes = bytes
		_, err = f.operator.JetStream().UpdateStream(ctx, config)
		return err
	})
}

// provision creates missing streams and consumers and restores the sizes.
func (f *fault) provision(ctx context.Context) error {
	return until(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		return intraynats.Provision(ctx, f.operator, intraynats.StreamLimits{
			BucketBytes: 1 << 30, DocumentsBytes: 1 << 30, ReplayBytes: 512 << 20,
		})
	})
}

// foreignEvent is an event of another bucket, which every consumer ignores.
const foreignEvent = `{"Records":[{"eventName":"s3:ObjectCreated:Put",` +
	`"s3":{"bucket":{"name":"another"},"object":{"key":"a"}}}]}`

// codeStoreFailed is JSStreamStoreFailedF of nats-server. For a full stream its text is "maximum
// bytes exceeded".
const codeStoreFailed = 10077

// fillStreams sets the maximum size of both streams below their current size.
func (f *fault) fillStreams(ctx context.Context) error {
	defer f.restoreStreams()
	for _, name := range []string{schema.StreamBucket, schema.StreamDocuments} {
		if err := f.setStreamLimit(ctx, name, 1); err != nil {
			return fmt.Errorf("fill stream %s: %w", name, err)
		}
	}
	_, err := f.publish(ctx, "bucket.created.faults", []byte(foreignEvent), nil)
	if err := checkRefused(err, codeStoreFailed); err != nil {
		return fmt.Errorf("publish to a full stream: %w", err)
	}
	pause(ctx, f.duration)
	key, after, err := f.refusedEvent(ctx)
	if err != nil {
		return err
	}
	if err := f.provision(ctx); err != nil {
		return err
	}
	return f.awaitPublished(ctx, key, after)
}

// checkRefused returns an error unless err is a JetStream error with the given code.
func checkRefused(err error, code jetstream.ErrorCode) error {
	if err == nil {
		return fmt.Errorf("got no error, want code %d", code)
	}
	var apiError *jetstream.APIError
	if !errors.As(err, &apiError) || apiError.ErrorCode != code {
		return fmt.Errorf("got error %w, want code %d", err, code)
	}
	return nil
}

// restoreStreams provisions the streams at the end of a fault, whether or not it was successful. It
// fails the test if that is not possible.
func (f *fault) restoreStreams() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := f.provision(ctx); err != nil {
		f.t.Errorf("provision the streams: %v", err)
	}
}

// deleteStreams deletes both streams of events. It stops both replicas first, so that events are
// lost. Just before it deletes a stream, it makes the stream refuse new messages and records the
// messages that are not acknowledged.
func (f *fault) deleteStreams(ctx context.Context) error {
	defer f.restoreStreams()
	names := []string{schema.StreamBucket, schema.StreamDocuments}
	for _, name := range []string{partConsume, partConsume2} {
		pid, err := f.awaitRunning(ctx, name)
		if err != nil {
			return err
		}
		thaw, err := freeze(pid)
		if err != nil {
			return fmt.Errorf("stop %s: %w", name, err)
		}
		defer thaw()
	}
	want := f.r.count(countPUTs) + 5
	if err := until(ctx, func() error {
		if n := f.r.count(countPUTs); n < want {
			return fmt.Errorf("got %d %s, want %d", n, countPUTs, want)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, name := range names {
		if err := f.setStreamLimit(ctx, name, 1); err != nil {
			return fmt.Errorf("make stream %s refuse messages: %w", name, err)
		}
		if err := until(ctx, func() error { return f.recordLostEvents(ctx, name) }); err != nil {
			return fmt.Errorf("read stream %s: %w", name, err)
		}
		if err := until(ctx, func() error {
			err := f.operator.JetStream().DeleteStream(ctx, name)
			if errors.Is(err, jetstream.ErrStreamNotFound) {
				return nil
			}
			return err
		}); err != nil {
			return fmt.Errorf("delete stream %s: %w", name, err)
		}
	}
	f.r.resetAckFloors()
	pause(ctx, f.duration)
	for _, name := range names {
		if err := until(ctx, func() error {
			_, err := f.stream(ctx, name)
			switch {
			case errors.Is(err, jetstream.ErrStreamNotFound):
				return nil
			case err == nil:
				return fmt.Errorf("the deleted stream %s still exists", name)
			default:
				return err
			}
		}); err != nil {
			return err
		}
	}
	return f.provision(ctx)
}

// recordLostEvents records the messages of a stream that at least one of the stream's consumers has
// not acknowledged. If a consumer was deleted and created again, the messages that it had
// acknowledged before still count as acknowledged.
func (f *fault) recordLostEvents(ctx context.Context, name string) error {
	stream, err := f.stream(ctx, name)
	if err != nil {
		return err
	}
	state := stream.CachedInfo().State
	first := state.LastSeq + 1
	unacknowledged := map[string]uint64{} // first sequence, by the prefix of the consumer's subjects
	for info := range stream.ListConsumers(ctx).Info() {
		next := f.r.raiseAckFloor(info.Name, info.AckFloor.Stream) + 1
		unacknowledged[strings.TrimSuffix(info.Config.FilterSubject, "*")] = next
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
		for prefix, next := range unacknowledged {
			if strings.HasPrefix(m.Subject, prefix) && sequence >= next {
				f.recordLostEvent(m)
			}
		}
	}
	return nil
}

// recordLostEvent records that a message is lost.
func (f *fault) recordLostEvent(m *jetstream.RawStreamMsg) {
	if mark := m.Header.Get(poisonHeader); mark != "" {
		f.r.updatePoison(mark, func(p *poisoned) { p.destroyed = true })
		return
	}
	if records, err := schema.DecodeBucketEvent(m.Data); err == nil {
		for _, record := range records {
			f.r.addLostEvent(record.Key)
		}
	}
}

// damageQueue creates files in MinIO's queue like those that a crash of the machine leaves behind.
// MinIO is stopped while the files are created and is then killed. When it is started again, the
// files must be moved out of the queue.
func (f *fault) damageQueue(ctx context.Context) error {
	pid, err := f.awaitRunning(ctx, partMinIO)
	if err != nil {
		return err
	}
	thaw, err := freeze(pid)
	if err != nil {
		return err
	}
	defer thaw()
	queue := filepath.Join(f.dir, "minio", "queue")
	const truncated = `{"eventVersion":"2.0","eventSource":"minio:s3",` +
		`"eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"documents"},"obj`
	var moved []string
	for name, content := range map[string]string{
		"empty": "", "truncated": truncated, "nul": strings.Repeat("\x00", 700),
	} {
		for _, target := range []string{"CREATED_DURABLE", "REMOVED_DURABLE"} {
			folders, err := filepath.Glob(filepath.Join(queue, "*"+target+"*"))
			if err != nil || len(folders) != 1 {
				return fmt.Errorf("find the queue of target %s in %s: got folders %v, want one",
					target, queue, folders)
			}
			file := fmt.Sprintf("%s-%s.event", uuid.NewString(), name)
			path := filepath.Join(folders[0], file)
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				return err
			}
			relative, err := filepath.Rel(queue, path)
			if err != nil {
				return err
			}
			moved = append(moved, filepath.Join(queue+"-bad", relative))
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	if err := f.awaitSuccessor(ctx, partMinIO, pid); err != nil {
		return err
	}
	for _, path := range moved {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("find a damaged event outside the queue: %w", err)
		}
	}
	return nil
}

// redeliverAll deletes every consumer and creates it again, so that all messages of its stream are
// delivered again.
func (f *fault) redeliverAll(ctx context.Context) error {
	defer f.restoreStreams()
	for _, c := range durables {
		if err := until(ctx, func() error {
			stream, err := f.stream(ctx, c.stream)
			if err != nil {
				return err
			}
			if consumer, err := stream.Consumer(ctx, c.name); err == nil {
				f.r.raiseAckFloor(c.name, consumer.CachedInfo().AckFloor.Stream)
			}
			err = stream.DeleteConsumer(ctx, c.name)
			if errors.Is(err, jetstream.ErrConsumerNotFound) {
				return nil
			}
			return err
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
			info := consumer.CachedInfo()
			if info.Delivered.Consumer == 0 && info.NumPending > 0 {
				return fmt.Errorf("none of %d messages has been delivered to consumer %s",
					info.NumPending, c.name)
			}
		}
		return nil
	})
}

// durables are the durable consumers and their streams.
var durables = []struct{ stream, name string }{
	{schema.StreamBucket, schema.ConsumerConfirm}, {schema.StreamBucket, schema.ConsumerRemove},
	{schema.StreamDocuments, schema.ConsumerClassify},
}

// poisonHeader is the header that identifies a poisoned message. Its value is unique.
const poisonHeader = "Faults-Poison"

// poison publishes messages that no consumer can handle: data that cannot be decoded, and keys that
// no object can have.
func (f *fault) poison(ctx context.Context) error {
	for _, target := range []struct {
		consumer, subject string
		messages          []string
	}{
		{schema.ConsumerConfirm, "bucket.created.poison", f.poisonedEvents("s3:ObjectCreated:Put")},
		{schema.ConsumerRemove, "bucket.removed.poison", f.poisonedEvents("s3:ObjectRemoved:Delete")},
		{schema.ConsumerClassify, schema.SubjectDocumentUploaded,
			[]string{"", "not JSON", "{}", `{"document_id":"7"}`, `[1]`}},
	} {
		published := 0
		for _, data := range target.messages {
			mark := uuid.NewString()
			f.r.updatePoison(mark, func(p *poisoned) {
				*p = poisoned{consumer: target.consumer, data: data, published: unknown}
			})
			header := nats.Header{poisonHeader: {mark}}
			if _, err := f.publish(ctx, target.subject, []byte(data), header); err == nil {
				f.r.updatePoison(mark, func(p *poisoned) { p.published = acknowledged })
				published++
			}
		}
		if published == 0 {
			return fmt.Errorf("no poisoned message was published for consumer %s", target.consumer)
		}
	}
	return nil
}

// poisonedEvents returns bucket events that cannot be handled. name is their event name.
func (f *fault) poisonedEvents(name string) []string {
	withKey := func(key string) string {
		text, err := json.Marshal(map[string]any{"Records": []any{map[string]any{
			"eventName": name,
			"s3": map[string]any{
				"bucket": map[string]any{"name": f.stack.MinIO.Bucket},
				"object": map[string]any{"key": key},
			},
		}}})
		if err != nil {
			f.t.Error(err)
		}
		return string(text)
	}
	return []string{
		"\x00\xff{", "", "{}", `{"Records":[]}`, `{"Records":3}`,
		withKey("%zz"), withKey(""), withKey("a%00b"), withKey("%ff%fe"),
	}
}
