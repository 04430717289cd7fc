package extract

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slowReader waits before each read. It uses no processor time.
type slowReader struct {
	r    io.Reader
	wait time.Duration
}

func (s slowReader) Read(p []byte) (int, error) {
	<-time.After(s.wait) // in the time of synctest
	return s.r.Read(p[:min(len(p), headBytes)])
}

// A sound email whose storage is slow can be read later.
func TestSlowStorageIsNotAnErrorOfTheDocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		mail := "From: a@example.com\nSubject: Lease\n\n" + strings.Repeat("The lease.\n", 8000)
		r := slowReader{strings.NewReader(mail), DefaultTimeout / 2}
		_, err = e.Text(t.Context(), r, int64(len(mail)), "")
		if !errors.Is(err, ErrBusy) || Reason(err) != "" {
			t.Errorf("got error %v, want %v without a reason", err, ErrBusy)
		}
	})
}

func TestUnlessBusy(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		used time.Duration
		want error
	}{
		"all of the time":   {errTimeout, time.Second, ErrBroken},
		"a quarter of it":   {errTimeout, 250 * time.Millisecond, ErrBroken},
		"less":              {errTimeout, 249 * time.Millisecond, ErrBusy},
		"another error":     {ErrBroken, 0, ErrBroken},
		"without any error": {nil, 0, nil},
	} {
		if got := unlessBusy(c.err, c.used, time.Second); !errors.Is(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	if err := unlessBusy(errTimeout, 0, time.Second); errors.Is(err, ErrBroken) {
		t.Errorf("got %v, want an error that is not %v", err, ErrBroken)
	}
}
