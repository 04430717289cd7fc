package extract

import (
	"bytes"
	"encoding/binary"
	"image"
)

// tagOrientation is the tag of a TIFF, and of the Exif data of other images, that says how the
// image has to be turned (TIFF 6.0, page 36).
const tagOrientation = 274

// orientation returns the value of tagOrientation, or 1, which means that the image is upright.
// Cameras write the pixels as their sensor stores them.
func orientation(content []byte) int {
	data := exif(content)
	if tiffFormatOf(content).order != nil {
		data = content
	}
	if o := readTIFF(data).value(tagOrientation, 0); o >= 1 && o <= 8 {
		return o
	}
	return 1
}

// exif returns the Exif data of a JPEG, PNG or WebP, which has the structure of a TIFF, or nil.
func exif(content []byte) []byte {
	mark := []byte("Exif\x00\x00")
	switch {
	case bytes.HasPrefix(content, []byte("\xff\xd8")):
		for at := 2; at+4 <= len(content) && content[at] == 0xff && content[at+1] != 0xda; {
			segment := span(content, at+4, int(binary.BigEndian.Uint16(content[at+2:]))-2)
			if data, ok := bytes.CutPrefix(segment, mark); ok && content[at+1] == 0xe1 {
				return data
			}
			at += 4 + len(segment)
		}
	case bytes.HasPrefix(content, []byte("\x89PNG")):
		const signature, around = 8, 12 // the length, name and checksum of a chunk
		for at := signature; at+around <= len(content); {
			chunk := span(content, at+8, int(binary.BigEndian.Uint32(content[at:])))
			if string(content[at+4:at+8]) == "eXIf" {
				return chunk
			}
			at += around + len(chunk)
		}
	case bytes.HasPrefix(content, []byte("RIFF")):
		for at := 12; at+8 <= len(content); {
			chunk := span(content, at+8, int(binary.LittleEndian.Uint32(content[at+4:])))
			if string(content[at:at+4]) == "EXIF" {
				return bytes.TrimPrefix(chunk, mark)
			}
			at += 8 + len(chunk) + len(chunk)%2
		}
	}
	return nil
}

// orient returns an image that is turned or mirrored so that it is upright.
func orient(img *image.Gray, orientation int) *image.Gray {
	if orientation <= 1 {
		return img
	}
	right, bottom := img.Rect.Dx()-1, img.Rect.Dy()-1
	width, height := right+1, bottom+1
	if orientation >= 5 {
		width, height = height, width
	}
	turned := image.NewGray(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			from := image.Pt(x, y)
			switch orientation {
			case 2:
				from = image.Pt(right-x, y)
			case 3:
				from = image.Pt(right-x, bottom-y)
			case 4:
				from = image.Pt(x, bottom-y)
			case 5:
				from = image.Pt(y, x)
			case 6:
				from = image.Pt(y, bottom-x)
			case 7:
				from = image.Pt(right-y, bottom-x)
			case 8:
				from = image.Pt(right-y, x)
			}
			turned.Pix[y*turned.Stride+x] = img.Pix[from.Y*img.Stride+from.X]
		}
	}
	return turned
}
