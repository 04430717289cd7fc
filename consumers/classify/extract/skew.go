package extract

import (
	"image"
	"image/color"
	"math"

	"golang.org/x/image/draw"
	"golang.org/x/image/math/f64"
)

const (
	// maxSkew is the largest angle, in degrees, by which a page is straightened, and skewStep the
	// precision. tesseract itself reads pages that are skewed by about one degree.
	maxSkew  = 12
	skewStep = 0.5
	minSkew  = 1
	// skewSide is the longer side, in pixels, of the reduced image in which the angle is measured.
	skewSide = 700
)

// straighten rotates a page so that its lines of text are horizontal. It returns the image itself
// if they are already, or if there are no lines.
func straighten(img *image.Gray) *image.Gray {
	angle := skew(img)
	if math.Abs(angle) < minSkew {
		return img
	}
	return turn(img, angle)
}

// turn returns the image, turned counterclockwise around its center by an angle in degrees. Its
// corners get the most frequent gray, which is that of the paper: with another one, tesseract would
// not distinguish pale letters from it.
func turn(img *image.Gray, angle float64) *image.Gray {
	sin, cos := math.Sincos(angle * math.Pi / 180)
	bounds := img.Bounds()
	x, y := float64(bounds.Dx())/2, float64(bounds.Dy())/2
	rotated := image.NewGray(bounds)
	paper := image.NewUniform(color.Gray{mostFrequent(img)})
	draw.Draw(rotated, bounds, paper, image.Point{}, draw.Src)
	draw.ApproxBiLinear.Transform(rotated, f64.Aff3{
		cos, sin, x - cos*x - sin*y,
		-sin, cos, y + sin*x - cos*y,
	}, img, bounds, draw.Src, nil)
	return rotated
}

// skew returns the angle, in degrees, by which the lines of text descend to the right. It is the
// angle at which the projection of the dark pixels onto the side has the sharpest steps between
// lines and gaps.
func skew(img *image.Gray) float64 {
	points := darkPoints(img)
	straight := sharpness(points, 0)
	best, angle := straight, 0.0
	for a := -float64(maxSkew); a <= maxSkew; a += skewStep {
		if s := sharpness(points, a); s > best {
			best, angle = s, a
		}
	}
	if best < straight*1.2 { // there are no lines, or they have no clear direction
		return 0
	}
	return angle
}

// darkPoints returns the dark pixels of the image, reduced to skewSide.
func darkPoints(img *image.Gray) (points []image.Point) {
	bounds := img.Bounds()
	scale := max(1, (max(bounds.Dx(), bounds.Dy())+skewSide-1)/skewSide)
	dark := darkness(img, scale)
	for y := 0; y+scale <= bounds.Dy(); y += scale {
		for x := 0; x+scale <= bounds.Dx(); x += scale {
			darkest := uint8(0xff)
			for i := range scale {
				row := img.Pix[(y+i)*img.Stride+x:]
				for _, p := range row[:scale] {
					darkest = min(darkest, p)
				}
			}
			if darkest < dark {
				points = append(points, image.Pt(x/scale, y/scale))
			}
		}
	}
	return points
}

func mostFrequent(img *image.Gray) (gray uint8) {
	var counts [256]int
	for _, p := range img.Pix {
		counts[p]++
	}
	for g, n := range counts {
		if n > counts[gray] {
			gray = uint8(g)
		}
	}
	return gray
}

// darkness returns the gray below which a pixel is dark: between the darkest and the mean, which is
// almost that of the paper. Scans may be pale.
func darkness(img *image.Gray, scale int) uint8 {
	darkest, sum, n := uint8(0xff), 0, 0
	for y := 0; y < img.Rect.Dy(); y += scale {
		row := img.Pix[y*img.Stride:][:img.Rect.Dx()]
		for x := 0; x < len(row); x += scale {
			darkest = min(darkest, row[x])
			sum += int(row[x])
			n++
		}
	}
	return uint8((int(darkest) + sum/max(1, n)) / 2)
}

// sharpness returns the sum of the squares of the differences between neighboring rows of the
// image after it is rotated by the angle.
func sharpness(points []image.Point, angle float64) float64 {
	sin, cos := math.Sincos(angle * math.Pi / 180)
	var rows [4 * skewSide]float64
	for _, p := range points {
		row := int(float64(p.Y)*cos-float64(p.X)*sin) + 2*skewSide
		rows[min(max(row, 0), len(rows)-1)]++
	}
	sum := 0.0
	for i := 1; i < len(rows); i++ {
		d := rows[i] - rows[i-1]
		sum += d * d
	}
	return sum
}
