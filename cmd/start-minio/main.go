// The command start-minio is the entry point of MinIO's container image. It moves damaged files out
// of the queues in which MinIO keeps events for NATS, because they can block MinIO or make it exit
// whenever it starts, and then becomes MinIO. The container engine runs it whenever it starts the
// container, and so never beside a MinIO that is running.
//
// The image must not change with the rest of Intray, so the command uses only the standard library
// and the package eventqueue.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"intray/infra/minio/eventqueue"
)

const minio = "/usr/local/bin/minio"

func main() {
	err := checkQueues(os.Environ(), os.Stderr)
	if err == nil {
		err = syscall.Exec(minio, append([]string{"minio"}, os.Args[1:]...), os.Environ())
	}
	fmt.Fprintln(os.Stderr, "start-minio:", err)
	os.Exit(1)
}

// checkQueues checks the queue of every target in MinIO's environment, and prints the name of each
// file that it moved.
func checkQueues(environment []string, log io.Writer) error {
	var queues []string
	for _, setting := range environment {
		name, value, _ := strings.Cut(setting, "=")
		if strings.HasPrefix(name, "MINIO_NOTIFY_NATS_QUEUE_DIR_") && value != "" {
			queues = append(queues, value)
		}
	}
	slices.Sort(queues)
	for _, queue := range slices.Compact(queues) {
		damaged, err := eventqueue.Check(queue)
		for _, d := range damaged {
			fmt.Fprintf(log, "start-minio: moved a damaged event to %s: %v\n", d.Path, d.Reason)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
