package extract

import (
	"bytes"
	"encoding/binary"
	"image"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/image/bmp"
)

// blip returns the record of a picture with this version, instance and type.
func blip(kind uint32, digests int, content []byte) []byte {
	prefix := make([]byte, 16*digests+1)
	record := littleEndian(kind, uint32(len(prefix)+len(content)))
	return append(append(record, prefix...), content...)
}

// drawings returns records as a stream in which something else precedes each of them.
func drawings(records ...[]byte) (stream []byte) {
	for _, r := range records {
		stream = append(append(stream, 0xf0, 0xf0, 0, 0x1d, 0xf0), r...)
	}
	return stream
}

// encodeDIB returns the image as a bitmap without the header of a file.
func encodeDIB(img image.Image) []byte {
	var b bytes.Buffer
	if err := bmp.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()[14:]
}

// Pictures in old Office files with little text are recognized.
func TestBlips(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{
		Tesseract: fakeTesseract(t, printWord+"96 recognized"), Timeout: time.Minute,
		OCRTimeout: 5 * time.Minute,
	})
	page := textImage(800, 600, 30, "x")
	photo, drawn := encodeJPEG(page), encodePNG(page)
	small := encodePNG(textImage(200, 100, 30, "x"))
	long := strings.Repeat("The landlord and the tenant agree. ", 40)
	word := func(text string, data []byte) []byte {
		return compoundFile(append(wordStreams(text), stream{"Data", data})...)
	}
	streams := wordStreams("Lease")
	streams[0].content = append(streams[0].content, drawings(blip(0xf01d46a0, 1, photo))...)
	floating := compoundFile(streams...)
	excel := func(records ...[]byte) []byte {
		return excelFile(bytes.Join(records, nil), biff(xlsRK, short(0, 0, 0), littleEndian(0)))
	}
	group := drawings(blip(0xf01e6e00, 1, drawn))
	slides := func(pictures ...[]byte) []byte {
		return compoundFile(stream{"PowerPoint Document", pptAtom(pptTextBytes, 0, []byte("Title"))},
			stream{"Pictures", drawings(pictures...)})
	}
	logos := slices.Repeat([][]byte{blip(0xf01e6e00, 1, small)}, maxEmbeddedFiles+1)
	for name, c := range map[string]struct {
		content []byte
		want    int // pictures that are recognized
	}{
		"Word":                {word("Lease", drawings(blip(0xf01d46a0, 1, photo))), 1},
		"Word, floating":      {floating, 1},
		"Word, a long text":   {word(long, drawings(blip(0xf01d46a0, 1, photo))), 0},
		"Excel":               {excel(biff(xlsDrawingGroup, group)), 1},
		"Excel, continued":    {excel(biff(xlsDrawingGroup, group[:1000]), biff(xlsContinue, group[1000:])), 1},
		"PNG, two digests":    {slides(blip(0xf01e6e10, 2, drawn)), 1},
		"JPEG, two digests":   {slides(blip(0xf01d46b0, 2, photo)), 1},
		"CMYK, two digests":   {slides(blip(0xf02a6e30, 2, photo)), 1},
		"DIB, two digests":    {slides(blip(0xf01f7a90, 2, encodeDIB(page))), 1},
		"logos, then a scan":  {slides(append(logos, blip(0xf01d46a0, 1, photo))...), 1},
		"JPEG, CMYK":          {slides(blip(0xf02a6e20, 1, photo)), 1},
		"DIB":                 {slides(blip(0xf01f7a80, 1, encodeDIB(page))), 1},
		"TIFF":                {slides(blip(0xf0296e40, 1, jpegTIFF(page))), 1},
		"drawing commands":    {slides(blip(0xf01a3d40, 1, drawn)), 0},
		"logo, then pictures": {slides(blip(0xf01e6e00, 1, small), blip(0xf01d46a0, 1, photo), blip(0xf01e6e00, 1, drawn)), 2},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := extractBytes(e, c.content)
			found := strings.Count(got.Text, "recognized")
			if err != nil || found != c.want || got.OCRPages != c.want || got.Truncated {
				t.Errorf("got %.300q, %d pages by OCR, truncated %v, %v, want %d pages",
					got.Text, got.OCRPages, got.Truncated, err, c.want)
			}
		})
	}
}

// loadCounter counts the bytes that are read at offsets.
type loadCounter struct {
	*bytes.Reader
	loaded int
}

func (c *loadCounter) ReadAt(p []byte, offset int64) (int, error) {
	n, err := c.Reader.ReadAt(p, offset)
	c.loaded += n
	return n, err
}

// The sectors of the only stream are in an order in which each of them is in another block.
func TestDamagedCompoundFileIsNotReadForever(t *testing.T) {
	t.Parallel()
	const (
		sectors, sector = 4 << 10, 4 << 10
		tables          = sectors * 4 / sector
		directory       = tables
		first           = directory + 1
		step            = 9 * blockBytes / sector
	)
	content := make([]byte, (1+sectors)*sector)
	copy(content, oleSignature)
	put := binary.LittleEndian.PutUint32
	content[30] = 12
	for at, n := range map[int]uint32{48: directory, 60: endOfChain, 68: endOfChain} {
		put(content[at:], n)
	}
	for i := range 109 {
		put(content[76+4*i:], noEntry)
	}
	for i := range tables {
		put(content[76+4*i:], uint32(i))
	}
	copy(content[(1+directory)*sector:], append(
		compoundEntryBytes("Root Entry", entryRoot, noEntry, 1, endOfChain, 0),
		compoundEntryBytes("Book", entryStream, noEntry, noEntry, first, sectors*sector)...))
	for i := range sectors {
		next := uint32(first + (i-first+step)%(sectors-first))
		if i <= directory {
			next = endOfChain
		}
		put(content[sector+4*i:], next)
	}
	e := setup(t, Config{MaxBytes: 1 << 20})
	c := &loadCounter{Reader: bytes.NewReader(content)}
	got, err := e.Text(t.Context(), c, int64(len(content)), "")
	if Reason(err) != "no_text" || got.Kind != kindXLS.name {
		t.Errorf("got %+v, %v, want the reason no_text", got, err)
	}
	if c.loaded < maxCompoundLoad || c.loaded > maxCompoundLoad+blockBytes {
		t.Errorf("got %d bytes read, want %d", c.loaded, maxCompoundLoad)
	}
}

func FuzzBlips(f *testing.F) {
	picture := []byte("picture")
	f.Add(drawings(blip(0xf01d46a0, 1, picture), blip(0xf01e6e10, 2, picture)))
	f.Add(drawings(blip(0xf01f7a80, 1, encodeDIB(textImage(8, 8, 4)))))
	f.Fuzz(func(t *testing.T, stream []byte) {
		size := 0
		for _, p := range blips(stream) {
			size += len(p)
		}
		if size > len(stream) {
			t.Errorf("got pictures of %d bytes in %d bytes", size, len(stream))
		}
	})
}
