package schema_test

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"intray/schema"
)

// If the object has the declared size, Confirm marks a pending document as uploaded and charges it
// to its owner's quota. A second call changes nothing.
func ExampleDocument_Confirm() {
	now := time.Now()
	quota := schema.Quota{LimitBytes: 1000}
	document := schema.NewDocument(uuid.New(), uuid.New(), "letter.txt", "text/plain", 300, now)
	object := schema.Object{Key: document.ObjectKey, Size: 300, ETag: "5d41402abc4b2a76"}

	for range 2 {
		decision := document.Confirm(object, &quota, now)
		fmt.Println(document.Status, decision.Changed, quota.UsedBytes)
	}
	// Output:
	// uploaded true 300
	// uploaded false 300
}

// If the object exceeds the remaining quota, Confirm marks the document as rejected and its object
// for deletion.
func ExampleDocument_Confirm_quotaExceeded() {
	now := time.Now()
	quota := schema.Quota{LimitBytes: 1000, UsedBytes: 900}
	document := schema.NewDocument(uuid.New(), uuid.New(), "film.txt", "text/plain", 300, now)
	object := schema.Object{Key: document.ObjectKey, Size: 300}

	decision := document.Confirm(object, &quota, now)
	fmt.Println(document.Status, document.Reason, decision.DeleteObject, quota.UsedBytes)
	// Output: rejected quota_exceeded true 900
}

// DocumentID returns the id of the document that an object belongs to.
func ExampleDocumentID() {
	id := uuid.MustParse("0193a5b0-7d21-7c4e-8f0a-1c2d3e4f5a6b")
	key := schema.ObjectKey(id)
	found, ok := schema.DocumentID(key)
	fmt.Println(key)
	fmt.Println(found, ok)
	// Output:
	// documents/0193a5b07d/0193a5b0-7d21-7c4e-8f0a-1c2d3e4f5a6b
	// 0193a5b0-7d21-7c4e-8f0a-1c2d3e4f5a6b true
}
