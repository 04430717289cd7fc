package gateway

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// transfer forwards the request to MinIO with two time limits: TransferTimeout for the whole
// request, and StallTimeout for each period in which the client sends or receives nothing.
//
// The limits are deadlines of the connection, because these also interrupt a blocked read or write,
// which a context does not. If the connection does not support deadlines, transfer returns an error
// and has written no response.
func (h *handler) transfer(w http.ResponseWriter, r *http.Request) error {
	control := http.NewResponseController(w)
	end, stall := time.Now().Add(h.config.TransferTimeout), h.config.StallTimeout
	in := &deadline{end: end, stall: stall, set: control.SetReadDeadline}
	// Allow extra time for writing, so that a client whose upload timed out still gets an error.
	const extra = 10 * time.Second
	out := &deadline{end: end.Add(extra), stall: stall + extra, set: control.SetWriteDeadline}
	if err := errors.Join(in.disableStall(), out.disableStall()); err != nil {
		return err
	}
	body := &upload{ReadCloser: r.Body, deadline: in, reserved: h.users.reservation(r)}
	if r.ContentLength > 0 {
		// Set the body of a copy, because net/http inspects the type of the original's body.
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			Got100Continue: func() { body.accepted.Store(true) },
		}))
		r.Body = body
	}
	response := &writer{ResponseWriter: w, deadline: out, upload: body}
	began := time.Now()
	defer body.reserved.release()
	defer func() { // also runs if handleError panics to close the connection
		count(r.Method, response.status)
		trace(r, response.status, began)
		h.parts.giveBack(r, body.unstored(r.ContentLength, response.status))
	}()
	h.proxy.ServeHTTP(response, r)
	return nil
}

// deadline is the deadline of one direction of a connection. It is extended with each transferred
// block, but never beyond end.
type deadline struct {
	end   time.Time
	stall time.Duration
	set   func(time.Time) error
	next  time.Time // extend does nothing before this time
}

// disableStall sets the deadline to end.
func (d *deadline) disableStall() error { return d.set(d.end) }

// extend sets the deadline to stall from now, or to end if that is earlier. It ignores an error,
// because the next read or write on the connection returns it too.
func (d *deadline) extend() {
	now := time.Now()
	if now.Before(d.next) {
		return
	}
	d.next = now.Add(d.stall / 8) // setting the deadline for each block would be expensive
	until := now.Add(d.stall)
	if until.After(d.end) {
		until = d.end
	}
	_ = d.set(until)
}

// upload is the body of a PUT. It counts the bytes that the client has sent, and records the error
// of reading from the client, so that handleError can tell the client's failures from MinIO's. It
// is first read when MinIO has accepted the headers, or after ExpectContinueTimeout.
type upload struct {
	io.ReadCloser
	deadline *deadline
	reserved *reservation
	accepted atomic.Bool // by MinIO, which has checked the signature
	sent     atomic.Int64
	err      atomic.Pointer[error]
}

func (u *upload) Read(p []byte) (int, error) {
	if u.accepted.Load() {
		if err := u.reserved.take(); err != nil {
			u.err.Store(&err)
			return 0, err
		}
	}
	u.deadline.extend()
	n, err := u.ReadCloser.Read(p)
	u.sent.Add(int64(n))
	bytesIn.Add(float64(n))
	switch {
	case err == io.EOF:
		_ = u.deadline.disableStall() // the client sends nothing while MinIO processes the upload
	case err != nil:
		u.err.Store(&err)
	}
	return n, err
}

// unstored returns how many of the length bytes of the body do not count as sent: those that were
// not sent, or all of them if MinIO refused the request or failed. Nothing is sent of a part whose
// headers MinIO refuses (see rewrite).
func (u *upload) unstored(length int64, status int) int64 {
	if status == http.StatusForbidden || status >= http.StatusInternalServerError {
		return length
	}
	return length - u.sent.Load()
}

// writer writes the response to the client. It does not forward MinIO's "100 Continue", because the
// client would sometimes receive two: net/http sends its own when the proxy begins to read the
// body, which the proxy does once MinIO has sent its "100 Continue".
type writer struct {
	http.ResponseWriter
	deadline *deadline
	upload   *upload // the body of the request
	status   int     // 0 until it is sent
}

func (w *writer) WriteHeader(status int) {
	if status != http.StatusContinue {
		w.deadline.extend()
		w.status = status
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *writer) Write(p []byte) (int, error) {
	w.deadline.extend()
	n, err := w.ResponseWriter.Write(p)
	bytesOut.Add(float64(n))
	return n, err
}

// Unwrap gives http.ResponseController access to Flush.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
