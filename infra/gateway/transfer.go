package gateway

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// transfer passes the request on, within bounds: TransferTimeout for all of it, StallTimeout for each stretch in which
// the client moves no byte. The bounds are deadlines of the connection, which hold even while a read or a write blocks;
// a context would not interrupt it. It fails, with nothing answered yet, if the connection has no deadlines.
func (h *handler) transfer(w http.ResponseWriter, r *http.Request) error {
	control := http.NewResponseController(w)
	end := time.Now().Add(h.config.TransferTimeout)
	in := &deadline{end: end, stall: h.config.StallTimeout, set: control.SetReadDeadline}
	// The answer gets a little longer, so that a client who was too slow can be told.
	out := &deadline{end: end.Add(10 * time.Second), stall: h.config.StallTimeout + 10*time.Second, set: control.SetWriteDeadline}
	if err := errors.Join(in.off(), out.off()); err != nil {
		return err
	}
	body := &upload{ReadCloser: r.Body, deadline: in}
	if r.ContentLength > 0 {
		r = r.WithContext(r.Context()) // net/http knows the original's body by its type
		r.Body = body
	}
	answer := &writer{ResponseWriter: w, deadline: out, upload: body}
	began := time.Now()
	defer func() { // a handler that cuts the connection panics
		count(r.Method, answer.status)
		trace(r, answer.status, began)
	}()
	h.proxy.ServeHTTP(answer, r)
	return nil
}

// deadline is that of one direction of a connection. It moves on with the bytes, but never past end.
type deadline struct {
	end   time.Time
	stall time.Duration
	set   func(time.Time) error
	next  time.Time // when to move it: it is not done for every few bytes
}

// off leaves only the end.
func (d *deadline) off() error { return d.set(d.end) }

// moving gives the client another while. A failure is one of the connection, which the next read or write tells.
func (d *deadline) moving() {
	now := time.Now()
	if now.Before(d.next) {
		return
	}
	d.next = now.Add(d.stall / 8)
	until := now.Add(d.stall)
	if until.After(d.end) {
		until = d.end
	}
	_ = d.set(until)
}

// upload is a PUT's body. It remembers why the client's side of it ended, so that a client who went away is not taken
// for a failure of MinIO.
type upload struct {
	io.ReadCloser
	deadline *deadline
	err      atomic.Pointer[error]
}

func (u *upload) Read(p []byte) (int, error) {
	u.deadline.moving()
	n, err := u.ReadCloser.Read(p)
	bytesIn.Add(float64(n))
	switch {
	case err == io.EOF:
		_ = u.deadline.off() // MinIO may take its time to answer
	case err != nil:
		u.err.Store(&err)
	}
	return n, err
}

// writer is the answer. It leaves "100 Continue" to net/http, which sends it as soon as the body is read, that is once
// MinIO has asked for it. The proxy would pass on MinIO's too, and now and then the client would get two.
type writer struct {
	http.ResponseWriter
	deadline *deadline
	upload   *upload // what it answers
	status   int     // 0 until it is sent
}

func (w *writer) WriteHeader(status int) {
	if status != http.StatusContinue {
		w.deadline.moving()
		w.status = status
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *writer) Write(p []byte) (int, error) {
	w.deadline.moving()
	n, err := w.ResponseWriter.Write(p)
	bytesOut.Add(float64(n))
	return n, err
}

// Unwrap lets http.ResponseController find Flush.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
