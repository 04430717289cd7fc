package replay

import (
	"encoding/json"
	"time"

	"intray/infra/postgres"
)

// Report is a replay as it stands, in the form that commands print as JSON.
type Report struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	// Attended reports whether a process is publishing the replay's events.
	Attended  bool            `json:"attended"`
	Target    string          `json:"to"`
	Actor     string          `json:"actor"`
	Reason    string          `json:"reason"`
	Selection json.RawMessage `json:"selection"`
	Rate      float64         `json:"rate,omitempty"`
	Matched   int64           `json:"matched"`
	Published int64           `json:"published"`
	Applied   int64           `json:"applied"`
	Unchanged int64           `json:"unchanged"`
	Failed    int64           `json:"failed"`
	Left      int64           `json:"left"`
	Position  int64           `json:"position"`
	CreatedAt time.Time       `json:"created_at"`
	StartedAt *time.Time      `json:"started_at"`
	LastAt    *time.Time      `json:"last_at"`
	EndedAt   *time.Time      `json:"ended_at"`
}

// ReportOf returns the report of a replay's row.
func ReportOf(r postgres.Replay) Report {
	return Report{
		Name: r.Name, Status: r.Status, Attended: r.HasPublisher, Target: r.Target, Actor: r.Actor,
		Reason: r.Reason, Selection: r.Selection, Rate: r.Rate, Matched: r.Matched,
		Published: r.Published, Applied: r.Applied, Unchanged: r.Unchanged, Failed: r.Failed,
		Left: r.Remaining(), Position: r.Position, CreatedAt: r.CreatedAt.UTC(), StartedAt: r.StartedAt,
		LastAt: r.LastOutcomeAt, EndedAt: r.EndedAt,
	}
}

// Interrupted reports whether the command that ran the replay died.
func (r Report) Interrupted() bool {
	if r.EndedAt != nil || r.Attended {
		return false
	}
	return r.Status == postgres.ReplayRunning || r.Status == postgres.ReplayPlanning
}

// State is the status for people, which also says that a replay is interrupted.
func (r Report) State() string {
	if r.Interrupted() {
		return r.Status + ", interrupted"
	}
	return r.Status
}

// Flags is the selection as the flags that choose it, or as it is stored where it
// cannot be read.
func (r Report) Flags() string {
	var s Selection
	if err := json.Unmarshal(r.Selection, &s); err != nil {
		return string(r.Selection)
	}
	return s.String()
}
