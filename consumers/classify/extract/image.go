package extract

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // a decoder for image.Decode
	"image/jpeg"
	_ "image/png" // a decoder for image.Decode
	"runtime/debug"
	"slices"

	"golang.org/x/image/draw"
	"golang.org/x/image/tiff"
	_ "golang.org/x/image/webp" // a decoder for image.Decode
)

const (
	// maxImageMemory is the largest number of bytes that an image may take while it is decoded. It
	// is enough for a typical JPEG of 66 million pixels or a PNG in color of 50 million.
	maxImageMemory = 200 << 20
	// largeImage is the number of bytes of an image file plus the number of its pixels above which
	// the memory is returned to the operating system immediately.
	largeImage = 16 << 20
	// smallImage is the number of pixels up to which an image is treated as a screenshot, whose
	// letters are too small to be recognized. Such an image is enlarged.
	smallImage = 1_500_000
)

// readImage recognizes the text in an image. It returns the number of pages if the image is a TIFF.
// An embedded image that is too small to be a page is skipped and does not count.
func (r *reading) readImage(ctx context.Context, d document) (pages int, err error) {
	if r.depth > 0 {
		config, _, err := decodeImageConfig(d.content)
		if err == nil && min(config.Width, config.Height) < minPictureSide {
			r.files--
			return 0, nil
		}
	}
	err = r.recognize(ctx, func() (scans []scan, err error) {
		var images []*image.Gray
		images, pages, err = r.decodeImage(ctx, d)
		if pages > len(images) && err == nil {
			r.text.incomplete = true
		}
		for _, img := range images {
			scans = append(scans, scan{image: img, place: r.text.b.Len()})
		}
		return scans, err
	})
	return pages, err
}

// decodeImage decodes an image and prepares it for tesseract. An image that needs more than
// smallMemory waits while a sandbox uses that much.
func (r *reading) decodeImage(
	ctx context.Context, d document,
) (images []*image.Gray, pages int, err error) {
	if d.size > r.config.MaxBytes {
		return nil, 0, fmt.Errorf("%w: image of %d bytes exceeds the limit", ErrUnsupported, d.size)
	}
	content, err := d.bytes(r.config.MaxBytes)
	if err != nil {
		return nil, 0, err
	}
	if offsets := tiffPages(content); len(offsets) > 0 {
		pages = len(offsets)
		for i, offset := range offsets[:min(pages, r.scansLeft)] {
			page, err := r.decodePage(ctx, tiffPage(content, offset))
			switch {
			case err == nil:
				images = append(images, page)
			case i == len(offsets)-1 && len(images) == 0, Reason(err) == "":
				return nil, pages, err
			}
		}
		return images, pages, nil
	}
	page, err := r.decodePage(ctx, content)
	return []*image.Gray{page}, 0, err
}

// decodePage decodes an image of one page.
func (r *reading) decodePage(ctx context.Context, content []byte) (*image.Gray, error) {
	f, err := openImage(content)
	if err != nil {
		return nil, err
	}
	if f.memory() > smallMemory {
		release, err := r.pdfs.acquireLargeMemory(ctx)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	ctx, cancel := r.withTimeout(ctx)
	defer cancel()
	page, whole, err := f.decode(ctx)
	r.text.incomplete = r.text.incomplete || !whole && err == nil
	return page, err
}

// imageFile is an image file whose header was read.
type imageFile struct {
	content []byte
	format  string
	image.Config
}

// openImage reads the header of an image. It fails if the image is too small or too large.
func openImage(content []byte) (f imageFile, err error) {
	f.content = content
	if f.Config, f.format, err = decodeImageConfig(content); err != nil {
		return f, imageError(err)
	}
	if f.format == "webp" {
		// A WebP file has a canvas and frames, each with its own size. DecodeConfig returns the size
		// of the canvas, but the decoder allocates the frame. It does not decode animations.
		still := webpFrame(content)
		frame, _, err := image.DecodeConfig(bytes.NewReader(still))
		switch {
		case err == nil && isAnimatedWebP(content):
			f.content, f.Config = still, frame
		case err != nil || frame.Width != f.Width || frame.Height != f.Height:
			return f, errDamagedImage
		}
	}
	switch {
	case f.Width < minScanSide || f.Height < minScanSide:
		return f, fmt.Errorf("%w: image of only %d×%d pixels", ErrNoText, f.Width, f.Height)
	case f.memory() > maxImageMemory:
		return f, fmt.Errorf("%w: image of %d×%d pixels exceeds the limit",
			ErrUnsupported, f.Width, f.Height)
	}
	return f, nil
}

// decodeImageConfig is image.DecodeConfig, also for the formats that are read by this package.
func decodeImageConfig(content []byte) (image.Config, string, error) {
	if d := readTIFF(content); d.order != nil {
		config, err := tiff.DecodeConfig(bytes.NewReader(content))
		if width, height := d.size(); err != nil || d.isJPEG() {
			config = image.Config{ColorModel: color.RGBAModel, Width: width, Height: height}
		}
		if config.Width == 0 || config.Height == 0 {
			err = errDamagedImage
		} else {
			err = nil
		}
		return config, "tiff", err
	}
	if isBitmap(content) {
		b, err := readBitmap(content)
		return image.Config{ColorModel: color.GrayModel, Width: b.width, Height: b.height}, "bmp", err
	}
	return image.DecodeConfig(bytes.NewReader(content))
}

// imageError returns an ErrUnsupported or ErrBroken for an error of a decoder.
func imageError(err error) error {
	var unsupportedJPEG jpeg.UnsupportedError
	switch {
	case Reason(err) != "":
		return err
	case errors.As(err, &unsupportedJPEG):
		return fmt.Errorf("%w: image in a variant that is not read", ErrUnsupported)
	}
	return errDamagedImage
}

var errDamagedImage = fmt.Errorf("%w: damaged image", ErrBroken)

// memory returns the largest number of bytes that decoding takes.
func (f imageFile) memory() int64 {
	return int64(f.Width) * int64(f.Height) * pixelBytes(f.ColorModel, f.format, f.content)
}

// decode decodes the image, unless ctx is done first. whole is false if a part of it is missing. A
// JPEG of few pixels can take hours to decode. Decoders cannot be stopped, but they return when
// their reader fails, and the reader fails as soon as ctx is done.
func (f imageFile) decode(ctx context.Context) (page *image.Gray, whole bool, err error) {
	decoded, whole, err := f.pixels(ctx)
	switch {
	case ctx.Err() != nil:
		return nil, false, fmt.Errorf("decode image: %w", context.Cause(ctx))
	case err != nil:
		return nil, false, imageError(err)
	}
	gray := orient(toGray(decoded), orientation(f.content))
	if len(f.content)+f.Width*f.Height > largeImage {
		debug.FreeOSMemory() // before tesseract uses as much
	}
	return gray, whole, nil
}

// pixels decodes the image at its full size. whole is false if a part of it is missing.
func (f imageFile) pixels(ctx context.Context) (_ image.Image, whole bool, err error) {
	if d := readTIFF(f.content); d.order != nil {
		if d.isStandard() {
			decoded, err := tiff.Decode(contextReader{ctx, bytes.NewReader(f.content)})
			if err == nil {
				return decoded, true, nil
			}
			debug.FreeOSMemory() // of what was decoded
		}
		return d.decode(ctx, f.content)
	}
	if isBitmap(f.content) {
		b, err := readBitmap(f.content)
		if err != nil {
			return nil, false, err
		}
		page, whole := b.decode()
		return page, whole, nil
	}
	decoded, _, err := image.Decode(contextReader{ctx, bytes.NewReader(f.content)})
	if err == nil {
		return decoded, true, nil
	}
	debug.FreeOSMemory() // of what was decoded
	for _, r := range f.repaired(ctx) {
		debug.FreeOSMemory() // of what was decoded to find the damage, or before this file
		if cut, _, err := image.Decode(contextReader{ctx, r.file}); err == nil {
			if pixels, ok := cut.(image.RGBA64Image); ok && r.step() > 1 {
				cut = reducedImage{pixels, r.step()}
			}
			return cut, r.whole(), nil
		}
	}
	return nil, false, err
}

// isAnimatedWebP reports whether the header of a WebP file says that it is an animation (RFC 9649,
// 2.7).
func isAnimatedWebP(content []byte) bool {
	const flags, animation = 20, 1 << 1
	return string(span(content, 12, 4)) == "VP8X" && content[flags]&animation != 0
}

// webpFrame returns a simple WebP file (RFC 9649, sections 2.5 and 2.6) with only the first frame
// of the given file, without its opacity, or nil if there is none. What is missing of a file that
// is cut off is missing at its end.
func webpFrame(content []byte) []byte {
	const frameHeader = 16 // of a frame of an animation (2.7.1.2)
	for at := 12; at+8 <= len(content); {
		size := int(binary.LittleEndian.Uint32(content[at+4:]))
		switch name := string(content[at : at+4]); name {
		case "VP8 ", "VP8L":
			chunk := span(content, at, 8+size+size%2)
			file := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(4+8+size+size%2))
			return append(append(file, "WEBP"...), chunk...)
		case "ANMF":
			at += 8 + frameHeader
			continue
		}
		at += 8 + size + size%2
	}
	return nil
}

// pixelBytes returns the largest number of bytes for each pixel that a decoder holds, including
// intermediate results. The color model alone does not determine it: the header declares the model,
// and the data after the header may need more.
func pixelBytes(model color.Model, format string, content []byte) int64 {
	switch format {
	case "png":
		return pngPixelBytes(content)
	case "jpeg":
		return jpegPixelBytes(model, content)
	case "gif":
		return 2 // an interlaced frame is copied to put its rows in order
	case "webp":
		switch model {
		case color.YCbCrModel:
			return 3
		case color.NYCbCrAModel:
			return 9 // the opacity is a separate lossless image
		}
		return 6 // an image with few colors is decoded at half the width, then expanded
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
	// A compressed block of a TIFF may take eight bytes for each pixel in every color model.
	if format == "tiff" {
		n += 8
	}
	return n
}

// pngPixelBytes implements pixelBytes for a PNG with a valid header (PNG, third edition, 11.2.1).
// A gray image with a transparent color is expanded to four channels. An interlaced image is
// assembled from seven smaller ones.
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

// jpegPixelBytes implements pixelBytes for a JPEG. It counts the planes and, unless they are gray
// or YCbCr, the image to which the decoder converts them. (Adobe's marker with "transform 0" means
// that they are RGB. It may come after the header.)
func jpegPixelBytes(model color.Model, content []byte) int64 {
	var planes, converted int64
	switch {
	case model == color.GrayModel:
		planes = 1
	case model == color.CMYKModel:
		planes, converted = 4, 4
	case model == color.YCbCrModel && !bytes.Contains(content, []byte("Adobe")):
		planes = 3
	default:
		planes, converted = 3, 4
	}
	// The decoder of a progressive JPEG also holds coefficients of four bytes for each plane.
	if isProgressive(content) {
		return 5*planes + converted
	}
	return planes + converted
}

// isProgressive reports whether the first frame header of a JPEG is that of a progressive JPEG
// (ITU-T T.81, B.1.1.3 and B.2.2). It is true if the header cannot be found.
func isProgressive(content []byte) bool {
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

// toGray converts an image to gray, with transparent pixels in white. It enlarges a small image and
// reduces a large one to the limits of a scan. Light letters on a transparent background become
// dark ones on white.
func toGray(img image.Image) *image.Gray {
	const light = 0xc0
	bounds := img.Bounds()
	width, height := bounds.Dx(), bounds.Dy()
	scale := min(1, scanScale(float64(width), float64(height)))
	if width*height <= smallImage && 2*max(width, height) <= maxScanSide {
		scale = 2
	}
	scaledWidth := max(1, int(float64(width)*scale))
	scaledHeight := max(1, int(float64(height)*scale))
	gray := newWhite(scaledWidth, scaledHeight)
	scaleOnto(gray, img)
	opaque, ok := img.(interface{ Opaque() bool })
	if ok && slices.Min(gray.Pix) >= light && !opaque.Opaque() {
		clear(gray.Pix)
		scaleOnto(gray, img)
		for i := range gray.Pix {
			gray.Pix[i] = ^gray.Pix[i]
		}
	}
	return gray
}

// scaleOnto draws an image onto a page, in the size of the page.
func scaleOnto(page *image.Gray, img image.Image) {
	if img.Bounds().Size() == page.Rect.Size() {
		draw.Draw(page, page.Rect, img, img.Bounds().Min, draw.Over)
	} else {
		draw.ApproxBiLinear.Scale(page, page.Rect, img, img.Bounds(), draw.Over, nil)
	}
}
