package main_test

import (
	"testing"

	"intray/cmd/internal/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

// TestMeasurements runs all measurements on one stack. testDocuments runs last, because its
// objects are deleted some time after it ends.
func TestMeasurements(t *testing.T) {
	s := stacktest.Up(t)
	t.Run("confirm", func(t *testing.T) { testConfirm(t, s) })
	t.Run("api", func(t *testing.T) { testAPI(t, s) })
	t.Run("uploads", func(t *testing.T) { testUploads(t, s) })
	t.Run("documents", func(t *testing.T) { testDocuments(t, s) })
}
