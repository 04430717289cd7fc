package postgres

import (
	"context"
	"fmt"
	"iter"
	"math/bits"
	"time"
)

// ReplayBlockSize is the number of positions of a replay's source in a block.
const ReplayBlockSize = 1024

// A PositionSet is a set of positions in a block.
type PositionSet [ReplayBlockSize / 64]uint64

// Set adds the position modulo ReplayBlockSize.
func (b *PositionSet) Set(position uint64) {
	b[position%ReplayBlockSize/64] |= 1 << (position % 64)
}

// Count returns the number of positions in the set.
func (b PositionSet) Count() (n int) {
	for _, word := range b {
		n += bits.OnesCount64(word)
	}
	return n
}

// text returns the set in PostgreSQL's text format of bit(1024). Position 0 is first.
func (b PositionSet) text() string {
	text := make([]byte, ReplayBlockSize)
	for i := range text {
		text[i] = '0' + byte(b[i/64]>>(i%64)&1)
	}
	return string(text)
}

// Scan implements sql.Scanner for PostgreSQL's text format of bit(1024).
func (b *PositionSet) Scan(value any) error {
	var text string
	switch v := value.(type) {
	case string:
		text = v
	case []byte:
		text = string(v)
	}
	if len(text) != ReplayBlockSize {
		return fmt.Errorf("scan a block: got %d bits, want %d", len(text), ReplayBlockSize)
	}
	*b = PositionSet{}
	for i := range len(text) {
		if text[i] == '1' {
			b.Set(uint64(i))
		}
	}
	return nil
}

// A ReplayBlock is a set of positions in one block of a replay's source. The block with the Number
// n contains the positions from n×1024 to n×1024+1023.
type ReplayBlock struct {
	Number    int64       `db:"block"`
	Positions PositionSet `db:"positions"`
}

// All yields the positions in ascending order.
func (b ReplayBlock) All() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for i := range uint64(ReplayBlockSize) {
			if b.Positions[i/64]>>(i%64)&1 == 1 && !yield(uint64(b.Number)*ReplayBlockSize+i) {
				return
			}
		}
	}
}

// SelectEvents adds positions to the events that a replay selects.
func (db *DB) SelectEvents(ctx context.Context, replay string, blocks []ReplayBlock) error {
	numbers, selected := make([]int64, len(blocks)), make([]string, len(blocks))
	for i, b := range blocks {
		numbers[i], selected[i] = b.Number, b.Positions.text()
	}
	_, err := db.pool.ExecContext(ctx, `
		INSERT INTO replay_blocks (replay, block, selected)
		SELECT $1, n.block, n.selected::bit(1024)
		FROM unnest($2::bigint[], $3::text[]) AS n (block, selected)
		ON CONFLICT (replay, block)
			DO UPDATE SET selected = replay_blocks.selected | EXCLUDED.selected`,
		replay, array(numbers), array(selected))
	return wrap(ctx, err, "select events of replay %s", replay)
}

// UnfinishedEvents returns the selected events without an outcome from the position on, in up to
// limit blocks.
func (db *DB) UnfinishedEvents(
	ctx context.Context, replay string, position uint64, limit int,
) ([]ReplayBlock, error) {
	var blocks []ReplayBlock
	err := db.pool.SelectContext(ctx, &blocks, `
		SELECT block, (selected & ~(applied | unchanged | failed))::text AS positions
		FROM replay_blocks
		WHERE replay = $1 AND block >= $2
			AND bit_count(selected & ~(applied | unchanged | failed)) > 0
		ORDER BY block LIMIT $3`, replay, int64(position/ReplayBlockSize), limit)
	if len(blocks) > 0 && uint64(blocks[0].Number) == position/ReplayBlockSize {
		for i := range position % ReplayBlockSize {
			blocks[0].Positions[i/64] &^= 1 << (i % 64)
		}
		if blocks[0].Positions == (PositionSet{}) {
			blocks = blocks[1:]
		}
	}
	return blocks, wrap(ctx, err, "read the events of replay %s", replay)
}

// An Outcome is the result of handling a replayed event.
type Outcome int

// The outcomes in ascending order. An outcome replaces only a lower one. So if an event is
// delivered twice and a document changed at the first delivery, the outcome is Applied.
const (
	Failed    Outcome = iota + 1 // it became a dead letter, or is no longer in its stream
	Unchanged                    // no document changed
	Applied                      // a document changed
)

// An EventOutcome is the outcome of an event of a replay.
type EventOutcome struct {
	Replay   string
	Position uint64
	Outcome  Outcome
}

// String returns the outcome in one word, or "selected" if there is none.
func (o Outcome) String() string {
	return [...]string{"selected", "failed", "unchanged", "applied"}[o]
}

// RecordOutcomes records outcomes of events. Recording an outcome again changes nothing. The counts
// of a replay that has ended do not change.
func (db *DB) RecordOutcomes(ctx context.Context, outcomes []EventOutcome) error {
	type blockKey struct {
		replay string
		block  int64
	}
	sets := make(map[blockKey]*[4]PositionSet)
	for _, o := range outcomes {
		key := blockKey{o.Replay, int64(o.Position / ReplayBlockSize)}
		if sets[key] == nil {
			sets[key] = new([4]PositionSet)
		}
		sets[key][o.Outcome].Set(o.Position)
	}
	var replays []string
	var blocks []int64
	columns := make([][]string, 4)
	for key, set := range sets {
		replays, blocks = append(replays, key.replay), append(blocks, key.block)
		for o := Failed; o <= Applied; o++ {
			columns[o] = append(columns[o], set[o].text())
		}
	}
	// The commit does not wait for the disk. If a crash undoes it, the events have no outcome and are
	// published again.
	_, err := db.pool.ExecContext(ctx, `
		WITH async_commit AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
		locked AS MATERIALIZED (
			SELECT b.replay, b.block, n.failed, n.unchanged, n.applied
			FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[])
				AS n (replay, block, failed, unchanged, applied)
			JOIN replay_blocks AS b ON b.replay = n.replay AND b.block = n.block
			ORDER BY b.replay, b.block FOR NO KEY UPDATE OF b)
		UPDATE replay_blocks AS b SET
			applied   = (b.applied | n.applied::bit(1024)) & b.selected,
			unchanged = (b.unchanged | n.unchanged::bit(1024)) & b.selected
				& ~(b.applied | n.applied::bit(1024)),
			failed    = (b.failed | n.failed::bit(1024)) & b.selected
				& ~(b.unchanged | n.unchanged::bit(1024) | b.applied | n.applied::bit(1024)),
			last_outcome_at = now()
		FROM async_commit, locked AS n WHERE b.replay = n.replay AND b.block = n.block`,
		array(replays), array(blocks),
		array(columns[Failed]), array(columns[Unchanged]), array(columns[Applied]))
	return wrap(ctx, err, "record the outcomes of %d replayed events", len(outcomes))
}

// A ReplayedEvent is an event that a replay selected.
type ReplayedEvent struct {
	Replay   string `db:"name"`
	Target   string `db:"target"`
	Actor    string `db:"actor"`
	Reason   string `db:"reason"`
	Position int64  `db:"position"`
	// Outcome is 0 if the event has no outcome yet.
	Outcome Outcome `db:"outcome"`
	// At is when the last outcome in the event's block was recorded, which is not before the event's
	// own. If the event has no outcome, it is when the replay was created.
	At time.Time `db:"at"`
}

// ReplaysOf returns the events at the positions of a stream that replays of the last 30 days
// selected, the oldest replay first. The time when the stream was created identifies it, because a
// stream that is deleted and created again numbers its messages from 1. It requires the owner's
// role.
func (db *DB) ReplaysOf(
	ctx context.Context, stream string, created time.Time, positions []int64,
) (events []ReplayedEvent, err error) {
	err = db.pool.SelectContext(ctx, &events, `
		SELECT r.name, r.target, r.actor, r.reason, p.position,
			CASE 1 WHEN get_bit(b.applied, p.bit) THEN $4
				WHEN get_bit(b.unchanged, p.bit) THEN $5
				WHEN get_bit(b.failed, p.bit) THEN $6
				ELSE 0 END AS outcome,
			CASE 1 WHEN get_bit(b.applied | b.unchanged | b.failed, p.bit) THEN b.last_outcome_at
				ELSE r.created_at END AS at
		FROM (
			SELECT position, position / $7 AS block, (position % $7)::integer AS bit
			FROM unnest($3::bigint[]) AS n (position)) AS p
		JOIN replay_blocks AS b ON b.block = p.block AND get_bit(b.selected, p.bit) = 1
		JOIN replays AS r ON r.name = b.replay
		WHERE r.stream = $1 AND r.stream_created = $2
		ORDER BY r.created_at, r.name, p.position`,
		stream, created, array(positions), Applied, Unchanged, Failed, int64(ReplayBlockSize))
	return events, wrap(ctx, err, "find replays of %d events of stream %s", len(positions), stream)
}

// AddGeneratedEvents stores object keys as events that are generated for a replay, the first at the
// position.
func (db *DB) AddGeneratedEvents(
	ctx context.Context, replay string, position uint64, keys []string,
) error {
	_, err := db.pool.ExecContext(ctx, `
		INSERT INTO replay_generated_events (replay, position, object_key)
		SELECT $1, $2 + n - 1, key FROM unnest($3::text[]) WITH ORDINALITY AS k (key, n)`,
		replay, int64(position), array(keys))
	return wrap(ctx, err, "add generated events of replay %s", replay)
}

// GeneratedEvents returns the object keys of the generated events at the positions from first to
// last, by position.
func (db *DB) GeneratedEvents(
	ctx context.Context, replay string, first, last uint64,
) (map[uint64]string, error) {
	var rows []struct {
		Position int64  `db:"position"`
		Key      string `db:"object_key"`
	}
	err := db.pool.SelectContext(ctx, &rows, `
		SELECT position, object_key FROM replay_generated_events
		WHERE replay = $1 AND position BETWEEN $2 AND $3`, replay, int64(first), int64(last))
	keys := make(map[uint64]string, len(rows))
	for _, r := range rows {
		keys[uint64(r.Position)] = r.Key
	}
	return keys, wrap(ctx, err, "read the generated events of replay %s", replay)
}
