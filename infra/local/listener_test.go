package local

import (
	"net"
	"testing"
)

func TestListeners(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0100007F:2382 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1
   1: 0100007F:2383 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 2 1
   2: 0100007F:2384 0100007F:2382 01 00000000:00000000 00:00000000 00000000  1000        0 3 1
`
	for _, test := range []struct {
		port         int
		ours, others bool
	}{
		{0x2382, true, false}, {0x2383, false, true}, {0x2384, false, false}, {0x382, false, false},
	} {
		ours, others := listeners(table, test.port, "1000")
		if ours != test.ours || others != test.others {
			t.Errorf("port %x: got %v, %v; want %v, %v", test.port, ours, others, test.ours, test.others)
		}
	}
}

func TestCheckListener(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := checkListener(port); err != nil {
		t.Errorf("own listener: got %v, want nil", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := checkListener(port); err == nil {
		t.Error("no listener: got nil, want an error")
	}
}
