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

// sandboxPages is the most memory a sandbox may have, in WebAssembly pages of
// 64 KiB: 192 MiB, enough to draw a page scanned in color at 600 dpi. At the
// default limit, 4 GiB, a PDF of 3 kB took 10 GB.
const sandboxPages = 3072

// sandboxes are the places where PDFs are read, Config.Workers of them. A place
// starts its sandbox when it is first needed and again after a document that
// had to be stopped.
type sandboxes struct {
	config Config
	// caches holds the one in use last. The others may still hold running code.
	caches []wazero.CompilationCache
	// spare makes the cache that replaces one whose folder is damaged.
	spare func() wazero.CompilationCache
	large chan struct{} // the turn of the sandboxes' leases

	root context.Context // ends with close; sandboxes are its children, calls never see it
	stop context.CancelFunc
	// places holds the idle ones, and nil for each that is not started.
	places   chan *sandbox
	starting sync.Mutex // guards caches; the first compiles, the others find its code there
	once     sync.Once
	closeErr error
}

// sandbox is PDFium compiled and ready. Every document gets an instance of its
// own from it, in memory that no other document has seen.
type sandbox struct {
	pool   pdfium.Pool
	memory *memory
	lease  *lease
	// cancel stops the running document and makes the sandbox useless. (Not
	// pdfium.Pdfium.Kill: that frees the memory under the running code.)
	cancel context.CancelFunc
}

func newSandboxes(config Config) (*sandboxes, error) {
	cache, err := openCache(config.CacheDir)
	if err != nil {
		return nil, err
	}
	s := &sandboxes{config: config, caches: []wazero.CompilationCache{cache}, spare: wazero.NewCompilationCache,
		large: make(chan struct{}, 1), places: make(chan *sandbox, config.Workers)}
	s.root, s.stop = context.WithCancel(context.Background())
	for range config.Workers {
		s.places <- nil
	}
	return s, nil
}

// openCache opens the compilation cache in dir, or one in memory for "". It
// refuses a folder in which others could place code for us to run.
func openCache(dir string) (wazero.CompilationCache, error) {
	if dir == "" {
		return wazero.NewCompilationCache(), nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make compilation cache: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("open compilation cache: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("open compilation cache %s: others may write there (mode %04o) and its code is executed: "+
			"name a new folder within it", dir, info.Mode().Perm())
	}
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open compilation cache %s: %w", dir, err)
	}
	return cache, nil
}

// acquire waits for a place and gives its sandbox, started.
func (s *sandboxes) acquire(ctx context.Context) (*sandbox, error) {
	if s.root.Err() != nil {
		return nil, ErrClosed
	}
	var box *sandbox
	select {
	case box = <-s.places:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a PDF sandbox: %w", context.Cause(ctx))
	case <-s.root.Done():
		return nil, ErrClosed
	}
	if box == nil {
		var err error
		if box, err = s.startOrRepair(); err != nil {
			s.places <- nil
			if s.root.Err() != nil {
				return nil, ErrClosed
			}
			return nil, err
		}
	}
	return box, nil
}

// takeLarge waits for the turn that one sandbox at a time has for a lot of memory,
// for who needs as much outside of them.
func (s *sandboxes) takeLarge(ctx context.Context) (giveBack func(), err error) {
	select {
	case s.large <- struct{}{}:
		return func() { <-s.large }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for memory: %w", context.Cause(ctx))
	case <-s.root.Done():
		return nil, ErrClosed
	}
}

// startOrRepair starts a sandbox. Where that fails (half a file in the cache's
// folder, a full disk) it goes on with a cache in memory, and empties the
// folder so that the next process fills it anew.
func (s *sandboxes) startOrRepair() (*sandbox, error) {
	s.starting.Lock()
	defer s.starting.Unlock()
	box, err := s.start()
	if err == nil || s.config.CacheDir == "" || s.root.Err() != nil {
		return box, err
	}
	if cached, err := filepath.Glob(filepath.Join(s.config.CacheDir, "wazero-*", "*")); err == nil {
		for _, file := range cached {
			_ = os.Remove(file) // it may be a read-only folder, and need not work
		}
	}
	s.caches = append(s.caches, s.spare())
	return s.start()
}

// start compiles PDFium, or takes it from the cache.
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
	box := &sandbox{lease: &lease{turn: s.large, stopped: ctx.Done()}, cancel: cancel}
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
	// Compiling leaves some 250 MiB of garbage, which a quiet process would keep.
	debug.FreeOSMemory()
	return box, nil
}

// close ends the sandbox and gives its memory back. No call may be under way.
func (b *sandbox) close() error {
	b.cancel()
	err := b.pool.Close()
	b.memory.release()
	return err
}

// read reads one PDF into text and returns its number of pages and, if it
// has no text and scanned is true, the drawings of its first pages.
func (s *sandboxes) read(ctx context.Context, d document, scanned bool, text *text) (pdf, error) {
	// The place comes first, so that waiting documents hold no memory.
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
	r := s.run(ctx, box, src, limits{pages: s.config.MaxPages, scanned: scanned}, text)
	usable = r.usable
	if err := s.interruption(ctx, src, r); err != nil || r.err == nil {
		return r.found, err
	}
	if text.readable || len(r.found.scans) > 0 { // what came before the damage is worth having
		text.incomplete = true
		return r.found, nil
	}
	return r.found, r.err
}

// reading is how one document was read.
type reading struct {
	found  pdf
	err    error // PDFium's, or that it took too long
	late   bool  // the deadline has ended it
	usable bool  // the sandbox can be used again
}

// run reads one document in the sandbox, which it stops at the deadline and when ctx ends.
func (s *sandboxes) run(ctx context.Context, box *sandbox, src *source, limits limits, text *text) (r reading) {
	var late atomic.Bool
	watch := startStopwatch(s.config.Timeout, func() { late.Store(true); box.cancel() })
	box.lease.measure(watch)
	unhook := context.AfterFunc(ctx, box.cancel)
	var sound bool
	r.found, sound, r.err = box.read(src, limits, text)
	// Both answers count: a false one has canceled the sandbox or is about to.
	inTime, kept := watch.stop(), unhook()
	r.usable = inTime && kept && sound && s.root.Err() == nil
	if r.late = late.Load(); r.late && r.err != nil {
		r.err = fmt.Errorf("%w: took longer than %s", ErrBroken, s.config.Timeout)
	}
	return r
}

// interruption returns the error that kept the document from being read and says nothing
// about it; nil if there is none.
func (s *sandboxes) interruption(ctx context.Context, src *source, r reading) error {
	switch {
	case src.err != nil: // even with text: PDFium goes on without what it cannot read
		return src.err
	case r.err == nil:
		return nil
	case s.root.Err() != nil:
		return ErrClosed
	case ctx.Err() != nil:
		return fmt.Errorf("read PDF: %w", context.Cause(ctx))
	case r.late && src.waited > s.config.Timeout/2:
		return fmt.Errorf("read document: storage took %s: %w", src.waited, context.DeadlineExceeded)
	}
	return nil
}

// release gives the place back, with its sandbox if that can be used again.
func (s *sandboxes) release(box *sandbox, usable bool) {
	if !usable {
		// Its document is answered: an error of closing changes nothing.
		_ = box.close()
		box = nil
	}
	s.places <- box
}

func (s *sandboxes) warm(ctx context.Context) error {
	box, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	s.places <- box
	return nil
}

func (s *sandboxes) close() error {
	s.once.Do(func() {
		s.stop()
		var errs []error
		for range s.config.Workers {
			if box := <-s.places; box != nil {
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
