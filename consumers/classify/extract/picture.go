package extract

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	_ "image/gif"  // a decoder for image.Decode
	_ "image/jpeg" // a decoder for image.Decode
	_ "image/png"  // a decoder for image.Decode
	"runtime/debug"

	_ "golang.org/x/image/bmp" // a decoder for image.Decode
	"golang.org/x/image/draw"
	_ "golang.org/x/image/tiff" // a decoder for image.Decode
	_ "golang.org/x/image/webp" // a decoder for image.Decode
)

const (
	// maxPictureBytes bounds what a picture takes while it is decoded: 66 million
	// pixels of a usual JPEG, 50 of a PNG with colors.
	maxPictureBytes = 200 << 20
	// largePicture, in bytes of the file and pixels, is the size from which on the
	// memory of a picture is given back at once.
	largePicture = 16 << 20
	// smallPicture, in pixels, is the size up to which a picture is taken for a
	// screenshot, whose letters are too small to be recognized as they are.
	smallPicture = 1_500_000
)

// readPicture recognizes the letters in a picture: the first one of a file that
// has several.
func (e *Extractor) readPicture(ctx context.Context, d document, ocr recognition, text *text) error {
	return e.recognize(ctx, ocr, func() error {
		picture, err := e.decodePicture(ctx, d)
		if err != nil {
			return err
		}
		return e.ocr.read(ctx, []*image.Gray{picture}, text)
	})
}

// decodePicture decodes the document and returns it as tesseract reads it best. It waits
// while a sandbox has as much memory as the picture needs.
func (e *Extractor) decodePicture(ctx context.Context, d document) (*image.Gray, error) {
	if d.size > e.config.MaxBytes {
		return nil, fmt.Errorf("%w: a picture of %d bytes is over the limit", ErrUnsupported, d.size)
	}
	content, err := readUpTo(d.sequential, d.size, e.config.MaxBytes)
	if err != nil {
		return nil, err
	}
	p, err := openPicture(content)
	if err != nil {
		return nil, err
	}
	if p.memory() > smallBytes {
		giveBack, err := e.pdfs.takeLarge(ctx)
		if err != nil {
			return nil, err
		}
		defer giveBack()
	}
	ctx, cancel := e.timed(ctx)
	defer cancel()
	return p.decode(ctx)
}

// picture is the file of a picture whose header was read.
type picture struct {
	content []byte
	format  string
	image.Config
}

// openPicture reads the header, and refuses a picture that is too small or too large.
func openPicture(content []byte) (p picture, err error) {
	p.content = content
	if p.Config, p.format, err = image.DecodeConfig(bytes.NewReader(content)); err != nil {
		return p, errDamagedPicture
	}
	if p.format == "webp" {
		// A WebP file has a canvas and a frame, and the decoder believes the frame.
		frame, _, err := image.DecodeConfig(bytes.NewReader(webpFrame(content)))
		if err != nil || frame.Width != p.Width || frame.Height != p.Height {
			return p, errDamagedPicture
		}
	}
	switch {
	case p.Width < minScanSide || p.Height < minScanSide:
		return p, fmt.Errorf("%w: a picture of %d×%d pixels", ErrNoText, p.Width, p.Height)
	case p.memory() > maxPictureBytes:
		return p, fmt.Errorf("%w: a picture of %d×%d pixels is over the limit", ErrUnsupported, p.Width, p.Height)
	}
	return p, nil
}

var errDamagedPicture = fmt.Errorf("%w: damaged picture", ErrBroken)

// memory returns how many bytes a decoder needs at most.
func (p picture) memory() int64 {
	return int64(p.Width) * int64(p.Height) * pixelBytes(p.ColorModel, p.format, p.content)
}

// decode decodes the picture until ctx ends. Decoders cannot be stopped, but what they
// read can end: a JPEG can ask for hours of work on few pixels.
func (p picture) decode(ctx context.Context) (*image.Gray, error) {
	decoded, _, err := image.Decode(reader{ctx, bytes.NewReader(p.content)})
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("decode picture: %w", context.Cause(ctx))
	case err != nil:
		return nil, errDamagedPicture
	}
	gray := toGray(decoded)
	if len(p.content)+p.Width*p.Height > largePicture {
		debug.FreeOSMemory() // before tesseract takes as much
	}
	return gray, nil
}

// webpFrame is the file with nothing but its first frame, as a simple WebP file
// (RFC 9649, sections 2.5 and 2.6), or nothing where there is none.
func webpFrame(content []byte) []byte {
	for at := 12; at+8 <= len(content); {
		size := int(binary.LittleEndian.Uint32(content[at+4:]))
		switch name := string(content[at : at+4]); name {
		case "VP8 ", "VP8L":
			chunk := content[at:min(at+8+size, len(content))]
			file := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(4+len(chunk)+len(chunk)%2))
			file = append(append(file, "WEBP"...), chunk...)
			return append(file, make([]byte, len(chunk)%2)...)
		}
		at += 8 + size + size%2
	}
	return nil
}

// pixelBytes is how much a decoder holds at most for a pixel, in all that it makes
// of it. The model alone does not tell: it is of the first bytes, and what follows
// them may ask for more.
func pixelBytes(model color.Model, format string, content []byte) int64 {
	switch format {
	case "png":
		return pngPixelBytes(content)
	case "jpeg":
		return jpegPixelBytes(model, content)
	case "gif":
		return 2 // an interlaced frame is put in order in a second one
	case "webp":
		switch model {
		case color.YCbCrModel:
			return 3
		case color.NYCbCrAModel:
			return 9 // the opacity is a lossless picture of its own
		}
		return 6 // of a palette with few colors it makes half a picture, then the whole
	}
	var n int64 = 4
	switch model {
	case color.GrayModel:
		n = 1
	case color.Gray16Model:
		n = 2
	case color.RGBA64Model, color.NRGBA64Model:
		n = 8
	default:
		if _, ok := model.(color.Palette); ok {
			n = 1
		}
	}
	// A TIFF's compressed block may be of eight bytes a pixel, whatever is made of it.
	if format == "tiff" {
		n += 8
	}
	return n
}

// pngPixelBytes reads the header of a PNG (PNG, third edition, 11.2.1), which is
// sound. Gray with a transparent color becomes four channels, and an interlaced
// picture is collected from seven smaller ones.
func pngPixelBytes(content []byte) int64 {
	const gray, palette = 0, 3
	depth, kind, interlaced := content[24], content[25], content[28] != 0
	var n int64 = 4
	switch {
	case kind == palette, kind == gray && !bytes.Contains(content, []byte("tRNS")):
		n = 1
	}
	if depth == 16 {
		n *= 2
	}
	if interlaced {
		n *= 2
	}
	return n
}

// jpegPixelBytes counts the planes of a JPEG, and what they become where they are
// no YCbCr. (Adobe's marker, "transform 0", says so, and may follow the header.)
func jpegPixelBytes(model color.Model, content []byte) int64 {
	var planes, made int64
	switch {
	case model == color.GrayModel:
		planes = 1
	case model == color.CMYKModel:
		planes, made = 4, 4
	case model == color.YCbCrModel && !bytes.Contains(content, []byte("Adobe")):
		planes = 3
	default:
		planes, made = 3, 4
	}
	// A progressive JPEG is collected as coefficients of four bytes for each plane.
	if progressive(content) {
		return 5*planes + made
	}
	return planes + made
}

// progressive reports whether a JPEG's first frame header is of the progressive
// kind (ITU-T T.81, B.1.1.3 and B.2.2). What it cannot follow counts as one.
func progressive(content []byte) bool {
	for at := 2; at+4 <= len(content); {
		switch marker := content[at+1]; {
		case content[at] != 0xff:
			return true
		case marker == 0xff: // a fill byte
			at++
		case marker == 0xc2:
			return true
		case marker == 0xc0, marker == 0xc1:
			return false
		default:
			at += 2 + int(content[at+2])<<8 + int(content[at+3])
		}
	}
	return true
}

// toGray draws the picture in gray on white, enlarged where it is small, and
// reduced to the bounds of a scan where it is large.
func toGray(picture image.Image) *image.Gray {
	bounds := picture.Bounds()
	width, height := bounds.Dx(), bounds.Dy()
	scale := min(1, scanScale(float64(width), float64(height)))
	if width*height <= smallPicture && 2*max(width, height) <= maxScanSide {
		scale = 2
	}
	gray := image.NewGray(image.Rect(0, 0, max(1, int(float64(width)*scale)), max(1, int(float64(height)*scale))))
	for i := range gray.Pix {
		gray.Pix[i] = 0xff
	}
	if scale == 1 {
		draw.Draw(gray, gray.Rect, picture, bounds.Min, draw.Over)
	} else {
		draw.ApproxBiLinear.Scale(gray, gray.Rect, picture, bounds, draw.Over, nil)
	}
	return gray
}
