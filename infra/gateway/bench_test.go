package gateway_test

import (
	"bytes"
	"net/http"
	"slices"
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

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}
