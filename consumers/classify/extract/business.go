package extract

import (
	"bytes"
	"context"
	"strings"
	"unicode"

	"golang.org/x/net/html"
)

// maxNames is the number of different names of elements of an XML document that are written.
const maxNames = 1000

// rootElement is what identifies the vocabulary of an XML document.
type rootElement struct {
	name       string // without the prefix of its namespace
	namespaces string // the URIs of the namespaces that it declares, joined by spaces
	mimeType   string // of a flat OpenDocument file
}

// readRoot returns the first element of an XML document.
func readRoot(page string) (root rootElement) {
	tokens := html.NewTokenizer(strings.NewReader(page))
	tokens.SetMaxBuf(maxToken)
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			return root
		case html.StartTagToken, html.SelfClosingTagToken:
			root.name = localName(startTagName(tokens.Raw()))
			for range maxAttributes {
				key, value, more := tokens.TagAttr()
				switch name := string(key); {
				case name == "xmlns", strings.HasPrefix(name, "xmlns:"):
					root.namespaces += string(value) + " "
				case localName(name) == "mimetype":
					root.mimeType = string(value)
				}
				if !more {
					return root
				}
			}
			return root
		}
	}
}

// startTagName returns the name of the element in a start tag, in its own case, with its prefix.
func startTagName(tag []byte) string {
	tag = bytes.TrimPrefix(tag, []byte("<"))
	if end := bytes.IndexAny(tag, " \t\r\n/>"); end >= 0 {
		tag = tag[:end]
	}
	return string(tag)
}

// readXML reads an XML document: one of the vocabularies of business documents, a flat OpenDocument
// file, or any other. It returns the kind of the document.
//
// In data, the names of the elements say what the values are. Each name is therefore written once,
// before the content of the first element that has it. If the content is in attributes, their names
// and the values that are text are written likewise.
//
// It embeds the files that the document contains in base64.
func (r *reading) readXML(ctx context.Context, k kind, page string) (kind, error) {
	text := r.text
	root := readRoot(page)
	if odf, ok := strings.CutPrefix(root.mimeType, openDocumentPrefix); ok && openDocuments[odf] {
		k.name = openDocumentPrefix + odf + "-flat-xml"
		return k, r.readFlatODF(ctx, page, odf)
	}
	if root.name == "wordDocument" || root.name == "package" { // of Word 2003, and a flat package
		p := &paragraphReader{text: text}
		return k, parseXML(contextReader{ctx, strings.NewReader(page)}, xmlHandler{
			start: p.start, end: p.end, text: p.characters, done: text.full,
		})
	}
	m := markup{text: text, dialect: dialectXML}
	if k.name == "image/svg+xml" { // a picture, whose elements are shapes
		return k, readTokens(ctx, page, m)
	}
	written := map[string]bool{}
	if title := root.title(); title != "" {
		text.flow(title)
		text.startLine()
		written[root.name] = true
	}
	words := splitName
	if strings.Contains(root.namespaces, "iso:20022") {
		words = spellOut
	}
	m.embed = r.embed
	name := func(name string) string {
		if written[name] || len(written) >= maxNames {
			return ""
		}
		written[name] = true
		return words(name) + " "
	}
	m.label = func(tag []byte, isEmpty bool) string {
		if isEmpty {
			return ""
		}
		return name(localName(startTagName(tag)))
	}
	if len(written) == 0 && attributesPrevail(page) {
		m.label = withAttributes(name)
	}
	return k, readTokens(ctx, page, m)
}

// title returns what a business document is, in words, or "" for any other document.
func (r rootElement) title() string {
	for _, vocabulary := range []struct{ name, namespace, title string }{
		{"Invoice", "oasis:names:specification:ubl", "Invoice"},
		{"CreditNote", "oasis:names:specification:ubl", "Credit note, invoice correction"},
		{"CrossIndustryInvoice", "", "Invoice"},
		{"CrossIndustryDocument", "", "Invoice"},
		{"FatturaElettronica", "", "Invoice, fattura elettronica"},
		{"Document", "camt.053", "Bank statement"},
		{"Document", "camt.052", "Bank account report, statement of the day"},
		{"Document", "camt.054", "Bank notification of debits and credits"},
		{"Document", "pain.001", "Payment order, credit transfer"},
		{"Document", "pain.008", "Direct debit order"},
		{"Document", "pain.002", "Payment status report"},
	} {
		if r.name == vocabulary.name && strings.Contains(r.namespaces, vocabulary.namespace) {
			return vocabulary.title
		}
	}
	return ""
}

// splitName divides a name at its capitals, digits and punctuation: "DueDate" becomes "Due Date",
// and "PayeeIBAN" becomes "Payee IBAN".
func splitName(name string) string {
	var b strings.Builder
	previous := ' '
	letters := []rune(name) // which replaces what is not valid UTF-8
	for i, r := range letters {
		next := ' '
		if i+1 < len(letters) {
			next = letters[i+1]
		}
		isWord := unicode.IsLetter(r) || unicode.IsDigit(r)
		starts := unicode.IsUpper(r) && (unicode.IsLower(previous) || unicode.IsDigit(previous) ||
			unicode.IsUpper(previous) && unicode.IsLower(next))
		if !isWord || starts {
			b.WriteByte(' ')
		}
		if isWord {
			b.WriteRune(r)
		}
		previous = r
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// abbreviations are the abbreviations in the names of ISO 20022.
var abbreviations = map[string]string{
	"Acct": "Account", "Acctg": "Accounting", "Addtl": "Additional", "Adr": "Address",
	"Adrs": "Address", "Agt": "Agent", "Amt": "Amount", "Avlbty": "Availability", "Bal": "Balance",
	"Bk": "Bank", "Bkg": "Booking", "Bookg": "Booking", "Br": "Bearer", "Btch": "Batch",
	"Cd": "Code", "Cdt": "Credit", "Cdtr": "Creditor", "Ccy": "Currency", "Chrgs": "Charges",
	"Clr": "Clearing", "Cre": "Creation", "Cstmr": "Customer", "Ctrl": "Control", "Ctry": "Country",
	"Dbt": "Debit", "Dbtr": "Debtor", "Drct": "Direct", "Dt": "Date", "Dtls": "Details",
	"Elctrnc": "Electronic", "Fin": "Financial", "Fr": "From", "Grp": "Group", "Hdr": "Header",
	"Id": "Identification", "Ind": "Indicator", "Inf": "Information", "Initg": "Initiating",
	"Instd": "Instructed", "Instn": "Institution", "Instr": "Instruction", "Intrst": "Interest",
	"Ln": "Line", "Mndt": "Mandate", "Msg": "Message", "Nb": "Number", "Nm": "Name",
	"Ntfctn": "Notification", "Ntry": "Entry", "Ntries": "Entries", "Opng": "Opening",
	"Orgnl": "Original", "Othr": "Other", "Ownr": "Owner", "Pmt": "Payment", "Prtry": "Proprietary",
	"Pstl": "Postal", "Pty": "Party", "Purp": "Purpose", "Ref": "Reference", "Refs": "References",
	"Reqd": "Requested", "Rltd": "Related", "Rmt": "Remittance", "Rpt": "Report", "Rsn": "Reason",
	"Rtr": "Return", "Schme": "Scheme", "Seq": "Sequence", "Stmt": "Statement", "Strd": "Structured",
	"Strt": "Street", "Sts": "Status", "Sttlm": "Settlement", "Sum": "Sum", "Summry": "Summary",
	"Svc": "Service", "Svcr": "Servicer", "Tp": "Type", "Tm": "Time", "Trf": "Transfer",
	"Tx": "Transaction", "Txs": "Transactions", "Txn": "Transaction", "Ultmt": "Ultimate",
	"Ustrd": "Unstructured", "Val": "Value", "Xchg": "Exchange",
}

// spellOut is splitName for names of ISO 20022, which consist of abbreviations: "BookgDt" becomes
// "Booking Date".
func spellOut(name string) string {
	words := strings.Fields(splitName(name))
	for i, word := range words {
		if full := abbreviations[word]; full != "" {
			words[i] = full
		}
	}
	return strings.Join(words, " ")
}
