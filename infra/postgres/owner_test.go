package postgres_test

import "testing"

// TestOwnerAndPredefinedRoles tries to execute a program on the server as the owner of the
// database, who may create roles. docs/security.md says on which versions that is possible.
func TestOwnerAndPredefinedRoles(t *testing.T) {
	b := setup(t)
	var version int
	must(t, b.raw.Get(&version, `SELECT current_setting('server_version_num')::int`))
	const program = `COPY (SELECT 1) TO PROGRAM 'true'`
	wantInsufficientPrivilege(t, program, execStatement(b.raw, program))
	for _, role := range []string{
		"pg_execute_server_program", "pg_read_server_files", "pg_write_server_files",
	} {
		tx := b.raw.MustBegin()
		grant := `GRANT ` + role + ` TO CURRENT_USER`
		err := execStatement(tx, grant)
		if version >= 16_00_00 {
			wantInsufficientPrivilege(t, grant, err)
		} else if err != nil {
			t.Errorf("%s on version %d: got error %v, want none, as docs/security.md says",
				grant, version, err)
		}
		must(t, tx.Rollback())
	}
}
