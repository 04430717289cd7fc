package extract

import (
	"math/bits"
	"strings"
	"sync"
)

// fax decodes the compressions of fax machines: the one-dimensional code of ITU-T T.4 with its
// two-dimensional extension (Group 3), the code of ITU-T T.6 (Group 4), and the variants of Group 3
// in TIFF that have no codes between the rows (TIFF 6.0, section 10). Uncompressed mode, an option
// of T.4 and T.6 that is not in use, counts as damage.
type fax struct {
	compression int  // a value of tagCompression
	mixed       bool // rows of Group 3 may be two-dimensional
	width       int  // in pixels

	data   []byte
	at     int  // the next bit
	hasEOL bool // a code for the end of a line was found
}

// decode returns up to height rows of packed bits, which are 1 where the pixels are black. A
// damaged row is white from the damage on. Damage ends Group 4, in which each row depends on the
// one above it, but Group 3 continues after the next code for the end of a line. The time is linear
// in the number of bits of the data and of the pixels.
func (f *fax) decode(height int) (raw []byte) {
	stride := (f.width + 7) / 8
	var above, changes []int
	for range height {
		twoDimensional, more := f.startRow()
		if !more {
			break
		}
		row := faxRow{width: f.width, changes: changes[:0]}
		var whole bool
		if twoDimensional {
			whole = f.readRelative(&row, above)
		} else {
			whole = f.readRuns(&row)
		}
		above, changes = row.changes, above
		raw = append(raw, make([]byte, stride)...)
		row.paint(raw[len(raw)-stride:])
		if !whole && !f.hasEOL {
			break
		}
	}
	return raw
}

// startRow moves to the codes of the next row. more is false at the end of the data.
func (f *fax) startRow() (twoDimensional, more bool) {
	switch f.compression {
	case compressionGroup4:
		twoDimensional = true
	case compressionRLE:
		f.at = (f.at + 7) / 8 * 8
	case compressionRLEWord:
		f.at = (f.at + 15) / 16 * 16
	default:
		after, found := f.findEOL(f.hasEOL)
		if !found && f.hasEOL {
			return false, false
		}
		for ; found; after, found = f.findEOL(false) {
			f.at, f.hasEOL = after, true
			if f.mixed { // a bit tells how the row is encoded (T.4, 4.2.2)
				twoDimensional = !f.bit(f.at)
				f.at++
			}
		}
	}
	return twoDimensional, f.at < 8*len(f.data)
}

// findEOL finds a code for the end of a line, which is 1 after at least 11 zeros (T.4, 4.1.2): the
// next one, or only one that is next. It returns the place after it.
func (f *fax) findEOL(anywhere bool) (after int, found bool) {
	zeros := 0
	for at := f.at; at < 8*len(f.data); at++ {
		switch {
		case !f.bit(at):
			zeros++
		case zeros >= 11:
			return at + 1, true
		case !anywhere:
			return 0, false
		default:
			zeros = 0
		}
	}
	return 0, false
}

// bit returns the bit at a place in the data. Zeros follow the data.
func (f *fax) bit(at int) bool { return at < 8*len(f.data) && f.data[at/8]>>(7-at%8)&1 == 1 }

// peek returns the next bits, as many as the longest code has.
func (f *fax) peek() int {
	var next uint32
	for i := f.at / 8; i < f.at/8+3; i++ {
		next <<= 8
		if i < len(f.data) {
			next |= uint32(f.data[i])
		}
	}
	return int(next>>(24-maxFaxCode-f.at%8)) & (1<<maxFaxCode - 1)
}

// readRuns reads a row in the one-dimensional code (T.4, 4.1.1). It reports whether it is whole.
func (f *fax) readRuns(row *faxRow) bool {
	for at := 0; at < row.width; {
		n, ok := f.run(row.color())
		if !ok {
			return false
		}
		at += n
		row.change(at)
	}
	return true
}

// readRelative reads a row in the two-dimensional code, which describes how it differs from the row
// above it (T.4, 4.2.1, and T.6, 2.2). It reports whether it is whole.
func (f *fax) readRelative(row *faxRow, above []int) bool {
	change := func(i int) int {
		if i < len(above) {
			return above[i]
		}
		return row.width
	}
	i := 0
	for at := -1; at < row.width; { // the names in the recommendations: at is a0, change(i) is b1
		color := row.color()
		for i > 0 && change(i-1) > at {
			i--
		}
		for i < len(above) && (above[i] <= at || i%2 != color) {
			i++
		}
		next := f.peek()
		zeros := bits.LeadingZeros16(uint16(next) << (16 - maxFaxCode))
		switch zeros {
		case 0: // vertical mode, without a shift
			f.at++
			at = change(i)
			row.change(at)
		case 1, 4, 5: // vertical mode, by one to three pixels to the left or right
			shift := max(1, zeros-2)
			f.at += zeros + 2
			if next>>(maxFaxCode-zeros-2)&1 == 0 {
				shift = -shift
			}
			to := change(i) + shift
			if to < max(at, 0) {
				return false
			}
			at = to
			row.change(at)
		case 2: // horizontal mode
			f.at += 3
			at = max(at, 0)
			for _, c := range [2]int{color, 1 - color} {
				n, ok := f.run(c)
				if !ok {
					return false
				}
				at += n
				row.change(at)
			}
		case 3: // pass mode
			f.at += 4
			at = change(i + 1)
		default:
			return false
		}
	}
	return true
}

// run reads the length of a run of white (0) or black (1) pixels.
func (f *fax) run(color int) (n int, ok bool) {
	for {
		code := faxCodes()[color][f.peek()]
		f.at += int(code.bits)
		n += int(code.run)
		switch {
		case code.bits == 0 || n > maxTIFFSide+64:
			return 0, false
		case code.run < 64:
			return n, true
		}
	}
}

// faxRow is a row of pixels, as the places where the color changes. They increase, and the first
// one is a change to black.
type faxRow struct {
	width   int
	changes []int
}

// color returns the color after the last change: white (0) or black (1).
func (r *faxRow) color() int { return len(r.changes) % 2 }

// change changes the color at a place that is not before the last one.
func (r *faxRow) change(at int) {
	switch n := len(r.changes); {
	case at >= r.width:
	case n > 0 && r.changes[n-1] == at: // the run has no pixels
		r.changes = r.changes[:n-1]
	default:
		r.changes = append(r.changes, at)
	}
}

// paint sets the bits of the black pixels.
func (r *faxRow) paint(raw []byte) {
	for i := 0; i < len(r.changes); i += 2 {
		end := r.width
		if i+1 < len(r.changes) {
			end = r.changes[i+1]
		}
		for x := r.changes[i]; x < end; x++ {
			raw[x/8] |= 0x80 >> (x % 8)
		}
	}
}

// maxFaxCode is the largest number of bits of a code.
const maxFaxCode = 13

// faxCode is a code for the length of a run. It has no bits if there is no such code.
type faxCode struct{ run, bits int16 }

// faxCodes returns the codes for white and black runs, by what peek returns.
var faxCodes = sync.OnceValue(func() *[2][1 << maxFaxCode]faxCode {
	var codes [2][1 << maxFaxCode]faxCode
	for color, all := range [2]string{faxWhite + faxLong, faxBlack + faxLong} {
		for i, digits := range strings.Fields(all) {
			code := faxCode{run: int16(i), bits: int16(len(digits))}
			if i >= 64 {
				code.run = int16(i-63) * 64
			}
			first := 0
			for _, digit := range digits {
				first = first<<1 | int(digit-'0')
			}
			free := maxFaxCode - len(digits)
			for rest := range 1 << free {
				codes[color][first<<free|rest] = code
			}
		}
	}
	return &codes
})

// The codes for runs of 0 to 63 pixels, and for 64 to 2560 in steps of 64 (T.4, tables 2 and 3).
const (
	faxWhite = "" +
		"00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 " +
		"110101 101010 101011 0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 " +
		"0010011 0100100 0011000 00000010 00000011 00011010 00011011 00010010 00010011 00010100 " +
		"00010101 00010110 00010111 00101000 00101001 00101010 00101011 00101100 00101101 00000100 " +
		"00000101 00001010 00001011 01010010 01010011 01010100 01010101 00100100 00100101 01011000 " +
		"01011001 01011010 01011011 01001010 01001011 00110010 00110011 00110100 11011 10010 010111 " +
		"0110111 00110110 00110111 01100100 01100101 01101000 01100111 011001100 011001101 " +
		"011010010 011010011 011010100 011010101 011010110 011010111 011011000 011011001 011011010 " +
		"011011011 010011000 010011001 010011010 011000 010011011 "
	faxBlack = "" +
		"0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 " +
		"00000111 000011000 0000010111 0000011000 0000001000 00001100111 00001101000 00001101100 " +
		"00000110111 00000101000 00000010111 00000011000 000011001010 000011001011 000011001100 " +
		"000011001101 000001101000 000001101001 000001101010 000001101011 000011010010 000011010011 " +
		"000011010100 000011010101 000011010110 000011010111 000001101100 000001101101 000011011010 " +
		"000011011011 000001010100 000001010101 000001010110 000001010111 000001100100 000001100101 " +
		"000001010010 000001010011 000000100100 000000110111 000000111000 000000100111 000000101000 " +
		"000001011000 000001011001 000000101011 000000101100 000001011010 000001100110 000001100111 " +
		"0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 " +
		"0000001101100 0000001101101 0000001001010 0000001001011 0000001001100 0000001001101 " +
		"0000001110010 0000001110011 0000001110100 0000001110101 0000001110110 0000001110111 " +
		"0000001010010 0000001010011 0000001010100 0000001010101 0000001011010 0000001011011 " +
		"0000001100100 0000001100101 "
	faxLong = "" +
		"00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101 " +
		"000000010110 000000010111 000000011100 000000011101 000000011110 000000011111"
)
