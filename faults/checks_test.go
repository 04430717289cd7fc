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

	"intray/schema"
)

// quietOnce says what still goes on: messages that are not acknowledged, events
// in MinIO's queue, object deletions, transitions that nobody was told of.
func (s *system) quietOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, c := range durables {
		consumer, err := s.operator.JetStream().Consumer(ctx, c.stream, c.name)
		if err != nil {
			return err
		}
		if info := consumer.CachedInfo(); info.NumPending > 0 || info.NumAckPending > 0 {
			return fmt.Errorf("%s has %d messages before it and %d in hand", c.name, info.NumPending, info.NumAckPending)
		}
	}
	queued := 0
	err := filepath.WalkDir(filepath.Join(s.dir, "minio", "queue"), func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".event") {
			queued++
		}
		if errors.Is(err, fs.ErrNotExist) { // sent meanwhile
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
	for what, query := range map[string]string{
		"object deletions":           `SELECT count(*) FROM object_deletions WHERE deleted_at IS NULL`,
		"documents to be classified": `SELECT count(*) FROM documents WHERE status = 'uploaded'`,
		"untold transitions":         `SELECT count(*) FROM documents WHERE unpublished_at IS NOT NULL`,
		"deletions of documents":     `SELECT count(*) FROM documents WHERE status = 'deleting'`,
	} {
		var n int
		if err := s.db.GetContext(ctx, &n, query); err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%d %s", n, what)
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

// state is what the database and the bucket hold, looked at while all is quiet.
type state struct {
	rows    map[uuid.UUID]row
	objects map[string]miniogo.ObjectInfo // by key
}

func (s *system) state(ctx context.Context) (state, error) {
	now := state{map[uuid.UUID]row{}, map[string]miniogo.ObjectInfo{}}
	var rows []row
	if err := s.db.SelectContext(ctx, &rows, `SELECT d.id, u.email, d.object_key, d.status, d.reason, d.size, d.etag
		FROM documents AS d JOIN users AS u ON u.id = d.user_id`); err != nil {
		return now, err
	}
	for _, r := range rows {
		now.rows[r.ID] = r
	}
	for object := range s.root.ListObjects(ctx, s.stack.MinIO.Bucket, miniogo.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			return now, object.Err
		}
		now.objects[object.Key] = object
	}
	// A listing proves no absence.
	for _, r := range rows {
		if _, listed := now.objects[r.ObjectKey]; listed {
			continue
		}
		object, err := s.root.StatObject(ctx, s.stack.MinIO.Bucket, r.ObjectKey, miniogo.StatObjectOptions{})
		if err == nil {
			now.objects[r.ObjectKey] = object
		} else if miniogo.ToErrorResponse(err).Code != miniogo.NoSuchKey {
			return now, err
		}
	}
	return now, nil
}

// violations holds the state against the clients' histories and the audit.
func (s *system) violations(ctx context.Context, r *record) ([]violation, error) {
	now, err := s.state(ctx)
	if err != nil {
		return nil, err
	}
	found, err := s.auditViolations()
	if err != nil {
		return nil, err
	}
	dead, err := s.deadLetters(ctx, r)
	if err != nil {
		return nil, err
	}
	sums, err := s.sums(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	found = slices.Concat(found, r.wrong, dead, sums)
	for _, d := range r.documents {
		for _, sentence := range now.reflected(d, r) {
			found = append(found, violation{d.id, sentence})
		}
	}
	keys := map[string]bool{}
	for _, row := range now.rows {
		keys[row.ObjectKey] = true
		for _, sentence := range now.paired(row, r) {
			found = append(found, violation{row.ID, sentence})
		}
	}
	for key := range now.objects {
		if !keys[key] && !r.unheard[key] {
			found = append(found, violation{idOf(key), "there is an object without a document"})
		}
	}
	return found, nil
}

func idOf(key string) uuid.UUID {
	id, _ := uuid.Parse(key[strings.LastIndexByte(key, '/')+1:])
	return id
}

// reflected holds a document against what its client knows of it.
func (now state) reflected(d *document, r *record) (wrong []string) {
	f := d.facts()
	row, there := now.rows[d.id]
	_, object := now.objects[d.key]
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if f.deleted == surely {
		if there {
			add("a deleted document is still there, as %q", row.Status)
		}
		// Whether a put after the deletion was heard of is another matter.
		if object && !r.unheard[d.key] {
			add("a deleted document's object is still there")
		}
		return wrong
	}
	if !there {
		if f.deleted == never {
			add("a document that nobody deleted is gone")
		}
		return wrong
	}
	if row.Email != d.user.email {
		add("it is %s's, not %s's", row.Email, d.user.email)
	}
	switch row.Status {
	case "pending":
		if f.put == surely {
			add("an acknowledged PUT is not reflected: its document is still pending")
		}
	case "uploaded":
		add("it was never classified, though everybody is done")
		fallthrough
	case "classified":
		if f.put == never {
			add("it is %s, though nobody put its file", row.Status)
		}
		if f.overwritten == surely && !r.unheard[d.key] {
			add("it was overwritten and is still %s", row.Status)
		}
	case "rejected":
		if row.Reason != "quota_exceeded" || !d.user.tight && !d.user.lowered.Load() {
			add("it was rejected for %s", row.Reason)
		}
	case "quarantined":
		if f.overwritten == never {
			add("it is quarantined, though nobody overwrote it")
		}
	default:
		add("it is %s %s", row.Status, row.Reason)
	}
	return wrong
}

// paired holds a row against its object.
func (now state) paired(row row, r *record) (wrong []string) {
	object, there := now.objects[row.ObjectKey]
	switch {
	case (row.counted() || row.Status == "quarantined") && !there:
		wrong = append(wrong, "there is a document without an object: it is "+row.Status)
	case !row.counted() && row.Status != "quarantined" && there && !r.unheard[row.ObjectKey]:
		wrong = append(wrong, "the object of a document that is "+row.Status+" is there")
	case row.counted() && (object.Size != row.Size || strings.Trim(object.ETag, `"`) != row.ETag) && !r.unheard[row.ObjectKey]:
		wrong = append(wrong, fmt.Sprintf("the object is not the one that was confirmed: %d bytes %s, not %d bytes %s", object.Size, object.ETag, row.Size, row.ETag))
	}
	return wrong
}

// sums holds every quota against the documents.
func (s *system) sums(ctx context.Context) ([]violation, error) {
	var wrong []string
	err := s.db.SelectContext(ctx, &wrong, `
		SELECT format('user %s has used %s bytes, is charged %s for documents of %s bytes', q.user_id, q.used_bytes, sum(d.charged_bytes),
			sum(d.size) FILTER (WHERE d.status IN ('uploaded', 'classified', 'failed')))
		FROM quotas AS q LEFT JOIN documents AS d USING (user_id)
		GROUP BY q.user_id, q.used_bytes
		HAVING q.used_bytes <> coalesce(sum(d.charged_bytes), 0)
		    OR q.used_bytes <> coalesce(sum(d.size) FILTER (WHERE d.status IN ('uploaded', 'classified', 'failed')), 0)`)
	var found []violation
	for _, w := range wrong {
		found = append(found, violation{uuid.Nil, "used_bytes is not the sum: " + w})
	}
	return found, err
}

// deadLetters holds the table against what was poisoned.
func (s *system) deadLetters(ctx context.Context, r *record) (found []violation, err error) {
	var letters []struct {
		Consumer string
		Stream   string
		Sequence int64
		Headers  []byte
		Reason   string
	}
	if err := s.db.SelectContext(ctx, &letters, `SELECT consumer, stream, sequence, headers, reason FROM dead_letters`); err != nil {
		return nil, err
	}
	kept := map[string]bool{}
	for _, l := range letters {
		var headers map[string][]string
		if err := json.Unmarshal(l.Headers, &headers); err != nil {
			return nil, err
		}
		if mark := headers[poisonMark]; len(mark) == 1 {
			kept[l.Consumer+" "+mark[0]] = true
			continue
		}
		found = append(found, violation{uuid.Nil, fmt.Sprintf("a message is a dead letter of %s though nobody poisoned it: %d of %s, %s",
			l.Consumer, l.Sequence, l.Stream, l.Reason)})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for mark, p := range r.poison {
		if p.stored == surely && !p.destroyed && !kept[p.consumer+" "+mark] {
			found = append(found, violation{uuid.Nil, fmt.Sprintf("a poisoned message for %s is not in the dead letters: %q, mark %s", p.consumer, p.what, mark)})
		}
	}
	return found, nil
}

// story tells all that is known of a document.
func (s *system) story(ctx context.Context, id uuid.UUID, r *record) string {
	type line struct {
		at   time.Time
		what string
	}
	var lines []line
	r.mu.Lock()
	d := r.documents[id]
	r.mu.Unlock()
	if d != nil {
		d.mu.Lock()
		for _, m := range d.history {
			lines = append(lines, line{m.at, "client    " + m.what})
		}
		d.mu.Unlock()
	}
	var audit []transition
	if err := s.db.SelectContext(ctx, &audit, `SELECT * FROM audit_documents WHERE document_id = $1 ORDER BY n`, id); err != nil {
		lines = append(lines, line{time.Now(), "the audit cannot be read: " + err.Error()})
	}
	for _, x := range audit {
		lines = append(lines, line{x.At, "database  " + x.String()})
	}
	for _, name := range []string{schema.StreamBucket, schema.StreamDocuments} {
		err := s.each(ctx, name, func(m jetstream.Msg, meta *jetstream.MsgMetadata) {
			if strings.Contains(string(m.Data()), id.String()) {
				lines = append(lines, line{meta.Timestamp, fmt.Sprintf("%-9s %d %s %s", name, meta.Sequence.Stream, m.Subject(), m.Headers().Get("Nats-Msg-Id"))})
			}
		})
		if err != nil {
			lines = append(lines, line{time.Now(), name + " cannot be read: " + err.Error()})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var out strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&out, "    %s  %s\n", l.at.Local().Format("15:04:05.000"), l.what)
	}
	var now []string
	if err := s.db.SelectContext(ctx, &now, `SELECT row_to_json(d)::text FROM documents AS d WHERE id = $1
		UNION ALL SELECT row_to_json(o)::text FROM object_deletions AS o WHERE object_key = $2`, id, schema.ObjectKey(id)); err != nil {
		now = append(now, err.Error())
	}
	fmt.Fprintf(&out, "    rows:   %s\n", strings.Join(now, "\n            "))
	object, err := s.root.StatObject(ctx, s.stack.MinIO.Bucket, schema.ObjectKey(id), miniogo.StatObjectOptions{})
	fmt.Fprintf(&out, "    object: %d bytes, %s, %s %v\n", object.Size, object.ETag, object.LastModified, err)
	return out.String()
}

// each reads what a stream holds.
func (s *system) each(ctx context.Context, name string, tell func(jetstream.Msg, *jetstream.MsgMetadata)) error {
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
		tell(m, meta)
		if meta.Sequence.Stream >= last {
			return nil
		}
	}
}
