package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// target is one way of answering, on an address of its own, and each user's request for it.
type target struct {
	name     string
	status   int
	address  string
	requests [clients][]byte
	rates    []float64 // of the rounds
}

func newTarget(name, address string, status int, request func(user int) []byte) target {
	t := target{name: name, status: status, address: address}
	for i := range t.requests {
		t.requests[i] = request(i)
	}
	return t
}

// run keeps a request in flight on each of as many connections for d, and returns the number of
// answers a second.
func (t *target) run(ctx context.Context, d time.Duration) (rate float64, err error) {
	var answers atomic.Int64
	group, during := errgroup.WithContext(ctx)
	began := time.Now()
	for requests := range slices.Chunk(t.requests[:], clients/inFlight) {
		group.Go(func() error {
			n, err := t.ask(during, requests, began.Add(d))
			answers.Add(n)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	return float64(answers.Load()) / time.Since(began).Seconds(), context.Cause(ctx)
}

// ask sends the requests in turns on one connection, each when the one before is answered, and
// returns how many were answered until the given time, at least one. It writes and reads by hand,
// to leave the machine's time to the server.
func (t *target) ask(
	ctx context.Context, requests [][]byte, until time.Time,
) (answered int64, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(until.Add(10 * time.Second)); err != nil {
		return 0, err
	}
	reader := bufio.NewReader(conn)
	for answered == 0 || time.Now().Before(until) && ctx.Err() == nil {
		if _, err := conn.Write(requests[answered%int64(len(requests))]); err != nil {
			return answered, err
		}
		resp, err := http.ReadResponse(reader, nil)
		if err != nil {
			return answered, err
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return answered, err
		}
		if resp.StatusCode != t.status {
			return answered, fmt.Errorf("answered %s, want %d: %.300s", resp.Status, t.status, body)
		}
		answered++
	}
	return answered, nil
}
