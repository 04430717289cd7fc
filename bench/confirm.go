package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"intray/schema"
)

// ConfirmConfig says what Confirm measures, and on which system.
type ConfirmConfig struct {
	Config
	API string // URL
	// ConsumePID is the process id of the consumers, whose memory is then watched, if they run on
	// this machine; otherwise 0.
	ConsumePID int

	Documents int // in each backlog
	Users     int // that own them
	Folder    int // documents in each folder of the dense backlog
	Single    int // documents for the one-by-one handler
	Uploads   int // in the burst; a fifth of it for the uploads one at a time
}

// ConfirmReport is what Confirm measured. Rates are documents (or HEADs) a second, times are in
// milliseconds.
type ConfirmReport struct {
	Documents int     `json:"documents"`
	Users     int     `json:"users"`
	Folder    int     `json:"documents_a_folder"`
	Rows      int     `json:"rows_beside"`
	Load      float64 `json:"load_average"`

	PutRate   float64 `json:"put_rate"`
	Dense     Drain   `json:"dense"`
	Scattered Drain   `json:"scattered"`
	// OneByOne is the rate of the handler that takes one message at a time.
	OneByOne float64 `json:"one_by_one_rate"`
	// Floor is the time that HEAD, commit and publish take for one document.
	Floor Times `json:"head_commit_publish_ms"`

	OneAtATime Times `json:"uploaded_after_put_1_at_a_time_ms"`
	Burst      Times `json:"uploaded_after_put_16_at_a_time_ms"`
	// Last is that time for the upload of the burst that was answered last.
	Last float64 `json:"uploaded_after_last_put_ms"`
}

// Drain is what was measured on one backlog.
type Drain struct {
	// Head is MinIO's HEAD rate on the same objects, 16 in flight: the mean of before and after.
	Head float64 `json:"head_rate"`
	// Rate is that of the consumer, from its first delivery until every document is uploaded and
	// published.
	Rate float64 `json:"confirm_rate"`
	// Memory is the most that the consumers' process had in memory meanwhile, in MiB; 0 if it was
	// not watched.
	Memory float64 `json:"consume_mib"`
}

// confirmRun is one run of Confirm.
type confirmRun struct {
	*bench
	config ConfirmConfig
	epoch  time.Time // of the next backlog's ids
}

// Confirm measures the way of an upload from its PUT to uploaded. The report that it returns beside
// an error has what was measured until then.
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
		// The consumers go on only when there is nothing left for them to find.
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
		if err := r.settle(ctx); err != nil {
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

// drains measures both backlogs.
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
