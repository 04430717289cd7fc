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
	List   eventsListCommand `cmd:"" help:"List events, oldest first, or follow new ones."`
	Show   eventsShowCommand `cmd:"" help:"Show the history of one document."`
	Replay replayCommand     `cmd:"" help:"Replay past events to one consumer; list, pause, resume or cancel replays."`
}

const exitStatusHelp = `Exit status: 0 success, 1 a failure or something not found, 2 wrong usage,
3 a component is unreachable.`

const eventsHelp = `Events are stored in two streams. BUCKET holds the events that MinIO publishes
about objects: created (published twice for each object) and removed. DOCUMENTS holds the events
about documents: uploaded, rejected, classified and so on.

` + exitStatusHelp

// eventFlags select events.
type eventFlags struct {
	Since    timeFlag `aliases:"from" placeholder:"TIME" help:"Only events stored at or after this time: a duration before now (2h, 30d), a date or an RFC 3339 time. Alias: --from."`
	User     string   `placeholder:"USER" help:"Only events about documents of this user: an email address or an id. A removed user can be named by id."`
	Document string   `placeholder:"ID" help:"Only events about this document."`
	Prefix   string   `placeholder:"KEY" help:"Only events about objects whose key starts with this prefix."`
	Kind     []string `placeholder:"KIND" help:"Only events of these kinds: created, removed, uploaded, classified, failed, rejected, expired, quarantined, deleting, deleted."`
	Seq      string   `placeholder:"N[-M]" help:"Only the event with this sequence in the stream, or a range: N-M or N-."`
}

// selection returns the selection of the flags. If the user is named by an email address,
// findOwner must add the user's id.
func (f eventFlags) selection(until timeFlag) (s replay.Selection, err error) {
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

// documentID parses the id of a document.
func documentID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return id, cli.Usage(fmt.Errorf("%q is not a document id", text))
	}
	return id, nil
}

// findOwner sets the id of the user if the selection names the user by an email address.
func findOwner(ctx context.Context, db *postgres.DB, s *replay.Selection) error {
	if s.Email == "" || s.User != uuid.Nil {
		return nil
	}
	user, err := findUser(ctx, db, s.Email)
	s.User = user.ID
	return err
}

// sequences parses a sequence or a range of sequences: N, N-M or N-. For N- last is 0.
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
	return 0, 0, fmt.Errorf("%q is neither a sequence (17) nor a range (17-42, 17-)", text)
}

// withArchive connects to NATS and PostgreSQL, and to MinIO if fromBucket is true, and calls do.
func withArchive(
	ctx context.Context, f cli.OperatorFlags, audit cli.AuditFlags, fromBucket bool,
	do func(replay.Archive) error,
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
	options := audit.Options(postgres.Options{MaxConns: 4, StatementTimeout: 2 * time.Minute})
	if a.DB, err = postgres.Open(s.Database, options); err != nil {
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
