package extract

import (
	"cmp"
	"errors"
	"regexp"
	"time"
)

// Defaults of Config's fields.
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

// Config is how much an Extractor may use. The zero value is ready for use.
type Config struct {
	// CacheDir is the folder that keeps PDFium compiled to machine code, about
	// 20 MB, so that the next process starts it in a tenth of a second instead
	// of some seconds. It is created if missing, with mode 0700. The files in it are
	// executed: nobody else may write there. "" keeps the code in memory only.
	CacheDir string
	// Workers is how many PDFs are read concurrently. Default 1. Each may
	// take 64 MiB, one of them 192 MiB, and one core.
	Workers int
	// Timeout bounds the work on one document once its turn has come, except
	// character recognition. A document that gave text before its time ran out keeps
	// that text, Truncated. Default 10 s.
	Timeout time.Duration
	// MaxBytes is the largest PDF or archive, in bytes, that is held in memory,
	// and the largest picture. Default 32 MiB.
	MaxBytes int64
	// MaxRunes is the largest number of characters in Result.Text. Default
	// 200,000, more than classification reads.
	MaxRunes int
	// MaxPages is how many pages of a PDF are read. Default 1000.
	MaxPages int
	// Tesseract is the program that recognizes characters in pictures: its path,
	// or a name to find in PATH, on each use. Default "tesseract".
	Tesseract string
	// OCRLanguages are tesseract's names of the languages to expect, joined by
	// plus signs. Their data has to be installed. Default "eng".
	OCRLanguages string
	// OCRTimeout bounds character recognition in one document, of which at most
	// five pages are recognized. Default 40 s.
	OCRTimeout time.Duration
}

// ErrLanguages is returned by New for a Config.OCRLanguages that is malformed.
var ErrLanguages = errors.New("want names of tesseract's languages, joined by plus signs, such as deu+eng")

var languages = regexp.MustCompile(`^[A-Za-z]\w*(\+[A-Za-z]\w*)*$`)

// withDefaults returns the config with each field that is not set replaced by its
// default.
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

// orDefault returns n if it is positive, else the default.
func orDefault[T int | int64 | time.Duration](n, otherwise T) T {
	if n > 0 {
		return n
	}
	return otherwise
}
