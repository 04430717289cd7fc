package extract

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

// biff returns a record of an Excel workbook.
func biff(kind int, parts ...[]byte) []byte {
	body := []byte(nil)
	for _, p := range parts {
		body = append(body, p...)
	}
	return append(short(kind, len(body)), body...)
}

// short returns numbers of two bytes.
func short(numbers ...int) (raw []byte) {
	for _, n := range numbers {
		raw = binary.LittleEndian.AppendUint16(raw, uint16(n))
	}
	return raw
}

func double(f float64) []byte {
	return binary.LittleEndian.AppendUint64(nil, math.Float64bits(f))
}

// wideString returns a string in UTF-16 after its length and flags.
func wideString(s string) []byte {
	return append(append(short(len([]rune(s))), 1), utf16le(s)...)
}

// excelFile returns a workbook with a visible and a hidden sheet, each with these records.
func excelFile(globals []byte, cells ...[]byte) []byte {
	bof := func(kind int) []byte { return biff(xlsBOF, short(biff8, kind, 0, 0, 0, 0, 0, 0)) }
	name := func(hidden int, name string) []byte {
		return append([]byte{byte(hidden), 0, byte(len(name)), 0}, name...)
	}
	sheet := bof(0x10)
	for _, c := range cells {
		sheet = append(sheet, c...)
	}
	sheet = append(sheet, biff(xlsEOF)...)
	start := append(bof(5), globals...)
	length := len(start) + 2*(4+8) + len("Sales") + len("Hidden") + 4
	raw := append(start, biff(xlsBoundSheet, littleEndian(uint32(length)), name(0, "Sales"))...)
	raw = append(raw, biff(xlsBoundSheet, littleEndian(uint32(length)), name(1, "Hidden"))...)
	raw = append(append(raw, biff(xlsEOF)...), sheet...)
	return compoundFile(stream{"Workbook", raw})
}

// sharedTable returns the table of the strings "Zürich" and "Łódź 5", the second of which is
// divided between two records and changes its width there.
func sharedTable() []byte {
	first := append(littleEndian(2, 2), short(6)...)
	first = append(append(first, 0), "Z\xfcrich"...)
	second := append(append(short(6), 1|8), short(1)...) // with formats
	second = append(second, utf16le("Łódź")...)
	table := biff(xlsSST, first, second)
	return append(table, biff(xlsContinue, []byte{0}, []byte(" 5"), littleEndian(7))...)
}

// pptAtom and container return records of a presentation.
func pptAtom(kind, instance int, content []byte) []byte {
	return append(append(short(instance<<4, kind), littleEndian(uint32(len(content)))...), content...)
}

func container(kind, instance int, parts ...[]byte) []byte {
	content := []byte(nil)
	for _, p := range parts {
		content = append(content, p...)
	}
	raw := pptAtom(kind, instance, content)
	raw[0] |= 0xf
	return raw
}

// powerPointFile returns a presentation whose second slide was stored before the first one, with an
// earlier version of it, and with masters.
func powerPointFile() []byte {
	var main []byte
	at := map[string]uint32{}
	add := func(name string, record []byte) {
		at[name] = uint32(len(main))
		main = append(main, record...)
	}
	text := func(s string) []byte { return pptAtom(pptTextBytes, 0, []byte(s)) }
	add("old", container(pptSlide, 0, text("OLD VERSION")))
	add("second", container(pptSlide, 0, container(0x40c, 0, text("Second\rslide*"))))
	add("first", container(pptSlide, 0, pptAtom(pptTextChars, 0, utf16le("First – slide")), text("*")))
	add("hidden", container(pptSlide, 0, pptAtom(0x3ef, 0, nil),
		pptAtom(pptSlideShow, 0, append(make([]byte, 10), 4, 0, 0, 0, 0, 0)), text("HIDDEN")))
	add("notes", container(pptNotes, 0, text("Speaker notes")))
	add("master", container(pptMaster, 0, text("Click to edit")))
	add("title master", container(pptSlide, 0, text("Click to edit the title")))
	add("notes master", container(pptNotes, 0, text("Click to edit the notes")))
	persist := func(n uint32) []byte {
		return pptAtom(pptSlidePersist, 0, littleEndian(n, 0, 0, 0, 0))
	}
	add("document", container(pptDocument, 0,
		pptAtom(pptDocumentAtom, 1, littleEndian(0, 0, 0, 0, 0, 0, 7, 0)),
		container(pptSlideList, 1, persist(5), text("Master outline"), persist(6)),
		container(pptSlideList, 0, persist(8), text("HIDDEN"),
			persist(3), text("Outline title"), persist(2)),
		container(pptSlideList, 2, persist(4))))
	add("old directory", pptAtom(pptPersistDirectory, 0,
		littleEndian(2<<20|1, at["document"], at["old"])))
	add("old edit", pptAtom(pptUserEdit, 0, littleEndian(0, 0, 0, at["old directory"], 1)))
	add("directory", pptAtom(pptPersistDirectory, 0,
		littleEndian(7<<20|2, at["second"], at["first"], at["notes"], at["master"],
			at["title master"], at["notes master"], at["hidden"])))
	add("edit", pptAtom(pptUserEdit, 0, littleEndian(0, 0, at["old edit"], at["directory"], 1)))
	return compoundFile(
		stream{"Current User", littleEndian(0, 0, 0, 0xe391c05f, at["edit"])},
		stream{"PowerPoint Document", main})
}

// property returns the stream of a property of a message.
func property(prefix, id string, kind int, value []byte) stream {
	return stream{prefix + "__substg1.0_" + id + map[int]string{
		msgUnicode: "001F", msgString8: "001E", msgBinary: "0102",
	}[kind], value}
}

// outlookFile returns a message with streams and an attached message with an attachment.
func outlookFile(more ...stream) []byte {
	const attachment, message = "__attach_version1.0_#00000000/", "__substg1.0_3701000D/"
	fixed := append(make([]byte, 32), littleEndian(msgSentTime<<16|msgTime, 6)...)
	sent := time.Date(2024, time.July, 2, 14, 30, 0, 0, time.UTC)
	epoch := time.Date(1601, time.January, 1, 0, 0, 0, 0, time.UTC)
	ticks := uint64(sent.Unix()-epoch.Unix()) * 1e7
	fixed = binary.LittleEndian.AppendUint64(fixed, ticks)
	streams := []stream{
		{msgProperties, fixed},
		property("", "0037", msgUnicode, utf16le("Rent for May – reminder")),
		property("", "0C1A", msgString8, []byte("Z\xfcrich Rentals")),
		property("", "0C1F", msgString8, []byte("rent@example.com")),
		property("", "0E04", msgUnicode, utf16le("Ann")),
	}
	streams = append(streams, more...)
	inner := attachment + message
	return compoundFile(append(streams,
		stream{attachment + msgProperties, make([]byte, 8)},
		property(attachment, "3707", msgUnicode, utf16le("earlier.msg")),
		stream{inner + msgProperties, make([]byte, 24)},
		property(inner, "1000", msgUnicode, utf16le("The earlier message")),
		stream{inner + attachment + msgProperties, make([]byte, 8)},
		property(inner+attachment, "3707", msgUnicode, utf16le("rent.docx")),
		property(inner+attachment, "3701", msgBinary, docx("<w:t>Rent 900.00</w:t>")),
	)...)
}

func TestOldOfficeFiles(t *testing.T) {
	t.Parallel()
	const body = "Please pay the rent for May."
	header := "Rent for May – reminder\nZürich Rentals <rent@example.com>\nAnn\n" +
		"Tue, 02 Jul 2024 14:30:00 +0000\n\n"
	attached := "\nearlier.msg\n\nThe earlier message\nrent.docx\n\nRent 900.00"
	date := append(biff(xlsFormat, short(164), wideString("dd.mm.yyyy")),
		append(biff(xlsXF, short(0, 0)), biff(xlsXF, short(0, 164))...)...)
	for name, c := range map[string]struct {
		content []byte
		kind    kind
		want    string
	}{
		"Word": {
			wordFile("Lease\rParties\x07Ann\x07\x07Be", "n «deleted »Łódź\r",
				"see \x13HYPERLINK \"x\"\x14the page\x15, non\x1ebreaking\v\x01end"), kindDoc,
			"Lease\nParties Ann\nBen Łódź\nsee the page, non-breaking\nend",
		},
		"Excel": {
			excelFile(append(date, sharedTable()...),
				biff(xlsLabelSST, short(0, 0, 0), littleEndian(0)),
				biff(xlsLabelSST, short(0, 1, 0), littleEndian(1)),
				biff(xlsNumber, short(1, 0, 1), double(45475)),
				biff(xlsRK, short(1, 1, 0), littleEndian(11925<<2|3)),
				biff(xlsNumber, short(1, 2, 0), double(108.00000000000001)),
				biff(xlsMulRK, short(2, 0), short(0), littleEndian(7<<2|2), short(0),
					littleEndian(0x3ff80000), short(1)),
				biff(xlsFormula, short(3, 0, 0), []byte{0, 0, 0, 0, 0, 0, 0xff, 0xff}),
				biff(xlsString, wideString("computed")),
				biff(xlsText, make([]byte, 10), short(4)),
				biff(xlsContinue, []byte{0}, []byte("note")),
			), kindXLS, "Sales\nZürich Łódź 5\n2024-07-02 119.25 108\n7 1.5\ncomputed\nnote",
		},
		"PowerPoint": {
			powerPointFile(), kindPPT,
			"Outline title\n\nFirst – slide\n\nSecond\nslide*\n\nSpeaker notes",
		},
		"Outlook": {
			outlookFile(property("", "1000", msgUnicode, utf16le(body))), kindMsg,
			header + body + attached,
		},
		"Outlook, HTML": {
			outlookFile(property("", "1000", msgUnicode, utf16le("See HTML")),
				property("", "1013", msgBinary, []byte("<p>"+body))), kindMsg,
			header + body + attached,
		},
		"Outlook, RTF": {
			outlookFile(property("", "1009", msgBinary, append(
				littleEndian(0, 0, 0x414c454d, 0), `{\rtf1 `+body+`\par}`...))), kindMsg,
			header + body + attached,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := extractBytes(shared(t), c.content)
			if err != nil || got.Kind != c.kind.name || got.Text != c.want || got.Truncated {
				t.Errorf("got %+v, %v, want kind %s, text %q", got, err, c.kind.name, c.want)
			}
			for cut := len(c.content) - 1; cut > 0; cut -= 1 + len(c.content)/50 {
				if _, err := extractBytes(shared(t), c.content[:cut]); err != nil && Reason(err) == "" {
					t.Fatalf("cut to %d bytes: got %v", cut, err)
				}
			}
		})
	}
}

// base.doc was written by LibreOffice.
func TestDocOfLibreOffice(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("testdata/cases/base.doc")
	if err != nil {
		t.Fatal(err)
	}
	got, err := extractBytes(shared(t), content)
	const want = "Between landlord"
	if err != nil || got.Kind != kindDoc.name || !strings.Contains(got.Text, want) {
		t.Errorf("got %+v, %v, want %q in the text", got, err, want)
	}
}

func TestUnreadableCompoundFiles(t *testing.T) {
	t.Parallel()
	encryptedWord := make([]byte, 600)
	binary.LittleEndian.PutUint16(encryptedWord[fibFlags:], wordEncrypted)
	loop := compoundFile(stream{"WordDocument", make([]byte, 9000)})
	for i := range 20 { // every sector is followed by itself
		binary.LittleEndian.PutUint32(loop[len(loop)-512+4*i:], uint32(i))
	}
	for name, c := range map[string]struct {
		content []byte
		want    error
	}{
		"encrypted docx":        {encryptedOffice(), ErrEncrypted},
		"encrypted doc":         {compoundFile(stream{"WordDocument", encryptedWord}), ErrEncrypted},
		"encrypted xls":         {excelFile(biff(xlsFilePass, short(0, 0))), ErrEncrypted},
		"encrypted ppt":         {compoundFile(stream{"PowerPoint Document", nil}, stream{"Current User", littleEndian(0, 0, 0, pptEncrypted)}), ErrEncrypted},
		"damaged icon":          {compoundFile(stream{"\x01Ole10Native", []byte("x")}), ErrUnsupported},
		"handout":               {compoundFile(stream{"PowerPoint Document", container(pptHandout, 0, pptAtom(pptTextBytes, 0, []byte("Handout")))}), ErrNoText},
		"another program":       {compoundFile(stream{"Quill", []byte("x")}), ErrUnsupported},
		"only a signature":      {append([]byte(oleSignature), make([]byte, 600)...), ErrBroken},
		"sectors in a circle":   {loop, ErrNoText},
		"empty message":         {compoundFile(stream{msgProperties, nil}), ErrNoText},
		"doc without a table":   {compoundFile(stream{"WordDocument", append(short(0, word97), make([]byte, 600)...)}), ErrBroken},
		"presentation, nothing": {compoundFile(stream{"PowerPoint Document", nil}), ErrNoText},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := extractBytes(shared(t), c.content)
			if !errors.Is(err, c.want) {
				t.Errorf("got %+v, %v, want error %v", got, err, c.want)
			}
		})
	}
}

// The example of [MS-OXRTFCP], 4.1.1.
func TestDecompressRTF(t *testing.T) {
	t.Parallel()
	raw := append(littleEndian(0x2d, 0x2b, 0x75465a4c, 0xa7c5c7f1), []byte{
		0x03, 0x00, 0x0a, 0x00, 0x72, 0x63, 0x70, 0x67, 0x31, 0x32, 0x35, 0x42, 0x32, 0x0a, 0xf3, 0x20,
		0x68, 0x65, 0x6c, 0x09, 0x00, 0x20, 0x62, 0x77, 0x05, 0xb0, 0x6c, 0x64, 0x7d, 0x0a, 0x80, 0x0f,
		0xa0,
	}...)
	const want = "{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
	if got := string(decompressRTF(raw)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzCompound(f *testing.F) {
	f.Add(wordFile("Lease", "Łódź «x»"))
	f.Add(excelFile(sharedTable(), biff(xlsLabelSST, short(0, 0, 0), littleEndian(1))))
	f.Add(powerPointFile())
	f.Add(outlookFile())
	f.Add(encryptedOffice())
	e := setup(f, Config{MaxRunes: 1000, Tesseract: "/nowhere"})
	f.Fuzz(func(t *testing.T, content []byte) {
		r := newReading(e, ocrIfNeeded)
		d := document{sequential: strings.NewReader(string(content)), size: int64(len(content))}
		_, err := r.readOLE(t.Context(), d, kindDoc)
		if err != nil && Reason(err) == "" {
			t.Errorf("got %v, want an error of the document", err)
		}
		checkClean(t, r.text.String(), 1000)
	})
}

// FuzzOfficeStreams reads the streams themselves, so that the fuzzer does not have to keep the
// container intact.
func FuzzOfficeStreams(f *testing.F) {
	f.Add(0, biff(xlsBOF, short(biff8, 5)), []byte(nil))
	f.Add(1, pptAtom(pptTextBytes, 0, []byte("text")), littleEndian(0, 0, 0, 0, 0))
	word := make([]byte, 3000)
	word[fibVersion], word[fibPiecesN] = word97, 5+4*2+8
	f.Add(2, word, append([]byte{2, 16, 0, 0, 0}, littleEndian(0, 9, 0, 2000)...))
	f.Add(3, littleEndian(0, 0, 0x75465a4c, 0), []byte(nil))
	f.Add(4, []byte("\x00\x00\x00\x00\x02\x00a\x00b\x00"), []byte(nil))
	f.Fuzz(func(t *testing.T, reader int, main, other []byte) {
		text := newText(1000)
		c := &compound{ctx: context.Background(), entries: []compoundEntry{{child: 1}, {
			name: "0Table", kind: entryStream, size: int64(min(len(other), miniCutoff-1)),
			left: noEntry, right: noEntry,
		}}, mini: other}
		for i := range len(other)/miniSectorBytes + 1 {
			c.miniFAT = append(c.miniFAT, littleEndian(uint32(i+1))...)
		}
		switch reader % 5 {
		case 0:
			_, _ = readExcel97(c.ctx, main, text)
		case 1:
			c.entries[1].name = "Current User"
			_ = c.readPowerPoint97(main, text)
		case 2:
			_ = c.readWord97(main, text)
		case 3:
			text.write(decode(decompressRTF(main), "", false))
		case 4:
			text.write(decode(nativeFile(main), "", false))
		}
		checkClean(t, text.String(), 1000)
	})
}
