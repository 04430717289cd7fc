package api

import (
	"fmt"
	"mime"
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
			`The member "content_type" is not a media type such as application/pdf. Send application/octet-stream if it is not known.`)
	}
	var charset map[string]string
	if name := params["charset"]; name != "" {
		charset = map[string]string{"charset": strings.ToLower(name)}
	}
	normalized := mime.FormatMediaType(media, charset)
	if normalized == "" || strings.ContainsFunc(normalized, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", schema.Errorf(schema.CodeInvalid, `The charset in the member "content_type" is not one. Leave it out.`)
	}
	for _, a := range allowed {
		if a == media || a == kind+"/*" || a == "*/*" {
			return normalized, nil
		}
	}
	taken := strings.Join(allowed[:min(len(allowed), namedTypes)], ", ")
	if more := len(allowed) - namedTypes; more > 0 {
		taken += fmt.Sprintf(" or one of %d others", more)
	}
	return "", schema.Errorf(schema.CodeTypeNotAllowed, "Files of type %s are not taken here. Send one of type %s.", media, taken)
}
