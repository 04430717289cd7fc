package main_test

import (
	"testing"

	"intray/cmd/internal/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }
