package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"intray/cmd/internal/cli"
	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/ops/replay"
)

type eventsCommand struct {
	List   eventsListCommand `cmd:"" help:"List events, the oldest first; or follow them."`
	Show   eventsShowCommand `cmd:"" help:"Tell the story of one document."`
	Replay replayCommand     `cmd:"" help:"Have one consumer handle events again; see, pause, resume and cancel that."`
}

const eventsHelp = `There are two streams of events: BUCKET, what MinIO tells of objects (created, removed; each
creation is told twice), and DOCUMENTS, what became of documents (uploaded, rejected, classified, …).

Exit status: 0 done, 1 something failed or is not there, 2 wrong usage, 3 out of reach.`

// eventFlags choose events.
type eventFlags struct {
	Since    moment   `aliases:"from" placeholder:"WHEN" help:"Only those stored since then: how long ago (2h), a date, or a time (RFC 3339). Also --from."`
	User     string   `placeholder:"USER" help:"Only those about the documents of this user: an e-mail address or, also of one who was removed, an id."`
	Document string   `placeholder:"ID" help:"Only those about this document."`
	Prefix   string   `placeholder:"KEY" help:"Only those about objects whose key begins so."`
	Kind     []string `placeholder:"KIND" help:"Only these kinds: created, removed; uploaded, classified, failed, rejected, expired, quarantined, deleting, deleted."`
	Seq      string   `placeholder:"N[-M]" help:"Only this sequence of the stream, or from N to M, or from N on (N-)."`
}

// selection returns what the flags choose. A user who is named by the address is left
// to findOwner.
func (f eventFlags) selection(until moment) (s replay.Selection, err error) {
	s = replay.Selection{
		From: f.Since.UTC(), To: until.UTC(), KeyPrefix: f.Prefix, Kinds: f.Kind, Email: f.User,
	}
	if f.Document != "" {
		if s.Document, err = documentID(f.Document); err != nil {
			return s, err
		}
	}
	if f.Seq != "" {
		if s.FirstSequence, s.LastSequence, err = sequences(f.Seq); err != nil {
			return s, cli.Usage(err)
		}
	}
	if id, err := uuid.Parse(f.User); err == nil {
		s.User = id
	}
	return s, nil
}

// documentID reads a document's id.
func documentID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return id, cli.Usage(fmt.Errorf("%q is no document's id", text))
	}
	return id, nil
}

// findOwner fills in the id of the user whom a selection names by the address.
func findOwner(ctx context.Context, db *postgres.DB, s *replay.Selection) error {
	if s.Email == "" || s.User != uuid.Nil {
		return nil
	}
	user, err := findUser(ctx, db, s.Email)
	s.User = user.ID
	return err
}

// sequences reads N, N-M and N-.
func sequences(text string) (first, last uint64, err error) {
	from, to, isRange := strings.Cut(text, "-")
	first, err = strconv.ParseUint(from, 10, 63)
	switch {
	case err != nil || first == 0:
	case !isRange:
		return first, first, nil
	case to == "":
		return first, 0, nil
	default:
		if last, err = strconv.ParseUint(to, 10, 63); err == nil && last >= first {
			return first, last, nil
		}
	}
	return 0, 0, fmt.Errorf("%q is neither a sequence (17) nor a range of them (17-42, 17-)", text)
}

// withArchive connects to where events are and calls do. fromBucket connects to MinIO
// too.
func withArchive(
	ctx context.Context, f cli.OperatorFlags, fromBucket bool, do func(replay.Archive) error,
) error {
	s, err := f.Find()
	if err != nil {
		return err
	}
	a := replay.Archive{BucketName: s.MinIO.Bucket}
	if a.Conn, err = connectNATS(ctx, s, "events"); err != nil {
		return err
	}
	defer a.Conn.Close()
	options := postgres.Options{MaxConns: 4, StatementTimeout: 2 * time.Minute}
	if a.DB, err = postgres.Open(ctx, s.Database, options); err != nil {
		return err
	}
	defer a.DB.Close()
	if err := a.DB.Ping(ctx); err != nil {
		return err
	}
	if fromBucket {
		objects, err := minio.NewObjects(s.MinIO)
		if err != nil {
			return err
		}
		defer objects.Close()
		a.Objects = objects
	}
	return do(a)
}
