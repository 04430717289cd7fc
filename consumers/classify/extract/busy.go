package extract

import (
	"errors"
	"fmt"
	"time"
)

// ErrBusy means that reading a document took too long, but that it got less than a quarter of that
// processor time, because the machine was busy or the storage slow. Another attempt may succeed.
var ErrBusy = errors.New("document could not be read in time on a busy machine")

// errTimeout is wrapped by the errors of documents that take too long.
var errTimeout = fmt.Errorf("%w: it took longer than the limit", ErrBroken)

// unlessBusy returns err, or ErrBusy if err is a timeout of a document that used less than a
// quarter of its time. Documents that take long to read on purpose use all that they get.
func unlessBusy(err error, used, timeout time.Duration) error {
	if errors.Is(err, errTimeout) && isBusy(used, timeout) {
		return busyError(used, timeout)
	}
	return err
}

func isBusy(used, timeout time.Duration) bool { return used < timeout/4 }

func busyError(used, timeout time.Duration) error {
	return fmt.Errorf("%w: it took longer than %s but only %s of processor time",
		ErrBusy, timeout, used.Round(time.Millisecond))
}
