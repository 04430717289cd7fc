package replay_test

import (
	"fmt"
	"time"

	"intray/ops/replay"
)

func ExampleSelection() {
	s := replay.Selection{
		From:       time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Kinds:      []string{"uploaded", "failed"},
		OnlyFailed: true,
	}
	fmt.Println(s)
	fmt.Println(s.Validate(replay.Classify))
	fmt.Println(s.Validate(replay.Confirm))
	// Output:
	// --since 2026-01-02T03:04:05Z --kind uploaded,failed --only-failed
	// <nil>
	// unknown kind "uploaded": choose from created
}
