package status_test

import (
	"fmt"

	"intray/ops/status"
)

func ExampleStatus_Judge() {
	s := status.Status{
		Components: []status.Component{{Name: "postgres", Up: true}},
		Backlog: &status.Backlog{
			Pending: 3, OldestPending: 2*60*60 + 90, DeadLetters: 1, SweeperActive: true,
		},
	}
	s.Judge()
	fmt.Println("healthy:", s.Healthy)
	for _, p := range s.Problems {
		fmt.Println(p)
	}
	// Output:
	// healthy: false
	// a document has been pending for 2h1m30s
	// there are dead letters (1): see "intray deadletters list"
}
