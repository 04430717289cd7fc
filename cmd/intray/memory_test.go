package main

import "testing"

func TestGoMemoryLimit(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct{ container, outside, want uint64 }{
		{1000 * mib, 0, 900 * mib},
		{2000 * mib, 768 * mib, 1032 * mib},
		{1000 * mib, 768 * mib, 500 * mib}, // at least half
		{1000 * mib, 5000 * mib, 500 * mib},
	} {
		if got := goMemoryLimit(c.container, c.outside); got != c.want {
			t.Errorf("container of %d MiB, %d MiB outside of the heap: got %d MiB, want %d MiB",
				c.container/mib, c.outside/mib, got/mib, c.want/mib)
		}
	}
}
