package extract

import "testing"

// annotatedPDF returns a PDF whose page has an annotation, which draws the appearance if it is not
// empty.
func annotatedPDF(annotation, appearance string) []byte {
	w := newPDF()
	if appearance != "" {
		w.stream("/Subtype /Form /BBox [0 0 300 60] /Resources << /Font << /F1 << /Type /Font "+
			"/Subtype /Type1 /BaseFont /Helvetica >> >> >>", []byte(appearance))
		annotation += " /AP << /N 1 0 R >>"
	}
	w.page = "/Annots [ << /Type /Annot /Rect [9 9 309 69] /F 4 " + annotation + " >> ]"
	return w.pages("", "", lines("Form"))
}

// What an annotation displays is read, and its value if nothing displays it.
func TestValuesOfAnnotations(t *testing.T) {
	t.Parallel()
	const (
		field   = "/Subtype /Widget /FT /Tx /T (a) "
		wrapped = "BT /F1 9 Tf 14 TL 2 40 Td (Rear-end) Tj T* (accident) Tj ET"
	)
	for name, c := range map[string]struct{ annotation, appearance, want string }{
		"wrapped value":     {field + "/V (Rear-end accident)", wrapped, "Form\nRear-end\naccident"},
		"line end in value": {field + `/V (Rear-end\raccident)`, wrapped, "Form\nRear-end\naccident"},
		"wrapped text box": {
			"/Subtype /FreeText /Contents (Rear-end accident)", wrapped, "Form\nRear-end\naccident",
		},
		"formatted number": {
			field + "/V (1234.5)", "BT /F1 9 Tf 2 9 Td (1,234.50 EUR) Tj ET", "Form\n1,234.50 EUR",
		},
		"number in an empty appearance": {field + "/V (1234.5)", "/Tx BMC EMC", "Form\n1234.5"},
		"number in boxes": {
			field + "/V (402) /Ff 16777216",
			"BT /F1 9 Tf 2 9 Td (4) Tj 20 0 Td (0) Tj 20 0 Td (2) Tj ET", "Form\n4 0 2\n402",
		},
		"other appearance": {
			field + "/V (blue)", "BT /F1 9 Tf 2 9 Td (red) Tj ET", "Form\nred\nblue",
		},
		"password": {field + "/V (secret) /Ff 8192", "", "Form"},
		"rich text": {
			"/Subtype /FreeText /RC (<body><p>Notice <b>of</b> lease</p></body>)", "",
			"Form\nNotice of lease",
		},
	} {
		got, err := extractBytes(shared(t), annotatedPDF(c.annotation, c.appearance))
		if err != nil || got.Text != c.want {
			t.Errorf("%s: got %q, %v, want %q", name, got.Text, err, c.want)
		}
	}
}

// The data of an XFA form is read where no field displays it.
func TestFormData(t *testing.T) {
	t.Parallel()
	const filled = "/Annots [ << /Type /Annot /Subtype /Widget /FT /Tx /T (a) /V (Jane Doe) " +
		"/Rect [9 9 300 30] /F 4 >> ]"
	for name, c := range map[string]struct{ page, want string }{
		"form without fields":     {"", "Form\n\nJane Doe\n2\nAccident"},
		"form with filled fields": {filled, "Form\nJane Doe\n\nAccident"},
	} {
		w := newPDF()
		w.stream("", []byte("<x:datasets><x:data><name>Jane Doe</name><kind>2</kind>"+
			"<what>Accident</what></x:data></x:datasets>"))
		w.page, w.catalog = c.page, "/AcroForm << /Fields [] /XFA [ (datasets) 1 0 R ] >>"
		got, err := extractBytes(shared(t), w.pages("", "", lines("Form")))
		if err != nil || got.Text != c.want {
			t.Errorf("%s: got %q, %v, want %q", name, got.Text, err, c.want)
		}
	}
}
