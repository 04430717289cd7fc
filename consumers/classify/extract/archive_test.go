package extract

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// part is a part of an archive. Its content is a string or a bomb.
type part struct {
	name    string
	content any
}

// bomb is the content of a part that decompresses to at least 80 MiB of the string, repeated.
type bomb string

// zipped returns a zip archive. Its first part is stored uncompressed, as OpenDocument and EPUB
// require.
func zipped(parts ...part) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i, p := range parts {
		header := &zip.FileHeader{Name: p.name, Method: zip.Deflate}
		if i == 0 {
			header.Method = zip.Store
		}
		var f io.Writer
		var err error
		switch content := p.content.(type) {
		case bomb:
			chunk := strings.Repeat(string(content), 1<<20/len(content)+1)
			compressed := deflateRepeated([]byte(chunk), 80)
			compressed = compressed[2 : len(compressed)-4] // without header and checksum of zlib
			header.CompressedSize64 = uint64(len(compressed))
			header.UncompressedSize64 = uint64(80 * len(chunk))
			if f, err = w.CreateRaw(header); err == nil {
				_, err = f.Write(compressed)
			}
		case string:
			if f, err = w.CreateHeader(header); err == nil {
				_, err = io.WriteString(f, content)
			}
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

const (
	wordType   = officePrefix + "wordprocessingml.document"
	sheetType  = officePrefix + "spreadsheetml.sheet"
	slidesType = officePrefix + "presentationml.presentation"
)

// officePackage returns an Office Open XML package of the given type. The first part is the main
// part.
func officePackage(mediaType string, parts ...part) []byte {
	const mainPart = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/" +
		"officeDocument"
	return zipped(append([]part{
		{"[Content_Types].xml", `<?xml version="1.0"?><Types>` +
			`<Default Extension="xml" ContentType="application/xml"/>` +
			`<Override PartName="/` + parts[0].name + `" ` +
			`ContentType="` + mediaType + `.main+xml"/></Types>`},
		{"_rels/.rels", `<Relationships><Relationship Id="rId1" Type="` + mainPart + `" ` +
			`Target="` + parts[0].name + `"/></Relationships>`},
	}, parts...)...)
}

// related returns a part with relationships, whose IDs are r0, r1 and so on. The strings are the
// kind and the target of each relationship in turn.
func related(name string, kindsAndTargets ...string) part {
	var b strings.Builder
	b.WriteString("<Relationships>")
	for i := 0; i < len(kindsAndTargets); i += 2 {
		fmt.Fprintf(&b, `<Relationship Id="r%d" Type="http://x/%s" Target="%s"/>`,
			i/2, kindsAndTargets[i], kindsAndTargets[i+1])
	}
	return part{name, b.String() + "</Relationships>"}
}

func docx(body string, more ...part) []byte {
	document := `<?xml version="1.0" encoding="UTF-8"?><w:document xmlns:w="x"><w:body>` + body +
		`</w:body></w:document>`
	return officePackage(wordType, append([]part{{"word/document.xml", document}}, more...)...)
}

const (
	fieldBegin    = `<w:fldChar w:fldCharType="begin"/>`
	fieldSeparate = `<w:fldChar w:fldCharType="separate"/>`
	fieldEnd      = `<w:fldChar w:fldCharType="end"/>`
)

func instruction(s string) string { return `<w:instrText>` + s + `</w:instrText>` }

// dropDownOf returns a paragraph with a list of three entries. chosen are the elements before them.
func dropDownOf(chosen string) string {
	return `<w:p><w:fldChar w:fldCharType="begin"><w:ffData><w:ddList>` + chosen +
		`<w:listEntry w:val="house"/><w:listEntry w:val="car"/><w:listEntry w:val="truck"/>` +
		`</w:ddList></w:ffData></w:fldChar>` + instruction(`FORMDROPDOWN`) + fieldEnd + `</w:p>`
}

func xlsx(rows string, more ...part) []byte {
	return officePackage(sheetType, append([]part{
		{"xl/workbook.xml", `<workbook><sheets>` +
			`<sheet name="Budget" sheetId="1" r:id="r0"/>` +
			`<sheet name="Secret" state="hidden" r:id="r1"/></sheets></workbook>`},
		related("xl/_rels/workbook.xml.rels",
			"worksheet", "worksheets/sheet1.xml",
			"worksheet", "/xl/worksheets/sheet2.xml",
			"sharedStrings", "sharedStrings.xml"),
		{"xl/worksheets/sheet2.xml", `<worksheet><c><v>77</v></c></worksheet>`},
		{"xl/worksheets/sheet1.xml", `<worksheet><sheetData>` + rows + `</sheetData></worksheet>`},
	}, more...)...)
}

// xlsxWithFormats returns a workbook with cell formats for a number, a date, a date with a time, a
// time and a custom date, and two custom formats for numbers that look like formats for dates.
func xlsxWithFormats(properties, rows string) []byte {
	return officePackage(sheetType,
		part{"xl/workbook.xml", `<workbook>` + properties +
			`<sheets><sheet name="Budget" r:id="r0"/></sheets></workbook>`},
		related("xl/_rels/workbook.xml.rels", "worksheet", "s.xml", "styles", "styles.xml"),
		part{"xl/s.xml", rows},
		part{"xl/styles.xml", `<styleSheet><numFmts>` +
			`<numFmt numFmtId="164" formatCode="[$-407]dd/\ mmm&quot; of &quot;yy;@"/>` +
			`<numFmt numFmtId="165" formatCode="#,##0.00\ &quot;days&quot;;[Red]-0"/>` +
			`<numFmt numFmtId="166" formatCode="General"/></numFmts>` +
			`<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>` +
			`<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="22"/><xf numFmtId="20"/>` +
			`<xf numFmtId="164"/><xf numFmtId="165"/><xf numFmtId="166"/></cellXfs></styleSheet>`})
}

func pptx(slides ...string) []byte {
	parts := []part{{"ppt/presentation.xml", "<p:presentation/>"}}
	for i, s := range slides {
		parts = append(parts, part{fmt.Sprintf("ppt/slides/slide%d.xml", i+1), s})
	}
	return officePackage(slidesType, parts...)
}

const odfPrefix = "application/vnd.oasis.opendocument."

func odt(content string, more ...part) []byte {
	return zipped(append([]part{
		{"mimetype", odfPrefix + "text"},
		{"content.xml", `<office:document-content><office:body>` + content +
			`</office:body></office:document-content>`},
	}, more...)...)
}

func ods(content string) []byte {
	return zipped(part{"mimetype", odfPrefix + "spreadsheet"}, part{"content.xml", content})
}

// odfHiddenStyle returns a style that hides its elements by this property.
func odfHiddenStyle(family, name, property string) string {
	return `<style:style style:name="` + name + `" style:family="` + family + `">` +
		`<style:` + family + `-properties ` + property + `/></style:style>`
}

func epub(chapter string, more ...part) []byte {
	return zipped(append([]part{
		{"mimetype", "application/epub+zip"},
		{"META-INF/container.xml", `<container><rootfiles><rootfile full-path="OPS/book.opf" ` +
			`media-type="application/oebps-package+xml"/></rootfiles></container>`},
		{"OPS/book.opf", `<package><metadata>` +
			`<dc:title>The Book</dc:title><dc:creator>Ann Author</dc:creator></metadata><manifest>` +
			`<item id="c2" href="two.xhtml" media-type="application/xhtml+xml"/>` +
			`<item id="c1" href="text/one%20and.xhtml" media-type="application/xhtml+xml"/>` +
			`</manifest><spine>` +
			`<itemref idref="c1"/><itemref idref="c2"/><itemref idref="gone"/></spine></package>`},
		{"OPS/two.xhtml", `<html><head><title/></head><body><p>second chapter</p></body></html>`},
		{"OPS/text/one and.xhtml", chapter},
	}, more...)...)
}

func TestArchives(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{})
	native := []byte("\x29\x00\x00\x00\x02\x00a.txt\x00C:\\a.txt\x00\x00\x00\x03\x00" +
		"\x03\x00\x00\x00C:\x00\x0a\x00\x00\x00as an icon rest")
	for name, c := range map[string]struct {
		content []byte
		kind    string
		pages   int
		want    string
	}{
		"docx": {
			content: docx(`<w:p><w:r><w:t>Dear Ann,</w:t></w:r></w:p>`+
				`<w:p><w:r><w:t xml:space="preserve">please </w:t></w:r>`+
				`<w:r><w:t>pay &#x20ac; 5 &amp; tip.</w:t><w:tab/><w:t>soon</w:t><w:br/>`+
				`<w:t>bye</w:t></w:r></w:p>`+
				`<w:p><w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r>`+
				`<w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>visible</w:t></w:r>`+
				`<w:r><w:t>long</w:t><w:noBreakHyphen/><w:t>term</w:t></w:r>`+
				`<w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>`+
				`<w:instrText>PAGE</w:instrText></w:p>`+
				`<mc:AlternateContent><mc:Choice><w:t>box</w:t></mc:Choice>`+
				`<mc:Fallback><w:t>box</w:t></mc:Fallback></mc:AlternateContent>`,
				related("word/_rels/document.xml.rels",
					"header", "header1.xml", "image", "media/image1.png"),
				part{"word/header1.xml",
					`<w:hdr><w:p><w:r><w:t>Header Inc.</w:t></w:r></w:p></w:hdr>`}),
			kind: wordType,
			want: "Dear Ann,\nplease pay € 5 & tip. soon\nbye\nvisiblelong-term\nbox\n\n" +
				"Header Inc.",
		},
		"docx with macros and unusual names": {
			content: officePackage("application/vnd.ms-word.document.macroEnabled",
				part{"word/document2.xml", `<ns0:document><ns0:p><ns0:t><![CDATA[elsewhere]]>` +
					`</ns0:t></ns0:p></ns0:document>`}),
			kind: "application/vnd.ms-word.document.macroenabled.12",
			want: "elsewhere",
		},
		"docx in UTF-16": {
			content: officePackage(wordType,
				part{"word/document.xml", "\xff\xfe" + string(utf16le("<w:t>größer</w:t>"))}),
			kind: wordType,
			want: "größer",
		},
		"xlsx": {
			content: xlsx(`<row><c r="A1" t="s"><v>1</v></c><c r="B1"><v>12.5</v></c><c/>`+
				`<c t="b"><v>1</v></c></row>`+
				`<row><c t="inlineStr"><is><t>in line</t></is></c><c t="s"><v>9</v></c>`+
				`<c t="s"><v>0</v></c></row>`,
				part{"xl/sharedStrings.xml", `<sst><si><t>to</t><r><t>gether</t></r>` +
					`<rPh><t>phonetic</t></rPh></si><si><t>Rent</t></si></sst>`}),
			kind: sheetType,
			want: "Budget\nRent 12.5\nin line together",
		},
		"docx with objects": {
			content: docx(`<w:p><w:t>left</w:t><w:ptab/><w:t>right</w:t></w:p>`,
				related("word/_rels/document.xml.rels", "package", "embeddings/a.xlsx",
					"oleObject", "embeddings/b.bin", "oleObject", "embeddings/c.bin",
					"oleObject", "embeddings/d.bin", "oleObject", "embeddings/e.bin"),
				part{"word/embeddings/a.xlsx", string(xlsx(`<c><v>7</v></c>`))},
				part{"word/embeddings/b.bin", string(wordFile("old letter"))},
				part{"word/embeddings/c.bin", string(compoundFile(
					stream{"Package", docx(`<w:t>packed</w:t>`)}))},
				part{"word/embeddings/d.bin", string(compoundFile(stream{"\x01Ole10Native", native}))},
				part{"word/embeddings/e.bin", string(compoundFile(
					stream{"CONTENTS", []byte("contents")}))}),
			kind: wordType,
			want: "left right\n\nBudget\n7\n\nold letter\n\npacked\n\nas an icon\n\ncontents",
		},
		"xlsx with comments and page headers": {
			content: xlsx(`<c><v>7</v></c></sheetData><headerFooter>`+
				`<oddHeader>&amp;L&amp;"Arial,Bold"&amp;12AT&amp;&amp;T and Q&amp;&amp;A`+
				`&amp;R&amp;P</oddHeader>`+
				`</headerFooter>`,
				related("xl/worksheets/_rels/sheet1.xml.rels", "comments", "../comments1.xml"),
				part{"xl/comments1.xml", `<comments><authors><author>Ann</author></authors>` +
					`<commentList><comment><text><r><t>too</t></r><r><t> much</t></r></text></comment>` +
					`<comment><text><t>paid</t></text></comment>` +
					`<comment><text><t>[Threaded comment]&#10;&#10;Your version of Excel allows you to ` +
					`read this threaded comment; however, any edits to it will get removed if the file is ` +
					`opened in a newer version of Excel. Learn more: ` +
					`https://go.microsoft.com/fwlink/?linkid=870924` +
					`&#10;&#10;Comment:&#10;    Comment: late </t>` +
					`<t>[Threaded comment] Comment: too</t></text></comment>` +
					`</commentList></comments>`}),
			kind: sheetType,
			want: "Budget\n7\nAT&T and Q&A\n\ntoo much\npaid\n" +
				"Comment: late [Threaded comment] Comment: too",
		},
		"xlsx with dates": {
			content: xlsxWithFormats(`<workbookPr/>`,
				`<row><c s="1"><v>46095</v></c><c s="2"><v>46095.75</v></c>`+
					`<c s="3" t="n"><v>0.5</v></c><c s="4"><v>46095</v></c></row>`+
					`<row><c s="0"><v>46095</v></c><c s="5"><v>46095</v></c>`+
					`<c s="6"><v>46095</v></c><c s="1"><v>x</v></c><c s="1"><v>-3</v></c>`+
					`<c s="1"><v>1e300</v></c><c s="3"><v>30.5</v></c><c s="99"><v>7</v></c></row>`),
			kind: sheetType,
			want: "Budget\n2026-03-14 2026-03-14 18:00 12:00 2026-03-14\n" +
				"46095 46095 46095 x -3 1e300 30.5 7",
		},
		"xlsx with more digits than are displayed": {
			content: xlsx(`<row><c><v>89.989999999999995</v></c><c><v>108.00000000000001</v></c>` +
				`<c><v>-1.0000000000000001E-5</v></c><c><v>1.7976931348623157E+308</v></c>` +
				`<c><v>12345678901234567</v></c><c><v>0.1</v></c><c><v>1.2.3456789012345678</v></c></row>`),
			kind: sheetType,
			want: "Budget\n89.99 108 -1E-05 1.7976931348623157E+308 12345678901234567 0.1 " +
				"1.2.3456789012345678",
		},
		"xlsx with dates from 1904": {
			content: xlsxWithFormats(`<workbookPr date1904="1"/>`,
				`<row><c s="1"><v>1</v></c></row>`),
			kind: sheetType,
			want: "Budget\n1904-01-02",
		},
		"pptx": {
			content: pptx(
				`<p:sld><a:p><a:r><a:t>First</a:t></a:r><a:br/><a:r><a:t>slide</a:t></a:r></a:p>`+
					`</p:sld>`,
				`<p:sld show="0"><a:t>hidden</a:t></p:sld>`,
				`<p:sld><a:t>Last</a:t></p:sld>`),
			kind:  slidesType,
			pages: 3,
			want:  "First\nslide\n\nLast",
		},
		"pptx with hidden shapes": {
			content: pptx(`<p:sld><p:grpSp><p:cNvPr hidden="1"/><p:sp><p:cNvPr/><a:t>hidden</a:t></p:sp>` +
				`<a:t>hidden</a:t></p:grpSp><p:sp><p:cNvPr hidden="0"/><a:t>shown</a:t></p:sp></p:sld>`),
			kind:  slidesType,
			pages: 1,
			want:  "shown",
		},
		"docx with a hidden shape": {
			content: docx(`<w:r><wp:anchor><wp:docPr hidden="true"/><wps:wsp><w:p><w:t>hidden</w:t></w:p>` +
				`</wps:wsp></wp:anchor><w:t>shown</w:t></w:r>`),
			kind: wordType,
			want: "shown",
		},
		"pptx with comments and a chart": {
			content: officePackage(slidesType, part{"ppt/presentation.xml", "<p:presentation/>"},
				part{"ppt/slides/slide1.xml", `<p:sld><a:t>Slide</a:t></p:sld>`},
				related("ppt/slides/_rels/slide1.xml.rels",
					"comments", "../comments/comment1.xml", "chart", "../charts/chart1.xml"),
				part{"ppt/charts/chart1.xml", `<c:ser><c:tx><c:v>Sales</c:v></c:tx>` +
					`<c:xVal><c:strCache><c:v>Berlin</c:v></c:strCache></c:xVal>` +
					`<c:yVal><c:numCache><c:v>8.2</c:v></c:numCache></c:yVal></c:ser>`},
				part{"ppt/comments/comment1.xml", `<p:cmLst><p:cm><p:text>Nice</p:text></p:cm>` +
					`<p:cm><p:txBody><a:p><a:t>Thanks</a:t></a:p></p:txBody></p:cm></p:cmLst>`}),
			kind:  slidesType,
			pages: 1,
			want:  "Slide\n\nSales\nBerlin\n\nNice\nThanks",
		},
		"docx with hidden paragraph marks and former properties": {
			content: docx(`<w:p><w:pPr><w:rPr><w:specVanish/><w:vanish/></w:rPr></w:pPr>` +
				`<w:r><w:t>Run-in heading</w:t></w:r></w:p>` +
				`<w:p><w:r><w:rPr><w:vanish w:val="off"/></w:rPr><w:t>shown </w:t></w:r>` +
				`<w:r><w:rPr><w:rPrChange><w:rPr><w:vanish/></w:rPr></w:rPrChange></w:rPr>` +
				`<w:t>again</w:t></w:r></w:p>`),
			kind: wordType,
			want: "Run-in heading\nshown again",
		},
		"docx with hidden styles": {
			content: docx(`<w:p><w:pPr><w:pStyle w:val="Note"/></w:pPr><w:r><w:t>hidden</w:t></w:r>`+
				`<w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>a</w:t></w:r></w:p>`+
				`<w:p><w:r><w:rPr><w:rStyle w:val="Based"/></w:rPr><w:t>hidden</w:t></w:r>`+
				`<w:r><w:rPr><w:rStyle w:val="Shown"/></w:rPr><w:t>b</w:t></w:r></w:p>`+
				`<w:p><w:r><w:rPr><w:rStyle w:val="Loop"/></w:rPr><w:t>c</w:t></w:r></w:p>`,
				related("word/_rels/document.xml.rels", "styles", "styles.xml"),
				part{"word/styles.xml", `<w:style w:type="character" w:styleId="Based">` +
					`<w:basedOn w:val="Hidden"/></w:style>` +
					`<w:style w:styleId="Hidden"><w:rPr><w:vanish/></w:rPr></w:style>` +
					`<w:style w:styleId="Note"><w:rPr><w:vanish/></w:rPr></w:style>` +
					`<w:style w:styleId="Shown"><w:basedOn w:val="Hidden"/>` +
					`<w:rPr><w:vanish w:val="false"/></w:rPr></w:style>` +
					`<w:style w:styleId="Loop"><w:basedOn w:val="Loop"/></w:style>`}),
			kind: wordType,
			want: "a\nb\nc",
		},
		"docx with nested fields": {
			content: docx(`<w:p>` + fieldBegin + instruction(`IF `) +
				fieldBegin + instruction(`MERGEFIELD Sex`) + fieldSeparate + `<w:t>male</w:t>` + fieldEnd +
				instruction(` = "male" "`) + `<w:t>Dear Sir</w:t>` + instruction(`" "Dear Madam"`) +
				fieldSeparate + `<w:t>Dear Mr </w:t>` + fieldBegin + instruction(`MERGEFIELD Name`) +
				fieldSeparate + `<w:t>Doe</w:t>` + fieldEnd + fieldEnd + `</w:p>` +
				`<w:p>` + fieldBegin + instruction(`EQ \f(`) + fieldBegin + instruction(`=1+1`) +
				fieldSeparate + `<w:t>2</w:t>` + fieldEnd + instruction(`;3)`) + fieldEnd + `</w:p>`),
			kind: wordType,
			want: "Dear Mr Doe\n2 3",
		},
		"docx with damaged fields": {
			content: docx(`<w:p>` + fieldEnd + fieldBegin + instruction(`PAGE`) + `</w:p>` +
				`<w:p><w:t>a</w:t></w:p>` +
				`<w:p><w:del>` + fieldBegin + `</w:del>` + instruction(`PAGE`) + `<w:t>b</w:t></w:p>`),
			kind: wordType,
			want: "a\nb",
		},
		"docx with lists": {
			content: docx(dropDownOf(`<w:result w:val="1"/><w:default w:val="0"/>`) +
				dropDownOf(`<w:default w:val="2"/>`) + dropDownOf(``)),
			kind: wordType,
			want: "car\ntruck\nhouse",
		},
		"odt with an embedded sheet": {
			content: odt(`<text:p>Letter</text:p>`,
				part{"Object 1/content.xml", `<table:table table:name="T"><table:table-cell>` +
					`<text:p>Rent</text:p></table:table-cell></table:table>`}),
			kind: odfPrefix + "text",
			want: "Letter\n\nRent",
		},
		"odt": {
			content: odt(`<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>` +
				`<text:h>Title</text:h><text:p>a<text:s/>b<text:span>c</text:span>` +
				`<text:line-break/>d</text:p>outside`),
			kind: odfPrefix + "text",
			want: "Title\na bc\nd",
		},
		"odt with its media type only in the manifest": {
			content: zipped(part{"content.xml", `<office:body><text:p>Letter</text:p></office:body>`},
				part{"META-INF/manifest.xml", `<manifest:file-entry manifest:full-path="content.xml" ` +
					`manifest:media-type="text/xml"/><manifest:file-entry manifest:full-path="/" ` +
					`manifest:media-type="` + odfPrefix + `text"/>`}),
			kind: odfPrefix + "text",
			want: "Letter",
		},
		"odt with notes, comments and page headers": {
			content: odt(`<text:p>a word<text:note><text:note-citation>1</text:note-citation>`+
				`<text:note-body><text:p>the note</text:p><text:p>goes <text:span>on</text:span>`+
				`</text:p></text:note-body></text:note> and`+
				`<office:annotation><dc:creator>Rev</dc:creator><dc:date>2026-01-01</dc:date>`+
				`<text:p>a comment</text:p></office:annotation> more `+
				`<text:date>today</text:date></text:p><text:p>next</text:p>`,
				part{"styles.xml", `<style:header-style/><text:p>default</text:p>` +
					`<style:master-page><style:header><text:p>Header Inc.</text:p></style:header>` +
					`<text:p>no</text:p><style:footer><text:p>Footer</text:p></style:footer>` +
					`</style:master-page>`}),
			kind: odfPrefix + "text",
			want: "a word and more today\nthe note\ngoes on\na comment\nnext\nHeader Inc.\nFooter",
		},
		"odp": {
			content: zipped(part{"mimetype", odfPrefix + "presentation"},
				part{"content.xml", `<draw:page><text:p>one<presentation:header/></text:p>` +
					`<presentation:notes><text:p>note</text:p></presentation:notes></draw:page>` +
					`<draw:page><text:p>two</text:p></draw:page>`}),
			kind: odfPrefix + "presentation",
			want: "one\nnote\n\ntwo",
		},
		"ods": {
			content: ods(`<table:table table:name="Empty"/><table:table table:name="Budget">` +
				`<table:table-row><table:table-cell/>` +
				`<table:table-cell><text:p>Item</text:p></table:table-cell>` +
				`<table:table-cell><office:annotation><text:p>remark</text:p></office:annotation>` +
				`<text:p>Sum</text:p></table:table-cell></table:table-row>` +
				`<table:table-row>` +
				`<table:table-cell><text:p>Rent</text:p><text:p>May</text:p></table:table-cell>` +
				`<table:table-cell><text:p>5</text:p></table:table-cell></table:table-row>` +
				`</table:table>`),
			kind: odfPrefix + "spreadsheet",
			want: "Budget\nItem Sum\nremark\nRent May 5",
		},
		"odt with hidden parts": {
			content: zipped(part{"mimetype", odfPrefix + "text"},
				part{"styles.xml", odfHiddenStyle("text", "Hidden", `text:display="none"`)},
				part{"content.xml", `<style:style style:name="T1" style:family="text" ` +
					`style:parent-style-name="Hidden"/><office:body><text:section text:display="none">` +
					`<text:section/><text:p>hidden</text:p></text:section><text:p>a` +
					`<text:span text:style-name="T1">hidden<text:note><text:p>hidden</text:p></text:note>` +
					`</text:span><text:hidden-text text:is-hidden="true">hidden</text:hidden-text>` +
					`<draw:frame draw:display="none"><text:p>hidden</text:p></draw:frame>b</text:p>`}),
			kind: odfPrefix + "text",
			want: "a\nb",
		},
		"odp with a hidden slide": {
			content: zipped(part{"mimetype", odfPrefix + "presentation"}, part{"content.xml",
				odfHiddenStyle("drawing-page", "dp2", `presentation:visibility="hidden"`) +
					`<draw:page draw:style-name="dp2"><text:p>hidden</text:p></draw:page>` +
					`<draw:page draw:style-name="dp1"><text:p>shown</text:p></draw:page>`}),
			kind: odfPrefix + "presentation",
			want: "shown",
		},
		"ods with a hidden sheet": {
			content: ods(odfHiddenStyle("table", "ta2", `table:display="false"`) +
				`<table:table table:name="Hidden" table:style-name="ta2"><text:p>hidden</text:p>` +
				`</table:table><table:table table:name="Shown"><text:p>1</text:p></table:table>`),
			kind: odfPrefix + "spreadsheet",
			want: "Shown\n1",
		},
		"flat ods with a hidden sheet": {
			content: []byte(`<?xml version="1.0"?><office:document office:mimetype="` + odfPrefix +
				`spreadsheet">` + odfHiddenStyle("table", "ta2", `table:display="false"`) +
				`<office:body><table:table table:style-name="ta2"><text:p>hidden</text:p></table:table>` +
				`<table:table table:name="Shown"><text:p>1</text:p></table:table></office:body>` +
				`</office:document>`),
			kind: odfPrefix + "spreadsheet-flat-xml",
			want: "Shown\n1",
		},
		"ods with repeated cells": {
			content: ods(`<table:table-row table:number-rows-repeated="1000000000">` +
				`<table:table-cell table:number-columns-repeated="1000000000">` +
				`<text:p>cell</text:p></table:table-cell></table:table-row>`),
			kind: odfPrefix + "spreadsheet",
			want: "cell",
		},
		"epub": {
			content: epub(`<html><head><title>One</title><script/></head>`+
				`<body><p>first <b>chap</b>ter<p/>x</p></body></html>`,
				part{"META-INF/encryption.xml", `<encryption><EncryptionMethod ` +
					`Algorithm="http://www.idpf.org/2008/embedding"/></encryption>`}),
			kind: "application/epub+zip",
			want: "The Book\nAnn Author\n\nOne\nfirst chapter\nx\n\nsecond chapter",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := bytes.NewReader(c.content)
			got, err := e.Text(t.Context(), r, int64(len(c.content)), c.kind)
			want := Result{Kind: c.kind, Pages: c.pages, Text: c.want}
			if err != nil || got != want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, want)
			}
		})
	}
}

func utf16le(s string) []byte {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r), byte(r>>8))
	}
	return b
}

// entityBomb returns a document with an entity that expands to a billion times "lollollol".
func entityBomb() string {
	b := `<!DOCTYPE x [<!ENTITY a0 "lollollol">`
	for i := range 9 {
		reference := fmt.Sprintf("&a%d;", i)
		b += fmt.Sprintf(`<!ENTITY a%d "%s">`, i+1, strings.Repeat(reference, 10))
	}
	return b + `]><w:document><w:t>&a9;</w:t>`
}

// encryptedEntries returns the zip archive with all its entries marked as encrypted.
func encryptedEntries(content []byte) []byte {
	content = bytes.Clone(content)
	for _, header := range []struct {
		signature   string
		flagsOffset int
	}{{"PK\x03\x04", 6}, {"PK\x01\x02", 8}} {
		for at := 0; ; {
			i := bytes.Index(content[at:], []byte(header.signature))
			if i < 0 {
				break
			}
			content[at+i+header.flagsOffset] |= 1
			at += i + 4
		}
	}
	return content
}

// archiveWithManyEntries returns an archive whose list of contents exceeds the limit.
func archiveWithManyEntries() []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range 20_000 {
		header := &zip.FileHeader{Name: fmt.Sprintf("%0200d", i)}
		if _, err := w.CreateHeader(header); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// encryptedOffice returns a file with the characteristics of an encrypted docx.
func encryptedOffice() []byte {
	return compoundFile(stream{"EncryptedPackage", make([]byte, 100<<10)})
}

// emptyCells returns a workbook with 80 MiB of empty cells.
func emptyCells() []byte {
	return officePackage(sheetType,
		part{"xl/workbook.xml", `<sheet name="x" r:id="r0"/>`},
		related("xl/_rels/workbook.xml.rels", "worksheet", "s.xml"),
		part{"xl/s.xml", bomb(`<c r="A1" s="` + strings.Repeat("1", 300) + `"/>`)})
}

func TestHostileArchives(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Timeout: time.Minute})
	word := docx("<w:t>words</w:t>")
	encryptedPart := part{"META-INF/manifest.xml",
		`<manifest:file-entry><manifest:encryption-data manifest:checksum="x"/>` +
			`</manifest:file-entry>`}
	protectedBook := part{"META-INF/encryption.xml",
		`<enc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/>`}
	manyStrings := part{"xl/sharedStrings.xml",
		"<sst>" + strings.Repeat("<si><t/></si>", 1<<18)}
	emptyMainPart := officePackage(wordType,
		part{"word/other.xml", ""},
		related("word/_rels/other.xml.rels", "header", "../../../../etc/passwd"))
	cases := map[string]struct {
		content []byte
		want    error
	}{
		"80 MiB of spaces":        {officePackage(wordType, part{"word/document.xml", bomb(" ")}), ErrBroken},
		"nested zip bomb":         {zipped(part{"a.zip", string(zipped(part{"b.zip", bomb("x")}))}), ErrUnsupported},
		"docx within a zip":       {zipped(part{"a.docx", string(word)}), ErrUnsupported},
		"entity bomb":             {officePackage(wordType, part{"word/document.xml", entityBomb()}), nil},
		"one attribute of 8 MiB":  {docx(`<w:p a="` + strings.Repeat(" ", 8<<20) + `">`), ErrBroken},
		"200,000 nested elements": {docx(strings.Repeat("<w:p>", 200_000)), ErrNoText},
		"odt with 100,000 nested": {odt(strings.Repeat("<text:p>", 100_000)), ErrNoText},
		"80 MiB of empty cells":   {emptyCells(), ErrBroken},
		"262,144 shared strings":  {xlsx(`<c t="s"><v>999999999</v></c>`, manyStrings), ErrNoText},
		"20,000 entries":          {archiveWithManyEntries(), ErrBroken},
		"encrypted zip":           {encryptedEntries(word), ErrEncrypted},
		"encrypted docx":          {encryptedOffice(), ErrEncrypted},
		"empty compound file":     {append([]byte(oleSignature), make([]byte, 9000)...), ErrBroken},
		"encrypted odt":           {odt("<text:p>x</text:p>", encryptedPart), ErrEncrypted},
		"protected epub":          {epub("<html>x</html>", protectedBook), ErrEncrypted},
		"docx with empty main":    {emptyMainPart, ErrNoText},
		"epub without book":       {zipped(part{"mimetype", "application/epub+zip"}), ErrBroken},
		"epub with empty chapter": {epub("", part{"OPS/x", ""}), nil},
		"empty spreadsheet":       {xlsx("<row/>"), ErrNoText},
	}
	for name, content := range map[string][]byte{
		"docx": word,
		"xlsx": xlsx("<c><v>5</v></c>"),
		"pptx": pptx("<a:t>words</a:t>"),
		"odt":  odt("<text:p>words</text:p>"),
		"epub": epub("<html>words</html>"),
	} {
		c := cases["truncated "+name]
		c.content, c.want = content[:30], ErrBroken
		cases["truncated "+name] = c
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			got, err := extractBytes(e, c.content)
			took := time.Since(start).Round(time.Millisecond)
			if !errors.Is(err, c.want) {
				t.Errorf("got error %v, want %v", err, c.want)
			}
			if len(got.Text) > 10_000 {
				t.Errorf("got a text of %d bytes, want at most 10,000", len(got.Text))
			}
			t.Logf("%d bytes, %s, error %v", len(c.content), took, err)
		})
	}
}

func TestTextBeforeDamageIsReturned(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{})
	tooLong := strings.Repeat(" ", 5<<20)
	got, err := extractBytes(e, officePackage(wordType,
		part{"word/document.xml", "<w:p><w:t>first words</w:t></w:p>" + tooLong}))
	if err != nil || got.Text != "first words" || !got.Truncated {
		t.Errorf("got %+v, %v, want text %q, truncated", got, err, "first words")
	}
}

func TestArchiveTimeout(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{Timeout: time.Nanosecond})
	_, err := extractBytes(e, docx("<w:t>x</w:t>"))
	if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "took longer") {
		t.Errorf("got error %v, want %v that says it took longer", err, ErrBroken)
	}
}

// An archive that is larger than MaxBytes is read through a window.
func TestLargeArchive(t *testing.T) {
	t.Parallel()
	image := part{"word/media/image.bin", string(deflateRepeated([]byte("x"), 1<<16))}
	content := docx("<w:t>in a window</w:t>", image)
	const maxBytes = 100
	if len(content) < 10*maxBytes {
		t.Fatalf("got an archive of %d bytes, want at least %d", len(content), 10*maxBytes)
	}
	e := setup(t, Config{MaxBytes: maxBytes})
	size := int64(len(content))
	down := errors.New("storage is down")

	t.Run("with ReadAt", func(t *testing.T) {
		got, err := extractBytes(e, content)
		if err != nil || got.Text != "in a window" {
			t.Errorf("got %+v, %v, want text %q", got, err, "in a window")
		}
	})
	t.Run("without ReadAt", func(t *testing.T) {
		_, err := e.Text(t.Context(), readerOnly{bytes.NewReader(content)}, -1, "")
		if !errors.Is(err, ErrUnsupported) {
			t.Errorf("got error %v, want %v", err, ErrUnsupported)
		}
	})
	t.Run("storage fails", func(t *testing.T) {
		r := &countingReaderAt{Reader: bytes.NewReader(content), failBefore: size, fail: down}
		_, err := e.Text(t.Context(), r, size, "")
		checkExternalError(t, err, down)
	})
	t.Run("storage fails while it is read into memory", func(t *testing.T) {
		e := setup(t, Config{MaxBytes: 1 << 20})
		r := io.MultiReader(bytes.NewReader(content[:size-100]), errReader{down})
		_, err := e.Text(t.Context(), r, -1, "")
		checkExternalError(t, err, down)
	})
}

func FuzzArchive(f *testing.F) {
	for _, content := range [][]byte{
		docx("<w:p><w:t>words</w:t>"),
		xlsx(`<row><c t="s"><v>0</v></c></row>`, part{"xl/sharedStrings.xml", "<si><t>x</t></si>"}),
		pptx("<a:t>x</a:t>"),
		odt("<text:p>x"),
		epub("<html>x"),
		encryptedEntries(docx("x")),
		zipped(part{"x", "y"}),
		zipped(part{"x/", ""}, part{"x/y.zip", string(zipped(part{"z", "words"}))}),
	} {
		f.Add(content)
		f.Add(content[:len(content)/2])
		f.Add(append(slices.Clone(content[:100]), content...))
	}
	e := setup(f, Config{MaxRunes: 100})
	f.Fuzz(func(t *testing.T, content []byte) {
		for depth := range 2 { // an archive itself, and one that is attached
			r := newReading(e, ocrNever)
			r.depth = depth
			d := document{sequential: bytes.NewReader(content), size: int64(len(content))}
			_, _, err := r.readArchive(t.Context(), d, kindZip)
			if err != nil && !causedByDocument(err) {
				t.Errorf("got error %v, want one that the document causes", err)
			}
			checkClean(t, r.text.String(), 100)
		}
	})
}

// FuzzParts passes arbitrary bytes to the reader of each part.
func FuzzParts(f *testing.F) {
	for _, s := range []string{
		"<w:p><w:t>x</w:t><w:vanish/>", "<c t='s'><v>1</v>", "<si><rPh><t>", "<text:p><text:s/>",
		"<a:sld show=0>", "<![CDATA[", "<a", "&#x0;", "\xff\xfe<\x00",
	} {
		f.Add(s)
	}
	e := setup(f, Config{MaxRunes: 100})
	f.Fuzz(func(t *testing.T, s string) {
		for _, content := range [][]byte{
			docx(s),
			xlsx(s, part{"xl/sharedStrings.xml", s}),
			pptx(s),
			odt(s, part{"META-INF/manifest.xml", s}),
			epub(s, part{"META-INF/encryption.xml", s}),
			zipped(part{"mimetype", "application/epub+zip"}, part{"META-INF/container.xml", s}),
			officePackage(wordType, part{"word/d.xml", s}, part{"word/_rels/d.xml.rels", s}),
		} {
			got, err := extractBytes(e, content)
			if err != nil && !causedByDocument(err) {
				t.Errorf("got error %v, want one that the document causes", err)
			}
			checkClean(t, got.Text, 100)
		}
	})
}
