package nats_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/local/localtest"
	"intray/infra/nats"
	"intray/schema"
)

// streamConfig returns the configuration of a stream.
func streamConfig(t *testing.T, operator *nats.Conn, name string) jetstream.StreamConfig {
	t.Helper()
	stream, err := operator.JetStream().Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().Config
}

func mustProvision(t *testing.T, operator *nats.Conn, limits nats.StreamLimits) {
	t.Helper()
	if err := nats.Provision(t.Context(), operator, limits); err != nil {
		t.Fatal(err)
	}
}

func TestProvisionCreatesStreams(t *testing.T) {
	operator := connect(t, localtest.NATS(t), nats.UserOperator)
	mustProvision(t, operator, nats.StreamLimits{
		MaxAge: time.Hour, BucketBytes: 1 << 20, DocumentsBytes: 2 << 20, ReplayBytes: 3 << 20,
	})
	for name, bytes := range map[string]int64{
		schema.StreamBucket: 1 << 20, schema.StreamDocuments: 2 << 20, schema.StreamReplay: 3 << 20,
	} {
		c := streamConfig(t, operator, name)
		if c.MaxAge != time.Hour || c.MaxBytes != bytes || c.Replicas != 1 {
			t.Errorf("%s: got age %s, %d bytes and %d replicas, want 1h, %d and 1",
				name, c.MaxAge, c.MaxBytes, c.Replicas, bytes)
		}
		if c.Retention != jetstream.LimitsPolicy || c.Discard != jetstream.DiscardNew ||
			c.Storage != jetstream.FileStorage ||
			c.AllowAtomicPublish != (name != schema.StreamBucket) {
			t.Errorf("%s: got %+v, want limits retention, discard new, file storage, "+
				"and atomic publish except for BUCKET", name, c)
		}
	}
}

func TestProvisionAgain(t *testing.T) {
	operator := connect(t, localtest.NATS(t), nats.UserOperator)
	mustProvision(t, operator, nats.StreamLimits{MaxAge: time.Hour, DocumentsBytes: 1 << 20})
	publish(t, operator, documents(1))
	get := func(t *testing.T) jetstream.StreamConfig {
		t.Helper()
		return streamConfig(t, operator, schema.StreamDocuments)
	}
	t.Run("raises limits and keeps messages", func(t *testing.T) {
		limits := nats.StreamLimits{MaxAge: 2 * time.Hour, DocumentsBytes: 4 << 20}
		mustProvision(t, operator, limits)
		if c := get(t); c.MaxAge != 2*time.Hour || c.MaxBytes != 4<<20 {
			t.Errorf("got age %s and %d bytes, want the new limits %+v", c.MaxAge, c.MaxBytes, limits)
		}
		if n := documentsStream(t, operator).CachedInfo().State.Msgs; n != 1 {
			t.Errorf("got %d messages, want 1", n)
		}
	})
	t.Run("never lowers limits", func(t *testing.T) {
		mustProvision(t, operator, nats.StreamLimits{MaxAge: time.Hour, DocumentsBytes: 1 << 20})
		if c := get(t); c.MaxAge != 2*time.Hour || c.MaxBytes != 4<<20 {
			t.Errorf("got age %s and %d bytes, want 2h and %d as before", c.MaxAge, c.MaxBytes, 4<<20)
		}
	})
	t.Run("keeps what an operator has set", func(t *testing.T) {
		want := get(t)
		want.MaxBytes, want.MaxAge = -1, 0 // unlimited
		want.Duplicates = 10 * time.Minute
		want.Metadata = map[string]string{"team": "records"}
		want.MaxMsgSize = 512 << 10
		if _, err := operator.JetStream().UpdateStream(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		mustProvision(t, operator, nats.StreamLimits{})
		got := get(t)
		if got.MaxBytes != -1 || got.MaxAge != 0 || got.Duplicates != want.Duplicates ||
			got.MaxMsgSize != want.MaxMsgSize || got.Metadata["team"] != "records" {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
	t.Run("lowers and raises no limit without a setting", func(t *testing.T) {
		want := get(t)
		want.MaxBytes, want.MaxAge = 3<<20, 90*time.Minute // below the defaults
		if _, err := operator.JetStream().UpdateStream(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		mustProvision(t, operator, nats.StreamLimits{})
		if got := get(t); got.MaxBytes != want.MaxBytes || got.MaxAge != want.MaxAge {
			t.Errorf("got %d bytes and age %s, want %d and %s as before",
				got.MaxBytes, got.MaxAge, want.MaxBytes, want.MaxAge)
		}
		mustProvision(t, operator, nats.StreamLimits{MaxAge: 2 * time.Hour})
		if got := get(t); got.MaxBytes != want.MaxBytes || got.MaxAge != 2*time.Hour {
			t.Errorf("got %d bytes and age %s, want %d as before and 2h",
				got.MaxBytes, got.MaxAge, want.MaxBytes)
		}
	})
	t.Run("restores what the consumers need", func(t *testing.T) {
		changed := get(t)
		changed.Discard, changed.RePublish = jetstream.DiscardOld, nil
		if _, err := operator.JetStream().UpdateStream(t.Context(), changed); err != nil {
			t.Fatal(err)
		}
		mustProvision(t, operator, nats.StreamLimits{})
		if got := get(t); got.Discard != jetstream.DiscardNew || got.RePublish == nil {
			t.Errorf("got %+v, want discard new and republishing", got)
		}
	})
}

func TestProvisionConsumersAgain(t *testing.T) {
	operator := connect(t, localtest.NATS(t), nats.UserOperator)
	mustProvision(t, operator, nats.StreamLimits{})
	get := func(t *testing.T) jetstream.ConsumerConfig {
		t.Helper()
		c, err := operator.JetStream().Consumer(
			t.Context(), schema.StreamBucket, schema.ConsumerConfirm)
		if err != nil {
			t.Fatal(err)
		}
		return c.CachedInfo().Config
	}
	change := func(t *testing.T, config jetstream.ConsumerConfig) {
		t.Helper()
		_, err := operator.JetStream().UpdateConsumer(t.Context(), schema.StreamBucket, config)
		if err != nil {
			t.Fatal(err)
		}
		mustProvision(t, operator, nats.StreamLimits{})
	}
	initial := get(t)
	if initial.AckWait != nats.AckWait || initial.MaxAckPending < 1 || initial.MaxDeliver != -1 {
		t.Errorf("got new consumer %+v, want an AckWait of %s, a limit of pending acknowledgments "+
			"and unlimited deliveries", initial, nats.AckWait)
	}
	t.Run("keeps what an operator has set", func(t *testing.T) {
		want := initial
		want.AckWait, want.MaxAckPending = 2*nats.AckWait, 2*initial.MaxAckPending
		want.Description, want.SampleFrequency = "for the records team", "10"
		want.Metadata = map[string]string{"team": "records"}
		change(t, want)
		got := get(t)
		if got.AckWait != want.AckWait || got.MaxAckPending != want.MaxAckPending ||
			got.Description != want.Description || got.SampleFrequency != want.SampleFrequency ||
			got.Metadata["team"] != "records" {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
	t.Run("keeps an unlimited number of pending acknowledgments", func(t *testing.T) {
		want := initial
		want.MaxAckPending = -1
		change(t, want)
		if got := get(t).MaxAckPending; got != -1 {
			t.Errorf("got %d, want -1", got)
		}
	})
	t.Run("restores what the consumers need", func(t *testing.T) {
		changed := initial
		changed.AckWait, changed.MaxAckPending, changed.MaxDeliver = time.Second, 10, 5
		changed.FilterSubject, changed.MaxRequestBatch = schema.SubjectCreatedDirect, 1
		changed.InactiveThreshold = time.Hour
		change(t, changed)
		got := get(t)
		if got.AckWait != initial.AckWait || got.MaxAckPending != initial.MaxAckPending ||
			got.MaxDeliver != -1 || got.FilterSubject != initial.FilterSubject ||
			got.MaxRequestBatch != 0 || got.InactiveThreshold != 0 {
			t.Errorf("got %+v, want %+v", got, initial)
		}
	})
}

func TestProvisionInACluster(t *testing.T) {
	server := localtest.NATSCluster(t, 3)
	operator := connect(t, server, nats.UserOperator)
	replicas := func(t *testing.T, want int) {
		t.Helper()
		for _, name := range []string{
			schema.StreamBucket, schema.StreamDocuments, schema.StreamReplay,
		} {
			if got := streamConfig(t, operator, name).Replicas; got != want {
				t.Errorf("%s: got %d replicas, want %d", name, got, want)
			}
		}
	}
	small := nats.StreamLimits{BucketBytes: 1 << 20, DocumentsBytes: 1 << 20, ReplayBytes: 1 << 20}
	eventually(t, "JetStream has a leader and provisioning succeeds", func() bool {
		return nats.Provision(t.Context(), operator, small) == nil
	})
	replicas(t, 1)
	t.Run("raises the replicas", func(t *testing.T) {
		more := small
		more.Replicas = 3
		mustProvision(t, operator, more)
		replicas(t, 3)
		consumer, err := operator.JetStream().Consumer(
			t.Context(), schema.StreamBucket, schema.ConsumerConfirm)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the consumer has followers", func() bool {
			info, err := consumer.Info(t.Context())
			return err == nil && info.Cluster != nil && len(info.Cluster.Replicas) == 2
		})
	})
	t.Run("never lowers them", func(t *testing.T) {
		mustProvision(t, operator, small)
		replicas(t, 3)
	})
	t.Run("refuses more than the cluster has", func(t *testing.T) {
		limits := small
		limits.Replicas = 5
		err := nats.Provision(t.Context(), operator, limits)
		if err == nil || !strings.Contains(err.Error(), "NATS_REPLICAS") {
			t.Errorf("got error %v, want one that names NATS_REPLICAS", err)
		}
	})
}

func TestProvisionRefusesReplicasWithoutACluster(t *testing.T) {
	operator := connect(t, localtest.NATS(t), nats.UserOperator)
	err := nats.Provision(t.Context(), operator, nats.StreamLimits{Replicas: 3})
	if err == nil || !strings.Contains(err.Error(), "NATS_REPLICAS") {
		t.Errorf("got error %v, want one that names NATS_REPLICAS", err)
	}
}
