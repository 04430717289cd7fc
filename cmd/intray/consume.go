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
	"intray/consumers/classify/builtin"
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
}

// Sweep has no durable consumer, but is run like one.
const consumerSweep = "sweep"

// consumerNames are what can be named, in the order in which it is wired.
var consumerNames = []string{schema.ConsumerConfirm, schema.ConsumerRemove, schema.ConsumerClassify, consumerSweep}

type consumeSettings struct {
	Log      cli.LogSettings
	Traces   traceSettings
	Database cli.DatabaseSettings
	NATS     cli.NATSSettings
	MinIO    cli.MinIOSettings
	Key      cli.WorkerKeySettings
	AI       aiSettings
	Sweep    sweepSettings

	Listen   string `env:"LISTEN" envDefault:"127.0.0.1:8081"`
	CacheDir string `env:"CACHE_DIR"`
	// OCRLanguages are passed to tesseract, as in "deu+eng".
	OCRLanguages string `env:"OCR_LANGUAGES"`
}

// sweepSettings say when the sweeper's turn comes; 0 stands for its defaults.
type sweepSettings struct {
	Interval      time.Duration `env:"SWEEP_INTERVAL"`
	Grace         time.Duration `env:"SWEEP_GRACE"`
	ScanInterval  time.Duration `env:"SWEEP_SCAN_INTERVAL"`
	AnnounceAfter time.Duration `env:"SWEEP_ANNOUNCE_AFTER"`
}

// Help lists what the command reads from the environment.
func (consumeCommand) Help() string {
	return `Confirms uploads, sorts them into topics, ends deleted documents, and sweeps up what no
event leads to. Any number may run side by side, and each may run some of the consumers
only: where documents are not classified, the PDF reader and the classifier take no memory.

Environment, required: DATABASE_URL (role worker), NATS_URL, NATS_PASSWORD (user worker),
MINIO_ENDPOINT, MINIO_WORKER_KEY and _SECRET. Optional: LISTEN (for
/healthz and /metrics),
MINIO_BUCKET, DEFAULT_AI_PROVIDER, DEFAULT_AI_MODEL, SYSTEM_PROMPT, OLLAMA_URL, OLLAMA_API_KEY,
OLLAMA_NUM_CTX, OPENAI_BASE_URL, OPENAI_API_KEY, ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY,
AI_TIMEOUT, AI_CONCURRENT_CALLS, AI_DAILY_CALLS, CACHE_DIR (a private
folder for compiled code, which shortens the start), OCR_LANGUAGES, SWEEP_INTERVAL, SWEEP_GRACE,
SWEEP_SCAN_INTERVAL, SWEEP_ANNOUNCE_AFTER, LOG_LEVEL.`
}

// Validate says which name is no consumer's.
func (c consumeCommand) Validate() error {
	for _, name := range c.Names {
		if !slices.Contains(consumerNames, name) {
			return fmt.Errorf("there is no consumer %q; give some of %s", name, strings.Join(consumerNames, ", "))
		}
	}
	return nil
}

// Run consumes until ctx ends, then finishes what is in hand.
func (c consumeCommand) Run(ctx context.Context) error {
	s, err := cli.ReadSettings[consumeSettings]()
	if err != nil {
		return err
	}
	log := s.Log.Logger("consume")
	untrace, err := s.Traces.trace("consume", log)
	if err != nil {
		return err
	}
	defer untrace()
	db, err := postgres.Open(ctx, s.Database.URL, postgres.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := nats.Connect(ctx, nats.Options{URL: s.NATS.URL, User: nats.UserWorker, Password: s.NATS.Password, Name: "consume", Log: log})
	if err != nil {
		return err
	}
	defer conn.Close()
	objects, err := minio.NewObjects(s.MinIO.Config(s.Key.WorkerKey, s.Key.WorkerSecret))
	if err != nil {
		return err
	}
	defer objects.Close()

	runs, err := wiring{s, db, conn, objects, log}.runs(c.Names)
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
	measured := slices.Concat(runner.Metrics(), postgres.Metrics(), []prometheus.Collector{backlog.NewMetrics(db, conn, storage, log)})
	return serve(ctx, watchServer(measured...), s.Listen, log)
}

// While one worker's batch is committed and announced, the next is looked at
// (docs/performance.md).
const (
	confirmBatch   = 1000
	confirmWorkers = 3

	// Small: an upload waits for what MinIO answers to one batch of a replay.
	replayBatch = 64
	replayTries = 8
)

// wiring is what the consumers talk to.
type wiring struct {
	settings consumeSettings
	db       *postgres.DB
	conn     *nats.Conn
	objects  *minio.Objects
	log      *slog.Logger
}

// runs wires the named consumers, all if none is named, and nothing that only
// others need.
func (w wiring) runs(names []string) (runs []func(context.Context), err error) {
	if len(names) == 0 {
		names = consumerNames
	}
	for _, name := range consumerNames {
		if !slices.Contains(names, name) {
			continue
		}
		var run func(context.Context)
		switch name {
		case schema.ConsumerConfirm:
			run, err = w.confirm()
		case schema.ConsumerRemove:
			run, err = w.bucket(runner.Config{Consumer: name}, remove.New(w.db, w.objects, w.publisher(), w.log).Handler(w.settings.MinIO.Bucket))
		case schema.ConsumerClassify:
			run, err = w.classify()
		case consumerSweep:
			run, err = w.sweep()
		}
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	w.log.Info("consuming", "consumers", names)
	return runs, nil
}

func (w wiring) publisher() *nats.Publisher { return nats.NewPublisher(w.conn, w.db, w.log) }

func (w wiring) probe(ctx context.Context) error { return runner.Probe(ctx, w.db, w.objects) }

// bucket wires a consumer of MinIO's events.
func (w wiring) bucket(c runner.Config, h runner.Handler[[]schema.BucketRecord]) (func(context.Context), error) {
	c.Stream = schema.StreamBucket
	run, err := runner.New(w.conn, w.db, w.probe, schema.DecodeBucketEvent, h, c, w.log)
	if err != nil {
		return nil, err
	}
	return run.Run, nil
}

// confirm wires the consumer confirm, for what happens and for what is replayed.
func (w wiring) confirm() (func(context.Context), error) {
	confirmer := confirm.New(w.db, w.objects, w.publisher(), w.log)
	run, err := w.bucket(runner.Config{Consumer: schema.ConsumerConfirm, Batch: confirmBatch, Workers: confirmWorkers},
		confirmer.Handler(w.settings.MinIO.Bucket))
	if err != nil {
		return nil, err
	}
	again, err := replayed(w, replay.Confirm, replay.BucketEvent, confirmer.Handler(w.settings.MinIO.Bucket),
		runner.Config{Batch: replayBatch, MaxTries: replayTries})
	return together(run, again), err
}

// replayed wires a target of replays, with one worker: it shares the processor with
// those of what just happened.
func replayed[T any](w wiring, target string, event func(replay.Message) T, h runner.Handler[T], c runner.Config) (func(context.Context), error) {
	c.Stream, c.Consumer, c.Workers = schema.StreamReplay, target, 1
	run, err := runner.New(w.conn, w.db, w.probe, replay.Decode, replay.Handler(w.db, event, h, c.MaxTries), c,
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
	offline, err := builtin.New()
	if err != nil {
		return nil, err
	}
	config, err := w.settings.AI.classification(offline)
	if err != nil {
		return nil, err
	}
	extractor, err := extract.New(extract.Config{CacheDir: w.settings.CacheDir, OCRLanguages: w.settings.OCRLanguages, Workers: 2})
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
	run, err := runner.New(w.conn, w.db, w.probe, schema.DecodeDocumentEvent, classifier.Handle, classifier.RunnerConfig(), w.log)
	if err != nil {
		return nil, errors.Join(err, extractor.Close())
	}
	again, err := replayed(w, replay.Classify, replay.DocumentEvent, classifier.HandleAgain, classifier.RunnerConfig())
	if err != nil {
		return nil, errors.Join(err, extractor.Close())
	}
	return func(ctx context.Context) {
		defer extractor.Close()
		var warming sync.WaitGroup
		defer warming.Wait()
		warming.Go(func() {
			if err := extractor.Warm(ctx); err != nil && ctx.Err() == nil {
				w.log.Warn("the PDF reader does not start; it is tried again with the first PDF", "error", err)
			}
		})
		together(run.InLanes(classifier.Lane).Run, again)(ctx)
	}, nil
}

func (w wiring) sweep() (func(context.Context), error) {
	s := w.settings.Sweep
	sweeper, err := sweep.New(w.db, w.objects, w.publisher(), w.conn, sweep.Config{
		Interval: s.Interval, Grace: s.Grace, ScanInterval: s.ScanInterval, AnnounceAfter: s.AnnounceAfter,
	}, w.log)
	if err != nil {
		return nil, err
	}
	return sweeper.Run, nil
}
