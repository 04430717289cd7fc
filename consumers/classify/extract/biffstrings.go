package extract

// biffStrings reads strings from a record and those that continue it. Where the characters of a
// string are divided, the next record begins with a byte of flags ([MS-XLS], 2.5.293).
type biffStrings struct{ parts [][]byte }

func (b *biffStrings) empty() bool {
	for len(b.parts) > 0 && len(b.parts[0]) == 0 {
		b.parts = b.parts[1:]
	}
	return len(b.parts) == 0
}

// take returns the next n bytes of a record, or what there is of them.
func (b *biffStrings) take(n int) []byte {
	if b.empty() {
		return nil
	}
	taken := span(b.parts[0], 0, n)
	b.parts[0] = b.parts[0][len(taken):]
	return taken
}

func (b *biffStrings) skip(n int) {
	for n > 0 && !b.empty() {
		n -= len(b.take(n))
	}
}

// characters returns count characters, which have two bytes each if wide is true.
func (b *biffStrings) characters(count int, wide bool) string {
	s := ""
	for count > 0 && len(b.parts) > 0 {
		if len(b.parts[0]) == 0 {
			b.parts = b.parts[1:]
			if flags := b.take(1); len(flags) > 0 {
				wide = flags[0]&1 != 0
			}
			continue
		}
		size := 1
		if wide {
			size = 2
		}
		raw := b.take(count * size)
		count -= (len(raw) + size - 1) / size
		if wide {
			s += utf16Text(raw)
		} else {
			s += latin1Text(raw)
		}
	}
	return s
}

// latin1Text decodes characters of which only the lower bytes are stored.
func latin1Text(raw []byte) string {
	runes := make([]rune, len(raw))
	for i, b := range raw {
		runes[i] = rune(b)
	}
	return string(runes)
}
