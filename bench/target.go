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

// target is what one step measures: a server, and one request to it for each user.
type target struct {
	name     string
	status   int // of a successful response
	address  string
	requests [apiUsers][]byte
	rates    []float64 // one for each round
}

func newTarget(name, address string, status int, request func(user int) []byte) target {
	t := target{name: name, status: status, address: address}
	for i := range t.requests {
		t.requests[i] = request(i)
	}
	return t
}

// run keeps one request in flight on each of inFlight connections for d, and returns the number of
// responses per second.
func (t *target) run(ctx context.Context, d time.Duration) (rate float64, err error) {
	var responses atomic.Int64
	group, during := errgroup.WithContext(ctx)
	began := time.Now()
	for requests := range slices.Chunk(t.requests[:], apiUsers/inFlight) {
		group.Go(func() error {
			n, err := t.send(during, requests, began.Add(d))
			responses.Add(n)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	return float64(responses.Load()) / time.Since(began).Seconds(), context.Cause(ctx)
}

// send sends the requests one after the other on one connection, each after the previous response,
// until the given time. It sends at least one request. It returns the number of responses. It does
// not use http.Client, which takes more processor time, because the server needs that time.
func (t *target) send(
	ctx context.Context, requests [][]byte, until time.Time,
) (responses int64, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(until.Add(10 * time.Second)); err != nil {
		return 0, err
	}
	reader := bufio.NewReader(conn)
	for responses == 0 || time.Now().Before(until) && ctx.Err() == nil {
		if _, err := conn.Write(requests[responses%int64(len(requests))]); err != nil {
			return responses, err
		}
		resp, err := http.ReadResponse(reader, nil)
		if err != nil {
			return responses, err
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return responses, err
		}
		if resp.StatusCode != t.status {
			return responses, fmt.Errorf("answered %s, want %d: %.300s", resp.Status, t.status, body)
		}
		responses++
	}
	return responses, nil
}
