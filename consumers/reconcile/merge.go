package reconcile

import (
	"iter"

	"intray/schema"
)

// pair is the object and the document at one key. One of them may be nil.
type pair struct {
	object   *schema.Object
	document *schema.Document
}

// remainder is the part of a sequence that merge has not yielded yet.
type remainder[T any] struct {
	next  func() (T, error, bool)
	value T    // the first element
	more  bool // whether there is a first element
}

func (r *remainder[T]) advance() (err error) {
	r.value, err, r.more = r.next()
	return err
}

// merge merges two streams that are ordered by key. It yields every element of both exactly once,
// and elements with equal keys as one pair. It keeps one element of each stream in memory. If a
// stream yields an error, merge yields it and ends.
//
// If a stream is not in order, an object and its document may be yielded separately. This is
// harmless: each of them is then inspected and found to be correct.
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

// first returns the object and the document at the smaller of the two next keys.
func first(o remainder[schema.Object], d remainder[schema.Document]) (p pair) {
	if o.more && (!d.more || o.value.Key <= d.value.ObjectKey) {
		p.object = &o.value
	}
	if d.more && (!o.more || d.value.ObjectKey <= o.value.Key) {
		p.document = &d.value
	}
	return p
}
