package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"intray/schema"
)

// ConfirmConfig configures Confirm.
type ConfirmConfig struct {
	Config
	API string // URL
	// ConsumePID is the process id of the consumers, whose memory is measured. It is 0 if they do not
	// run on this machine; their memory is not measured then.
	ConsumePID int

	Documents int // documents in each backlog
	Users     int // users who own the documents
	Folder    int // documents in each folder of the dense backlog
	Single    int // documents for the one-by-one handler
	Uploads   int // uploads in the burst; a fifth as many are uploaded one at a time before it
}

// ConfirmReport is the result of Confirm. Rates are documents, or HEAD requests, per second. Times
// are in milliseconds.
type ConfirmReport struct {
	Documents int     `json:"documents"`
	Users     int     `json:"users"`
	Folder    int     `json:"documents_a_folder"`
	Rows      int     `json:"rows_beside"`
	Load      float64 `json:"load_average"`

	PutRate   float64 `json:"put_rate"`
	Dense     Drain   `json:"dense"`
	Scattered Drain   `json:"scattered"`
	// OneByOne is the rate of the handler that handles one message at a time.
	OneByOne float64 `json:"one_by_one_rate"`
	// Floor is the time that this handler takes for HEAD, commit and publish of one document.
	Floor Times `json:"head_commit_publish_ms"`

	// OneAtATime and Burst are the times from the response to the PUT until a client that polls
	// sees the status uploaded.
	OneAtATime Times `json:"uploaded_after_put_1_at_a_time_ms"`
	Burst      Times `json:"uploaded_after_put_16_at_a_time_ms"`
	// Last is the time of the upload whose PUT was answered last in the burst.
	Last float64 `json:"uploaded_after_last_put_ms"`
}

// Drain is the result for one backlog.
type Drain struct {
	// Head is the rate at which MinIO answers HEAD requests for the same objects, 16 in flight. It is
	// the mean of a measurement before and one after the backlog is drained.
	Head float64 `json:"head_rate"`
	// Rate is the rate of the consumer, from its first delivery until every document is uploaded and
	// published.
	Rate float64 `json:"confirm_rate"`
	// Memory is the maximum resident memory of the consumers' process during that time, in MiB, or 0
	// if it was not measured.
	Memory float64 `json:"consume_mib"`
}

// confirmRun is one run of Confirm.
type confirmRun struct {
	*bench
	config ConfirmConfig
	epoch  time.Time // timestamp of the first id of the current backlog
}

// Confirm measures uploads from their PUT until their documents are uploaded. If it returns an
// error, the report contains what was measured until then.
func Confirm(ctx context.Context, config ConfirmConfig) (report ConfirmReport, err error) {
	report = ConfirmReport{
		Documents: config.Documents, Users: config.Users, Folder: config.Folder,
		Rows: config.Rows, Load: loadAverage(),
	}
	measure := func(b *bench, ctx context.Context) error {
		r := &confirmRun{bench: b, config: config}
		return r.measure(ctx, &report)
	}
	finish := func(b *bench, ctx context.Context) error {
		// The consumers resume after the documents are removed, so that the remaining events have no
		// effect.
		return errors.Join(b.pause(ctx), b.cleanup(ctx), b.resume(ctx))
	}
	err = run(ctx, config.Config, measure, finish)
	return report, err
}

func (r *confirmRun) measure(ctx context.Context, report *ConfirmReport) error {
	for i := range r.config.Users {
		if err := r.addUser(ctx, fmt.Sprintf("drain%d", i), ""); err != nil {
			return err
		}
	}
	if err := r.addRows(ctx); err != nil {
		return err
	}
	if r.config.Uploads > 0 {
		if err := r.awaitIdle(ctx); err != nil {
			return err
		}
		if err := r.uploads(ctx, report); err != nil {
			return err
		}
	}
	if r.config.Documents > 0 {
		if err := r.drains(ctx, report); err != nil {
			return err
		}
	}
	if r.config.Single > 0 {
		var err error
		report.OneByOne, report.Floor, err = r.oneByOne(ctx)
		return err
	}
	return nil
}

// drains measures the dense and then the scattered backlog.
func (r *confirmRun) drains(ctx context.Context, report *ConfirmReport) error {
	var docs []schema.Document
	var err error
	if docs, report.PutRate, err = r.backlog(ctx, r.config.Documents, r.dense); err != nil {
		return err
	}
	if report.Dense, err = r.drain(ctx, "dense", docs); err != nil {
		return err
	}
	if docs, _, err = r.backlog(ctx, r.config.Documents, r.scattered); err != nil {
		return err
	}
	report.Scattered, err = r.drain(ctx, "scattered", docs)
	return err
}
