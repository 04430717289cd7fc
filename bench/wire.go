package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// ask sends the requests again and again on one connection, each when the one before
// is answered, until the time has come, and returns how many were answered. It
// writes and reads by hand: the server is to have the machine's time, not the client.
func (t *target) ask(ctx context.Context, requests [][]byte, until time.Time) (answered int64, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(until.Add(10 * time.Second)); err != nil {
		return 0, err
	}
	reader := bufio.NewReader(conn)
	for time.Now().Before(until) && ctx.Err() == nil {
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
