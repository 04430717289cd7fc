package extract

import (
	"context"
	"regexp"
	"strings"

	"github.com/klippa-app/go-pdfium/requests"
)

// formData matches the data in a form that is not divided into packets.
var formData = regexp.MustCompile(`(?s)<(?:\w+:)?datasets[\s>].*</(?:\w+:)?datasets\s*>`)

// readFormData writes the data of an XFA form, unless the fields of the pages display it. Most such
// forms have a single page, which asks for another viewer.
func (p *pages) readFormData() error {
	count, err := p.instance.FPDF_GetXFAPacketCount(
		&requests.FPDF_GetXFAPacketCount{Document: p.document})
	if err != nil {
		return nil // there is no form
	}
	for i := range min(count.Count, maxEmbeddedFiles) {
		name, err := p.instance.FPDF_GetXFAPacketName(
			&requests.FPDF_GetXFAPacketName{Document: p.document, Index: i})
		if err != nil {
			return err
		}
		if name.Name != "datasets" && name.Name != "" {
			continue
		}
		packet, err := p.instance.FPDF_GetXFAPacketContent(
			&requests.FPDF_GetXFAPacketContent{Document: p.document, Index: i})
		if err != nil {
			return err
		}
		content := decode(packet.Content[:min(len(packet.Content), maxTextBytes)], "", true)
		if name.Name == "" { // the whole form
			content = formData.FindString(content)
		}
		data := newText(p.text.max - p.text.runes)
		// The deadline of the document stops PDFium only, but the data is short.
		if err := readMarkup(context.Background(), content, dialectXML, data); err != nil {
			return err
		}
		p.writeFormData(data)
	}
	return nil
}

// writeFormData writes the lines of data that the pages do not display. The values of a form with
// filled fields that have no letters are left out: they are the codes of choices, and numbers that
// the fields display in a format.
func (p *pages) writeFormData(data *text) {
	lines := strings.Split(data.String(), "\n")
	if !p.filled || len(lines) > maxAnnotations {
		p.text.startLine()
		p.text.join(data)
		return
	}
	shown := singleSpaced(p.text.String())
	for _, line := range lines {
		if hasLetter(line) && !strings.Contains(shown, singleSpaced(line)) {
			p.text.startLine()
			p.text.write(line)
		}
	}
}
