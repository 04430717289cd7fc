package api

import (
	"fmt"
	"mime"
	"slices"
	"strings"

	"intray/schema"
)

// DefaultTypes are the media types that can be uploaded by default: those that the classifier can
// read (signed invoices and mails are pkcs7-mime), those that scanners and phones produce, and
// application/octet-stream, which browsers send for a file whose type they do not know. Programs,
// archives, audio and video are not included.
var DefaultTypes = []string{
	"text/*",
	"image/*",
	"application/pdf",
	"application/json",
	"application/xml",
	"application/xhtml+xml",
	"application/yaml",
	"application/x-yaml",
	"application/rtf",
	"application/epub+zip",
	"application/postscript",
	"application/x-tex",
	"application/x-latex",
	"application/msword",
	"application/vnd.ms-excel",
	"application/vnd.ms-powerpoint",
	"application/vnd.ms-word.document.macroenabled.12",
	"application/vnd.ms-word.template.macroenabled.12",
	"application/vnd.ms-excel.sheet.macroenabled.12",
	"application/vnd.ms-excel.template.macroenabled.12",
	"application/vnd.ms-powerpoint.presentation.macroenabled.12",
	"application/vnd.ms-powerpoint.slideshow.macroenabled.12",
	"application/vnd.ms-outlook",
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	"application/vnd.openxmlformats-officedocument.wordprocessingml.template",
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	"application/vnd.openxmlformats-officedocument.spreadsheetml.template",
	"application/vnd.openxmlformats-officedocument.presentationml.presentation",
	"application/vnd.openxmlformats-officedocument.presentationml.slideshow",
	"application/vnd.openxmlformats-officedocument.presentationml.template",
	"application/vnd.oasis.opendocument.text",
	"application/vnd.oasis.opendocument.text-template",
	"application/vnd.oasis.opendocument.text-flat-xml",
	"application/vnd.oasis.opendocument.spreadsheet",
	"application/vnd.oasis.opendocument.spreadsheet-template",
	"application/vnd.oasis.opendocument.spreadsheet-flat-xml",
	"application/vnd.oasis.opendocument.presentation",
	"application/vnd.oasis.opendocument.presentation-template",
	"application/vnd.oasis.opendocument.presentation-flat-xml",
	"application/vnd.oasis.opendocument.graphics",
	"application/vnd.apple.pages",
	"application/vnd.apple.numbers",
	"application/vnd.apple.keynote",
	"application/mbox",
	"application/pkcs7-mime",
	"application/x-pkcs7-mime",
	"message/rfc822",
	"application/octet-stream",
}

// namedTypes is the number of allowed types that the error for a refused type names.
const namedTypes = 5

var aboutContentType = schema.Facts{Pointer: "/content_type"}

// allowedType returns the media type in lower case, without any parameter but the charset. It fails
// with CodeInvalid if contentType is not a media type, and with CodeTypeNotAllowed if it is not in
// the list allowed.
func allowedType(contentType string, allowed []string) (string, error) {
	media, params, err := mime.ParseMediaType(contentType)
	kind, sub, isType := strings.Cut(media, "/")
	if err != nil || !isType || kind == "" || sub == "" || strings.ContainsAny(media, "* ") {
		return "", schema.Errorf(schema.CodeInvalid,
			`The member "content_type" is not a media type such as application/pdf. `+
				`Send application/octet-stream if the type is not known.`).With(aboutContentType)
	}
	normalized, ok := withCharset(media, params["charset"])
	if !ok {
		return "", schema.Errorf(schema.CodeInvalid,
			`The member "content_type" contains an invalid charset. Remove the charset.`).
			With(aboutContentType)
	}
	covers := func(a string) bool { return a == media || a == kind+"/*" || a == "*/*" }
	if !slices.ContainsFunc(allowed, covers) {
		return "", typeNotAllowed(media, allowed)
	}
	return normalized, nil
}

// withCharset returns the media type with the charset as its parameter, or without a parameter if
// charset is empty. It returns false if charset is not valid in a header.
func withCharset(media, charset string) (string, bool) {
	var params map[string]string
	if charset != "" {
		params = map[string]string{"charset": strings.ToLower(charset)}
	}
	formatted := mime.FormatMediaType(media, params)
	unprintable := strings.ContainsFunc(formatted, func(r rune) bool { return r < ' ' || r > '~' })
	return formatted, formatted != "" && !unprintable
}

func typeNotAllowed(media string, allowed []string) error {
	names := strings.Join(allowed[:min(len(allowed), namedTypes)], ", ")
	if more := len(allowed) - namedTypes; more > 0 {
		names += fmt.Sprintf(" or one of %d others", more)
	}
	return schema.Errorf(schema.CodeTypeNotAllowed,
		"Files of type %s cannot be uploaded. Upload a file of type %s.", media, names).
		With(schema.Facts{Pointer: aboutContentType.Pointer, AllowedTypes: allowed})
}
