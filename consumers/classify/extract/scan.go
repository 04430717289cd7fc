package extract

import (
	"image"
	"math"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
)

const (
	// maxScans is how many pages of a PDF without text are drawn and recognized:
	// enough to tell what the document is, at some seconds each.
	maxScans = 5
	// scanDPI is the resolution in which pages are drawn: tesseract reads common
	// print in it, and takes half the time that it takes at 300.
	scanDPI = 200
	// maxScanSide bounds a drawing and a picture, in pixels: the longer side of
	// A4 at 300 dpi.
	maxScanSide = 3508
	// maxScanPixels bounds both together: tesseract takes about 20 bytes for each.
	// A4 has as many at 250 dpi.
	maxScanPixels = 6_000_000
	// minScanSide, in pixels, is below any letter that can be recognized.
	minScanSide = 12
)

// scanScale is the largest scale at which a picture stays within the bounds.
func scanScale(width, height float64) float64 {
	return min(maxScanSide/max(width, height), math.Sqrt(maxScanPixels/(width*height)))
}

// drawPage draws one page, counted from 0, at scanDPI or as large as the bounds
// allow; nil for a page too narrow to hold a letter.
func drawPage(instance pdfium.Pdfium, document references.FPDF_DOCUMENT, index int) (*image.Gray, error) {
	size, err := instance.FPDF_GetPageSizeByIndex(&requests.FPDF_GetPageSizeByIndex{Document: document, Index: index})
	if err != nil {
		return nil, err
	}
	// A page's unit is 1/72 inch. The sizes are the document's own and may be anything, NaN too.
	scale := min(scanDPI/72.0, scanScale(size.Width, size.Height))
	width, height := int(size.Width*scale), int(size.Height*scale)
	if !(width >= minScanSide && height >= minScanSide && width <= maxScanSide && height <= maxScanSide) {
		return nil, nil
	}
	drawn, err := instance.RenderPageInPixels(&requests.RenderPageInPixels{
		Page:  requests.Page{ByIndex: &requests.PageByIndex{Document: document, Index: index}},
		Width: width, Height: height, ImageFormat: requests.RenderImageFormatGrayscale,
	})
	if err != nil {
		return nil, err
	}
	defer drawn.Cleanup()
	gray, ok := drawn.Result.RenderedImage.(*image.Gray)
	if !ok {
		return nil, nil
	}
	// Its pixels lie in the sandbox's memory.
	kept := image.NewGray(image.Rect(0, 0, gray.Rect.Dx(), gray.Rect.Dy()))
	for y := range gray.Rect.Dy() {
		copy(kept.Pix[y*kept.Stride:][:kept.Stride], gray.Pix[y*gray.Stride:][:gray.Rect.Dx()])
	}
	return kept, nil
}
