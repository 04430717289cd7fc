package localtest_test

import "github.com/minio/minio-go/v7/pkg/notification"

// notificationRules returns rules that notify both targets of every created object.
func notificationRules() notification.Configuration {
	var c notification.Configuration
	for _, target := range []string{"CREATED_DIRECT", "CREATED_DURABLE"} {
		q := notification.NewConfig(notification.NewArn("minio", "sqs", "", target, "nats"))
		q.AddEvents(notification.ObjectCreatedAll)
		c.AddQueue(q)
	}
	return c
}
