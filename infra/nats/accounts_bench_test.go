package nats_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/local/localtest"
	"intray/infra/nats"
	"intray/schema"
)

// BenchmarkAccounts compares what the roles do through their imports with the same in the account
// of the streams, as the operator.
func BenchmarkAccounts(b *testing.B) {
	server := localtest.NATS(b)
	operator := connect(b, server, nats.UserOperator)
	if err := nats.Provision(b.Context(), operator, nats.StreamLimits{}); err != nil {
		b.Fatal(err)
	}
	for _, user := range []string{nats.UserOperator, nats.UserAPI} {
		conn := connect(b, server, user)
		b.Run("publish/"+user, func(b *testing.B) {
			for b.Loop() {
				_, err := conn.JetStream().Publish(b.Context(), schema.SubjectDocumentUploaded, []byte("{}"))
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, user := range []string{nats.UserOperator, nats.UserWorker} {
		conn := connect(b, server, user)
		b.Run("fetch/"+user, func(b *testing.B) {
			const size = 256
			consumer, err := conn.JetStream().Consumer(
				b.Context(), schema.StreamDocuments, schema.ConsumerClassify)
			if err != nil {
				b.Fatal(err)
			}
			messages, fetched := 0, time.Duration(0)
			for b.Loop() {
				b.StopTimer()
				publish(b, operator, documents(size))
				b.StartTimer()
				began := time.Now()
				batch, err := consumer.Fetch(size, jetstream.FetchMaxWait(timeout))
				if err != nil {
					b.Fatal(err)
				}
				for m := range batch.Messages() {
					if err := m.Ack(); err != nil {
						b.Fatal(err)
					}
					messages++
				}
				if batch.Error() != nil {
					b.Fatal(batch.Error())
				}
				fetched += time.Since(began)
			}
			b.ReportMetric(float64(messages)/fetched.Seconds(), "messages/s")
		})
	}
}
