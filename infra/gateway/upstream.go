package gateway

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// newTransport returns the transport to MinIO. It keeps idle connections for many concurrent
// browsers.
//
// MinIO normally answers a PUT within milliseconds of its last byte. If NATS hangs, it can take up
// to 5 s, because MinIO publishes events synchronously. A ResponseHeaderTimeout of a minute is well
// above both.
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
		// The body of a PUT is read only after MinIO has accepted the headers (see rewrite).
		ExpectContinueTimeout: 5 * time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConns:          1024,
		MaxIdleConnsPerHost:   1024,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
		DisableCompression:    true,
	}
}

// upstream is a connection to MinIO. It copies uploads in blocks of 256 KiB instead of net/http's
// 32 KiB, so that the gateway and MinIO wake each other less often. In BenchmarkThroughput the
// gateway reaches 0.95 to 0.97 of MinIO's throughput this way, instead of 0.91.
type upstream struct{ net.Conn }

// ReadFrom implements io.ReaderFrom, which net/http uses to send a body.
func (c *upstream) ReadFrom(r io.Reader) (int64, error) {
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	return io.CopyBuffer(struct{ io.Writer }{c.Conn}, r, *buffer)
}

var copyBuffers = sync.Pool{New: func() any {
	buffer := make([]byte, 256<<10)
	return &buffer
}}

// buffers implements httputil.BufferPool for the bodies of responses.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, 64<<10)
}

func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }
