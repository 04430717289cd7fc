package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"intray/cmd/internal/cli"
	"intray/consumers/classify"
	"intray/consumers/classify/extract"
	"intray/consumers/confirm"
	"intray/consumers/remove"
	"intray/consumers/runner"
	"intray/consumers/sweep"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/ops/backlog"
	"intray/ops/replay"
	"intray/schema"
)

type consumeCommand struct {
	Names []string `arg:"" optional:"" name:"consumer" help:"Which to run: confirm, remove, classify, sweep. Default: all of them."`

	MetricsListen string `env:"METRICS_LISTEN" default:"127.0.0.1:8081" help:"The private address to serve /metrics, /healthz and /debug/pprof/ on. Clients must not reach it."`
	CacheDir      string `env:"CACHE_DIR" placeholder:"DIR" help:"A private folder for the compiled PDF reader, which shortens the start."`
	OCRLanguages  string `name:"ocr-languages" env:"OCR_LANGUAGES" placeholder:"eng" help:"The languages that tesseract expects in pictures and scans, as in deu+eng."`

	AI                    aiSettings `embed:"" group:"AI providers:"`
	sweepSettings         `group:"Sweeper:"`
	cli.LogSettings       `group:"Logs and traces:"`
	traceSettings         `group:"Logs and traces:"`
	cli.DatabaseSettings  `group:"PostgreSQL, NATS and MinIO:"`
	cli.NATSSettings      `group:"PostgreSQL, NATS and MinIO:"`
	cli.MinIOSettings     `group:"PostgreSQL, NATS and MinIO:"`
	cli.WorkerKeySettings `group:"PostgreSQL, NATS and MinIO:"`
}

// sweepSettings are the sweeper's intervals; 0 stands for its defaults.
type sweepSettings struct {
	SweepInterval     time.Duration `env:"SWEEP_INTERVAL" placeholder:"10s" help:"The time between two rounds, and between two attempts of a replica to become the one that sweeps."`
	SweepGrace        time.Duration `env:"SWEEP_GRACE" placeholder:"10s" help:"The age of an upload URL at which the sweeper first looks for its file."`
	SweepScanInterval time.Duration `env:"SWEEP_SCAN_INTERVAL" placeholder:"1m" help:"The time between two readings of all pending documents."`
	PublishAfter      time.Duration `name:"sweep-publish-after" env:"SWEEP_PUBLISH_AFTER" placeholder:"30s" help:"The age at which a change that is not published yet is published by the sweeper."`
}

// consumerSweep names the sweeper, which has no durable consumer but is run like one.
const consumerSweep = "sweep"

// consumerNames are the names of all consumers, in the order in which they are wired.
var consumerNames = []string{
	schema.ConsumerConfirm, schema.ConsumerRemove, schema.ConsumerClassify, consumerSweep,
}

// Help says what the consumers do.
func (consumeCommand) Help() string {
	return `Confirms uploads, sorts them into topics, ends deleted documents, and runs the maintenance
that no event triggers. Any number of replicas may run concurrently, and each may run some of
the consumers only: where documents are not classified, the PDF reader and the classifier take
no memory.`
}

// Validate refuses names that are no consumer's, and bad AI settings.
func (c consumeCommand) Validate() error {
	for _, name := range c.Names {
		if !slices.Contains(consumerNames, name) {
			return cli.Usage(fmt.Errorf("there is no consumer %q; give some of %s",
				name, strings.Join(consumerNames, ", ")))
		}
	}
	if !c.runs(schema.ConsumerClassify) {
		return nil
	}
	_, err := c.AI.remote()
	return err
}

// runs reports whether a consumer is one of those to run.
func (c consumeCommand) runs(name string) bool {
	return len(c.Names) == 0 || slices.Contains(c.Names, name)
}

// Run consumes until ctx ends, then finishes what is in hand.
func (c consumeCommand) Run(ctx context.Context) error {
	log := c.Logger("consume")
	logStart(log)
	stopTracing, err := c.startTracing("consume", log)
	if err != nil {
		return err
	}
	defer stopTracing()
	db, err := postgres.Open(ctx, c.DatabaseURL, postgres.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := nats.Connect(ctx, nats.Options{
		URL: c.NATSURL, User: nats.UserWorker, Password: c.NATSPassword, Name: "consume", Log: log,
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	objects, err := minio.NewObjects(c.MinIO(c.WorkerKey, c.WorkerSecret))
	if err != nil {
		return err
	}
	defer objects.Close()

	runs, err := wiring{c, db, conn, objects, log}.consumers()
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, run := range runs {
		all.Go(func() { run(ctx) })
	}
	storage := func(ctx context.Context) error { return runner.ProbeStorage(ctx, objects) }
	metrics := slices.Concat(runner.Metrics(), postgres.Metrics(),
		[]prometheus.Collector{backlog.NewMetrics(db, conn, storage, log)})
	listener, err := listen(ctx, "private", c.MetricsListen, log)
	if err != nil {
		return err
	}
	return serve(ctx, privateServer(ctx, metrics...), listener)
}

// While one worker's batch is committed and published, another stats the objects of the
// next (docs/performance.md).
const (
	confirmBatch   = 1000
	confirmWorkers = 3

	// Small: an upload waits for what MinIO answers to one batch of a replay.
	replayBatch    = 64
	replayAttempts = 8
)

// wiring is what the consumers talk to.
type wiring struct {
	settings consumeCommand
	db       *postgres.DB
	conn     *nats.Conn
	objects  *minio.Objects
	log      *slog.Logger
}

// consumers wires the named consumers, all if none is named, and nothing that only
// others need.
func (w wiring) consumers() (runs []func(context.Context), err error) {
	var names []string
	for _, name := range consumerNames {
		if !w.settings.runs(name) {
			continue
		}
		var run func(context.Context)
		switch name {
		case schema.ConsumerConfirm:
			run, err = w.confirm()
		case schema.ConsumerRemove:
			remover := remove.New(w.db, w.objects, w.publisher(), w.log)
			run, err = w.bucket(runner.Config{Consumer: name}, remover.Handler(w.settings.MinIOBucket))
		case schema.ConsumerClassify:
			run, err = w.classify()
		case consumerSweep:
			run, err = w.sweep()
		}
		if err != nil {
			return nil, err
		}
		names, runs = append(names, name), append(runs, run)
	}
	w.log.Info("consuming", "consumers", names)
	return runs, nil
}

func (w wiring) publisher() *nats.Publisher { return nats.NewPublisher(w.conn, w.db, w.log) }

func (w wiring) probe(ctx context.Context) error { return runner.Probe(ctx, w.db, w.objects) }

// bucket wires a consumer of MinIO's events.
func (w wiring) bucket(
	c runner.Config, h runner.Handler[[]schema.BucketRecord],
) (func(context.Context), error) {
	c.Stream, c.Probe = schema.StreamBucket, w.probe
	run, err := runner.New(w.conn, w.db, schema.DecodeBucketEvent, h, c, w.log)
	if err != nil {
		return nil, err
	}
	return run.Run, nil
}

// confirm wires the consumer confirm, for what happens and for what is replayed.
func (w wiring) confirm() (func(context.Context), error) {
	confirmer := confirm.New(w.db, w.objects, w.publisher(), w.log)
	handler := confirmer.Handler(w.settings.MinIOBucket)
	run, err := w.bucket(runner.Config{
		Consumer: schema.ConsumerConfirm, Batch: confirmBatch, Workers: confirmWorkers,
	}, handler)
	if err != nil {
		return nil, err
	}
	again, err := replayed(w, replay.Confirm, replay.BucketEvent, handler,
		runner.Config{Batch: replayBatch, MaxAttempts: replayAttempts})
	return together(run, again), err
}

// replayed wires a target of replays, with one worker: it shares the processor with
// those of what just happened.
func replayed[T any](
	w wiring, target string, event func(replay.Message) T, h runner.Handler[T], c runner.Config,
) (func(context.Context), error) {
	c.Stream, c.Consumer, c.Workers, c.Probe = schema.StreamReplay, target, 1, w.probe
	handler := replay.Handler(w.db, event, h, c.MaxAttempts)
	run, err := runner.New(w.conn, w.db, replay.Decode, handler, c,
		w.log.With("stream", schema.StreamReplay))
	if err != nil {
		return nil, err
	}
	return run.Run, nil
}

// together runs both.
func together(a, b func(context.Context)) func(context.Context) {
	return func(ctx context.Context) {
		var both sync.WaitGroup
		both.Go(func() { a(ctx) })
		b(ctx)
		both.Wait()
	}
}

func (w wiring) classify() (func(context.Context), error) {
	config, err := w.settings.AI.classification()
	if err != nil {
		return nil, err
	}
	extractor, err := extract.New(extract.Config{
		CacheDir: w.settings.CacheDir, OCRLanguages: w.settings.OCRLanguages, Workers: 2,
	})
	if errors.Is(err, extract.ErrLanguages) {
		return nil, cli.Usage(fmt.Errorf("OCR_LANGUAGES: %w (see docs/configuration.md)", err))
	}
	if err != nil {
		return nil, err
	}
	classifier, err := classify.New(w.db, w.objects, extractor, w.publisher(), config, w.log)
	if err != nil {
		return nil, errors.Join(err, extractor.Close())
	}
	live := classifier.RunnerConfig()
	live.Probe = w.probe
	run, err := runner.New(w.conn, w.db, schema.DecodeDocumentEvent, classifier.Handle, live, w.log)
	if err != nil {
		return nil, errors.Join(err, extractor.Close())
	}
	again, err := replayed(w, replay.Classify, replay.DocumentEvent, classifier.HandleReplay, classifier.RunnerConfig())
	if err != nil {
		return nil, errors.Join(err, extractor.Close())
	}
	return func(ctx context.Context) {
		defer extractor.Close()
		var warming sync.WaitGroup
		defer warming.Wait()
		warming.Go(func() {
			if err := extractor.Warm(ctx); err != nil && ctx.Err() == nil {
				w.log.Warn("the PDF reader does not start; it is tried again with the first PDF",
					"error", err)
			}
		})
		together(run.InLanes(classifier.Lane).Run, again)(ctx)
	}, nil
}

func (w wiring) sweep() (func(context.Context), error) {
	s := w.settings.sweepSettings
	sweeper, err := sweep.New(w.db, w.objects, w.publisher(), w.conn, sweep.Config{
		Interval: s.SweepInterval, Grace: s.SweepGrace,
		ScanInterval: s.SweepScanInterval, RepublishAfter: s.PublishAfter,
	}, w.log)
	if err != nil {
		return nil, err
	}
	return sweeper.Run, nil
}
