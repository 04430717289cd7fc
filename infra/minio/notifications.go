package minio

import (
	"context"
	"fmt"
	"slices"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/notification"

	"intray/schema"
)

// The targets' ids, as they end the names of MinIO's environment variables (MINIO_NOTIFY_NATS_ENABLE_<id>).
const (
	// TargetCreatedDirect publishes within a millisecond, and loses the event if NATS is away at that moment.
	TargetCreatedDirect = "CREATED_DIRECT"
	// TargetCreatedDurable queues on disk first: nothing is lost while NATS is away, but it comes up to 3 s late.
	TargetCreatedDurable = "CREATED_DURABLE"
	// TargetRemovedDurable does the same for removals.
	TargetRemovedDurable = "REMOVED_DURABLE"
)

// rule is one notification of the bucket.
type rule struct {
	target string
	events notification.EventType
	prefix string // of the keys; empty for all
}

// rules are what the bucket says to whom.
//
// Created events are for keys below documents/ only, the one place that uploads can go to. Removed events are for the
// whole bucket: a document of the single-user days may have its object at any key, those below null-user/ among them,
// and its removal must be heard too. Consumers go by the key that the database holds, so one too many does no harm.
var rules = []rule{
	{TargetCreatedDirect, notification.ObjectCreatedAll, schema.ObjectPrefix},
	{TargetCreatedDurable, notification.ObjectCreatedAll, schema.ObjectPrefix},
	{TargetRemovedDurable, notification.ObjectRemovedAll, ""},
}

// arn is how MinIO names a NATS target.
func (r rule) arn() notification.Arn {
	return notification.NewArn("minio", "sqs", "", r.target, "nats")
}

// is reports whether queue, as MinIO reports it, is this rule.
func (r rule) is(queue notification.QueueConfig) bool {
	return queue.Queue == r.arn().String() && queue.Equal([]notification.EventType{r.events}, r.prefix, "")
}

// setNotifications brings the bucket's notifications to rules, unless they are already. Notifications to targets that
// are not Intray's stay.
func setNotifications(ctx context.Context, client *miniogo.Client, bucket string) error {
	config, err := client.GetBucketNotification(ctx, bucket)
	if err != nil {
		return classify("get notifications of bucket", bucket, err)
	}
	var ours, others []notification.QueueConfig
	for _, queue := range config.QueueConfigs {
		if slices.ContainsFunc(rules, func(r rule) bool { return queue.Queue == r.arn().String() }) {
			ours = append(ours, queue)
		} else {
			others = append(others, queue)
		}
	}
	missing := slices.ContainsFunc(rules, func(r rule) bool { return !slices.ContainsFunc(ours, r.is) })
	if !missing && len(ours) == len(rules) {
		return nil
	}

	config.QueueConfigs = others
	for _, r := range rules {
		queue := notification.NewConfig(r.arn())
		queue.AddEvents(r.events)
		if r.prefix != "" {
			queue.AddFilterPrefix(r.prefix)
		}
		config.AddQueue(queue)
	}
	if err := client.SetBucketNotification(ctx, bucket, config); err != nil {
		return fmt.Errorf("%w (MinIO must run with MINIO_NOTIFY_NATS_ENABLE_%s, _%s and _%s on)",
			classify("set notifications of bucket", bucket, err), TargetCreatedDirect, TargetCreatedDurable, TargetRemovedDurable)
	}
	return nil
}
