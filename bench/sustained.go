package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"intray/infra/minio"
	"intray/schema"
)

// UploadsConfig configures Uploads.
type UploadsConfig struct {
	Config
	API     string // URL
	Gateway *url.URL
	// PIDs returns the current process ids of the servers by name. Servers that do not run on this
	// machine are not among them; their processor time is not measured.
	PIDs func() map[string]int

	Users    []int         // numbers of users; each is measured with each number of clients
	Clients  []int         // numbers of concurrent clients
	Duration time.Duration // of the uploads in each measurement
	Puts     int           // PUTs of each measurement of MinIO alone
	// Settle is the time after which the counters of PostgreSQL are read. After 11 s they are
	// complete.
	Settle time.Duration
}

// UploadsReport is the result of Uploads.
type UploadsReport struct {
	Seconds float64     `json:"duration_seconds"`
	Load    float64     `json:"load_average"`
	Loads   []Sustained `json:"measurements"`
}

// Sustained is the result for one number of users and one number of clients. Rates are per second.
type Sustained struct {
	Users   int `json:"users"`
	Clients int `json:"clients"`
	// MinIORate is the rate of the PUTs that MinIO answers to the same number of clients, and
	// StoppedRate that of presigned PUTs through the gateway. The consumers are stopped meanwhile.
	MinIORate   float64 `json:"minio_put_rate"`
	StoppedRate float64 `json:"stopped_put_rate"`
	// PutRate is the rate of the uploads, each of which is a URL request and a PUT, and Rate is the
	// rate at which documents become classified at the same time.
	PutRate float64 `json:"put_rate"`
	Rate    float64 `json:"classified_rate"`
	// OfStopped is Rate divided by StoppedRate.
	OfStopped float64 `json:"classified_of_stopped_put"`
	// Documents is the number of uploads, and Drain the time from the end of the last one until all
	// documents are classified.
	Documents int     `json:"documents"`
	Drain     float64 `json:"drain_seconds"`

	// The following are figures for each document, from its URL request until it is classified.

	// Processor is the processor time of each server in milliseconds, by its name in stack.json, and
	// that of the client.
	Processor map[string]float64 `json:"processor_ms"`
	// Statements is null without the extension pg_stat_statements.
	Statements *float64 `json:"statements"`
	Commits    *float64 `json:"commits"`
	WALSyncs   *float64 `json:"wal_syncs"`
	WALRecords *float64 `json:"wal_records"`
}

// processClient is the key of this process in Sustained.Processor.
const processClient = "client"

// uploadsRun is one run of Uploads.
type uploadsRun struct {
	*bench
	config UploadsConfig
}

// Uploads measures how many documents a second are uploaded and classified while clients upload
// without a pause. If it returns an error, the report contains what was measured until then.
func Uploads(ctx context.Context, config UploadsConfig) (report UploadsReport, err error) {
	report = UploadsReport{Seconds: config.Duration.Seconds(), Load: loadAverage()}
	measure := func(b *bench, ctx context.Context) error {
		r := &uploadsRun{bench: b, config: config}
		for _, clients := range config.Clients {
			for _, users := range config.Users {
				s, err := r.measure(ctx, users, clients)
				if err != nil {
					return err
				}
				report.Loads = append(report.Loads, s)
			}
		}
		return nil
	}
	err = run(ctx, config.Config, measure, (*bench).cleanupPaused)
	return report, err
}

// cleanupPaused is cleanup while the consumers are paused, so that the events about the objects
// have no effect.
func (b *bench) cleanupPaused(ctx context.Context) error {
	return errors.Join(b.pause(ctx), b.cleanup(ctx), b.resume(ctx))
}

// measure measures one number of users and clients.
func (r *uploadsRun) measure(ctx context.Context, users, clients int) (s Sustained, err error) {
	s.Users, s.Clients = users, clients
	if err := r.awaitIdle(ctx); err != nil {
		return s, err
	}
	if err := r.puts(ctx, &s); err != nil {
		return s, err
	}
	if err := r.awaitIdle(ctx); err != nil {
		return s, err
	}
	if err := r.sustain(ctx, &s); err != nil {
		return s, err
	}
	return s, r.cleanupPaused(ctx)
}

// puts measures the PUTs of s while the consumers are paused.
func (r *uploadsRun) puts(ctx context.Context, s *Sustained) (err error) {
	if err := r.addUser(ctx, "puts", ""); err != nil {
		return err
	}
	if err := r.pause(ctx); err != nil {
		return err
	}
	// The sweeper confirms pending documents whose URL was issued some time ago. With a time in the
	// future it ignores these.
	issued := time.Now().UTC().Add(24 * time.Hour)
	docs := make([]schema.Document, 2*r.config.Puts)
	for i := range docs {
		docs[i] = r.document(idAt(time.Now().Add(time.Duration(i)*time.Millisecond)), issued)
	}
	if err := r.sql.addDocuments(ctx, docs); err != nil {
		return err
	}
	if s.MinIORate, err = r.putDirectly(ctx, s.Clients, docs[:r.config.Puts]); err != nil {
		return err
	}
	if s.StoppedRate, err = r.putThroughGateway(ctx, s.Clients, docs[r.config.Puts:]); err != nil {
		return err
	}
	return r.cleanupPaused(ctx)
}

// putDirectly stores the documents' objects in MinIO itself and returns the rate.
func (r *uploadsRun) putDirectly(
	ctx context.Context, clients int, docs []schema.Document,
) (float64, error) {
	options := miniogo.PutObjectOptions{ContentType: textFile.contentType, DisableMultipart: true}
	put := func(ctx context.Context, i int) error {
		_, err := r.core.Client.PutObject(ctx, r.MinIO.Bucket, docs[i].ObjectKey,
			bytes.NewReader(content), int64(len(content)), options)
		return err
	}
	began := time.Now()
	err := r.Progress.inParallel(ctx, "PUTs to MinIO", clients, len(docs), put)
	return float64(len(docs)) / time.Since(began).Seconds(), err
}

// putThroughGateway uploads the documents with presigned URLs through the gateway and returns the
// rate.
func (r *uploadsRun) putThroughGateway(
	ctx context.Context, clients int, docs []schema.Document,
) (float64, error) {
	presigner, err := minio.NewPresigner(minio.PresignerConfig{
		Public: r.config.Gateway, Bucket: r.MinIO.Bucket,
		Upload: r.MinIO.Key, Download: r.MinIO.Key,
	})
	if err != nil {
		return 0, err
	}
	uploads := make([]uploadURL, len(docs))
	for i, d := range docs {
		u := &uploads[i]
		u.Upload.Method, u.Document.ID = "PUT", d.ID.String()
		u.Upload.URL, u.Upload.Headers, _, err = presigner.UploadURL(
			ctx, d.ObjectKey, d.ContentType, d.Size, nil, minio.Allowance{}, 15*time.Minute)
		if err != nil {
			return 0, err
		}
	}
	c := &client{transport: newTransport()}
	defer c.transport.CloseIdleConnections()
	put := func(ctx context.Context, i int) error {
		_, err := c.put(ctx, uploads[i], content)
		return err
	}
	began := time.Now()
	err = r.Progress.inParallel(ctx, "PUTs through the gateway", clients, len(docs), put)
	return float64(len(docs)) / time.Since(began).Seconds(), err
}

// errLimited explains why a measurement fails when the API limits its users.
var errLimited = errors.New("the API limits the rate of a user's requests: start the stack with " +
	"WRITES_PER_SECOND=100000, or measure for a shorter time")

// sustain lets the clients of s upload for the configured duration, waits until all documents are
// classified, and sets the figures of s.
func (r *uploadsRun) sustain(ctx context.Context, s *Sustained) error {
	transport := newTransport()
	defer transport.CloseIdleConnections()
	clients, err := r.signIn(ctx, transport, s)
	if err != nil {
		return err
	}
	countersBefore, err := r.sql.counters(ctx)
	if err != nil {
		return err
	}
	pids := r.config.PIDs()
	before := processorTimes(pids)
	if err := r.upload(ctx, clients, s); err != nil {
		return err
	}
	began := time.Now()
	err = poll(ctx, 50*time.Millisecond, func() (bool, error) {
		done, all, err := r.sql.classified(ctx, r.users)
		r.Progress("classified", done, all)
		return done == all, err
	})
	if err != nil {
		return err
	}
	s.Drain = time.Since(began).Seconds()
	s.Processor = map[string]float64{}
	for name, used := range processorTimes(pids) {
		s.Processor[name] = (used - before[name]).Seconds() * 1000 / float64(s.Documents)
	}
	if err := sleep(ctx, r.config.Settle); err != nil {
		return err
	}
	counters, err := r.sql.counters(ctx)
	if err != nil {
		return err
	}
	s.Statements = perDocument(countersBefore.Statements, counters.Statements, s.Documents)
	s.Commits = perDocument(countersBefore.Commits, counters.Commits, s.Documents)
	s.WALSyncs = perDocument(countersBefore.WALSyncs, counters.WALSyncs, s.Documents)
	s.WALRecords = perDocument(countersBefore.WALRecords, counters.WALRecords, s.Documents)
	return nil
}

// signIn creates the users of s and returns its clients, which are signed in.
func (r *uploadsRun) signIn(
	ctx context.Context, transport *http.Transport, s *Sustained,
) ([]*client, error) {
	password, hash, err := newPassword()
	if err != nil {
		return nil, err
	}
	users := make([]*client, s.Users)
	for i := range users {
		name := "uploads" + strconv.Itoa(i)
		if err := r.addUser(ctx, name, hash); err != nil {
			return nil, err
		}
		users[i] = &client{transport: transport, api: r.config.API}
		if err := users[i].login(ctx, name+Domain, password); err != nil {
			return nil, err
		}
	}
	clients := make([]*client, s.Clients)
	for i := range clients {
		clients[i] = users[i%len(users)]
	}
	return clients, nil
}

// upload lets each client upload one file after the other. It sets the rates and the number of
// documents of s. The rates do not include the first fifth of the time.
func (r *uploadsRun) upload(ctx context.Context, clients []*client, s *Sustained) error {
	var uploaded atomic.Int64
	began := time.Now()
	end := began.Add(r.config.Duration)
	group, during := errgroup.WithContext(ctx)
	for _, c := range clients {
		group.Go(func() error {
			for time.Now().Before(end) {
				_, _, err := c.upload(during, textFile)
				var limited *rateLimitedError
				if errors.As(err, &limited) {
					return errLimited
				}
				if err != nil {
					return err
				}
				uploaded.Add(1)
			}
			return nil
		})
	}
	type state struct {
		at                   time.Time
		uploaded, classified int
	}
	var states [2]state
	group.Go(func() error {
		for i, at := range []time.Time{began.Add(r.config.Duration / 5), end} {
			if err := sleep(during, time.Until(at)); err != nil {
				return err
			}
			classified, _, err := r.sql.classified(during, r.users)
			if err != nil {
				return err
			}
			states[i] = state{time.Now(), int(uploaded.Load()), classified}
			r.Progress(fmt.Sprintf("uploads of %d users with %d clients", s.Users, s.Clients),
				states[i].uploaded, 0)
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	seconds := states[1].at.Sub(states[0].at).Seconds()
	s.PutRate = float64(states[1].uploaded-states[0].uploaded) / seconds
	s.Rate = float64(states[1].classified-states[0].classified) / seconds
	s.OfStopped = s.Rate / s.StoppedRate
	s.Documents = int(uploaded.Load())
	return nil
}

// processorTimes returns the processor times of the processes and of this one, by name.
func processorTimes(pids map[string]int) map[string]time.Duration {
	times := map[string]time.Duration{processClient: ownProcessorTime()}
	for name, pid := range pids {
		times[name] = processorTime(pid)
	}
	return times
}
