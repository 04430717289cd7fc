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

// merge walks two streams, both in the order of their keys, side by side and
// yields every element of both exactly once, together where the keys are the
// same. It holds one element of each. The first error of either is yielded and
// ends it.
//
// Streams out of order only part what belongs together: each half is then looked
// at again and found to be in order, so nothing wrong is concluded from it.
func merge(objects iter.Seq2[schema.Object, error], documents iter.Seq2[schema.Document, error]) iter.Seq2[pair, error] {
	return func(yield func(pair, error) bool) {
		nextObject, stopObjects := iter.Pull2(objects)
		defer stopObjects()
		nextDocument, stopDocuments := iter.Pull2(documents)
		defer stopDocuments()
		o, failed, more := nextObject()
		if failed != nil {
			yield(pair{}, failed)
			return
		}
		d, failed, documentsMore := nextDocument()
		for failed == nil && (more || documentsMore) {
			object, document := o, d
			var p pair
			if more && (!documentsMore || object.Key <= document.ObjectKey) {
				p.object = &object
			}
			if documentsMore && (!more || document.ObjectKey <= object.Key) {
				p.document = &document
			}
			if !yield(p, nil) {
				return
			}
			if p.object != nil {
				o, failed, more = nextObject()
			}
			if p.document != nil && failed == nil {
				d, failed, documentsMore = nextDocument()
			}
		}
		if failed != nil {
			yield(pair{}, failed)
		}
	}
}
