// Package migrations embeds the migrations of the database in the binary, in the file layout of
// golang-migrate (https://github.com/golang-migrate/migrate).
//
// Each file is one transaction, which also inserts the file's version into the table
// applied_migrations, or deletes it if the file migrates down. golang-migrate records the version
// outside that transaction, in schema_migrations. If the two differ after a crash,
// applied_migrations is right.
package migrations

import (
	"embed"
	"strconv"
	"strings"
)

// FS contains the files <version>_<name>.up.sql and <version>_<name>.down.sql of every version.
//
//go:embed *.sql
var FS embed.FS

// Newest returns the highest version.
func Newest() int64 {
	files, _ := FS.ReadDir(".") // reading an embedded directory cannot fail
	var newest int64
	for _, f := range files {
		number, _, _ := strings.Cut(f.Name(), "_")
		if version, err := strconv.ParseInt(number, 10, 64); err == nil {
			newest = max(newest, version)
		}
	}
	return newest
}
