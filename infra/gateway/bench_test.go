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

// BenchmarkPut alternates between uploads directly to MinIO and uploads through the gateway, so
// that both are measured under the same conditions. It reports the medians and the time that the
// gateway adds.
func BenchmarkPut(b *testing.B) {
	for name, size := range map[string]int{"1KiB": 1 << 10, "10MiB": 10 << 20} {
		b.Run(name, func(b *testing.B) {
			s := setup(b)
			content := bytes.Repeat([]byte("x"), size)
			put := func(host *url.URL) time.Duration {
				_, address, headers := s.upload(b, content)
				begin := time.Now()
				status, _, body := send(b, host, http.MethodPut, address, headers, content)
				took := time.Since(begin)
				if status != http.StatusOK {
					b.Fatalf("got status %d %s, want 200", status, body)
				}
				return took
			}
			for range 20 { // warm up connections and caches
				put(s.direct)
				put(s.address)
			}
			var direct, gateway []time.Duration
			for b.Loop() {
				direct = append(direct, put(s.direct))
				gateway = append(gateway, put(s.address))
			}
			without, with := median(direct), median(gateway)
			b.ReportMetric(float64(without.Microseconds()), "direct-µs")
			b.ReportMetric(float64(with.Microseconds()), "gateway-µs")
			b.ReportMetric(float64((with - without).Microseconds()), "cost-µs")
			b.ReportMetric(float64(with)/float64(without), "gateway/direct")
		})
	}
}

func median[T cmp.Ordered](all []T) T {
	slices.Sort(all)
	return all[len(all)/2]
}

// BenchmarkThroughput alternates between rounds of concurrent 10 MiB uploads directly to MinIO and
// through the gateway, and reports the median throughput of both. The client runs on the same cores
// as the servers.
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
					status, _, body := send(b, host, http.MethodPut, address, headers, content)
					if status != http.StatusOK {
						b.Errorf("got status %d %s, want 200", status, body)
					}
				}
			})
		}
		clients.Wait()
		return uploads * size / 1e6 / time.Since(begin).Seconds()
	}
	round(s.direct) // warm up
	round(s.address)
	var direct, gateway []float64
	for b.Loop() {
		direct = append(direct, round(s.direct))
		gateway = append(gateway, round(s.address))
	}
	without, with := median(direct), median(gateway)
	b.ReportMetric(without, "direct-MB/s")
	b.ReportMetric(with, "gateway-MB/s")
	b.ReportMetric(with/without, "gateway/direct")
}
