package reconcile

import (
	"iter"

	"intray/schema"
)

// pair is what the bucket and the database have at one key; one of the two may be
// missing.
type pair struct {
	object   *schema.Object
	document *schema.Document
}

// remainder is the part of a sequence that merge has still to yield.
type remainder[T any] struct {
	next  func() (T, error, bool)
	value T    // its first element
	more  bool // whether there is one
}

func (r *remainder[T]) advance() (err error) {
	r.value, err, r.more = r.next()
	return err
}

// merge walks two streams concurrently, both in the order of their keys, and yields
// every element of both exactly once, together where the keys are the same. It holds
// one element of each. The first error of either is yielded and ends it.
//
// Streams out of order only separate what belongs together: each half is then
// inspected and found to be in order, so nothing wrong is concluded from it.
func merge(
	objects iter.Seq2[schema.Object, error], documents iter.Seq2[schema.Document, error],
) iter.Seq2[pair, error] {
	return func(yield func(pair, error) bool) {
		nextObject, stopObjects := iter.Pull2(objects)
		defer stopObjects()
		nextDocument, stopDocuments := iter.Pull2(documents)
		defer stopDocuments()
		o := remainder[schema.Object]{next: nextObject}
		d := remainder[schema.Document]{next: nextDocument}
		err := o.advance()
		if err == nil {
			err = d.advance()
		}
		for err == nil && (o.more || d.more) {
			p := first(o, d)
			if !yield(p, nil) {
				return
			}
			if p.object != nil {
				err = o.advance()
			}
			if p.document != nil && err == nil {
				err = d.advance()
			}
		}
		if err != nil {
			yield(pair{}, err)
		}
	}
}

// first returns what is at the lesser of the two streams' keys.
func first(o remainder[schema.Object], d remainder[schema.Document]) (p pair) {
	if o.more && (!d.more || o.value.Key <= d.value.ObjectKey) {
		p.object = &o.value
	}
	if d.more && (!o.more || d.value.ObjectKey <= o.value.Key) {
		p.document = &d.value
	}
	return p
}
