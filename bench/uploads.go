package bench

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"intray/schema"
)

// textFile is the file that Confirm uploads.
var textFile = file{"bench.txt", "text/plain", content}

// uploads measures the time from the response to the PUT until a client that polls sees that its
// document is uploaded.
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
		id, responseTime, err := clients[0].upload(ctx, textFile)
		if err != nil {
			return err
		}
		if took[i], err = clients[0].waitUploaded(ctx, id, responseTime); err != nil {
			return err
		}
		r.Progress("uploads one at a time", i+1, single)
	}
	report.OneAtATime = percentiles(took)
	return r.burst(ctx, clients, report)
}

// burst keeps 16 uploads in flight. A client starts its next upload while it still polls for its
// earlier documents.
func (r *confirmRun) burst(ctx context.Context, clients []*client, report *ConfirmReport) error {
	type result struct {
		responseTime time.Time // of the PUT
		took         time.Duration
		err          error
	}
	results := make([]result, r.config.Uploads)
	var waiting sync.WaitGroup
	parent := ctx // upload's ctx is done after the last upload, when documents may still be pending
	upload := func(ctx context.Context, i int) error {
		c, u := clients[i%len(clients)], &results[i]
		id, responseTime, err := c.upload(ctx, textFile)
		if err != nil {
			return err
		}
		u.responseTime = responseTime
		waiting.Go(func() { u.took, u.err = c.waitUploaded(parent, id, responseTime) })
		return nil
	}
	err := r.Progress.concurrently(ctx, "uploads in a burst", len(results), upload)
	waiting.Wait()
	if err != nil {
		return err
	}
	var last result
	took := make([]time.Duration, len(results))
	for i, u := range results {
		if u.err != nil {
			return u.err
		}
		took[i] = u.took
		if u.responseTime.After(last.responseTime) {
			last = u
		}
	}
	report.Burst = percentiles(took)
	report.Last = last.took.Seconds() * 1000
	return nil
}

// upload requests an upload URL and uploads the file. It returns the document's id and the time of
// the response to the PUT.
func (c *client) upload(
	ctx context.Context, f file,
) (id string, responseTime time.Time, err error) {
	u, err := c.requestUpload(ctx, f)
	if err != nil {
		return "", time.Time{}, err
	}
	responseTime, err = c.put(ctx, u, f.content)
	return u.Document.ID, responseTime, err
}

// waitUploaded polls until the document is uploaded and returns the time since start. The interval
// between polls is an eighth of the time since start, but at least a millisecond.
func (c *client) waitUploaded(
	ctx context.Context, id string, start time.Time,
) (time.Duration, error) {
	done := func(s schema.Status) bool { return s != schema.StatusPending }
	interval := func(elapsed time.Duration) time.Duration { return max(time.Millisecond, elapsed/8) }
	d, took, err := c.wait(ctx, id, start, done, interval)
	if err == nil && !d.Status.Counted() {
		err = fmt.Errorf("document %s is %s", id, d.Status)
	}
	return took, err
}
