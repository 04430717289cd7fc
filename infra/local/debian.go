package local

import (
	"context"
	"errors"
)

func (f *fetcher) fetchPostgres(context.Context, string) (programs, error) {
	return programs{}, errors.New("PostgreSQL was not found: install it, or set PG_BIN to the folder of its programs")
}
