package bench

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"intray/schema"
)

// note is what the uploads of Confirm upload.
var note = file{"bench.txt", "text/plain", content}

// uploads measures what a client sees: how long after the answer to its PUT the document is
// uploaded.
func (r *confirmRun) uploads(ctx context.Context, report *ConfirmReport) error {
	password, hash, err := newPassword()
	if err != nil {
		return err
	}
	transport := newTransport()
	defer transport.CloseIdleConnections()
	clients := make([]*client, inFlight)
	for i := range clients {
		name := "upload" + strconv.Itoa(i)
		if err := r.addUser(ctx, name, hash); err != nil {
			return err
		}
		clients[i] = &client{transport: transport, api: r.config.API}
		if err := clients[i].login(ctx, name+Domain, password); err != nil {
			return err
		}
	}

	single := max(1, r.config.Uploads/5)
	took := make([]time.Duration, single)
	for i := range took {
		id, answered, err := clients[0].upload(ctx, note)
		if err != nil {
			return err
		}
		if took[i], err = clients[0].waitUploaded(ctx, id, answered); err != nil {
			return err
		}
		r.Progress("uploads one at a time", i+1, single)
	}
	report.OneAtATime = percentiles(took)
	return r.burst(ctx, clients, report)
}

// burst keeps 16 uploads in flight. A client waits for each of its documents while it goes on
// uploading.
func (r *confirmRun) burst(ctx context.Context, clients []*client, report *ConfirmReport) error {
	type outcome struct {
		answered time.Time
		took     time.Duration
		err      error
	}
	outcomes := make([]outcome, r.config.Uploads)
	var waiting sync.WaitGroup
	whole := ctx // a wait goes on after the last upload
	upload := func(ctx context.Context, i int) error {
		c, o := clients[i%len(clients)], &outcomes[i]
		id, answered, err := c.upload(ctx, note)
		if err != nil {
			return err
		}
		o.answered = answered
		waiting.Go(func() { o.took, o.err = c.waitUploaded(whole, id, answered) })
		return nil
	}
	err := r.Progress.concurrently(ctx, "uploads in a burst", len(outcomes), upload)
	waiting.Wait()
	if err != nil {
		return err
	}
	var last outcome
	took := make([]time.Duration, len(outcomes))
	for i, o := range outcomes {
		if o.err != nil {
			return o.err
		}
		took[i] = o.took
		if o.answered.After(last.answered) {
			last = o
		}
	}
	report.Burst = percentiles(took)
	report.Last = last.took.Seconds() * 1000
	return nil
}

// upload requests a URL and uploads the file there. It returns the document's id and when the PUT
// was answered.
func (c *client) upload(ctx context.Context, f file) (id string, answered time.Time, err error) {
	u, err := c.issue(ctx, f)
	if err != nil {
		return "", answered, err
	}
	answered, err = c.put(ctx, u, f.content)
	return u.Document.ID, answered, err
}

// waitUploaded returns how long after answered the document was uploaded. It polls every
// millisecond at first, later after an eighth of the time that has passed.
func (c *client) waitUploaded(
	ctx context.Context, id string, answered time.Time,
) (time.Duration, error) {
	d, took, err := c.wait(ctx, id, answered,
		func(s schema.Status) bool { return s != schema.StatusPending },
		func(passed time.Duration) time.Duration { return max(time.Millisecond, passed/8) })
	if err == nil && !d.Status.Counted() {
		err = fmt.Errorf("document %s is %s", id, d.Status)
	}
	return took, err
}
