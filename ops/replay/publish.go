package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/schema"
)

// blocksPerPage is how many blocks of positions one query reads from the database.
const blocksPerPage = 16

// publishUnfinished publishes the events after the replay's position that have no outcome.
func (r *run) publishUnfinished(ctx context.Context) error {
	for {
		next := uint64(r.replay.Position) + 1
		blocks, err := r.DB.UnfinishedEvents(ctx, r.replay.Name, next, blocksPerPage)
		if err != nil {
			return err
		}
		if len(blocks) == 0 {
			return nil
		}
		messages, last, err := r.read(ctx, blocks)
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(messages, r.limits.chunkAt(r.replay.Rate)) {
			if err := r.publish(ctx, chunk); err != nil {
				return err
			}
		}
		if len(r.missing) > 0 {
			if err := r.DB.RecordOutcomes(ctx, r.missing); err != nil {
				return err
			}
			r.missing = r.missing[:0]
		}
		if err := r.advance(ctx, last, 0); err != nil {
			return err
		}
	}
}

// read returns the messages for the events of the blocks, in order, and the last position. It
// appends the events that are no longer stored to r.missing, as failed.
func (r *run) read(
	ctx context.Context, blocks []postgres.ReplayBlock,
) (messages []Message, last uint64, err error) {
	var positions []uint64
	for _, b := range blocks {
		positions = slices.AppendSeq(positions, b.All())
	}
	var found map[uint64]Message
	if r.replay.Stream == "" {
		found, err = r.generatedMessages(ctx, positions)
	} else {
		found, err = r.storedMessages(ctx, positions)
	}
	if err != nil {
		return nil, 0, err
	}
	for _, position := range positions {
		if m, ok := found[position]; ok {
			messages = append(messages, m)
		} else {
			r.missing = append(r.missing, postgres.EventOutcome{
				Replay: r.replay.Name, Position: position, Outcome: postgres.Failed,
			})
		}
	}
	return messages, positions[len(positions)-1], nil
}

// generatedMessages returns the messages for the events that were generated from the bucket,
// by position. The positions must be in ascending order.
func (r *run) generatedMessages(
	ctx context.Context, positions []uint64,
) (map[uint64]Message, error) {
	first, last := positions[0], positions[len(positions)-1]
	keys, err := r.DB.GeneratedEvents(ctx, r.replay.Name, first, last)
	if err != nil {
		return nil, err
	}
	found := make(map[uint64]Message, len(keys))
	for position, key := range keys {
		e := Event{Sequence: position, Kind: KindCreated, Bucket: r.BucketName, Keys: []string{key}}
		if id, ok := schema.DocumentID(key); ok {
			e.Document = &id
		}
		if m, ok := e.message(r.replay.Target, r.replay.Name); ok {
			found[position] = m
		}
	}
	return found, nil
}

// storedMessages returns the messages for the events that the stream stores at the positions,
// by position. The positions must be in ascending order.
func (r *run) storedMessages(ctx context.Context, positions []uint64) (map[uint64]Message, error) {
	found := make(map[uint64]Message, len(positions))
	sequences := nats.Range{
		Stream: r.replay.Stream, After: positions[0] - 1, Through: positions[len(positions)-1],
	}
	for stored, err := range r.Conn.Read(ctx, sequences) {
		if err != nil {
			return nil, err
		}
		if _, selected := slices.BinarySearch(positions, stored.Sequence); !selected {
			continue
		}
		if m, ok := decode(stored).message(r.replay.Target, r.replay.Name); ok {
			found[stored.Sequence] = m
		}
	}
	return found, nil
}

// publish waits until the messages may be published, publishes them and stores the position.
func (r *run) publish(ctx context.Context, messages []Message) error {
	if err := r.awaitCapacity(ctx, uint64(len(messages))); err != nil {
		return err
	}
	all := make([]nats.ReplayMessage, len(messages))
	for i, m := range messages {
		data, err := json.Marshal(m)
		if err != nil {
			return fmt.Errorf("encode event %d: %w", m.Position, err)
		}
		all[i] = nats.ReplayMessage{
			Subject: r.subject(), Data: data,
			ID: fmt.Sprintf("%s:%d:%d", r.replay.Name, r.round, m.Position),
		}
	}
	if err := r.Conn.Replay(ctx, all); err != nil {
		return err
	}
	r.published += len(messages)
	return r.advance(ctx, messages[len(messages)-1].Position, len(messages))
}
