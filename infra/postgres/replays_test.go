package postgres_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"intray/infra/postgres"
	"intray/schema"
)

// planned stores a replay that has chosen positions.
func (b *bundle) planned(t *testing.T, name string, positions ...uint64) {
	t.Helper()
	must(t, b.owner.CreateReplay(t.Context(), postgres.Replay{Name: name, Target: "confirm", Selection: []byte(`{}`), Stream: "BUCKET"}))
	for _, p := range positions {
		block := postgres.ReplayBlock{Number: int64(p / postgres.ReplayBlockSize)}
		block.Positions.Set(p)
		must(t, b.owner.SelectEvents(t.Context(), name, []postgres.ReplayBlock{block}))
	}
}

func (b *bundle) undecided(t *testing.T, name string, from uint64) (left []uint64) {
	t.Helper()
	blocks, err := b.owner.UnfinishedEvents(t.Context(), name, from, 100)
	must(t, err)
	for _, block := range blocks {
		left = append(left, slices.Collect(block.All())...)
	}
	return left
}

func TestOutcomesAreNotedOnceAndTheStrongestStays(t *testing.T) {
	b := setup(t)
	chosen := []uint64{1, 5, 1023, 1024, 1025, 5000}
	b.planned(t, "r", chosen...)
	if other, err := b.owner.StartReplay(t.Context(), "r"); err != nil || other != "" {
		t.Fatal(other, err)
	}
	if left := b.undecided(t, "r", 0); !slices.Equal(left, chosen) {
		t.Fatalf("undecided %v", left)
	}
	if left := b.undecided(t, "r", 1024); !slices.Equal(left, chosen[3:]) {
		t.Errorf("undecided from 1024 on %v", left)
	}
	note := func(position uint64, o postgres.Outcome) postgres.EventOutcome {
		return postgres.EventOutcome{Replay: "r", Position: position, Outcome: o}
	}
	for _, batch := range [][]postgres.EventOutcome{
		{note(1, postgres.Failed), note(5, postgres.Applied), note(1024, postgres.Unchanged), note(7, postgres.Applied)}, // 7 was not chosen
		{note(1, postgres.Unchanged), note(5, postgres.Unchanged), note(1024, postgres.Applied), {Replay: "other", Position: 1, Outcome: postgres.Applied}},
		{note(5, postgres.Failed), note(1024, postgres.Failed), note(1023, postgres.Failed)},
	} {
		for range 2 {
			must(t, b.worker.RecordOutcomes(t.Context(), batch)) // the worker's right is enough
		}
	}
	r, err := b.owner.Replay(t.Context(), "r")
	must(t, err)
	if r.Matched != 6 || r.Applied != 2 || r.Unchanged != 1 || r.Failed != 1 || r.Remaining() != 2 || r.LastOutcomeAt == nil || r.HasPublisher {
		t.Errorf("replay %+v", r)
	}
	if left := b.undecided(t, "r", 0); !slices.Equal(left, []uint64{1025, 5000}) {
		t.Errorf("undecided %v", left)
	}
	must(t, b.owner.EndReplay(t.Context(), "r", postgres.ReplayCanceled))
	must(t, b.worker.RecordOutcomes(t.Context(), []postgres.EventOutcome{note(5000, postgres.Applied)}))
	must(t, b.owner.EndReplay(t.Context(), "r", postgres.ReplayDone))
	r, err = b.owner.Replay(t.Context(), "r")
	must(t, err)
	if r.Status != postgres.ReplayCanceled || r.Applied != 2 || r.Remaining() != 2 || r.EndedAt == nil {
		t.Errorf("ended %+v", r)
	}
}

func TestReplaysOfADocumentsEventsAreFound(t *testing.T) {
	b := setup(t)
	made := time.Now().Add(-time.Hour)
	plan := func(name, stream string, created time.Time, positions ...uint64) {
		t.Helper()
		must(t, b.owner.CreateReplay(t.Context(), postgres.Replay{
			Name: name, Target: "confirm", Actor: "w", Reason: "y", Selection: []byte(`{}`), Stream: stream, StreamCreated: &created,
		}))
		for _, p := range positions {
			block := postgres.ReplayBlock{Number: int64(p / postgres.ReplayBlockSize)}
			block.Positions.Set(p)
			must(t, b.owner.SelectEvents(t.Context(), name, []postgres.ReplayBlock{block}))
		}
	}
	plan("a", "BUCKET", made, 1, 1023, 1024, 2048)
	plan("anew", "BUCKET", made.Add(time.Minute), 1023)
	plan("other", "DOCUMENTS", made, 1023)
	plan("b", "BUCKET", made, 1023)
	must(t, b.worker.RecordOutcomes(t.Context(), []postgres.EventOutcome{
		{Replay: "a", Position: 1023, Outcome: postgres.Unchanged}, {Replay: "a", Position: 1024, Outcome: postgres.Applied}, {Replay: "a", Position: 2048, Outcome: postgres.Failed},
	}))
	find := func() (found []string) {
		t.Helper()
		all, err := b.owner.ReplaysOf(t.Context(), "BUCKET", made, []int64{2, 1023, 1024, 2048})
		must(t, err)
		for _, r := range all {
			if r.Actor != "w" || r.Reason != "y" || r.Target != "confirm" || time.Since(r.At) > time.Hour {
				t.Errorf("found %+v", r)
			}
			found = append(found, fmt.Sprint(r.Replay, " ", r.Position, " ", r.Outcome))
		}
		return found
	}
	want := []string{"a 1023 unchanged", "a 1024 applied", "a 2048 failed", "b 1023 chosen"}
	if found := find(); !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
	must(t, b.owner.EndReplay(t.Context(), "a", postgres.ReplayDone))
	if found := find(); !slices.Equal(found, want) {
		t.Errorf("after its end found %q, want %q", found, want)
	}
	// They go with the events.
	_, err := b.raw.Exec(`UPDATE replays SET ended_at = now() - interval '31 days' WHERE name = 'a'`)
	must(t, err)
	must(t, b.owner.EndReplay(t.Context(), "b", postgres.ReplayCanceled))
	if found := find(); !slices.Equal(found, want[3:]) {
		t.Errorf("a month later found %q, want %q", found, want[3:])
	}
	if r, err := b.owner.Replay(t.Context(), "a"); err != nil || r.Applied != 1 || r.Unchanged != 1 || r.Failed != 1 {
		t.Errorf("its counts are %+v, %v", r, err)
	}
}

func TestReplaysOfTheSameEventsAreFound(t *testing.T) {
	b := setup(t)
	start := func(name, want string) {
		t.Helper()
		if other, err := b.owner.StartReplay(t.Context(), name); err != nil || other != want {
			t.Errorf("start %s: %q, %v, want %q", name, other, err, want)
		}
	}
	b.planned(t, "a", 10, 2000)
	b.planned(t, "b", 11, 2000)
	b.planned(t, "c", 11, 2001)
	start("a", "")
	start("b", "a")
	start("c", "")
	start("b", "a") // nothing was changed
	if ok, err := b.owner.SetReplayStatus(t.Context(), "a", postgres.ReplayPaused); err != nil || !ok {
		t.Fatal(ok, err)
	}
	start("b", "a")
	must(t, b.owner.EndReplay(t.Context(), "a", postgres.ReplayDone))
	start("b", "c")
	must(t, b.owner.EndReplay(t.Context(), "c", postgres.ReplayDone))
	start("b", "")
	wantCode(t, b.owner.CreateReplay(t.Context(), postgres.Replay{Name: "b", Target: "confirm", Selection: []byte(`{}`)}), schema.CodeNameTaken)
	_, err := b.owner.Replay(t.Context(), "nobody")
	wantCode(t, err, schema.CodeNotFound)
}

func TestAReplayIsAttendedWhileItsLockIsHeld(t *testing.T) {
	b := setup(t)
	b.planned(t, "r", 1)
	attended := func(want bool) {
		t.Helper()
		if all, err := b.owner.Replays(t.Context(), 10); err != nil || len(all) != 1 || all[0].HasPublisher != want {
			t.Errorf("replays %+v, %v, want attended %v", all, err, want)
		}
	}
	attended(false)
	release, ok, err := b.worker.TryLock(t.Context(), postgres.ReplayLockName("r"))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	attended(true)
	release()
	attended(false)
}

func TestTheWorkerOnlyNotesOutcomes(t *testing.T) {
	b := setup(t)
	b.planned(t, "r", 1)
	for _, statement := range []string{
		`SELECT * FROM replays`, `UPDATE replays SET status = 'done'`, `DELETE FROM replay_blocks`, `SELECT * FROM replay_generated_events`,
		`UPDATE replay_blocks SET selected = ~selected`,
	} {
		if _, err := b.rawWorker.Exec(statement); err == nil {
			t.Errorf("the worker may %s", statement)
		}
		if _, err := b.rawAPI.Exec(statement); err == nil {
			t.Errorf("the api may %s", statement)
		}
	}
}

func TestBitsAreReadAsTheyWereWritten(t *testing.T) {
	b := setup(t)
	b.planned(t, "r")
	block := int64(0)
	rapid.Check(t, func(rt *rapid.T) {
		block++
		var bits postgres.PositionSet
		want := map[uint64]bool{}
		for _, p := range rapid.SliceOfN(rapid.Uint64Range(0, postgres.ReplayBlockSize-1), 1, 50).Draw(rt, "positions") {
			bits.Set(p)
			want[uint64(block)*postgres.ReplayBlockSize+p] = true
		}
		must(t, b.owner.SelectEvents(t.Context(), "r", []postgres.ReplayBlock{{Number: block, Positions: bits}}))
		got := b.undecided(t, "r", uint64(block)*postgres.ReplayBlockSize)
		if len(got) != len(want) || bits.Count() != len(want) || !slices.IsSorted(got) {
			rt.Fatalf("wrote %v, read %v", want, got)
		}
		for _, p := range got {
			if !want[p] {
				rt.Fatalf("wrote %v, read %v", want, got)
			}
		}
	})
}
