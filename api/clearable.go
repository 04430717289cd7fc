package api

import "encoding/json"

// clearable is a member of a request body that may be left out, null or a value.
type clearable[T any] struct {
	sent  bool
	value *T // nil for null
}

// UnmarshalJSON implements json.Unmarshaler. It is called for null, too.
func (c *clearable[T]) UnmarshalJSON(data []byte) error {
	c.sent = true
	return json.Unmarshal(data, &c.value)
}

// orDefault returns nil if the member was left out, a pointer to the default if it is null, and
// otherwise its value.
func (c clearable[T]) orDefault(byDefault T) *T {
	if c.sent && c.value == nil {
		return &byDefault
	}
	return c.value
}
