package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"intray/cmd/internal/stacktest"
	"intray/infra/local/localtest"
)

// extracted is a line of "intray extract --json".
type extracted struct {
	File, Kind, Text string
	Truncated        bool
	Pages            int
	OCRPages         int `json:"ocr_pages"`
	Reason           *string
}

// extractFiles runs "intray extract --json" on files, checks the exit status and returns the lines
// by the names of the files without folders.
func extractFiles(t *testing.T, path string, want int, files ...string) map[string]extracted {
	t.Helper()
	environment := []string{"PATH=" + path, "XDG_CACHE_HOME=" + t.TempDir()}
	stdout, stderr, status := stacktest.Run(t, environment, "intray",
		append([]string{"extract", "--json"}, files...)...)
	if status != want {
		t.Fatalf("got exit status %d, want %d\n%s%s", status, want, stdout, stderr)
	}
	found := map[string]extracted{}
	for line := range strings.Lines(stdout) {
		var e extracted
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		found[filepath.Base(e.File)] = e
	}
	return found
}

// Each file stands for a kind of damage or a feature that documents in practice have.
func TestExtractCases(t *testing.T) {
	t.Parallel()
	const (
		pdf  = "application/pdf"
		mail = "message/rfc822"
		docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
		xlsx = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	)
	cases := map[string]struct {
		kind string
		want []string
		not  []string
	}{
		"p_acroform.pdf": {pdf, []string{"Motor vehicle insurance policy claim", "Rear-end accident"}, nil},
		"p_annots.pdf":   {pdf, []string{"Lease agreement between landlord and tenant"}, nil},
		"p_columns.pdf": {pdf, []string{
			"and the tenant. The\nterminat-\nion clause applies.\nGoverning law is\nthat of Scotland.",
		}, nil},
		"p_junk2k.pdf": {pdf, []string{"INVOICE No. 2024-117", "Amount due 108.00"}, []string{"endobj"}},
		"p_portfolio.pdf": {
			pdf, []string{"best experience", "INVOICE No. 2024-117", "Amount due"}, nil,
		},
		"p_type3_notounicode.pdf": {pdf, []string{"INVOICE", "108.00", "payment"}, []string{"(),*"}},

		"e_bq.eml":                {mail, []string{"PARTBODY invoice"}, nil},
		"e_beq.eml":               {mail, []string{"PARTBODY invoice"}, nil},
		"e_bslash.eml":            {mail, []string{"PARTBODY invoice"}, nil},
		"e_emptyparam.eml":        {mail, []string{"PARTBODY invoice"}, nil},
		"m_boundarysemicolon.eml": {mail, []string{"SEMI invoice"}, nil},
		"m_dupct.eml":             {mail, []string{"DUPPARAM Grüße"}, []string{"<p>"}},
		"m_b64space.eml":          {mail, []string{"termination, liability. ENDMARK"}, nil},
		"m_bom.eml":               {mail, []string{"BOM\n", "BODY für"}, []string{"Content-Type"}},
		"m_opaque.eml":            {mail, []string{"SIGNEDBODY contract"}, []string{"smime.p7m"}},
		"m_stub.eml":              {mail, []string{"Invoice number 77, amount due"}, nil},
		"m_txtatt.eml":            {mail, []string{"Hello\na.txt\n\nTEXTATTACHMENT invoice"}, nil},
		"m_pdfatt.eml":            {mail, []string{"scan0001.pdf\n\nINVOICE No. 2024-117"}, nil},

		"d_altchunk.docx":  {docx, []string{"Cover\n\nALTCHUNK invoice amount due"}, nil},
		"d_backslash.docx": {docx, []string{"BACKSLASH names"}, nil},
		"d_smartart.docx":  {docx, []string{"Org\n\nSMARTART text"}, nil},
		"d_tracked.docx": {
			docx, []string{"Price INSERTED 600", "MOVED-NEW-PLACE"},
			[]string{"MOVEDFROM", "MOVED-OLD-PLACE", "DELETED"},
		},
		"x_drawing.xlsx": {xlsx, []string{"SHAPETEXT in drawing"}, nil},
		"x_escape.xlsx":  {xlsx, []string{"Line1 Line2 ABC"}, nil},
		"base.doc":       {"application/msword", []string{"Lease agreement\nBetween landlord"}, nil},
		"base.rtf":       {"text/rtf", []string{"Lease agreement\nBetween landlord", "Zürich"}, nil},

		"x_ubl.xml": {
			"text/xml", []string{"Invoice\n", "Payable Amount 119.00", "Due Date 2024-07-03"}, nil,
		},
		"fattura.xml.p7m": {"application/pkcs7-mime", []string{"Invoice\n", "Due Date 2024-07-03"}, nil},
		"de_cp850_0.txt":  {"text/plain", []string{"50667 Köln", "Bitte überweisen"}, nil},
	}
	folder := filepath.Join("..", "..", "consumers", "classify", "extract", "testdata", "cases")
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		files = append(files, filepath.Join(folder, e.Name()))
	}
	path := filepath.Dir(localtest.Tesseract(t)) + ":" + os.Getenv("PATH")
	found := extractFiles(t, path, 0, files...)
	if len(files) != len(cases) || len(found) != len(cases) {
		t.Errorf("got %d files and %d lines, want %d", len(files), len(found), len(cases))
	}
	for name, c := range cases {
		got := found[name]
		if got.Kind != c.kind || got.Reason != nil || got.Truncated {
			t.Errorf("%s: got %+v, want kind %s, not truncated, without a reason", name, got, c.kind)
		}
		for _, text := range c.want {
			if !strings.Contains(got.Text, text) {
				t.Errorf("%s: got text %q, want %q in it", name, got.Text, text)
			}
		}
		for _, text := range c.not {
			if strings.Contains(got.Text, text) {
				t.Errorf("%s: got text %q, want it without %q", name, got.Text, text)
			}
		}
	}
	if n := found["p_type3_notounicode.pdf"].OCRPages; n != 1 {
		t.Errorf("got %d pages by OCR, want 1", n)
	}
}

// The reason says why a file has no text, and a missing file does not stop the others.
func TestExtractReasons(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	files := map[string][]byte{
		"empty.txt":   {},
		"binary":      {0, 1, 2, 3},
		"picture.png": []byte("\x89PNG\r\n\x1a\n"),
		"broken.pdf":  []byte("%PDF-1.7\nnothing"),
		"good.txt":    []byte("words"),
	}
	paths := []string{filepath.Join(folder, "missing")}
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	found := extractFiles(t, "/nowhere", 1, paths...) // without tesseract
	if len(found) != len(files) {
		t.Errorf("got %d lines, want %d", len(found), len(files))
	}
	for name, want := range map[string]string{
		"empty.txt": "no_text", "binary": "unsupported", "picture.png": "no_ocr", "broken.pdf": "broken",
	} {
		if got := found[name].Reason; got == nil || *got != want {
			t.Errorf("%s: got %+v, want the reason %s", name, found[name], want)
		}
	}
	if got := found["good.txt"]; got.Text != "words" || got.Reason != nil {
		t.Errorf("got %+v, want the text %q", got, "words")
	}
	missing := filepath.Join(folder, "missing")
	for status, args := range map[int][]string{
		0: {"extract", filepath.Join(folder, "good.txt")},
		1: {"extract", missing},
		2: {"extract"},
	} {
		stdout, stderr, got := stacktest.Run(t, nil, "intray", args...)
		if got != status || status == 1 && (stdout != "" || !strings.Contains(stderr, missing)) {
			t.Errorf("%v: got exit status %d, want %d\n%s%s", args, got, status, stdout, stderr)
		}
	}
}
