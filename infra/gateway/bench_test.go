package gateway_test

import (
	"bytes"
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkPut uploads to MinIO itself and through the gateway, in turns in one run, so that both see the same machine.
// It reports the medians and what the gateway costs.
func BenchmarkPut(b *testing.B) {
	for name, size := range map[string]int{"1KiB": 1 << 10, "10MiB": 10 << 20} {
		b.Run(name, func(b *testing.B) {
			s := setup(b)
			content := bytes.Repeat([]byte("x"), size)
			var bare, through []time.Duration
			put := func(times *[]time.Duration, direct bool) {
				_, address, headers := s.upload(b, content)
				host := s.address
				if direct {
					host = s.bare
				}
				begin := time.Now()
				status, _, body := send(b, host, http.MethodPut, address, headers, content)
				*times = append(*times, time.Since(begin))
				if status != 200 {
					b.Fatalf("got %d %s", status, body)
				}
			}
			for range 20 { // connections, caches
				put(&bare, true)
				put(&through, false)
			}
			bare, through = nil, nil
			for b.Loop() {
				put(&bare, true)
				put(&through, false)
			}
			direct, gateway := median(bare), median(through)
			b.ReportMetric(float64(direct.Microseconds()), "bare-µs")
			b.ReportMetric(float64(gateway.Microseconds()), "gateway-µs")
			b.ReportMetric(float64((gateway - direct).Microseconds()), "cost-µs")
			b.ReportMetric(float64(gateway)/float64(direct), "gateway/bare")
		})
	}
}

func median[T cmp.Ordered](all []T) T {
	slices.Sort(all)
	return all[len(all)/2]
}

// BenchmarkThroughput keeps uploads of 10 MiB in flight, a round straight to MinIO and a round through the gateway in
// turns, and reports the median of the rounds' rates. Both share the machine's cores with the client.
func BenchmarkThroughput(b *testing.B) {
	const inFlight, uploads, size = 4, 16, 10 << 20
	s := setup(b)
	content := bytes.Repeat([]byte("x"), size)
	round := func(host *url.URL) float64 {
		var next atomic.Int64
		var clients sync.WaitGroup
		begin := time.Now()
		for range inFlight {
			clients.Go(func() {
				for next.Add(1) <= uploads {
					_, address, headers := s.upload(b, content)
					if status, _, body := send(b, host, http.MethodPut, address, headers, content); status != 200 {
						b.Errorf("got %d %s", status, body)
					}
				}
			})
		}
		clients.Wait()
		return uploads * size / 1e6 / time.Since(begin).Seconds()
	}
	round(s.bare)
	round(s.address)
	var bare, through []float64
	for b.Loop() {
		bare = append(bare, round(s.bare))
		through = append(through, round(s.address))
	}
	direct, gateway := median(bare), median(through)
	b.ReportMetric(direct, "bare-MB/s")
	b.ReportMetric(gateway, "gateway-MB/s")
	b.ReportMetric(gateway/direct, "gateway/bare")
}
