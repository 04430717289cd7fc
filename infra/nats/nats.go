// Package nats contains everything that Intray does with NATS: the server's configuration
// (ServerConfig), connections that survive outages (Connect), the streams and their durable
// consumers (Provision), publishing document events (Conn.Publish, Publisher), and reading,
// following, replaying and purging the streams.
//
// Each role has a user in an account of its own. nats.conf defines what the accounts import from
// the operator's, which has the streams.
package nats

import (
	_ "embed" // for nats.conf
	"errors"
	"fmt"
)

// ServerConfig is nats.conf, the server's configuration. It reads $NATS_HOST, $NATS_PORT,
// $NATS_STORE_DIR and a password for each user ($NATS_MINIO_PASSWORD, $NATS_API_PASSWORD,
// $NATS_WORKER_PASSWORD and $NATS_OPERATOR_PASSWORD) from the server's environment. Passwords must
// begin with a letter and consist of letters and digits.
//
//go:embed nats.conf
var ServerConfig []byte

// The users.
const (
	UserMinIO    = "minio"    // publishes the bucket's events
	UserAPI      = "api"      // publishes and follows document events
	UserWorker   = "worker"   // consumes all events and publishes document events
	UserOperator = "operator" // has all permissions
)

// ErrUnavailable means that NATS or JetStream did not answer, or that the stream or consumer does
// not exist yet. The same call may succeed later.
var ErrUnavailable = errors.New("nats is unavailable")

// Unavailable wraps err with ErrUnavailable. If a stream or a consumer is missing, the message says
// which command creates it.
func Unavailable(err error) error {
	if err = unavailable(err); !errors.Is(err, ErrUnavailable) {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
