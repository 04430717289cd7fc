package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"intray/consumers"
	"intray/consumers/classify"
	"intray/consumers/classify/extract"
	"intray/consumers/confirm"
	"intray/consumers/remove"
	"intray/consumers/sweep"
	"intray/infra/ai/builtin"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

type consumeCommand struct{}

type consumeSettings struct {
	Log      logSettings
	Database databaseSettings
	NATS     natsSettings
	MinIO    minioSettings
	Key      workerKeySettings
	AI       aiSettings
	Sweep    sweepSettings

	Listen   string `env:"LISTEN" envDefault:"127.0.0.1:8081"`
	CacheDir string `env:"CACHE_DIR"`
}

// sweepSettings say when the sweeper's turn comes; 0 stands for its defaults.
type sweepSettings struct {
	Interval      time.Duration `env:"SWEEP_INTERVAL"`
	Grace         time.Duration `env:"SWEEP_GRACE"`
	ScanInterval  time.Duration `env:"SWEEP_SCAN_INTERVAL"`
	AnnounceAfter time.Duration `env:"SWEEP_ANNOUNCE_AFTER"`
}

// aiSettings are the AI settings of users who have none of their own.
type aiSettings struct {
	Provider     string `env:"DEFAULT_AI_PROVIDER"`
	Model        string `env:"DEFAULT_AI_MODEL"`
	SystemPrompt string `env:"SYSTEM_PROMPT"`
}

// Help lists what the command reads from the environment.
func (consumeCommand) Help() string {
	return `Confirms uploads, sorts them into topics, ends deleted documents, and sweeps up what no
event leads to. Any number may run side by side.

Environment, required: DATABASE_URL (role worker), NATS_URL, NATS_PASSWORD (user worker),
MINIO_ENDPOINT, MINIO_WORKER_KEY and _SECRET. Optional: LISTEN (for /healthz),
MINIO_BUCKET, DEFAULT_AI_PROVIDER, DEFAULT_AI_MODEL, SYSTEM_PROMPT, CACHE_DIR (a private
folder for compiled code, which shortens the start), SWEEP_INTERVAL, SWEEP_GRACE,
SWEEP_SCAN_INTERVAL, SWEEP_ANNOUNCE_AFTER, LOG_LEVEL.`
}

// Run consumes until ctx ends, then finishes what is in hand.
func (consumeCommand) Run(ctx context.Context) error {
	s, err := readSettings[consumeSettings]()
	if err != nil {
		return err
	}
	log := s.Log.logger("consume")
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
	objects, err := minio.NewObjects(s.MinIO.config(s.Key.WorkerKey, s.Key.WorkerSecret))
	if err != nil {
		return err
	}
	defer objects.Close()
	extractor, err := extract.New(extract.Config{CacheDir: s.CacheDir, Workers: 2})
	if err != nil {
		return err
	}
	defer extractor.Close()

	runs, err := s.runs(db, conn, objects, extractor, log)
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
	all.Go(func() {
		if err := extractor.Warm(ctx); err != nil && ctx.Err() == nil {
			log.Warn("the PDF reader does not start; it is tried again with the first PDF", "error", err)
		}
	})
	return serve(ctx, healthServer(), s.Listen, log)
}

// While one worker's batch is committed and announced, the next is looked at
// (docs/performance.md).
const (
	confirmBatch   = 1000
	confirmWorkers = 3
)

// runs wires each consumer and the sweeper to what they talk to.
func (s consumeSettings) runs(db *postgres.DB, conn *nats.Conn, objects *minio.Objects, extractor *extract.Extractor, log *slog.Logger) ([]func(context.Context), error) {
	offline, err := builtin.New()
	if err != nil {
		return nil, err
	}
	classifier, err := classify.New(db, objects, extractor, conn, classify.Config{
		Providers:       map[string]classify.Provider{"builtin": offline},
		DefaultProvider: s.AI.Provider, DefaultModel: s.AI.Model, SystemPrompt: s.AI.SystemPrompt,
	}, log)
	if err != nil {
		return nil, err
	}
	probe := func(ctx context.Context) error { return consumers.Probe(ctx, db, objects) }
	bucketConsumer := func(c consumers.Config, h consumers.Handler[[]schema.BucketRecord]) (*consumers.Runner[[]schema.BucketRecord], error) {
		c.Stream = schema.StreamBucket
		return consumers.NewRunner(conn, db, probe, schema.DecodeBucketEvent, h, c, log)
	}
	confirming, err := bucketConsumer(consumers.Config{Consumer: schema.ConsumerConfirm, Batch: confirmBatch, Workers: confirmWorkers},
		confirm.New(db, objects, conn, log).Handler(s.MinIO.Bucket))
	if err != nil {
		return nil, err
	}
	removing, err := bucketConsumer(consumers.Config{Consumer: schema.ConsumerRemove}, remove.New(db, objects, conn, log).Handler(s.MinIO.Bucket))
	if err != nil {
		return nil, err
	}
	classifying, err := consumers.NewRunner(conn, db, probe, schema.DecodeDocumentEvent, classifier.Handle, classifier.RunnerConfig(), log)
	if err != nil {
		return nil, err
	}
	sweeper, err := sweep.New(db, objects, conn, sweep.Config{
		Interval: s.Sweep.Interval, Grace: s.Sweep.Grace,
		ScanInterval: s.Sweep.ScanInterval, AnnounceAfter: s.Sweep.AnnounceAfter,
	}, log)
	if err != nil {
		return nil, err
	}
	return []func(context.Context){confirming.Run, removing.Run, classifying.Run, sweeper.Run}, nil
}

// healthServer answers /healthz as long as the process runs.
func healthServer() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n")
	})
	return &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
}
