package status

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Judge appends a sentence to Problems for each bound that is exceeded, and sets
// Healthy.
func (s *Status) Judge() {
	if s.Backlog != nil {
		s.judgeAges(*s.Backlog)
		s.judgeBacklog(*s.Backlog)
	}
	s.judgeStreams()
	if s.Queue != nil && s.Queue.Oldest.exceeds(MaxQueueAge) {
		s.problem("MinIO has had events to tell for %s", s.Queue.Oldest)
	}
	for _, r := range s.Replays {
		if r.Interrupted() {
			s.problem(`the replay %[1]s is interrupted: "intray events replay resume %[1]s" takes it up again`,
				printable(r.Name))
		}
	}
	s.Healthy = len(s.Problems) == 0 && len(s.Unreachable()) == 0
}

func (s *Status) problem(format string, args ...any) {
	s.Problems = append(s.Problems, fmt.Sprintf(format, args...))
}

// judgeAges judges how long the oldest of each kind is queued.
func (s *Status) judgeAges(b Backlog) {
	for _, kind := range []struct {
		oldest Seconds
		bound  time.Duration
		format string
	}{
		{b.OldestPending, MaxPendingAge, "a document is pending for %s"},
		{b.OldestUnclassified, MaxUnclassifiedAge, "a document waits for its classification for %s"},
		{b.OldestUnpublished, MaxUnpublishedAge, "a change is told by no event for %s"},
		{b.OldestDeletion, MaxDeletionAge, "an object that was given up is still there after %s"},
	} {
		if kind.oldest.exceeds(kind.bound) {
			s.problem(kind.format, kind.oldest)
		}
	}
}

// judgeBacklog judges what needs a person at any age, and whether a replica sweeps.
func (s *Status) judgeBacklog(b Backlog) {
	if b.DeadLetters > MaxDeadLetters {
		s.problem(`%d dead letters: see "intray deadletters list"`, b.DeadLetters)
	}
	if b.FailedAttempts > MaxFailedAttempts {
		s.problem("%d tries failed in ten minutes at documents that still wait, the last because: %s",
			b.FailedAttempts, excerpt(b.LastFailure))
	}
	if b.Drift > MaxDrift {
		s.problem(`bucket and database differ in %d places that are left to you: see "intray reconcile"`,
			b.Drift)
	}
	if b.FailingDeletions > 0 {
		s.problem("%d object deletions fail and are tried again", b.FailingDeletions)
	}
	if !b.SweeperActive {
		s.problem("no replica sweeps")
	}
}

// judgeStreams judges whether messages are consumed, and whether there is room for
// more.
func (s *Status) judgeStreams() {
	for _, c := range s.Consumers {
		if c.Stalled() {
			s.problem("%d messages of %s wait, and nobody takes them for %s", c.Pending, c.Stream, c.Name)
		}
	}
	for _, m := range s.Streams {
		if m.MaxBytes > 0 && float64(m.Bytes) > MaxStreamFill*float64(m.MaxBytes) {
			s.problem("the stream %s is %d %% full", m.Name, m.Bytes*100/m.MaxBytes)
		}
	}
}

// excerptLength is how many characters of a reason a problem repeats.
const excerptLength = 200

// excerpt returns the beginning of s in one line.
func excerpt(s string) string {
	runes := []rune(printable(strings.Join(strings.Fields(s), " ")))
	if len(runes) > excerptLength {
		return string(runes[:excerptLength-1]) + "…"
	}
	return string(runes)
}

// printable replaces what a terminal would interpret.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
