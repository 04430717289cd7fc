// Package schema defines the types that every other package shares: documents and the transitions
// between their statuses, quotas, topics, the events and their subjects, and the errors that a
// caller can distinguish.
//
// It imports no other package of this module and does no I/O. A transition is a method on values.
// Package postgres locks the rows, calls the method, and writes what it changed. Every rule about
// statuses and quotas is implemented in this package, and only here.
package schema
