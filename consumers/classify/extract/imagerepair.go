package extract

import (
	"bytes"
	"compress/lzw"
	"compress/zlib"
	"context"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"io"
	"slices"
	"strings"
)

// repairedImage is an image file without an end, or with damage, to which an end was added.
type repairedImage struct {
	file  io.Reader
	whole func() bool // reports, after file was decoded, that no pixels were missing
	step  func() int  // returns, after that, the distance of the pixels that there are
}

// repaired returns the files that a decoder may read although it does not read f. Decoders return
// no pixels of an image that is cut off. The pixels that are missing in a PNG or GIF are white,
// except in an interlaced PNG, which is reduced to the pixels that there are. In a JPEG and a WebP
// they are decoded from zeros, which results in shapeless blocks, or a progressive
// JPEG is read without its last scans. A JPEG that is damaged is cut off where the damage is.
func (f imageFile) repaired(ctx context.Context) []repairedImage {
	never, one := func() bool { return false }, func() int { return 1 }
	content, missing := bytes.NewReader(f.content), int64(f.Width)*int64(f.Height)
	switch f.format {
	case "jpeg":
		const end = "\xff\xd9"
		damage := f.jpegDamage(ctx)
		return []repairedImage{
			{io.MultiReader(content, strings.NewReader(end)), func() bool { return true }, one},
			{io.MultiReader(
				bytes.NewReader(f.content[:damage]), io.LimitReader(zeros{}, missing),
				strings.NewReader(end),
			), never, one},
			{io.MultiReader(
				bytes.NewReader(f.content[:lastScan(f.content[:damage])]), strings.NewReader(end),
			), never, one},
		}
	case "webp":
		return []repairedImage{{io.MultiReader(content, io.LimitReader(zeros{}, 4*missing)), never, one}}
	case "gif":
		if file, pixels := repairGIF(f.content, f.ColorModel); file != nil {
			return []repairedImage{{file, func() bool { return !pixels.padded }, one}}
		}
	case "png":
		if p := repairPNG(f.content, f.Height); p != nil {
			return []repairedImage{{p, func() bool { return !p.rows.padded }, p.step}}
		}
	}
	return nil
}

// jpegDamage returns the place in a JPEG from which on it cannot be decoded. The decoder sees that
// a code is wrong a few bytes after it.
func (f imageFile) jpegDamage(ctx context.Context) int {
	const seenWithin = 8
	content := bytes.NewReader(f.content)
	_, _, _ = image.Decode(contextReader{ctx, singleBytes{content}})
	if content.Len() == 0 {
		return len(f.content)
	}
	return max(0, len(f.content)-content.Len()-seenWithin)
}

// singleBytes reads one byte at a time, so that a decoder reads nothing ahead.
type singleBytes struct{ io.Reader }

func (s singleBytes) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(1, len(p))]) }

// lastScan returns where the last scan of a JPEG begins (ITU-T T.81, B.2.3). A progressive JPEG has
// several, each of which makes the image sharper, and of which some cannot be padded with zeros.
func lastScan(content []byte) int { return max(0, bytes.LastIndex(content, []byte("\xff\xda"))) }

// zeros is an endless reader of zeros.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// pngRows reads a PNG whose pixels are compressed anew, because the compressed data ends early.
type pngRows struct {
	rows       *paddedRows // uncompressed
	compressor *zlib.Writer
	compressed bytes.Buffer
	out        bytes.Buffer
	ended      bool
	passes     []int // the places in rows where each pass of an interlaced PNG ends
}

// repairPNG returns a PNG with the rows that there are in content, and white ones to the height.
// In a PNG with a palette they have its first color. It returns nil if there is no row.
func repairPNG(content []byte, height int) *pngRows {
	const signature, header, palette = 8, 33, 3
	var data []io.Reader
	start := 0
	for at := signature; at+8 <= len(content); {
		chunk := span(content, at+8, int(binary.BigEndian.Uint32(content[at:])))
		if string(content[at+4:at+8]) == "IDAT" {
			if start == 0 {
				start = at
			}
			data = append(data, bytes.NewReader(chunk))
		}
		at += 12 + len(chunk)
	}
	if start < header {
		return nil
	}
	rows, err := zlib.NewReader(io.MultiReader(data...))
	if err != nil {
		return nil
	}
	depth, kind := int(content[24]), content[25]
	samples := map[byte]int{2: 3, 4: 2, 6: 4}[kind]
	width := int(binary.BigEndian.Uint32(content[16:]))
	bits := depth * max(1, samples)
	stride := (width*bits + 7) / 8
	first := make([]byte, 1+stride)
	if _, err := io.ReadFull(rows, first); err != nil {
		return nil
	}
	white := bytes.Repeat([]byte{0xff}, 1+stride)
	if kind == palette {
		clear(white)
	}
	white[0] = 0 // the row is not filtered
	p := &pngRows{rows: &paddedRows{
		rows: io.MultiReader(bytes.NewReader(first), rows), white: white, left: height * len(white),
	}}
	if interlaced := content[28] != 0; interlaced {
		p.passes = pngPasses(width, height, bits)
		p.rows.left, p.rows.white = p.passes[len(p.passes)-1], []byte{0}
	}
	p.compressor, _ = zlib.NewWriterLevel(&p.compressed, zlib.NoCompression)
	p.out.Write(content[:start])
	return p
}

// adam7 has the first column and row of the pixels of each pass of an interlaced PNG, and their
// distances (PNG, third edition, 8.2).
var adam7 = [][4]int{
	{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2},
}

// pngPasses returns where the rows of each pass of an interlaced PNG end.
func pngPasses(width, height, bits int) (ends []int) {
	end := 0
	for _, pass := range adam7 {
		columns := (width - pass[0] + pass[2] - 1) / pass[2]
		rows := (height - pass[1] + pass[3] - 1) / pass[3]
		if columns > 0 {
			end += rows * (1 + (columns*bits+7)/8)
		}
		ends = append(ends, end)
	}
	return ends
}

// step returns the distance of the pixels of the passes that are whole, in both directions.
func (p *pngRows) step() int {
	whole := 0
	for whole < len(p.passes) && p.passes[whole] <= p.rows.kept {
		whole++
	}
	if len(p.passes) == 0 {
		return 1
	}
	return []int{8, 8, 8, 4, 4, 2, 2, 1}[whole]
}

// reducedImage is an image with only the pixels at multiples of step. Its bounds begin at 0. It
// implements image.RGBA64Image, without which it could not be scaled onto an image.Gray.
type reducedImage struct {
	image.RGBA64Image
	step int
}

func (r reducedImage) Bounds() image.Rectangle {
	size := r.RGBA64Image.Bounds().Size()
	return image.Rect(0, 0, (size.X+r.step-1)/r.step, (size.Y+r.step-1)/r.step)
}

func (r reducedImage) At(x, y int) color.Color { return r.RGBA64At(x, y) }

func (r reducedImage) RGBA64At(x, y int) color.RGBA64 {
	return r.RGBA64Image.RGBA64At(x*r.step, y*r.step)
}

func (p *pngRows) Read(b []byte) (int, error) {
	for p.out.Len() == 0 && !p.ended {
		if _, err := io.CopyN(p.compressor, p.rows, 1<<15); err != nil {
			p.ended = true
			_ = p.compressor.Close() // a buffer does not fail
		}
		p.chunk("IDAT", p.compressed.Bytes())
		p.compressed.Reset()
		if p.ended {
			p.chunk("IEND", nil)
		}
	}
	return p.out.Read(b)
}

// chunk writes a chunk (PNG, third edition, 5.3).
func (p *pngRows) chunk(name string, data []byte) {
	named := append([]byte(name), data...)
	p.out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(data))))
	p.out.Write(named)
	p.out.Write(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(named)))
}

// repairGIF returns a GIF with the pixels that there are in the first image of content, and white
// ones after them. It returns nil if there is no image.
func repairGIF(content []byte, model color.Model) (file io.Reader, pixels *paddedRows) {
	const header, descriptor = 13, 10
	// colors returns the size of a table of colors.
	colors := func(flags byte) int {
		if flags&0x80 == 0 {
			return 0
		}
		return 3 << (1 + flags&7)
	}
	at := header + colors(content[10])
	for at+2 < len(content) && content[at] == 0x21 { // an extension
		_, at = gifBlocks(content, at+2)
	}
	picture := span(content, at, descriptor)
	if len(picture) < descriptor || picture[0] != 0x2c {
		return nil, nil
	}
	at += descriptor + colors(picture[9])
	width, height := binary.LittleEndian.Uint16(picture[5:]), binary.LittleEndian.Uint16(picture[7:])
	size := int(width) * int(height)
	if at >= len(content) || content[at] < 2 || content[at] > 8 {
		return nil, nil
	}
	depth := int(content[at])
	white := 0
	if palette, ok := model.(color.Palette); ok {
		white = min(palette.Index(color.White), 1<<depth-1)
	}
	data, _ := gifBlocks(content, at+1)
	pixels = &paddedRows{
		rows:  lzw.NewReader(bytes.NewReader(data), lzw.LSB, depth),
		white: bytes.Repeat([]byte{byte(white)}, 1<<10), left: size,
	}
	var compressed, out bytes.Buffer
	compressor := lzw.NewWriter(&compressed, lzw.LSB, depth)
	_, _ = io.Copy(compressor, pixels) // a buffer does not fail
	_ = compressor.Close()
	for block := range slices.Chunk(compressed.Bytes(), 255) {
		out.WriteByte(byte(len(block)))
		out.Write(block)
	}
	out.WriteString("\x00;") // the end of the pixels and of the file
	return io.MultiReader(bytes.NewReader(content[:at+1]), &out), pixels
}

// gifBlocks returns the data of the blocks at a place (GIF 89a, section 15), and the place after
// them.
func gifBlocks(content []byte, at int) (data []byte, after int) {
	for at < len(content) && content[at] > 0 {
		data = append(data, span(content, at+1, int(content[at]))...)
		at += 1 + int(content[at])
	}
	return data, at + 1
}

// paddedRows reads rows, and white ones after the last one.
type paddedRows struct {
	rows  io.Reader
	white []byte
	left  int // bytes

	kept          int // bytes that were read from rows
	ended, padded bool
}

func (p *paddedRows) Read(b []byte) (n int, err error) {
	b = b[:min(len(b), p.left)]
	if len(b) == 0 {
		return 0, io.EOF
	}
	if !p.ended {
		n, err = p.rows.Read(b)
		p.kept += n
		p.ended = err != nil
	}
	if n == 0 && p.ended {
		at := (len(p.white) - p.left%len(p.white)) % len(p.white)
		n = copy(b, p.white[at:])
		p.padded = true
	}
	p.left -= n
	return n, nil
}
