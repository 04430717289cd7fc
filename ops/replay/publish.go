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

// pageBlocks is how many blocks of the source are read at once.
const pageBlocks = 16

// publishUndecided publishes the events after the position that have no outcome.
func (r *run) publishUndecided(ctx context.Context) error {
	for {
		blocks, err := r.DB.UnfinishedEvents(ctx, r.replay.Name, uint64(r.replay.Position)+1, pageBlocks)
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
		for chunk := range slices.Chunk(messages, r.pace.chunkAt(r.replay.Rate)) {
			if err := r.publish(ctx, chunk); err != nil {
				return err
			}
		}
		if len(r.lost) > 0 {
			if err := r.DB.RecordOutcomes(ctx, r.lost); err != nil {
				return err
			}
			r.lost = r.lost[:0]
		}
		if err := r.advance(ctx, last, 0); err != nil {
			return err
		}
	}
}

// read returns the messages of the blocks' events, in order, and the last of their
// positions. Events that are not stored any more go to r.lost.
func (r *run) read(
	ctx context.Context, blocks []postgres.ReplayBlock,
) (messages []Message, last uint64, err error) {
	var positions []uint64
	for _, b := range blocks {
		positions = slices.AppendSeq(positions, b.All())
	}
	var found map[uint64]Message
	if r.replay.Stream == "" {
		found, err = r.madeMessages(ctx, positions)
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
			r.lost = append(r.lost, postgres.EventOutcome{
				Replay: r.replay.Name, Position: position, Outcome: postgres.Failed,
			})
		}
	}
	return messages, positions[len(positions)-1], nil
}

// madeMessages returns the messages of the events that were made from the bucket, by
// position. The positions are in ascending order.
func (r *run) madeMessages(ctx context.Context, positions []uint64) (map[uint64]Message, error) {
	made, err := r.DB.GeneratedEvents(ctx, r.replay.Name, positions[0], positions[len(positions)-1])
	if err != nil {
		return nil, err
	}
	found := make(map[uint64]Message, len(made))
	for position, key := range made {
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

// storedMessages returns the messages of the stream's events at the positions, which
// are in ascending order.
func (r *run) storedMessages(ctx context.Context, positions []uint64) (map[uint64]Message, error) {
	found := make(map[uint64]Message, len(positions))
	stretch := nats.Range{
		Stream: r.replay.Stream, After: positions[0] - 1, Through: positions[len(positions)-1],
	}
	for stored, err := range r.Conn.Read(ctx, stretch) {
		if err != nil {
			return nil, err
		}
		if _, chosen := slices.BinarySearch(positions, stored.Sequence); !chosen {
			continue
		}
		if m, ok := decode(stored).message(r.replay.Target, r.replay.Name); ok {
			found[stored.Sequence] = m
		}
	}
	return found, nil
}

// publish publishes messages as soon as their turn has come.
func (r *run) publish(ctx context.Context, messages []Message) error {
	if err := r.awaitTurn(ctx, uint64(len(messages))); err != nil {
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
