package minio

import (
	"context"
	"fmt"
	"slices"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/notification"

	"intray/schema"
)

// The IDs of the notification targets. They are the suffixes of MinIO's environment variables
// (MINIO_NOTIFY_NATS_ENABLE_<id>).
const (
	// TargetCreatedDirect publishes within a millisecond. It loses the event if NATS is unreachable
	// at that moment.
	TargetCreatedDirect = "CREATED_DIRECT"
	// TargetCreatedDurable queues events on disk before it publishes them. It loses nothing while
	// NATS is unreachable, but an event arrives up to 3 s late.
	TargetCreatedDurable = "CREATED_DURABLE"
	// TargetRemovedDurable queues events on disk like TargetCreatedDurable, but for removals.
	TargetRemovedDurable = "REMOVED_DURABLE"
)

// rule is one notification rule of the bucket.
type rule struct {
	target string
	events notification.EventType
	prefix string // key prefix; empty for all keys
}

// rules are the notification rules of the bucket.
//
// Created events are sent for keys below documents/ only, because clients can upload nowhere else.
// Removed events are sent for the whole bucket, because a document from the single-user version may
// have its object at any key, for example below null-user/. Consumers look the key up in the
// database, so an event for a key that is not there does no harm.
var rules = []rule{
	{TargetCreatedDirect, notification.ObjectCreatedAll, schema.ObjectPrefix},
	{TargetCreatedDurable, notification.ObjectCreatedAll, schema.ObjectPrefix},
	{TargetRemovedDurable, notification.ObjectRemovedAll, ""},
}

// arn returns MinIO's name for the rule's NATS target.
func (r rule) arn() notification.Arn {
	return notification.NewArn("minio", "sqs", "", r.target, "nats")
}

// matches reports whether queue, which was read from MinIO, is equal to the rule.
func (r rule) matches(queue notification.QueueConfig) bool {
	return queue.Queue == r.arn().String() &&
		queue.Equal([]notification.EventType{r.events}, r.prefix, "")
}

// setNotifications sets the bucket's notification rules for Intray's targets to rules. It sends no
// change if they already match, and keeps the rules for other targets.
func setNotifications(ctx context.Context, client *miniogo.Client, bucket string) error {
	config, err := client.GetBucketNotification(ctx, bucket)
	if err != nil {
		return wrapError("get notifications of bucket", bucket, err)
	}
	var ours, others []notification.QueueConfig
	for _, queue := range config.QueueConfigs {
		isTarget := func(r rule) bool { return queue.Queue == r.arn().String() }
		if slices.ContainsFunc(rules, isTarget) {
			ours = append(ours, queue)
		} else {
			others = append(others, queue)
		}
	}
	isMissing := func(r rule) bool { return !slices.ContainsFunc(ours, r.matches) }
	if len(ours) == len(rules) && !slices.ContainsFunc(rules, isMissing) {
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
		return fmt.Errorf("%w (start MinIO with MINIO_NOTIFY_NATS_ENABLE_<id>=on "+
			"for the ids %s, %s and %s)", wrapError("set notifications of bucket", bucket, err),
			TargetCreatedDirect, TargetCreatedDurable, TargetRemovedDurable)
	}
	return nil
}
