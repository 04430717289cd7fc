package main_test

// extractCase is the kind of a file, and what is and is not in its text.
type extractCase struct {
	kind string
	want []string
	not  []string
}

// extractCases returns the cases by the names of their files.
func extractCases() map[string]extractCase {
	const (
		pdf  = "application/pdf"
		mail = "message/rfc822"
		docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
		xlsx = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
		pptx = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
	)
	return map[string]extractCase{
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
		"fr_mac_0.txt": {
			"text/plain", []string{"12, rue de l’Église – 69003 Lyon", "1 284,50 €"}, nil,
		},
		"d_truncated.docx":    {docx, []string{"SMARTART text"}, nil},
		"de_cp850_0.txt":      {"text/plain", []string{"50667 Köln", "Bitte überweisen"}, nil},
		"m_apple.eml":         {mail, []string{"lease agreement", "a.txt\n\nATTACHED invoice"}, []string{"HTML"}},
		"m_two.mbox":          {mail, []string{"PARTBODY0 Grüße", "PARTBODY1 Grüße"}, []string{"Content-Type"}},
		"m_uuencode.eml":      {mail, []string{"see below.", "Regards", "invoice amount due"}, []string{"M071T"}},
		"m_unindented.eml":    {mail, []string{"Grüße aus Köln"}, []string{"<p>", "From:"}},
		"m_cr.eml":            {mail, []string{"PARTBODY Grüße"}, []string{"EPILOGUE"}},
		"m_blank.eml":         {mail, []string{"PARTBODY Grüße"}, []string{"EPILOGUE"}},
		"m_noheader.eml":      {mail, []string{"PARTBODY Grüße"}, []string{"EPILOGUE"}},
		"m_footer.eml":        {mail, []string{"ENDMARK Grüße"}, nil},
		"m_b64pieces.eml":     {mail, []string{"First chunk of text. Please", "ENDMARK"}, nil},
		"m_pgp.eml":           {mail, []string{"The contract is signed"}, []string{"PGP", "iQEzBAEB", "Hash"}},
		"m_utf7.eml":          {mail, []string{"Grüße aus Köln. ENDMARK"}, nil},
		"m_cp850.eml":         {mail, []string{"Größe. ENDMARK"}, nil},
		"m_rtf.eml":           {mail, []string{"Hello RTFMARK"}, []string{"rtf1"}},
		"m_digest.eml":        {mail, []string{"DIG1\n", "BODY1", "DIG2\n", "BODY2"}, []string{"MIME"}},
		"m_saved.mht":         {mail, []string{"Seite für", "Grüße MHTMARK"}, []string{"CSSMARK"}},
		"m_words.eml":         {mail, []string{"über 119 € für MüllerGröße Müller end\n", "body Grüße"}, nil},
		"m_winmail.eml":       {mail, []string{"PLAINBODY", "Größe.txt\n\nTNEFATT text"}, nil},
		"m_fattura.eml":       {mail, []string{"p7m\n\nInvoice, fattura elettronica\n"}, []string{"<"}},
		"x_nodeclaration.xml": {"text/xml", []string{"Invoice\nID 77\nDue Date 2024-07-03"}, nil},
		"x_embedded.xml":      {"text/xml", []string{"Due Date", "EMBEDDEDOBJ text"}, []string{"RU1CR"}},
		"x_flatopc.xml":       {"text/xml", []string{"FLATOPC text"}, []string{"STYLESJUNK", "body"}},
		"pl_cp852.txt":        {"text/plain", []string{"załączeniu przesyłamy fakturę"}, nil},
		"de_cp850_1.txt":      {"text/plain", []string{"Rechnung für Müller"}, nil},
		"de_damaged_utf8.txt": {"text/plain", []string{"kündigen wir"}, nil},
		"uk_koi8u.txt":        {"text/plain", []string{"місто Київ, їжак"}, nil},
		"en_dos_end.txt":      {"text/plain", []string{"DOS text with end mark"}, nil},
		"en_quotes.txt":       {"text/plain", []string{"“Hello” and “World”"}, nil},
		"en_colors.log":       {"text/plain", []string{"ERROR failed to open"}, nil},
		"c_card.vcf":          {"text/vcard", []string{"N:Müller;Jürgen\n"}, []string{"4AAQ"}},
		"c_meeting.ics":       {"text/calendar", []string{"Budget review meeting", "one\nLine two, three"}, nil},
		"d_eq.docx":           {docx, []string{"NUMER DENOM"}, []string{"EQ"}},
		"d_deleted.docx":      {docx, []string{"KEEP"}, []string{"DELWITHT"}},
		"d_wordart.docx":      {docx, []string{"WORDART text", "VMLBOX"}, nil},
		"s_order.pptx":        {pptx, []string{"SHOWNFIRST\n\nSHOWNLAST"}, nil},
		"x_threaded.xlsx":     {xlsx, []string{"Bitte bis Freitag prüfen"}, []string{"Version"}},
		"r_russian.rtf":       {"text/rtf", []string{"Договор"}, nil},
		"r_deleted.rtf":       {"text/rtf", []string{"keepUNIVER"}, nil},
		"r_picture.rtf":       {"text/rtf", []string{"Scan:\n\nINVOICE No. 2024-117"}, nil},
		"p_truncated.pdf":     {pdf, []string{"INVOICE No. 2024-117"}, nil},
		"p_choice.pdf":        {pdf, []string{"CHOICE two"}, []string{"CHOICE one"}},
		"p_xfa.pdf":           {pdf, []string{"XFAVALUE Müller"}, []string{"TPLTEXT"}},
		"i_exif.jpg":          {"image/jpeg", []string{"Receipt total 12.50"}, nil},
		"i_progressive.jpg":   {"image/jpeg", []string{"Water bill for March", "Amount due 40.00"}, nil},
		"i_fillorder.tif":     {"image/tiff", []string{"INVOICE No. 2024-117"}, nil},
		"i_fax_2d.tif":        {"image/tiff", []string{"INVOICE No. 2024-117", "108.00 EUR"}, nil},
		"i_fax_rle.tif":       {"image/tiff", []string{"INVOICE No. 2024-117", "108.00 EUR"}, nil},
		"i_zstd.tif":          {"image/tiff", []string{"INVOICE No. 2024-117", "108.00 EUR"}, nil},
		"i_bigtiff.tif":       {"image/tiff", []string{"108.00 EUR\n\nINVOICE No. 2024-117"}, nil},
		"i_pale_skew.png":     {"image/png", []string{"INVOICE", "Amount due 108.00 EUR"}, nil},
	}
}
