// Package migrations holds the database's migrations in the file layout of
// golang-migrate (https://github.com/golang-migrate/migrate), embedded, so that
// the binary alone can make or change a database.
//
// Each file is one transaction, which also writes (or, on the way down, removes)
// the file's version in the table applied_migrations. golang-migrate keeps its own
// note of the version outside of that transaction; after a crash the table has
// what is true.
package migrations

import (
	"embed"
	"strconv"
	"strings"
)

// FS holds <version>_<name>.up.sql and .down.sql for every version.
//
//go:embed *.sql
var FS embed.FS

// Newest returns the highest version that there is.
func Newest() int64 {
	files, _ := FS.ReadDir(".") // an embedded folder can always be read
	var newest int64
	for _, f := range files {
		number, _, _ := strings.Cut(f.Name(), "_")
		if version, err := strconv.ParseInt(number, 10, 64); err == nil {
			newest = max(newest, version)
		}
	}
	return newest
}
