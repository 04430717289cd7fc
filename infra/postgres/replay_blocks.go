package postgres

import (
	"context"
	"fmt"
	"iter"
	"math/bits"
	"time"
)

// ReplayBlockSize is how many positions of a replay's source lie in one block.
const ReplayBlockSize = 1024

// PositionSet are the positions of one block.
type PositionSet [ReplayBlockSize / 64]uint64

// Set adds the position, of which only its place in its block counts.
func (b *PositionSet) Set(position uint64) { b[position%ReplayBlockSize/64] |= 1 << (position % 64) }

// Count is how many positions there are.
func (b PositionSet) Count() (n int) {
	for _, word := range b {
		n += bits.OnesCount64(word)
	}
	return n
}

// text is how PostgreSQL writes bit(1024): the position 0 comes first.
func (b PositionSet) text() string {
	text := make([]byte, ReplayBlockSize)
	for i := range text {
		text[i] = '0' + byte(b[i/64]>>(i%64)&1)
	}
	return string(text)
}

// Scan implements sql.Scanner.
func (b *PositionSet) Scan(value any) error {
	var text string
	switch v := value.(type) {
	case string:
		text = v
	case []byte:
		text = string(v)
	}
	if len(text) != ReplayBlockSize {
		return fmt.Errorf("a block of %d bits", len(text))
	}
	*b = PositionSet{}
	for i := range len(text) {
		if text[i] == '1' {
			b.Set(uint64(i))
		}
	}
	return nil
}

// A Block is positions block×1024 to block×1024+1023 of a replay's source.
type ReplayBlock struct {
	Number    int64       `db:"block"`
	Positions PositionSet `db:"positions"`
}

// All yields the positions in order.
func (b ReplayBlock) All() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for i := range uint64(ReplayBlockSize) {
			if b.Positions[i/64]>>(i%64)&1 == 1 && !yield(uint64(b.Number)*ReplayBlockSize+i) {
				return
			}
		}
	}
}

// SelectEvents adds positions to those that a replay has chosen.
func (db *DB) SelectEvents(ctx context.Context, replay string, blocks []ReplayBlock) error {
	numbers, chosen := make([]int64, len(blocks)), make([]string, len(blocks))
	for i, b := range blocks {
		numbers[i], chosen[i] = b.Number, b.Positions.text()
	}
	_, err := db.pool.ExecContext(ctx, `
		INSERT INTO replay_blocks (replay, block, selected)
		SELECT $1, n.block, n.selected::bit(1024) FROM unnest($2::bigint[], $3::text[]) AS n (block, selected)
		ON CONFLICT (replay, block) DO UPDATE SET selected = replay_blocks.selected | EXCLUDED.selected`,
		replay, array(numbers), array(chosen))
	return wrap(ctx, err, "choose events of replay %s", replay)
}

// UnfinishedEvents returns chosen events that have not come to an end, at the position or after it, in at most limit blocks.
func (db *DB) UnfinishedEvents(ctx context.Context, replay string, position uint64, limit int) ([]ReplayBlock, error) {
	var blocks []ReplayBlock
	err := db.pool.SelectContext(ctx, &blocks, `
		SELECT block, (selected & ~(applied | unchanged | failed))::text AS positions FROM replay_blocks
		WHERE replay = $1 AND block >= $2 AND bit_count(selected & ~(applied | unchanged | failed)) > 0
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

// An Outcome is what a replayed event came to.
type Outcome int

// The outcomes, the weakest first: a later one replaces a weaker one only. An event that is delivered twice was applied if
// it once was.
const (
	Failed    Outcome = iota + 1 // given up; it is a dead letter, or not in its stream any more
	Unchanged                    // there was nothing to do
	Applied                      // a document changed
)

// A Decided event came to an outcome.
type EventOutcome struct {
	Replay   string
	Position uint64
	Outcome  Outcome
}

// String is the outcome in a word; "chosen" where there is none.
func (o Outcome) String() string {
	return [...]string{"chosen", "failed", "unchanged", "applied"}[o]
}

// RecordOutcomes notes outcomes. To note one twice changes nothing, and the counts of a replay that has ended stay.
func (db *DB) RecordOutcomes(ctx context.Context, decided []EventOutcome) error {
	type place struct {
		replay string
		block  int64
	}
	sets := make(map[place]*[4]PositionSet)
	for _, d := range decided {
		p := place{d.Replay, int64(d.Position / ReplayBlockSize)}
		if sets[p] == nil {
			sets[p] = new([4]PositionSet)
		}
		sets[p][d.Outcome].Set(d.Position)
	}
	var replays []string
	var blocks []int64
	columns := make([][]string, 4)
	for p, set := range sets {
		replays, blocks = append(replays, p.replay), append(blocks, p.block)
		for o := Failed; o <= Applied; o++ {
			columns[o] = append(columns[o], set[o].text())
		}
	}
	// The commit does not wait for the disk: an outcome that a crash takes back is found out again, for an event without one
	// is published once more.
	_, err := db.pool.ExecContext(ctx, `
		WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
		locked AS MATERIALIZED (
			SELECT b.replay, b.block, n.failed, n.unchanged, n.applied
			FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[]) AS n (replay, block, failed, unchanged, applied)
			JOIN replay_blocks AS b ON b.replay = n.replay AND b.block = n.block
			ORDER BY b.replay, b.block FOR NO KEY UPDATE OF b)
		UPDATE replay_blocks AS b SET
			applied   = (b.applied | n.applied::bit(1024)) & b.selected,
			unchanged = (b.unchanged | n.unchanged::bit(1024)) & ~(b.applied | n.applied::bit(1024)) & b.selected,
			failed    = (b.failed | n.failed::bit(1024)) & ~(b.unchanged | n.unchanged::bit(1024) | b.applied | n.applied::bit(1024)) & b.selected,
			last_outcome_at = now()
		FROM lazily, locked AS n WHERE b.replay = n.replay AND b.block = n.block`,
		array(replays), array(blocks), array(columns[Failed]), array(columns[Unchanged]), array(columns[Applied]))
	return wrap(ctx, err, "note the outcomes of %d replayed events", len(decided))
}

// A Replayed event is one that a replay has chosen.
type ReplayedEvent struct {
	Replay   string `db:"name"`
	Target   string `db:"target"`
	Actor    string `db:"actor"`
	Reason   string `db:"reason"`
	Position int64  `db:"position"`
	// Outcome is 0 where the event has not come to an end.
	Outcome Outcome `db:"outcome"`
	// At is when it had come to its end at the latest, or else when its replay was planned.
	At time.Time `db:"by"`
}

// ReplaysOf returns which replays of the last 30 days chose the events at the positions of a stream, the oldest first. A
// stream is the one that was made at the time: one made anew counts from 1 again. The role is the owner.
func (db *DB) ReplaysOf(ctx context.Context, stream string, created time.Time, positions []int64) (all []ReplayedEvent, err error) {
	err = db.pool.SelectContext(ctx, &all, `
		SELECT r.name, r.target, r.actor, r.reason, p.position,
			CASE 1 WHEN get_bit(b.applied, p.bit) THEN $4 WHEN get_bit(b.unchanged, p.bit) THEN $5 WHEN get_bit(b.failed, p.bit) THEN $6 ELSE 0 END AS outcome,
			CASE 1 WHEN get_bit(b.applied | b.unchanged | b.failed, p.bit) THEN b.last_outcome_at ELSE r.created_at END AS by
		FROM (SELECT position, position / $7 AS block, (position % $7)::integer AS bit FROM unnest($3::bigint[]) AS n (position)) AS p
		JOIN replay_blocks AS b ON b.block = p.block AND get_bit(b.selected, p.bit) = 1
		JOIN replays AS r ON r.name = b.replay
		WHERE r.stream = $1 AND r.stream_created = $2
		ORDER BY r.created_at, r.name, p.position`,
		stream, created, array(positions), Applied, Unchanged, Failed, int64(ReplayBlockSize))
	return all, wrap(ctx, err, "find replays of %d events of stream %s", len(positions), stream)
}

// AddGeneratedEvents keeps object keys as the events of a replay, the first at the position.
func (db *DB) AddGeneratedEvents(ctx context.Context, replay string, position uint64, keys []string) error {
	_, err := db.pool.ExecContext(ctx, `INSERT INTO replay_generated_events (replay, position, object_key)
		SELECT $1, $2 + n - 1, key FROM unnest($3::text[]) WITH ORDINALITY AS k (key, n)`, replay, int64(position), array(keys))
	return wrap(ctx, err, "make events of replay %s", replay)
}

// GeneratedEvents returns the keys of the made events at positions first to last, by position.
func (db *DB) GeneratedEvents(ctx context.Context, replay string, first, last uint64) (map[uint64]string, error) {
	var rows []struct {
		Position int64  `db:"position"`
		Key      string `db:"object_key"`
	}
	err := db.pool.SelectContext(ctx, &rows, `SELECT position, object_key FROM replay_generated_events
		WHERE replay = $1 AND position BETWEEN $2 AND $3`, replay, int64(first), int64(last))
	made := make(map[uint64]string, len(rows))
	for _, r := range rows {
		made[uint64(r.Position)] = r.Key
	}
	return made, wrap(ctx, err, "read the events of replay %s", replay)
}
