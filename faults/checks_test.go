package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	miniogo "github.com/minio/minio-go/v7"
	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/postgres/postgrestest"
	"intray/schema"
)

// checkIdle returns an error that describes the remaining work: messages that are not acknowledged,
// events in MinIO's queue, documents to classify or delete, objects to delete, or transitions that
// are not published. It returns nil if there is none.
func (s *system) checkIdle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, c := range durables {
		consumer, err := s.operator.JetStream().Consumer(ctx, c.stream, c.name)
		if err != nil {
			return err
		}
		if info := consumer.CachedInfo(); info.NumPending > 0 || info.NumAckPending > 0 {
			return fmt.Errorf("consumer %s has %d messages to be delivered and %d to be acknowledged",
				c.name, info.NumPending, info.NumAckPending)
		}
	}
	queued := 0
	queue := filepath.Join(s.dir, "minio", "queue")
	err := filepath.WalkDir(queue, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".event") {
			queued++
		}
		if errors.Is(err, fs.ErrNotExist) { // MinIO has sent the event in the meantime
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("count the events in MinIO's queue: %w", err)
	}
	if queued > 0 {
		return fmt.Errorf("MinIO has %d events in its queue", queued)
	}
	for description, query := range map[string]string{
		"objects to delete":       `SELECT count(*) FROM object_deletions WHERE deleted_at IS NULL`,
		"documents to classify":   `SELECT count(*) FROM documents WHERE status = 'uploaded'`,
		"unpublished transitions": `SELECT count(*) FROM documents WHERE unpublished_at IS NOT NULL`,
		"documents to delete":     `SELECT count(*) FROM documents WHERE status = 'deleting'`,
	} {
		var n int
		if err := s.db.GetContext(ctx, &n, query); err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("there are %d %s", n, description)
		}
	}
	return nil
}

// row is a document in the database.
type row struct {
	ID        uuid.UUID `db:"id"`
	Email     string    `db:"email"`
	ObjectKey string    `db:"object_key"`
	Status    string    `db:"status"`
	Reason    string    `db:"reason"`
	Size      int64     `db:"size"`
	ETag      string    `db:"etag"`
}

func (r row) counted() bool { return schema.Status(r.Status).Counted() }

// state is the content of the database and of the bucket while the system is idle.
type state struct {
	rows    map[uuid.UUID]row
	objects map[string]miniogo.ObjectInfo // by key
}

func (s *system) state(ctx context.Context) (state, error) {
	current := state{map[uuid.UUID]row{}, map[string]miniogo.ObjectInfo{}}
	var rows []row
	if err := s.db.SelectContext(ctx, &rows, `
		SELECT d.id, u.email, d.object_key, d.status, d.reason, d.size, d.etag
		FROM documents AS d JOIN users AS u ON u.id = d.user_id`); err != nil {
		return current, err
	}
	for _, r := range rows {
		current.rows[r.ID] = r
	}
	bucket := s.stack.MinIO.Bucket
	options := miniogo.ListObjectsOptions{Recursive: true}
	for object := range s.root.ListObjects(ctx, bucket, options) {
		if object.Err != nil {
			return current, object.Err
		}
		current.objects[object.Key] = object
	}
	// A listing may omit an object that exists. Only a HEAD proves that an object does not exist.
	for _, r := range rows {
		if _, listed := current.objects[r.ObjectKey]; listed {
			continue
		}
		object, err := s.root.StatObject(ctx, bucket, r.ObjectKey, miniogo.StatObjectOptions{})
		if err == nil {
			current.objects[r.ObjectKey] = object
		} else if miniogo.ToErrorResponse(err).Code != miniogo.NoSuchKey {
			return current, err
		}
	}
	return current, nil
}

// violations returns all invariants that do not hold. It compares the state with the clients'
// histories and checks the audit tables, the quotas and the dead letters.
func (s *system) violations(ctx context.Context, r *record) ([]violation, error) {
	current, err := s.state(ctx)
	if err != nil {
		return nil, err
	}
	audit, err := s.auditViolations()
	if err != nil {
		return nil, err
	}
	deadLetters, err := s.deadLetterViolations(ctx, r)
	if err != nil {
		return nil, err
	}
	quotas, err := s.quotaViolations(ctx)
	if err != nil {
		return nil, err
	}
	misdated, err := postgrestest.MisdatedTimes(ctx, s.db, s.startedAt)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Concat(audit, r.violations, deadLetters, quotas)
	for _, example := range misdated {
		all = append(all, violation{uuid.Nil, "a time does not come from PostgreSQL's clock: " + example})
	}
	for _, d := range r.documents {
		for _, message := range current.checkHistory(d, r) {
			all = append(all, violation{d.id, message})
		}
	}
	keys := map[string]bool{}
	for _, row := range current.rows {
		keys[row.ObjectKey] = true
		for _, message := range current.checkObject(row, r) {
			all = append(all, violation{row.ID, message})
		}
	}
	for key := range current.objects {
		if !keys[key] && !r.lostEvents[key] {
			all = append(all, violation{idOf(key), "an object has no document"})
		}
	}
	return all, nil
}

// idOf returns the id of the document that an object key belongs to.
func idOf(key string) uuid.UUID {
	id, _ := uuid.Parse(key[strings.LastIndexByte(key, '/')+1:])
	return id
}

// checkHistory compares a document in the database with its history and returns what does not
// match.
func (current state) checkHistory(d *document, r *record) (messages []string) {
	outcomes := d.outcomes()
	row, exists := current.rows[d.id]
	_, hasObject := current.objects[d.key]
	add := func(format string, args ...any) {
		messages = append(messages, fmt.Sprintf(format, args...))
	}
	if outcomes.deleted == acknowledged {
		if exists {
			add("a deleted document exists: it is %s", row.Status)
		}
		// The object may exist if it was uploaded after the deletion and the event was lost.
		if hasObject && !r.lostEvents[d.key] {
			add("the object of a deleted document exists")
		}
		return messages
	}
	if !exists {
		if outcomes.deleted == notDone {
			add("a document that nobody deleted does not exist")
		}
		return messages
	}
	if row.Email != d.user.email {
		add("a document has another owner: %s, not %s", row.Email, d.user.email)
	}
	switch row.Status {
	case "pending":
		if outcomes.put == acknowledged {
			add("a document whose PUT was acknowledged is pending")
		}
	case "uploaded":
		add("a document is not classified although the system is idle")
		fallthrough
	case "classified":
		if outcomes.put == notDone {
			add("a document whose file was not uploaded has the wrong status: it is %s", row.Status)
		}
		if outcomes.overwritten == acknowledged && !r.lostEvents[d.key] {
			add("a document whose object was overwritten has the wrong status: it is %s", row.Status)
		}
	case "rejected":
		if row.Reason != "quota_exceeded" || !d.user.tight && !d.user.lowered.Load() {
			add("a document is rejected unexpectedly: the reason is %s", row.Reason)
		}
	case "quarantined":
		if outcomes.overwritten == notDone {
			add("a document whose object was not overwritten is quarantined")
		}
	default:
		add("a document has an unexpected status: it is %s %s", row.Status, row.Reason)
	}
	return messages
}

// checkObject compares a document in the database with its object and returns what does not match.
func (current state) checkObject(row row, r *record) (messages []string) {
	object, exists := current.objects[row.ObjectKey]
	needed := row.counted() || row.Status == "quarantined"
	switch {
	case needed && !exists:
		messages = append(messages, "a document has no object: it is "+row.Status)
	case !needed && exists && !r.lostEvents[row.ObjectKey]:
		messages = append(messages, "a document still has an object: it is "+row.Status)
	case row.counted() && !r.lostEvents[row.ObjectKey]:
		if etag := strings.Trim(object.ETag, `"`); object.Size != row.Size || etag != row.ETag {
			messages = append(messages, fmt.Sprintf("an object is not the one that was confirmed: "+
				"it has %d bytes and ETag %s, not %d bytes and ETag %s",
				object.Size, etag, row.Size, row.ETag))
		}
	}
	return messages
}

// quotaViolations compares every quota with the sum over the user's documents.
func (s *system) quotaViolations(ctx context.Context) ([]violation, error) {
	var rows []string
	err := s.db.SelectContext(ctx, &rows, `
		SELECT format('user %s has %s used bytes, charges of %s bytes, and counted documents of %s bytes',
			q.user_id, q.used_bytes, sum(d.charged_bytes),
			sum(d.size) FILTER (WHERE d.status IN ('uploaded', 'classified', 'failed')))
		FROM quotas AS q LEFT JOIN documents AS d USING (user_id)
		GROUP BY q.user_id, q.used_bytes
		HAVING q.used_bytes <> coalesce(sum(d.charged_bytes), 0)
			OR q.used_bytes <> coalesce(sum(d.size)
				FILTER (WHERE d.status IN ('uploaded', 'classified', 'failed')), 0)`)
	var violations []violation
	for _, row := range rows {
		message := "a quota differs from the sum over its documents: " + row
		violations = append(violations, violation{uuid.Nil, message})
	}
	return violations, err
}

// deadLetterViolations compares the dead letters with the poisoned messages.
func (s *system) deadLetterViolations(
	ctx context.Context, r *record,
) (violations []violation, err error) {
	var letters []struct {
		Consumer string
		Stream   string
		Sequence int64
		Headers  []byte
		Reason   string
	}
	err = s.db.SelectContext(ctx, &letters,
		`SELECT consumer, stream, sequence, headers, reason FROM dead_letters`)
	if err != nil {
		return nil, err
	}
	stored := map[string]bool{}
	for _, l := range letters {
		var headers map[string][]string
		if err := json.Unmarshal(l.Headers, &headers); err != nil {
			return nil, err
		}
		if mark := headers[poisonHeader]; len(mark) == 1 {
			stored[l.Consumer+" "+mark[0]] = true
			continue
		}
		message := fmt.Sprintf("a message that is not poisoned is a dead letter of %s: "+
			"message %d of stream %s, %s", l.Consumer, l.Sequence, l.Stream, l.Reason)
		violations = append(violations, violation{uuid.Nil, message})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for mark, p := range r.poison {
		if p.published == acknowledged && !p.destroyed && !stored[p.consumer+" "+mark] {
			message := fmt.Sprintf("a poisoned message is not a dead letter of %s: %q, with header %s",
				p.consumer, p.data, mark)
			violations = append(violations, violation{uuid.Nil, message})
		}
	}
	return violations, nil
}

// timeline returns everything that is known about a document: its client's history, its transitions
// and its events by time, and its current rows and object.
func (s *system) timeline(ctx context.Context, id uuid.UUID, r *record) string {
	entries := r.historyOf(id)
	add := func(at time.Time, format string, args ...any) {
		entries = append(entries, historyEntry{at, fmt.Sprintf(format, args...)})
	}
	var audit []transition
	err := s.db.SelectContext(ctx, &audit,
		`SELECT * FROM faults_documents WHERE document_id = $1 ORDER BY id`, id)
	if err != nil {
		add(time.Now(), "the audit tables cannot be read: %v", err)
	}
	for _, x := range audit {
		add(x.At, "database  %v", x)
	}
	for _, name := range []string{schema.StreamBucket, schema.StreamDocuments} {
		err := s.eachMessage(ctx, name, func(m jetstream.Msg, meta *jetstream.MsgMetadata) {
			if strings.Contains(string(m.Data()), id.String()) {
				add(meta.Timestamp, "%-9s %d %s %s", name, meta.Sequence.Stream, m.Subject(),
					m.Headers().Get("Nats-Msg-Id"))
			}
		})
		if err != nil {
			add(time.Now(), "stream %s cannot be read: %v", name, err)
		}
	}
	slices.SortStableFunc(entries, func(a, b historyEntry) int { return a.at.Compare(b.at) })
	var out strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&out, "    %s  %s\n", e.at.Local().Format("15:04:05.000"), e.text)
	}
	key := schema.ObjectKey(id)
	var rows []string
	if err := s.db.SelectContext(ctx, &rows, `
		SELECT row_to_json(d)::text FROM documents AS d WHERE id = $1
		UNION ALL
		SELECT row_to_json(o)::text FROM object_deletions AS o WHERE object_key = $2
		UNION ALL
		SELECT row_to_json(a)::text FROM document_attempts AS a WHERE document_id = $1`,
		id, key); err != nil {
		rows = append(rows, err.Error())
	}
	fmt.Fprintf(&out, "    rows:   %s\n", strings.Join(rows, "\n            "))
	object, err := s.root.StatObject(ctx, s.stack.MinIO.Bucket, key, miniogo.StatObjectOptions{})
	if err != nil {
		fmt.Fprintf(&out, "    object: %v\n", err)
	} else {
		fmt.Fprintf(&out, "    object: %d bytes, ETag %s, modified at %s\n",
			object.Size, object.ETag, object.LastModified)
	}
	return out.String()
}

// historyOf returns the history of a document, or nil if no client knows the document.
func (r *record) historyOf(id uuid.UUID) (entries []historyEntry) {
	r.mu.Lock()
	d := r.documents[id]
	r.mu.Unlock()
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.history {
		entries = append(entries, historyEntry{e.at, "client    " + e.text})
	}
	return entries
}

// eachMessage calls handle with each message that is now in a stream.
func (s *system) eachMessage(
	ctx context.Context, name string, handle func(jetstream.Msg, *jetstream.MsgMetadata),
) error {
	stream, err := s.stream(ctx, name)
	if err != nil {
		return err
	}
	last := stream.CachedInfo().State.LastSeq
	if stream.CachedInfo().State.Msgs == 0 {
		return nil
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	for {
		m, err := consumer.Next(jetstream.FetchMaxWait(5 * time.Second))
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		handle(m, meta)
		if meta.Sequence.Stream >= last {
			return nil
		}
	}
}
