package extract

import (
	"cmp"
	"errors"
	"regexp"
	"time"
)

// Defaults of the fields of Config.
const (
	DefaultWorkers  = 1
	DefaultTimeout  = 10 * time.Second
	DefaultMaxBytes = 32 << 20
	DefaultMaxRunes = 200_000
	DefaultMaxPages = 1000

	DefaultTesseract    = "tesseract"
	DefaultOCRLanguages = "eng"
	DefaultOCRTimeout   = 40 * time.Second
)

// Config holds the settings and limits of an Extractor. The zero value is valid: a zero
// field means its default.
type Config struct {
	// CacheDir is the folder that caches PDFium compiled to machine code, about 20 MB. With this
	// cache, the next process starts PDFium in a tenth of a second instead of several seconds. The
	// folder is created if it is missing, with mode 0700. The files in it are executed, so no other
	// user must be able to write to it. If CacheDir is empty, the code is kept only in memory.
	CacheDir string
	// Workers is the number of PDFs that are read concurrently. Each uses up to 64 MiB of memory,
	// one of them up to 192 MiB, and one core. Default 1.
	Workers int
	// Timeout limits the time that one document takes, except for OCR and for waiting until a worker
	// or memory is free. If some text has been read by then, that text is returned and marked
	// Truncated. Default 10 s.
	Timeout time.Duration
	// MaxBytes is the largest size, in bytes, of a PDF or archive that is held in memory, and of an
	// image. Default 32 MiB.
	MaxBytes int64
	// MaxRunes is the largest number of characters in Result.Text. Default 200,000, which is more
	// than classification reads.
	MaxRunes int
	// MaxPages is the number of pages of a PDF that are read. Default 1000.
	MaxPages int
	// Tesseract is the program that recognizes text in images: a path, or a name that is looked up
	// in PATH at each use. Default "tesseract".
	Tesseract string
	// OCRLanguages are the languages that tesseract expects, by its own names, joined by plus signs.
	// Their data must be installed. Default "eng".
	OCRLanguages string
	// OCRTimeout limits the time that OCR takes for one document, of which at most five pages are
	// recognized. Default 40 s.
	OCRTimeout time.Duration
}

// ErrLanguages is returned by New if Config.OCRLanguages is malformed.
var ErrLanguages = errors.New(
	"want tesseract's names of languages, joined by plus signs, such as deu+eng")

var languages = regexp.MustCompile(`^[A-Za-z]\w*(\+[A-Za-z]\w*)*$`)

// withDefaults returns the config with the default of each field that is not set.
func (c Config) withDefaults() (Config, error) {
	c.Workers = orDefault(c.Workers, DefaultWorkers)
	c.Timeout = orDefault(c.Timeout, DefaultTimeout)
	c.MaxBytes = orDefault(c.MaxBytes, DefaultMaxBytes)
	c.MaxRunes = orDefault(c.MaxRunes, DefaultMaxRunes)
	c.MaxPages = orDefault(c.MaxPages, DefaultMaxPages)
	c.OCRTimeout = orDefault(c.OCRTimeout, DefaultOCRTimeout)
	c.Tesseract = cmp.Or(c.Tesseract, DefaultTesseract)
	c.OCRLanguages = cmp.Or(c.OCRLanguages, DefaultOCRLanguages)
	if !languages.MatchString(c.OCRLanguages) {
		return Config{}, ErrLanguages
	}
	return c, nil
}

// orDefault returns n if it is positive, and defaultValue otherwise.
func orDefault[T int | int64 | time.Duration](n, defaultValue T) T {
	if n > 0 {
		return n
	}
	return defaultValue
}
