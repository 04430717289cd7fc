package gateway

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// newTransport returns the transport to MinIO, with idle connections kept for many browsers at once. MinIO answers a
// PUT within milliseconds after its last byte, but within 5 s while NATS hangs (synchronous events), hence a minute.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &upstream{c}, nil
		},
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		// A client that sent Expect: 100-continue is asked for its body only once MinIO has accepted the headers.
		ExpectContinueTimeout: 5 * time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConns:          1024,
		MaxIdleConnsPerHost:   1024,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
		DisableCompression:    true,
	}
}

// upstream is a connection to MinIO. net/http copies an upload to it 32 KiB at a time; with larger pieces the two
// processes wake each other less often (BenchmarkThroughput: of MinIO's own rate 0.95 to 0.97 instead of 0.91).
type upstream struct{ net.Conn }

// ReadFrom implements io.ReaderFrom, by which net/http sends a body.
func (c *upstream) ReadFrom(r io.Reader) (int64, error) {
	buffer := pieces.Get().(*[]byte)
	defer pieces.Put(buffer)
	return io.CopyBuffer(struct{ io.Writer }{c.Conn}, r, *buffer)
}

var pieces = sync.Pool{New: func() any {
	buffer := make([]byte, 256<<10)
	return &buffer
}}

// buffers are reused for the answers' bodies.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, 64<<10)
}

func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }
