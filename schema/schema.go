// Package schema is the vocabulary that every other package shares: documents
// and the transitions between their statuses, quotas, topics, the events and
// their subjects, and the errors a caller can distinguish.
//
// It imports no other package of this module and does no I/O. Transitions are
// plain functions on values: the database adapter locks the rows, calls them,
// and writes what they changed, so that every rule about statuses and quotas
// is stated here once.
package schema
