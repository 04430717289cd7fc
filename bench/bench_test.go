package bench

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

func TestPercentiles(t *testing.T) {
	var took []time.Duration
	for i := range 101 {
		took = append(took, time.Duration(100-i)*time.Millisecond)
	}
	if got, want := percentiles(took), (Times{P50: 50, P90: 90, P99: 99, N: 101}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := percentiles(nil); got != (Times{}) {
		t.Errorf("no measurements: got %+v, want %+v", got, Times{})
	}
}

func TestMedian(t *testing.T) {
	values := []float64{9, 1, 5}
	if got := median(len(values), func(i int) float64 { return values[i] }); got != 5 {
		t.Errorf("got %v, want 5", got)
	}
}

func TestConcurrently(t *testing.T) {
	t.Run("calls do and reports progress for each number", func(t *testing.T) {
		var calls, reports atomic.Int64
		progress := Progress(func(_ string, done, total int) {
			reports.Add(1)
			if done < 1 || done > total || total != 100 {
				t.Errorf("got %d of %d, want 1 to 100 of 100", done, total)
			}
		})
		err := progress.concurrently(t.Context(), "", 100, func(context.Context, int) error {
			calls.Add(1)
			return nil
		})
		if err != nil || calls.Load() != 100 || reports.Load() != 100 {
			t.Errorf("got %d calls, %d reports and error %v, want 100, 100 and no error",
				calls.Load(), reports.Load(), err)
		}
	})
	silent := Progress(func(string, int, int) {})
	t.Run("stops after the first error", func(t *testing.T) {
		broken := errors.New("broken")
		var calls atomic.Int64
		err := silent.concurrently(t.Context(), "", 100_000, func(context.Context, int) error {
			calls.Add(1)
			return broken
		})
		if n := calls.Load(); !errors.Is(err, broken) || n == 100_000 {
			t.Errorf("got %d calls and error %v, want fewer than 100000 and %v", n, err, broken)
		}
	})
	t.Run("fails if the context is canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := silent.concurrently(ctx, "", 1, func(context.Context, int) error { return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
	})
}

func TestWatchMemoryReturnsTheMaximum(t *testing.T) {
	var n int64
	enough := make(chan struct{})
	stop := watchMemory(time.Millisecond, func() int64 {
		if n++; n == 3 {
			close(enough)
		}
		return []int64{1 << 20, 3 << 20, 2 << 20}[min(n, 3)-1]
	})
	<-enough
	if got := stop(); got != 3 {
		t.Errorf("got %v MiB, want 3", got)
	}
	if got := stop(); got != 3 {
		t.Errorf("second call: got %v MiB, want 3", got)
	}
}

func TestResidentTreeOfThisProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self/statm"); err != nil {
		if got := residentTree(os.Getpid()); got != 0 {
			t.Errorf("without /proc: got %d bytes, want 0", got)
		}
		return
	}
	if got := residentTree(os.Getpid()); got < 1<<20 {
		t.Errorf("got %d bytes, want at least 1 MiB", got)
	}
}

func TestContained(t *testing.T) {
	for name, c := range map[string]struct {
		report DocumentsReport
		want   bool
	}{
		"all classified": {DocumentsReport{ValidOutcomes: map[string]int{"classified": 3}}, true},
		"no valid files": {DocumentsReport{}, true},
		"one failed": {
			DocumentsReport{ValidOutcomes: map[string]int{"classified": 2, "failed (broken)": 1}}, false,
		},
		"restarted": {DocumentsReport{Restarted: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.report.Contained(); got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
		})
	}
}

func TestProcessorTimeOfThisProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		if got := processorTime(os.Getpid()); got != 0 {
			t.Errorf("without /proc: got %s, want 0", got)
		}
		return
	}
	for began := time.Now(); processorTime(os.Getpid()) == 0; { // until the first clock tick
		if time.Since(began) > time.Minute {
			t.Fatal("got no processor time within a minute, want some")
		}
	}
	// Both are read from the kernel; the first one, which is rounded down, is read first.
	if got, own := processorTime(os.Getpid()), ownProcessorTime(); got > own {
		t.Errorf("got %s from /proc, want at most %s", got, own)
	}
}

func TestProcessorTimeOfNoProcess(t *testing.T) {
	if got := processorTime(-1); got != 0 {
		t.Errorf("got %s, want 0", got)
	}
}
