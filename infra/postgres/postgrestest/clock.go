package postgrestest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// SkewClock makes the clock of a database appear to differ from that of this machine: now and
// clock_timestamp return the time plus the difference, in statements, functions and defaults of
// columns. This affects new sessions only. SkewClock ends the other sessions of the database if db
// has the role of a superuser. Otherwise the caller must restart the server.
func SkewClock(ctx context.Context, db *sqlx.DB, difference time.Duration) error {
	// A function of pg_catalog is found before all others, unless search_path lists pg_catalog.
	const path = `public, skewed, pg_catalog`
	statements := []string{`
		CREATE SCHEMA IF NOT EXISTS skewed;
		GRANT USAGE ON SCHEMA skewed TO PUBLIC`, `
		DO $$ DECLARE row record; BEGIN
			EXECUTE format('ALTER DATABASE %I SET search_path TO ` + path + `', current_database());
			FOR row IN SELECT p.oid::regprocedure AS name FROM pg_proc AS p
				WHERE p.pronamespace = 'public'::regnamespace AND EXISTS (
					SELECT FROM unnest(p.proconfig) AS c WHERE c LIKE 'search_path=%')
			LOOP EXECUTE format('ALTER FUNCTION %s SET search_path TO ` + path + `, pg_temp', row.name);
			END LOOP;
			FOR row IN SELECT d.adrelid::regclass AS name, a.attname FROM pg_attrdef AS d
				JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
				WHERE pg_get_expr(d.adbin, d.adrelid) = 'now()'
			LOOP EXECUTE format('ALTER TABLE %s ALTER %I SET DEFAULT skewed.now()', row.name, row.attname);
			END LOOP;
		END $$`,
	}
	statements = append(statements, `
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()
			AND backend_type = 'client backend'`)
	for _, function := range []string{"now", "clock_timestamp"} {
		statements[0] += fmt.Sprintf(`;
			CREATE OR REPLACE FUNCTION skewed.%s() RETURNS timestamptz LANGUAGE sql STABLE
				AS 'SELECT pg_catalog.%s() + make_interval(secs => %f)'`,
			function, function, difference.Seconds())
	}
	statements = append(statements, `SET search_path TO `+path) // of this session
	conn, err := db.Connx(ctx)
	if err != nil {
		return fmt.Errorf("skew the database's clock: %w", err)
	}
	defer func() { _ = conn.Close() }()
	for _, statement := range statements {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("skew the database's clock: %w", err)
		}
	}
	return nil
}

// storedTimes are the tables with times that come from the database's clock, apart from those that
// a migration creates. futureTimes are the columns among them that may be later than now.
var (
	storedTimes = []string{
		"documents", "object_deletions", "gone_keys", "document_attempts", "message_attempts",
		"dead_letters",
		"multipart_uploads", "unchecked_uploads", "leases", "sessions",
	}
	futureTimes = []string{"next_at", "next_attempt_at", "expires_at"}
	// natsTimes come from the clock of NATS.
	natsTimes = []string{"first_at", "stored_at"}
)

// MisdatedTimes returns an example of each column that contains a time before since or after now,
// according to the database's clock, by more than a minute. If SkewClock skewed the clock before
// since, these are the times that come from another clock.
func MisdatedTimes(
	ctx context.Context, db *sqlx.DB, since time.Time,
) (found []string, err error) {
	var columns []struct{ Table, Column string }
	err = db.SelectContext(ctx, &columns, `
		SELECT table_name AS table, column_name AS column FROM information_schema.columns
		WHERE table_schema = 'public' AND data_type = 'timestamp with time zone'
			AND table_name = ANY($1) AND NOT column_name = ANY($2)
		ORDER BY table_name, column_name`, pq.Array(storedTimes), pq.Array(natsTimes))
	if err != nil {
		return nil, fmt.Errorf("find the columns with times: %w", err)
	}
	for _, c := range columns {
		var examples []string
		err := db.SelectContext(ctx, &examples, fmt.Sprintf(`
			SELECT format('%[1]s.%[2]s: %%s from now: %%s', %[2]s - now(), row_to_json(t)) FROM %[1]s AS t
			WHERE %[2]s < $1 OR (%[2]s > now() + interval '1 min' AND NOT $2) LIMIT 1`,
			c.Table, c.Column), since.Add(-time.Minute), slices.Contains(futureTimes, c.Column))
		if err != nil {
			return nil, fmt.Errorf("read %s.%s: %w", c.Table, c.Column, err)
		}
		found = append(found, examples...)
	}
	return found, nil
}
