package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// sandboxPages is the memory limit of a sandbox, in WebAssembly pages of 64 KiB. It is 192 MiB,
// enough to render a page that was scanned in color at 600 dpi. With the default limit of 4 GiB, a
// PDF of 3 kB took 10 GB.
const sandboxPages = 3072

// sandboxes is a pool of Config.Workers sandboxes in which PDFs are read. A sandbox is started when
// it is first needed, and replaced after a document that had to be stopped.
type sandboxes struct {
	config Config
	// caches holds all compilation caches, the current one last. The code in the others may still be
	// running.
	caches []wazero.CompilationCache
	// newCache returns the cache that replaces one whose folder is damaged.
	newCache func() wazero.CompilationCache
	// largeMemory is full while a sandbox holds its lease, or an image is decoded that needs as much
	// memory.
	largeMemory chan struct{}

	root context.Context // ends with close; the parent of the sandboxes' contexts
	stop context.CancelFunc
	// idle holds the sandboxes that are not in use, with nil for each that is not started.
	idle chan *sandbox
	// starting guards caches. It also makes sure that PDFium is compiled only once: the first
	// sandbox compiles it, and the others take it from the cache.
	starting sync.Mutex
	once     sync.Once
	closeErr error
}

// sandbox is a compiled PDFium. For every document it starts a new instance, whose memory no other
// document has used.
type sandbox struct {
	pool   pdfium.Pool
	memory *memory
	lease  *lease
	// cancel stops the document that is being read. The sandbox cannot be used after that.
	// (pdfium.Pdfium.Kill is not used for it: it frees the memory while the code is running.)
	cancel context.CancelFunc
}

func newSandboxes(config Config) (*sandboxes, error) {
	cache, err := openCache(config.CacheDir)
	if err != nil {
		return nil, err
	}
	s := &sandboxes{
		config:      config,
		caches:      []wazero.CompilationCache{cache},
		newCache:    wazero.NewCompilationCache,
		largeMemory: make(chan struct{}, 1),
		idle:        make(chan *sandbox, config.Workers),
	}
	s.root, s.stop = context.WithCancel(context.Background())
	for range config.Workers {
		s.idle <- nil
	}
	return s, nil
}

// openCache opens the compilation cache in dir, or in memory if dir is empty. It fails if other
// users can write to dir, since the code in it is executed.
func openCache(dir string) (wazero.CompilationCache, error) {
	if dir == "" {
		return wazero.NewCompilationCache(), nil
	}
	err := os.MkdirAll(filepath.Dir(dir), 0o755) //nolint:gosec // PostgreSQL's user has programs there
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("create compilation cache %s: %w", dir, err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("open compilation cache %s: %w", dir, err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("open compilation cache %s: other users can write to the folder "+
			"(mode %04o), whose code is executed; use a new folder within it", dir, info.Mode().Perm())
	}
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open compilation cache %s: %w", dir, err)
	}
	return cache, nil
}

// acquire waits for an idle sandbox and returns it. It starts the sandbox if necessary.
func (s *sandboxes) acquire(ctx context.Context) (*sandbox, error) {
	if s.root.Err() != nil {
		return nil, ErrClosed
	}
	var box *sandbox
	select {
	case box = <-s.idle:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a PDF sandbox: %w", context.Cause(ctx))
	case <-s.root.Done():
		return nil, ErrClosed
	}
	if box == nil {
		var err error
		if box, err = s.startOrRepair(); err != nil {
			s.idle <- nil
			if s.root.Err() != nil {
				return nil, ErrClosed
			}
			return nil, err
		}
	}
	return box, nil
}

// acquireLargeMemory waits until no sandbox uses more than smallMemory, for a caller that needs
// that much memory outside the sandboxes.
func (s *sandboxes) acquireLargeMemory(ctx context.Context) (release func(), err error) {
	select {
	case s.largeMemory <- struct{}{}:
		return func() { <-s.largeMemory }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for memory: %w", context.Cause(ctx))
	case <-s.root.Done():
		return nil, ErrClosed
	}
}

// startOrRepair starts a sandbox. If that fails, for example because of an incomplete file in the
// folder of the cache or a full disk, it uses a new cache in memory instead. It also empties the
// folder, so that the next process fills it again.
func (s *sandboxes) startOrRepair() (*sandbox, error) {
	s.starting.Lock()
	defer s.starting.Unlock()
	box, err := s.start()
	if err == nil || s.config.CacheDir == "" || s.root.Err() != nil {
		return box, err
	}
	if cached, err := filepath.Glob(filepath.Join(s.config.CacheDir, "wazero-*", "*")); err == nil {
		for _, file := range cached {
			_ = os.Remove(file) // an error is harmless; the folder may be read-only
		}
	}
	s.caches = append(s.caches, s.newCache())
	return s.start()
}

// start starts a sandbox. It compiles PDFium unless the cache holds it.
func (s *sandboxes) start() (_ *sandbox, err error) {
	ctx, cancel := context.WithCancel(s.root)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("start PDF sandbox: %v", r)
		}
		if err != nil {
			cancel()
		}
	}()
	box := &sandbox{lease: &lease{semaphore: s.largeMemory, stopped: ctx.Done()}, cancel: cancel}
	box.memory = &memory{lease: box.lease}
	ctx = experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0))
	box.pool, err = webassembly.Init(webassembly.Config{
		Context:  experimental.WithMemoryAllocator(ctx, box.memory),
		MaxIdle:  1,
		MaxTotal: 1,
		FSConfig: wazero.NewFSConfig(), // the default mounts the host's root
		RuntimeConfig: wazero.NewRuntimeConfig().
			WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling).
			WithCloseOnContextDone(true).
			WithMemoryLimitPages(sandboxPages).
			WithCompilationCache(s.caches[len(s.caches)-1]),
		Stdout: io.Discard,
		Stderr: io.Discard,
	})
	if err != nil {
		return nil, fmt.Errorf("start PDF sandbox: %w", err)
	}
	// Compiling leaves about 250 MiB of garbage, which an idle process would keep.
	debug.FreeOSMemory()
	return box, nil
}

// close stops the sandbox and releases its memory. No call to it may be in progress.
func (b *sandbox) close() error {
	b.cancel()
	err := b.pool.Close()
	b.memory.release()
	return err
}

// read reads one PDF into text. The result has images of the pages that have to be recognized, and
// the attached files.
func (s *sandboxes) read(
	ctx context.Context, d document, o pdfOptions, text *text,
) (pdf, error) {
	// The sandbox is acquired first, so that documents use no memory while they wait.
	box, err := s.acquire(ctx)
	if err != nil {
		return pdf{}, err
	}
	usable := true
	defer func() { s.release(box, usable) }()
	src, err := d.open(s.config.MaxBytes)
	if err != nil {
		return pdf{}, err
	}
	r := s.run(ctx, box, src, o, text)
	usable = r.usable
	if err := s.externalError(ctx, src, r); err != nil || r.err == nil {
		return r.found, err
	}
	// Return what was read before the error.
	if text.readable || len(r.found.scans) > 0 || len(r.found.files) > 0 {
		text.incomplete = true
		return r.found, nil
	}
	return r.found, r.err
}

// pdfResult is the result of reading a PDF in a sandbox.
type pdfResult struct {
	found    pdf
	err      error // an error of PDFium, or that reading took too long
	timedOut bool  // reading was stopped at the deadline
	usable   bool  // the sandbox can be used again
}

// run reads one document in the sandbox, which is stopped at the deadline or when ctx is done.
func (s *sandboxes) run(
	ctx context.Context, box *sandbox, src *source, o pdfOptions, text *text,
) (r pdfResult) {
	var timedOut atomic.Bool
	timer := startTimer(s.config.Timeout, func() { timedOut.Store(true); box.cancel() })
	box.lease.setTimer(timer)
	stopWatching := context.AfterFunc(ctx, box.cancel)
	var usable bool
	r.found, usable, r.err = box.read(src, o, text)
	// Both calls must be made. If either returns false, the sandbox was canceled or is about to be.
	inTime, notCanceled := timer.stop(), stopWatching()
	r.usable = inTime && notCanceled && usable && s.root.Err() == nil
	if r.timedOut = timedOut.Load(); r.timedOut && r.err != nil {
		r.err = fmt.Errorf("%w of %s", errTimeout, s.config.Timeout)
	}
	return r
}

// externalError returns the error that stopped the reading of a document and was not caused by the
// document, or nil.
func (s *sandboxes) externalError(ctx context.Context, src *source, r pdfResult) error {
	switch {
	case src.err != nil: // even if there is text, because PDFium skips what it cannot read
		return src.err
	case r.err == nil:
		return nil
	case s.root.Err() != nil:
		return ErrClosed
	case ctx.Err() != nil:
		return fmt.Errorf("read PDF: %w", context.Cause(ctx))
	case r.timedOut && src.waited > s.config.Timeout/2:
		return storageTimeout(src.waited)
	}
	return nil
}

// release returns a sandbox to the pool. It closes a sandbox that cannot be used again; a new one
// is started when it is needed.
func (s *sandboxes) release(box *sandbox, usable bool) {
	if !usable {
		_ = box.close() // an error does not affect the result of the document
		box = nil
	}
	s.idle <- box
}

// warm starts a sandbox, unless one is running and idle.
func (s *sandboxes) warm(ctx context.Context) error {
	box, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	s.idle <- box
	return nil
}

// close stops all sandboxes and waits for them.
func (s *sandboxes) close() error {
	s.once.Do(func() {
		s.stop()
		var errs []error
		for range s.config.Workers {
			if box := <-s.idle; box != nil {
				errs = append(errs, box.close())
			}
		}
		for _, cache := range s.caches {
			errs = append(errs, cache.Close(context.Background()))
		}
		if err := errors.Join(errs...); err != nil {
			s.closeErr = fmt.Errorf("close PDF sandboxes: %w", err)
		}
	})
	return s.closeErr
}
