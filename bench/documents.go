package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"intray/schema"
)

// DocumentsConfig configures Documents.
type DocumentsConfig struct {
	API string // URL
	// Email and Password are the credentials of the user who uploads.
	Email, Password string
	// ConsumePID returns the current process id of the consumers.
	ConsumePID func() int

	Single   int // PDFs of one page, uploaded one at a time
	Mixed    int // documents of many types, 16 at a time
	Hostile  int // damaged and hostile files; with every tenth, a valid file is uploaded too
	Progress Progress
}

// DocumentsReport is the result of Documents. The maps count documents by outcome, which is the
// final status, with the reason in parentheses if there is one.
type DocumentsReport struct {
	P50             float64        `json:"one_page_p50_ms"`
	P90             float64        `json:"one_page_p90_ms"`
	PerSecond       float64        `json:"mixed_per_second"`
	MixedOutcomes   map[string]int `json:"mixed_ends"`
	HostileOutcomes map[string]int `json:"hostile_ends"`
	ValidOutcomes   map[string]int `json:"beside_ends"`
	HostileSeconds  float64        `json:"hostile_seconds"`
	PeakMiB         float64        `json:"peak_mib"`
	Restarted       bool           `json:"restarted"`
}

// Contained reports whether the hostile files did not affect anything else: all valid files that
// were uploaded with them were classified, and the consumers' process was not replaced.
func (r DocumentsReport) Contained() bool {
	for outcome := range r.ValidOutcomes {
		if outcome != string(schema.StatusClassified) {
			return false
		}
	}
	return !r.Restarted
}

// documentsRun is one run of Documents.
type documentsRun struct {
	config DocumentsConfig
	client *client

	mu      sync.Mutex
	created []string // ids of the documents created so far
}

// Documents measures, from the point of view of a client, how long it takes until uploaded
// documents are classified. At the end it deletes the documents that it uploaded, even if ctx was
// canceled.
func Documents(ctx context.Context, config DocumentsConfig) (report DocumentsReport, err error) {
	c := &client{transport: newTransport(), api: config.API, retries: true}
	defer c.transport.CloseIdleConnections()
	if err := c.login(ctx, config.Email, config.Password); err != nil {
		return report, err
	}
	r := &documentsRun{config: config, client: c}
	defer r.deleteAll(ctx)
	pid := config.ConsumePID()
	peak := watchMemory(20*time.Millisecond, func() int64 { return residentTree(pid) })
	defer peak()

	single := make([]time.Duration, config.Single)
	for i := range single {
		f := file{fmt.Sprintf("single-%d.pdf", i), "application/pdf", onePagePDF(pageText(i))}
		if _, single[i], err = r.classified(ctx, f, 2*time.Millisecond); err != nil {
			return report, err
		}
		config.Progress("one page", i+1, config.Single)
	}
	times := percentiles(single)
	report.P50, report.P90 = times.P50, times.P90

	began := time.Now()
	if report.MixedOutcomes, _, err = r.all(ctx, "mixed", config.Mixed, mixedFile, 0); err != nil {
		return report, err
	}
	report.PerSecond = float64(config.Mixed) / time.Since(began).Seconds()

	began = time.Now()
	report.HostileOutcomes, report.ValidOutcomes, err =
		r.all(ctx, "hostile", config.Hostile, hostileFile, 10)
	if err != nil {
		return report, err
	}
	report.HostileSeconds = time.Since(began).Seconds()
	report.PeakMiB = peak()
	report.Restarted = config.ConsumePID() != pid
	return report, nil
}

// all uploads n files, 16 at a time. Together with the first of every validInterval files it
// uploads a valid file; if validInterval is 0, it uploads no valid files. It counts the outcomes of
// the n files and of the valid files.
func (r *documentsRun) all(
	ctx context.Context, stage string, n int, newFile func(int) file, validInterval int,
) (outcomes, valid map[string]int, err error) {
	outcomes, valid = map[string]int{}, map[string]int{}
	type upload struct {
		newFile  func(int) file
		i        int
		outcomes map[string]int
	}
	var uploads []upload
	for i := range n {
		uploads = append(uploads, upload{newFile, i, outcomes})
		if validInterval > 0 && i%validInterval == 0 {
			uploads = append(uploads, upload{mixedFile, 100_000 + i, valid})
		}
	}
	var mu sync.Mutex
	one := func(ctx context.Context, i int) error {
		u := uploads[i]
		f := u.newFile(u.i)
		// 16 concurrent clients poll less often than a single one, to stay within the rate limit.
		outcome, _, err := r.classified(ctx, f, 30*time.Millisecond)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		mu.Lock()
		defer mu.Unlock()
		u.outcomes[outcome]++
		return nil
	}
	err = r.config.Progress.concurrently(ctx, stage, len(uploads), one)
	return outcomes, valid, err
}

var errStillPending = errors.New("neither classified nor failed within 5 minutes")

// classified uploads a file and waits until it is classified or has failed. It returns the outcome
// and the time since the response to the PUT. It polls at the interval at first and less often
// later.
func (r *documentsRun) classified(
	ctx context.Context, f file, interval time.Duration,
) (outcome string, took time.Duration, err error) {
	u, err := r.client.requestUpload(ctx, f)
	if err != nil {
		return "", 0, err
	}
	r.mu.Lock()
	r.created = append(r.created, u.Document.ID)
	r.mu.Unlock()
	responseTime, err := r.client.put(ctx, u, f.content)
	if err != nil {
		return "", 0, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errStillPending)
	defer cancel()
	done := func(s schema.Status) bool {
		return s != schema.StatusPending && s != schema.StatusUploaded
	}
	next := func(elapsed time.Duration) time.Duration {
		return min(50*time.Millisecond, interval+elapsed/20)
	}
	d, took, err := r.client.wait(ctx, u.Document.ID, responseTime, done, next)
	if err != nil {
		return "", 0, err
	}
	outcome = string(d.Status)
	if d.Reason != nil {
		outcome += " (" + *d.Reason + ")"
	}
	return outcome, took, nil
}

// deleteAll deletes the uploaded documents. A document that cannot be deleted remains visible to
// its owner.
func (r *documentsRun) deleteAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	for _, id := range r.created {
		_ = r.client.call(ctx, http.MethodDelete, "/api/documents/"+id, nil, nil)
	}
}
