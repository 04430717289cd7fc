package extract

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Of an archive that was cut off, the parts before the end are read, and the beginning of the last
// one. The sizes of its parts may be before or after their content.
func TestArchivesCutOff(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{})
	picture := part{"word/media/image.bin", randomString(3000)}
	body := func(text string) string { return "<w:p><w:t>" + text + "</w:t></w:p>" }
	long := body("first words") + body(randomString(20_000))
	media := part{"mimetype", openDocumentPrefix + "text"}
	content := part{"content.xml", "<text:p>first words</text:p>"}
	for name, c := range map[string]struct {
		whole   []byte
		missing int // bytes at the end
	}{
		"docx without the end of its list": {docx(body("first words")), 30},
		"docx without its list":            {docx(body("first words"), picture), 1200},
		"docx that ends within its text":   {docx(long), 5000},
		"xlsx that ends within its strings": {
			xlsx("<c t='s'><v>0</v></c>", part{"xl/sharedStrings.xml",
				"<si><t>first words</t></si><si><t>" + randomString(20_000) + "</t></si>"}), 5000,
		},
		"xlsx": {xlsx("<c t='str'><v>first words</v></c>"), 30},
		"pptx": {pptx("<a:t>first words</a:t>"), 30},
		"odt":  {zipped(media, content), 100},
		"epub": {epub("<html>first words</html>"), 30},
	} {
		t.Run(name, func(t *testing.T) {
			for _, whole := range [][]byte{c.whole, repairArchive(t.Context(), c.whole)} {
				cut := whole[:len(whole)-c.missing]
				occurrence{cut, "first words", 1, true}.check(t, e)
				occurrence{attachedMail(cut), "first words", 1, true}.check(t, e)
			}
		})
	}
	t.Run("after an archive in it", func(t *testing.T) {
		whole := zipped(part{"a.docx", string(docx(body("inner words")))}, part{"b.txt", "first words"})
		for _, want := range []string{"inner words", "first words"} {
			for _, missing := range []int{1, 30} {
				occurrence{attachedMail(whole[:len(whole)-missing]), want, 1, true}.check(t, e)
			}
		}
	})
	t.Run("sizes for large files", func(t *testing.T) {
		const text = "first words"
		size := string(binary.LittleEndian.AppendUint64(nil, uint64(len(text))))
		header := "PK\x03\x04" + strings.Repeat("\x00", 14) + strings.Repeat("\xff", 8) +
			"\x05\x00\x14\x00a.txt\x01\x00\x10\x00" + size + size
		cut := []byte(header + text + header + "2" + text)
		occurrence{attachedMail(cut), text, 2, true}.check(t, e)
	})
	t.Run("attached archive", func(t *testing.T) {
		whole := zipped(part{"a.txt", "first words"}, part{"b.bin", randomString(3000)})
		occurrence{attachedMail(whole[:len(whole)-900]), "first words", 1, true}.check(t, e)
	})
	t.Run("whole, with bytes between its lists", func(t *testing.T) {
		whole := docx(body("first words"))
		end := len(whole) - 22
		whole = slices.Concat(whole[:end], make([]byte, 76), whole[end:])
		occurrence{whole, "first words", 1, false}.check(t, e)
	})
	for name, broken := range map[string][]byte{
		"before its main part": docx(body("words"))[:400],
		"entry without an end": []byte("PK\x03\x04"),
		"no entry":             append([]byte("PK\x03\x04"), make([]byte, 5000)...),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := extractBytes(e, broken); !errors.Is(err, ErrBroken) {
				t.Errorf("got %+v, %v, want %v", got, err, ErrBroken)
			}
		})
	}
}

// randomString returns n letters, the same for each call, which compress to more than a half.
func randomString(n int) string {
	random := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for range n {
		b.WriteByte(byte('a' + random.IntN(26)))
	}
	return b.String()
}
