package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"intray/infra/postgres"
	"intray/schema"
)

// planReplay stores a replay that selects the positions.
func (b *bundle) planReplay(t *testing.T, name string, positions ...uint64) {
	t.Helper()
	must(t, b.owner.CreateReplay(t.Context(), postgres.Replay{
		Name: name, Target: "confirm", Selection: []byte(`{}`), Stream: "BUCKET",
	}))
	for _, p := range positions {
		block := postgres.ReplayBlock{Number: int64(p / postgres.ReplayBlockSize)}
		block.Positions.Set(p)
		must(t, b.owner.SelectEvents(t.Context(), name, []postgres.ReplayBlock{block}))
	}
}

// unfinished returns the positions without an outcome, starting with from.
func (b *bundle) unfinished(t *testing.T, name string, from uint64) (positions []uint64) {
	t.Helper()
	blocks, err := b.owner.UnfinishedEvents(t.Context(), name, from, 100)
	must(t, err)
	for _, block := range blocks {
		positions = append(positions, slices.Collect(block.All())...)
	}
	return positions
}

func TestHighestOutcomeIsKept(t *testing.T) {
	b := setup(t)
	selected := []uint64{1, 5, 1023, 1024, 1025, 5000}
	b.planReplay(t, "r", selected...)
	if other, err := b.owner.StartReplay(t.Context(), "r"); err != nil || other != "" {
		t.Fatalf("StartReplay: got overlapping replay %q and error %v, want none", other, err)
	}
	if got := b.unfinished(t, "r", 0); !slices.Equal(got, selected) {
		t.Fatalf("got unfinished events %v, want %v", got, selected)
	}
	if got := b.unfinished(t, "r", 1024); !slices.Equal(got, selected[3:]) {
		t.Errorf("got unfinished events %v from 1024 on, want %v", got, selected[3:])
	}
	event := func(position uint64, o postgres.Outcome) postgres.EventOutcome {
		return postgres.EventOutcome{Replay: "r", Position: position, Outcome: o}
	}
	for _, batch := range [][]postgres.EventOutcome{
		{
			event(1, postgres.Failed), event(5, postgres.Applied), event(1024, postgres.Unchanged),
			event(7, postgres.Applied), // not selected
		},
		{
			event(1, postgres.Unchanged), event(5, postgres.Unchanged), event(1024, postgres.Applied),
			{Replay: "other", Position: 1, Outcome: postgres.Applied},
		},
		{
			event(5, postgres.Failed), event(1024, postgres.Failed), event(1023, postgres.Failed),
		},
	} {
		for range 2 {
			must(t, b.worker.RecordOutcomes(t.Context(), batch))
		}
	}
	r, err := b.owner.Replay(t.Context(), "r")
	must(t, err)
	if r.Matched != 6 || r.Applied != 2 || r.Unchanged != 1 || r.Failed != 1 || r.Remaining() != 2 ||
		r.LastOutcomeAt == nil || r.HasPublisher {
		t.Errorf("got %+v, want 2 applied, 1 unchanged, 1 failed and 2 unfinished of 6 events", r)
	}
	want := []uint64{1025, 5000}
	if got := b.unfinished(t, "r", 0); !slices.Equal(got, want) {
		t.Errorf("got unfinished events %v, want %v", got, want)
	}
	must(t, b.owner.EndReplay(t.Context(), "r", postgres.ReplayCanceled))
	late := []postgres.EventOutcome{event(5000, postgres.Applied)}
	must(t, b.worker.RecordOutcomes(t.Context(), late))
	must(t, b.owner.EndReplay(t.Context(), "r", postgres.ReplayDone))
	r, err = b.owner.Replay(t.Context(), "r")
	must(t, err)
	if r.Status != postgres.ReplayCanceled || r.Applied != 2 || r.Remaining() != 2 ||
		r.EndedAt == nil {
		t.Errorf("ended replay: got %+v, want it canceled with unchanged counts", r)
	}
}

func TestReplaysOfStreamPositions(t *testing.T) {
	b := setup(t)
	created := time.Now().Add(-time.Hour)
	plan := func(name, stream string, created time.Time, positions ...uint64) {
		t.Helper()
		must(t, b.owner.CreateReplay(t.Context(), postgres.Replay{
			Name: name, Target: "confirm", Actor: "w", Reason: "y", Selection: []byte(`{}`),
			Stream: stream, StreamCreated: &created,
		}))
		for _, p := range positions {
			block := postgres.ReplayBlock{Number: int64(p / postgres.ReplayBlockSize)}
			block.Positions.Set(p)
			must(t, b.owner.SelectEvents(t.Context(), name, []postgres.ReplayBlock{block}))
		}
	}
	plan("a", "BUCKET", created, 1, 1023, 1024, 2048)
	plan("recreated", "BUCKET", created.Add(time.Minute), 1023)
	plan("other", "DOCUMENTS", created, 1023)
	plan("b", "BUCKET", created, 1023)
	must(t, b.worker.RecordOutcomes(t.Context(), []postgres.EventOutcome{
		{Replay: "a", Position: 1023, Outcome: postgres.Unchanged},
		{Replay: "a", Position: 1024, Outcome: postgres.Applied},
		{Replay: "a", Position: 2048, Outcome: postgres.Failed},
	}))
	replaysOf := func() (found []string) {
		t.Helper()
		all, err := b.owner.ReplaysOf(t.Context(), "BUCKET", created, []int64{2, 1023, 1024, 2048})
		must(t, err)
		for _, r := range all {
			if r.Actor != "w" || r.Reason != "y" || r.Target != "confirm" ||
				time.Since(r.At) > time.Hour {
				t.Errorf("got %+v, want the actor, reason, target and time of the replay", r)
			}
			found = append(found, fmt.Sprint(r.Replay, " ", r.Position, " ", r.Outcome))
		}
		return found
	}
	want := []string{"a 1023 unchanged", "a 1024 applied", "a 2048 failed", "b 1023 selected"}
	if found := replaysOf(); !slices.Equal(found, want) {
		t.Errorf("running replays: got %q, want %q", found, want)
	}
	must(t, b.owner.EndReplay(t.Context(), "a", postgres.ReplayDone))
	if found := replaysOf(); !slices.Equal(found, want) {
		t.Errorf("ended replay: got %q, want %q", found, want)
	}
	// The outcomes are deleted after 30 days, as the events are.
	_, err := b.raw.Exec(`UPDATE replays SET ended_at = now() - interval '31 days' WHERE name = 'a'`)
	must(t, err)
	must(t, b.owner.EndReplay(t.Context(), "b", postgres.ReplayCanceled))
	if found := replaysOf(); !slices.Equal(found, want[3:]) {
		t.Errorf("31 days after the end: got %q, want %q", found, want[3:])
	}
	r, err := b.owner.Replay(t.Context(), "a")
	if err != nil || r.Applied != 1 || r.Unchanged != 1 || r.Failed != 1 {
		t.Errorf("31 days after the end: got %+v and error %v, want the counts 1, 1 and 1", r, err)
	}
}

func TestStartReplayFindsOverlappingReplay(t *testing.T) {
	b := setup(t)
	start := func(name, want string) {
		t.Helper()
		if other, err := b.owner.StartReplay(t.Context(), name); err != nil || other != want {
			t.Errorf("StartReplay(%s): got %q and error %v, want %q", name, other, err, want)
		}
	}
	b.planReplay(t, "a", 10, 2000)
	b.planReplay(t, "b", 11, 2000)
	b.planReplay(t, "c", 11, 2001)
	start("a", "")
	start("b", "a")
	start("c", "")
	start("b", "a") // the failed start changed nothing
	if ok, err := b.owner.SetReplayStatus(t.Context(), "a", postgres.ReplayPaused); err != nil || !ok {
		t.Fatalf("SetReplayStatus: got %v and error %v, want true", ok, err)
	}
	start("b", "a")
	must(t, b.owner.EndReplay(t.Context(), "a", postgres.ReplayDone))
	start("b", "c")
	must(t, b.owner.EndReplay(t.Context(), "c", postgres.ReplayDone))
	start("b", "")
	again := postgres.Replay{Name: "b", Target: "confirm", Selection: []byte(`{}`)}
	wantCode(t, b.owner.CreateReplay(t.Context(), again), schema.CodeNameTaken)
	_, err := b.owner.Replay(t.Context(), "unknown")
	wantCode(t, err, schema.CodeNotFound)
}

func TestReplayHasPublisherWhileLeased(t *testing.T) {
	b := setup(t)
	b.planReplay(t, "r", 1)
	wantPublisher := func(want bool) {
		t.Helper()
		replays, err := b.owner.Replays(t.Context(), 10)
		if err != nil || len(replays) != 1 || replays[0].HasPublisher != want {
			t.Errorf("got %+v and error %v, want one replay with HasPublisher %v", replays, err, want)
		}
	}
	wantPublisher(false)
	hold(t, b.owner, postgres.ReplayLease("r"), func(context.Context) {
		wantPublisher(true)
		b.raw.MustExec(`UPDATE leases SET expires_at = now()`)
		wantPublisher(false)
	})
	wantPublisher(false)
}

func TestWorkerRoleCanOnlyRecordOutcomes(t *testing.T) {
	b := setup(t)
	b.planReplay(t, "r", 1)
	for _, statement := range []string{
		`SELECT * FROM replays`,
		`UPDATE replays SET status = 'done'`,
		`DELETE FROM replay_blocks`,
		`SELECT * FROM replay_generated_events`,
		`UPDATE replay_blocks SET selected = ~selected`,
	} {
		wantInsufficientPrivilege(t, "as worker: "+statement, execStatement(b.rawWorker, statement))
		wantInsufficientPrivilege(t, "as api: "+statement, execStatement(b.rawAPI, statement))
	}
}

func TestPositionSetRoundTrip(t *testing.T) {
	b := setup(t)
	b.planReplay(t, "r")
	block := int64(0)
	rapid.Check(t, func(rt *rapid.T) {
		block++
		var set postgres.PositionSet
		want := map[uint64]bool{}
		position := rapid.Uint64Range(0, postgres.ReplayBlockSize-1)
		for _, p := range rapid.SliceOfN(position, 1, 50).Draw(rt, "positions") {
			set.Set(p)
			want[uint64(block)*postgres.ReplayBlockSize+p] = true
		}
		must(t, b.owner.SelectEvents(t.Context(), "r",
			[]postgres.ReplayBlock{{Number: block, Positions: set}}))
		got := b.unfinished(t, "r", uint64(block)*postgres.ReplayBlockSize)
		if len(got) != len(want) || set.Count() != len(want) || !slices.IsSorted(got) {
			rt.Fatalf("got %v with Count %d, want %v in order", got, set.Count(), want)
		}
		for _, p := range got {
			if !want[p] {
				rt.Fatalf("got %v, want %v", got, want)
			}
		}
	})
}
