package api

import (
	"fmt"
	"mime"
	"slices"
	"strings"

	"intray/schema"
)

// DefaultTypes are the media types that documents come in: whatever can be read
// and sorted, what scanners and phones make, and octet-stream for what a browser
// does not know. Programs, archives, sound and film are no documents.
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
	"application/vnd.oasis.opendocument.spreadsheet",
	"application/vnd.oasis.opendocument.spreadsheet-template",
	"application/vnd.oasis.opendocument.presentation",
	"application/vnd.oasis.opendocument.presentation-template",
	"application/vnd.oasis.opendocument.graphics",
	"application/vnd.apple.pages",
	"application/vnd.apple.numbers",
	"application/vnd.apple.keynote",
	"application/mbox",
	"message/rfc822",
	"application/octet-stream",
}

// namedTypes is how many of the types that are taken a refusal names.
const namedTypes = 5

// allowedType returns the media type in one form: in lower case, and of its
// parameters only the charset. It fails with CodeInvalid if it is none, and with
// CodeTypeNotAllowed if it is not in the list.
func allowedType(contentType string, allowed []string) (string, error) {
	media, params, err := mime.ParseMediaType(contentType)
	kind, sub, isType := strings.Cut(media, "/")
	if err != nil || !isType || kind == "" || sub == "" || strings.ContainsAny(media, "* ") {
		return "", schema.Errorf(schema.CodeInvalid,
			`The member "content_type" is not a media type such as application/pdf. `+
				`Send application/octet-stream if it is not known.`)
	}
	normalized, ok := withCharset(media, params["charset"])
	if !ok {
		return "", schema.Errorf(schema.CodeInvalid,
			`The charset in the member "content_type" is not one. Leave it out.`)
	}
	covers := func(a string) bool { return a == media || a == kind+"/*" || a == "*/*" }
	if !slices.ContainsFunc(allowed, covers) {
		return "", typeNotAllowed(media, allowed)
	}
	return normalized, nil
}

// withCharset returns the media type with a charset, if there is one. It returns
// false where that is no charset.
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
		"Files of type %s are not taken here. Send one of type %s.", media, names)
}
