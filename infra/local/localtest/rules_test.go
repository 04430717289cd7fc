package localtest_test

import "github.com/minio/minio-go/v7/pkg/notification"

// rules notify both targets of whatever is created.
func rules() notification.Configuration {
	var c notification.Configuration
	for _, target := range []string{"CREATED_DIRECT", "CREATED_DURABLE"} {
		q := notification.NewConfig(notification.NewArn("minio", "sqs", "", target, "nats"))
		q.AddEvents(notification.ObjectCreatedAll)
		c.AddQueue(q)
	}
	return c
}
