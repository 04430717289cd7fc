package main

import (
	"context"
	"errors"
	"fmt"
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
	Names []string `arg:"" optional:"" name:"consumer" help:"Consumers to run: confirm, remove, classify, sweep. Default: all of them."`

	MetricsListen string `env:"METRICS_LISTEN" default:"127.0.0.1:8081" help:"Private address to listen on, for /metrics, /healthz and /debug/pprof/. Clients must not reach it."`
	CacheDir      string `env:"CACHE_DIR" placeholder:"DIR" help:"Private folder for the compiled PDF reader, so that later starts are faster."`
	OCRLanguages  string `name:"ocr-languages" env:"OCR_LANGUAGES" placeholder:"eng" help:"Languages of text in pictures and scans, for tesseract, such as deu+eng."`

	AI            aiSettings `embed:"" group:"AI providers:"`
	sweepSettings `group:"Sweeper:"`
	serverSettings
	cli.WorkerKeySettings `group:"PostgreSQL, NATS and MinIO:"`
}

// sweepSettings are the intervals of the sweeper. 0 means the default of package sweep.
type sweepSettings struct {
	SweepInterval     time.Duration `env:"SWEEP_INTERVAL" placeholder:"10s" help:"Time between two rounds of the sweeper, and, up to 5 s, between two attempts of a replica to become the active sweeper."`
	SweepGrace        time.Duration `env:"SWEEP_GRACE" placeholder:"10s" help:"Age of an upload URL at which the sweeper first checks whether its file exists."`
	SweepScanInterval time.Duration `env:"SWEEP_SCAN_INTERVAL" placeholder:"1m" help:"Time between two scans of all pending documents."`
	PublishAfter      time.Duration `name:"sweep-publish-after" env:"SWEEP_PUBLISH_AFTER" placeholder:"30s" help:"Age at which the sweeper publishes the event of a change that is still unpublished, and again that of a document that is still unclassified."`
}

// consumerSweep is the name of the sweeper. It has no durable consumer, but is run like one.
const consumerSweep = "sweep"

// consumerNames are the names of all consumers, in the order in which they are started.
var consumerNames = []string{
	schema.ConsumerConfirm, schema.ConsumerRemove, schema.ConsumerClassify, consumerSweep,
}

// Help describes the consumers.
func (consumeCommand) Help() string {
	return `Runs all consumers, or those that are named:

  confirm    confirms uploads and charges quotas
  remove     completes deletions when objects are removed from the bucket
  classify   classifies documents into topics
  sweep      runs the periodic maintenance that no event triggers

Any number of replicas may run concurrently, each with all or some of the consumers. Only replicas
with classify need memory for the PDF reader and the classifier.`
}

// Validate returns an error if a name is not that of a consumer, or if the AI settings are
// invalid.
func (c consumeCommand) Validate() error {
	for _, name := range c.Names {
		if !slices.Contains(consumerNames, name) {
			return cli.Usage(fmt.Errorf("unknown consumer %q: choose from %s",
				name, strings.Join(consumerNames, ", ")))
		}
	}
	if !c.runs(schema.ConsumerClassify) {
		return nil
	}
	_, err := c.AI.remote()
	return err
}

// runs reports whether the command runs the named consumer.
func (c consumeCommand) runs(name string) bool {
	return len(c.Names) == 0 || slices.Contains(c.Names, name)
}

// Run runs the consumers until ctx is canceled, and then until they have finished the messages
// that they are handling.
func (c consumeCommand) Run(ctx context.Context) error {
	var outsideHeap uint64
	if c.runs(schema.ConsumerClassify) {
		outsideHeap = extractionMemory
	}
	server, err := c.connect(ctx, "consume", nats.UserWorker, outsideHeap, postgres.Options{})
	if err != nil {
		return err
	}
	defer server.close()
	objects, err := minio.NewObjects(c.MinIO(c.WorkerKey, c.WorkerSecret))
	if err != nil {
		return err
	}
	defer objects.Close()

	publisher := nats.NewDeferringPublisher(server.conn, server.db, server.log)
	defer publisher.Flush()
	runs, err := wiring{c, server, objects, publisher}.consumers()
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
	metrics := slices.Concat(runner.Metrics(), postgres.Metrics(),
		[]prometheus.Collector{
			backlog.NewMetrics(server.db, server.conn, objects.Probe, server.log),
		})
	listener, err := listen(ctx, "private", c.MetricsListen, server.log)
	if err != nil {
		return err
	}
	return serve(ctx, privateServer(ctx, metrics...), listener)
}

const (
	// With several workers, one commits and publishes its batch while another one stats the
	// objects of the next batch (docs/performance.md).
	confirmBatch   = 1000
	confirmWorkers = 3

	// The batch of a replay is small, because live uploads wait while MinIO handles its
	// requests.
	replayBatch    = 64
	replayAttempts = 8

	// Each extraction worker uses up to 192 MiB for the sandbox in which it reads a PDF, and
	// tesseract, a process of its own that reads one picture at a time, up to 256 MiB. None of it is
	// in Go's heap.
	extractionWorkers = 2
	extractionMemory  = (extractionWorkers*192 + 256) << 20
)

// wiring creates the consumers.
type wiring struct {
	settings consumeCommand
	connections
	objects   *minio.Objects
	publisher *nats.Publisher
}

// consumers returns, for each consumer that the settings name, a function that runs it. It creates
// nothing that only other consumers need.
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
			remover := remove.New(w.db, w.objects, w.publisher, w.log)
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

func (w wiring) probe(ctx context.Context) error { return runner.Probe(ctx, w.db, w.objects) }

// bucket creates a consumer of the stream BUCKET.
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

// confirm creates the consumer confirm, for live and for replayed events.
func (w wiring) confirm() (func(context.Context), error) {
	confirmer := confirm.New(w.db, w.objects, w.publisher, w.log)
	handler := confirmer.Handler(w.settings.MinIOBucket)
	run, err := w.bucket(runner.Config{
		Consumer: schema.ConsumerConfirm, Batch: confirmBatch, Workers: confirmWorkers,
	}, handler)
	if err != nil {
		return nil, err
	}
	replayed, err := replayConsumer(w, replay.Confirm, replay.BucketEvent, handler,
		runner.Config{Batch: replayBatch, MaxAttempts: replayAttempts})
	return concurrently(run, replayed), err
}

// replayConsumer creates the consumer of replayed events for a target. It has only one worker,
// because it shares the CPU with the consumers of live events.
func replayConsumer[T any](
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

// concurrently returns a function that runs a and b concurrently and waits for both.
func concurrently(a, b func(context.Context)) func(context.Context) {
	return func(ctx context.Context) {
		var both sync.WaitGroup
		both.Go(func() { a(ctx) })
		b(ctx)
		both.Wait()
	}
}

// classify creates the consumer classify, for live and for replayed events.
func (w wiring) classify() (func(context.Context), error) {
	config, err := w.settings.AI.classification()
	if err != nil {
		return nil, err
	}
	extractor, err := extract.New(extract.Config{
		CacheDir: w.settings.CacheDir, OCRLanguages: w.settings.OCRLanguages,
		Workers: extractionWorkers,
	})
	if errors.Is(err, extract.ErrLanguages) {
		return nil, cli.Usage(fmt.Errorf("OCR_LANGUAGES: %w (see docs/configuration.md)", err))
	}
	if err != nil {
		return nil, err
	}
	classifier, err := classify.New(w.db, w.objects, extractor, w.publisher, config, w.log)
	if err != nil {
		return nil, errors.Join(err, extractor.Close())
	}
	live := classifier.RunnerConfig()
	live.Probe = w.probe
	run, err := runner.New(w.conn, w.db, schema.DecodeDocumentEvent, classifier.Handle, live, w.log)
	if err != nil {
		return nil, errors.Join(err, extractor.Close())
	}
	replayed, err := replayConsumer(w, replay.Classify, replay.DocumentEvent,
		classifier.HandleReplay, classifier.RunnerConfig())
	if err != nil {
		return nil, errors.Join(err, extractor.Close())
	}
	return func(ctx context.Context) {
		defer extractor.Close()
		var background sync.WaitGroup
		defer background.Wait()
		background.Go(func() { classifier.NoteProviders(ctx) })
		background.Go(func() {
			if err := extractor.Warm(ctx); err != nil && ctx.Err() == nil {
				w.log.Warn("PDF reader not started; the first PDF starts it again",
					"error", err)
			}
		})
		concurrently(run.InLanes(classifier.Lane).Run, replayed)(ctx)
	}, nil
}

// sweep creates the sweeper.
func (w wiring) sweep() (func(context.Context), error) {
	s := w.settings.sweepSettings
	sweeper, err := sweep.New(w.db, w.objects, w.publisher, w.conn, sweep.Config{
		Interval: s.SweepInterval, Grace: s.SweepGrace,
		ScanInterval: s.SweepScanInterval, RepublishAfter: s.PublishAfter,
	}, w.log)
	if err != nil {
		return nil, err
	}
	return sweeper.Run, nil
}
