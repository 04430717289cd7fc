package runner

import (
	"context"
	"testing"
	"testing/synctest"
)

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := make(turns, 1)
		end := turns.begin(t.Context())
		began := false
		go func() {
			defer turns.begin(t.Context())()
			began = true
		}()
		synctest.Wait()
		if began {
			t.Error("got a second turn during the first one, want it to wait")
		}
		end()
		end() // has no effect on the turn of another worker
		synctest.Wait()
		if !began {
			t.Error("got no second turn after the first one, want one")
		}
		end = turns.begin(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		canceled := false
		go func() {
			turns.begin(ctx)()
			canceled = true
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		if !canceled {
			t.Error("got begin blocked after its context was canceled, want it to return")
		}
		end()
	})
}

func TestTurnsOfLanesDoNotWait(t *testing.T) {
	var none turns
	none.begin(t.Context())
	none.begin(t.Context())()
}
