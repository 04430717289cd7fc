package main

type auditCommand struct {
	List auditListCommand `cmd:"" help:"List events of the audit trail, newest first."`
}

const auditHelp = `The audit trail records sign-ins and failed ones, changes of passwords, roles,
quotas, AI settings, accounts and system topics, download URLs, and what operators replay, retry,
drop, repair and provision. Events are stored for 90 days. docs/operations.md describes the kinds.

Failed sign-ins are summed up by account, address and minute. COUNT is their number.

Examples:

  intray audit list --since 24h
  intray audit list --kind sign_in_failed --since 1h
  intray audit list --user alice@example.org --json
  intray audit list --kind quota_changed --json | jq -r '[.at, .actor, .account, .details] | @json'

Exit status: 0 success, also if there are no events, 1 a failure, 2 wrong usage, 3 the database is
unreachable.`

// Help describes the audit trail and gives examples.
func (auditCommand) Help() string { return auditHelp }
