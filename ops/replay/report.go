package replay

import (
	"encoding/json"
	"time"

	"intray/infra/postgres"
)

// Report is the state of a replay, in the form in which commands print it as JSON.
type Report struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	// HasPublisher reports whether a process is publishing the events of the replay.
	HasPublisher bool            `json:"has_publisher"`
	Target       string          `json:"to"`
	Actor        string          `json:"actor"`
	Reason       string          `json:"reason"`
	Selection    json.RawMessage `json:"selection"`
	Rate         float64         `json:"rate,omitempty"` // events per second; 0: no limit
	Matched      int64           `json:"matched"`
	Published    int64           `json:"published"`
	// Applied, Unchanged and Failed count the events by outcome, and Remaining those that
	// have none yet.
	Applied   int64 `json:"applied"`
	Unchanged int64 `json:"unchanged"`
	Failed    int64 `json:"failed"`
	Remaining int64 `json:"left"`
	// Position is the position of the last event that was published.
	Position      int64      `json:"position"`
	CreatedAt     time.Time  `json:"created_at"`
	StartedAt     *time.Time `json:"started_at"`
	LastOutcomeAt *time.Time `json:"last_outcome_at"`
	EndedAt       *time.Time `json:"ended_at"`
}

// NewReport returns the report of a replay.
func NewReport(r postgres.Replay) Report {
	return Report{
		Name: r.Name, Status: r.Status, HasPublisher: r.HasPublisher, Target: r.Target,
		Actor: r.Actor, Reason: r.Reason, Selection: r.Selection, Rate: r.Rate,
		Matched: r.Matched, Published: r.Published,
		Applied: r.Applied, Unchanged: r.Unchanged, Failed: r.Failed, Remaining: r.Remaining(),
		Position: r.Position, CreatedAt: r.CreatedAt.UTC(), StartedAt: r.StartedAt,
		LastOutcomeAt: r.LastOutcomeAt, EndedAt: r.EndedAt,
	}
}

// Interrupted reports whether the process that ran the replay ended before the replay did.
func (r Report) Interrupted() bool {
	if r.EndedAt != nil || r.HasPublisher {
		return false
	}
	return r.Status == postgres.ReplayRunning || r.Status == postgres.ReplayPlanning
}

// DisplayStatus returns the status, followed by "interrupted" for an interrupted replay.
func (r Report) DisplayStatus() string {
	if r.Interrupted() {
		return r.Status + ", interrupted"
	}
	return r.Status
}

// Flags returns the selection as command-line flags, or as JSON if it cannot be decoded.
func (r Report) Flags() string {
	var s Selection
	if err := json.Unmarshal(r.Selection, &s); err != nil {
		return string(r.Selection)
	}
	return s.String()
}
