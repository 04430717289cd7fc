package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// referenceTimeout is how long a program may take for one file.
const referenceTimeout = 2 * time.Minute

// references reads files with other programs and keeps the results in a folder.
type references struct{ folder string }

// program reads a file and returns its text. It may write to the folder.
type program func(ctx context.Context, file, folder string) ([]byte, error)

// programOf returns the program for a kind, and the names of the executables that it needs. It
// returns nil if there is none.
func programOf(kind string) (read program, name string, needs []string) {
	switch {
	case kind == "application/pdf":
		return readPDF, "pdftotext", []string{"pdftotext"}
	case strings.HasPrefix(kind, "image/"):
		return readImage, "tesseract", []string{"tesseract"}
	case kind == "message/rfc822":
		return readMail, "python", []string{"python3"}
	case kind == "application/vnd.ms-outlook":
		return readOutlook, "msgconvert", []string{"msgconvert", "python3"}
	case catdoc[kind] != "":
		return readOldOffice(catdoc[kind]), catdoc[kind], []string{catdoc[kind]}
	case isOffice(kind):
		return readOffice, "libreoffice", []string{"soffice", "pdftotext"}
	}
	return nil, "", nil
}

// catdoc are the programs of the package catdoc for the formats of Office before 2007.
var catdoc = map[string]string{
	"application/msword": "catdoc", "application/vnd.ms-excel": "xls2csv",
	"application/vnd.ms-powerpoint": "catppt",
}

func isOffice(kind string) bool {
	switch kind {
	case "text/rtf":
		return true
	}
	for _, family := range []string{
		"application/vnd.openxmlformats-officedocument.", "application/vnd.oasis.opendocument.",
		"application/vnd.ms-word.", "application/vnd.ms-excel.", "application/vnd.ms-powerpoint.",
	} {
		if strings.HasPrefix(kind, family) {
			return true
		}
	}
	return false
}

// read returns the reference of a file of this kind. ok is false if there is none. A file that the
// program does not read has an empty reference.
func (r references) read(
	ctx context.Context, path string, content []byte, kind string,
) (text string, ok bool, err error) {
	read, name, needs := programOf(kind)
	if read == nil {
		return "", false, nil
	}
	for _, executable := range needs {
		if _, err := exec.LookPath(executable); err != nil {
			return "", false, nil
		}
	}
	digest := sha256.Sum256(content)
	kept := filepath.Join(r.folder, name, hex.EncodeToString(digest[:]))
	stored, err := os.ReadFile(kept)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return string(stored), err == nil, err
	}
	folder, err := os.MkdirTemp("", "reference-")
	if err != nil {
		return "", false, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	limited, cancel := context.WithTimeout(ctx, referenceTimeout)
	defer cancel()
	found, err := read(limited, path, folder)
	var failed *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", false, ctx.Err()
	case err != nil && !errors.As(err, &failed) && !errors.Is(err, os.ErrNotExist):
		return "", false, fmt.Errorf("read %s with %s: %w", path, name, err)
	}
	if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
		return "", false, err
	}
	return string(found), true, os.WriteFile(kept, found, 0o600)
}

func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	return cmd.Output()
}

func readPDF(ctx context.Context, file, _ string) ([]byte, error) {
	return output(ctx, "pdftotext", "-q", "-enc", "UTF-8", file, "-")
}

func readImage(ctx context.Context, file, _ string) ([]byte, error) {
	return output(ctx, "tesseract", file, "stdout", "--psm", "1")
}

func readOffice(ctx context.Context, file, folder string) ([]byte, error) {
	_, err := output(ctx, "soffice", "--headless", "-env:UserInstallation=file://"+folder+"/profile",
		"--convert-to", "pdf", "--outdir", folder, file)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)) + ".pdf"
	return readPDF(ctx, filepath.Join(folder, name), folder)
}

func readOldOffice(name string) program {
	return func(ctx context.Context, file, _ string) ([]byte, error) {
		return output(ctx, name, "-d", "utf-8", file)
	}
}

func readOutlook(ctx context.Context, file, folder string) ([]byte, error) {
	converted := filepath.Join(folder, "message.eml")
	if _, err := output(ctx, "msgconvert", "--outfile", converted, file); err != nil {
		return nil, err
	}
	return readMail(ctx, converted, folder)
}

// mailScript prints the header, the text parts and the names of the attachments of an email. Of
// alternatives it prints the first with text.
const mailScript = `
import email, email.policy, html, re, sys
m = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.default)
def text(p):
    try: s = p.get_content()
    except Exception:
        s = (p.get_payload(decode=True) or b"").decode("utf-8", "replace")
    if p.get_content_subtype() == "html":
        s = re.sub(r"(?is)<(script|style|head).*?</\1>|<!--.*?-->", " ", s)
        s = html.unescape(re.sub(r"<[^>]*>", " ", s))
    return s
def walk(p):
    if p.get_content_type() == "message/rfc822":
        return "\n".join(message(q) for q in p.get_payload())
    if p.is_multipart():
        parts = [walk(q) for q in p.get_payload()]
        if p.get_content_subtype() == "alternative":
            parts = [s for s in parts if s.strip()][:1]
        return "\n".join(parts)
    name = p.get_filename() or ""
    if p.get_content_maintype() != "text":
        return name
    return name + "\n" + text(p)
def message(p):
    fields = [str(p[k] or "") for k in ("subject", "from", "to", "cc", "date")]
    return "\n".join(fields + [walk(p)])
sys.stdout.buffer.write(message(m).encode("utf-8", "replace"))
`

func readMail(ctx context.Context, file, _ string) ([]byte, error) {
	return output(ctx, "python3", "-c", mailScript, file)
}
