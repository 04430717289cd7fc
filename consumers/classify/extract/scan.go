package extract

import (
	"image"
	"math"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/enums"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
)

const (
	// maxScans is the number of pages and images of a document that are recognized: enough to
	// classify the document, at several seconds for each.
	maxScans = 5
	// scanDPI is the resolution at which pages are rendered. It is enough for tesseract to recognize
	// common print, and takes half the time of 300 dpi.
	scanDPI = 200
	// maxScanSide is the largest width and height of an image that is recognized, in pixels: the
	// longer side of A4 at 300 dpi.
	maxScanSide = 3508
	// maxScanPixels is the largest number of pixels of an image that is recognized: about that of A4
	// at 250 dpi. tesseract needs about 20 bytes for each pixel.
	maxScanPixels = 6_000_000
	// minScanSide is the smallest width and height of an image that is recognized, in pixels. Letters
	// that fit in a smaller image are too small for tesseract.
	minScanSide = 12
)

// scanScale returns the largest scale at which an image of this size stays within the limits.
func scanScale(width, height float64) float64 {
	return min(maxScanSide/max(width, height), math.Sqrt(maxScanPixels/(width*height)))
}

// renderPage renders one page, counted from 0, at scanDPI or at the highest resolution that the
// limits allow. It returns nil for a page that is too small for a letter.
func renderPage(
	instance pdfium.Pdfium, document references.FPDF_DOCUMENT, index int,
) (*image.Gray, error) {
	size, err := instance.FPDF_GetPageSizeByIndex(&requests.FPDF_GetPageSizeByIndex{
		Document: document, Index: index,
	})
	if err != nil {
		return nil, err
	}
	// The unit of page sizes is 1/72 inch. The document declares them and they may be any value,
	// including NaN, so the comparisons must be false for NaN.
	scale := min(scanDPI/72.0, scanScale(size.Width, size.Height))
	width, height := int(size.Width*scale), int(size.Height*scale)
	if !(width >= minScanSide && height >= minScanSide &&
		width <= maxScanSide && height <= maxScanSide) {
		return nil, nil
	}
	rendered, err := instance.RenderPageInPixels(&requests.RenderPageInPixels{
		Page:  requests.Page{ByIndex: &requests.PageByIndex{Document: document, Index: index}},
		Width: width, Height: height, ImageFormat: requests.RenderImageFormatGrayscale,
		RenderFlags: enums.FPDF_RENDER_FLAG_ANNOT,
	})
	if err != nil {
		return nil, err
	}
	defer rendered.Cleanup()
	gray, ok := rendered.Result.RenderedImage.(*image.Gray)
	if !ok {
		return nil, nil
	}
	// The pixels are copied, because they are in the memory of the sandbox.
	result := image.NewGray(image.Rect(0, 0, gray.Rect.Dx(), gray.Rect.Dy()))
	for y := range gray.Rect.Dy() {
		copy(result.Pix[y*result.Stride:][:result.Stride], gray.Pix[y*gray.Stride:][:gray.Rect.Dx()])
	}
	return result, nil
}
