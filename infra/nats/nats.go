// Package nats is everything Intray asks of NATS: the server's configuration
// (ServerConfig), connections that outlive outages (Connect), the streams and
// their durable consumers (Provision), and the publishing of documents' events
// (Conn.Publish, Publisher).
//
// One account holds a user for each role; nats.conf says what each may do.
package nats

import (
	_ "embed" // for nats.conf
	"errors"
	"fmt"
)

// ServerConfig is nats.conf, the server's configuration. It reads $NATS_HOST,
// $NATS_PORT, $NATS_STORE_DIR and a password for each user, $NATS_MINIO_PASSWORD,
// $NATS_API_PASSWORD, $NATS_WORKER_PASSWORD and $NATS_OPERATOR_PASSWORD, from
// the server's environment. Passwords begin with a letter and hold letters and
// digits only.
//
//go:embed nats.conf
var ServerConfig []byte

// The users of the account.
const (
	UserMinIO    = "minio"    // publishes what happens in the bucket
	UserAPI      = "api"      // publishes and hears documents' events
	UserWorker   = "worker"   // consumes, and publishes documents' events
	UserOperator = "operator" // may do everything
)

// ErrUnavailable says that NATS, or the stream, did not answer. The same call
// may succeed later.
var ErrUnavailable = errors.New("nats is unavailable")

// Unavailable wraps whatever kept JetStream from answering with ErrUnavailable, and
// says what to do where it lacks what was asked for.
func Unavailable(err error) error {
	if err = unavailable(err); !errors.Is(err, ErrUnavailable) {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
