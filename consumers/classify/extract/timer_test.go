package extract

import (
	"testing"
	"time"
)

func TestTimer(t *testing.T) {
	t.Run("stop before it expires", func(t *testing.T) {
		timer := startTimer(time.Hour, func() {})
		if !timer.stop() {
			t.Error("stop: got false, want true")
		}
	})
	t.Run("stop while it is paused", func(t *testing.T) {
		timer := startTimer(time.Hour, func() {})
		timer.pause()
		if !timer.stop() {
			t.Error("stop: got false, want true")
		}
	})
	t.Run("stop after it has expired", func(t *testing.T) {
		expired := make(chan struct{})
		timer := startTimer(time.Nanosecond, func() { close(expired) })
		<-expired
		if timer.stop() {
			t.Error("stop: got true, want false")
		}
	})
	t.Run("expires after it was resumed", func(t *testing.T) {
		expired := make(chan struct{})
		timer := startTimer(time.Hour, func() { close(expired) })
		timer.pause()
		timer.left = time.Nanosecond
		timer.resume()
		<-expired
	})
}
