package extract

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// ocrMode determines what happens to a document that needs OCR.
type ocrMode int

const (
	ocrIfNeeded ocrMode = iota // acquire the recognizer, then recognize
	ocrNever                   // return ErrNeedsOCR
	ocrAcquired                // recognize: the caller has acquired the recognizer
	textOnly                   // return ErrNotText for every document that is not in a text format
)

const (
	// ocrMemory is the limit of tesseract's address space, in KiB. A large page takes about a third
	// of it.
	ocrMemory = 768 << 10
	// minWordConfidence is the lowest confidence, in percent, of a word that is used. Words that
	// tesseract recognizes in images without letters mostly have a lower one.
	minWordConfidence = 50
	// maxTSV is the number of bytes of tesseract's output that are read.
	maxTSV = 8 << 20
)

// limitedShell is a shell script that runs a program with limits. Its arguments are the limit of
// the address space (KiB), the limit of the processor time (s), and the program with its arguments.
// The program cannot write files or dump core.
const limitedShell = `ulimit -v "$1" && ulimit -t "$2" && ulimit -f 0 && ulimit -c 0 &&
	shift 2 && exec "$@"`

// recognizer recognizes text in images with tesseract, one document at a time. An image occupies
// one core for several seconds.
type recognizer struct {
	config    Config
	semaphore chan struct{}   // full while a document is being recognized
	root      context.Context // ends with close
	stop      context.CancelFunc
}

func newRecognizer(config Config) *recognizer {
	r := &recognizer{config: config, semaphore: make(chan struct{}, 1)}
	r.root, r.stop = context.WithCancel(context.Background())
	return r
}

// close stops tesseract and the calls that wait for it.
func (r *recognizer) close() { r.stop() }

// lookPath returns the path of tesseract, or ErrNoOCR. It searches PATH at each call, so that
// tesseract can be installed while the process is running.
func (r *recognizer) lookPath() (string, error) {
	path, err := exec.LookPath(r.config.Tesseract)
	if err != nil {
		return "", ErrNoOCR
	}
	return path, nil
}

// installed reports whether tesseract is installed.
func (r *recognizer) installed() bool {
	_, err := r.lookPath()
	return err == nil
}

// acquire waits until no other document is being recognized. The caller must call release.
func (r *recognizer) acquire(ctx context.Context) (release func(), err error) {
	select {
	case r.semaphore <- struct{}{}:
		return func() { <-r.semaphore }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for character recognition: %w", context.Cause(ctx))
	case <-r.root.Done():
		return nil, ErrClosed
	}
}

// read recognizes the text of pages, each of up to maxRunes characters. The caller must have
// acquired the recognizer. It takes at most the given time. If it fails, it returns the texts of
// the pages before.
func (r *recognizer) read(
	ctx context.Context, scans []scan, timeout time.Duration, maxRunes int,
) (pages []*text, err error) {
	program, err := r.lookPath()
	if err != nil {
		return nil, err
	}
	caller := ctx
	used := time.Duration(0) // processor time
	ctx, cancel := context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("%w: character recognition took longer than %s", ErrBroken, r.config.OCRTimeout))
	defer cancel()
	defer context.AfterFunc(r.root, cancel)()
	for _, scan := range scans {
		page := newText(maxRunes)
		took, err := r.page(ctx, program, scan.image, page)
		used += took
		switch {
		case r.root.Err() != nil:
			return pages, ErrClosed
		case caller.Err() != nil:
			return pages, fmt.Errorf("recognize characters: %w", context.Cause(caller))
		case ctx.Err() != nil && timeout == r.config.OCRTimeout && isBusy(used, timeout):
			return pages, busyError(used, timeout)
		case err != nil:
			return pages, err
		}
		pages = append(pages, page.without(scan.typed))
	}
	return pages, nil
}

// page runs tesseract on one image and returns the processor time that it used. It passes the image
// in a simple format, so that tesseract's decoders never process an untrusted file.
func (r *recognizer) page(
	ctx context.Context, program string, img *image.Gray, text *text,
) (used time.Duration, err error) {
	seconds := strconv.Itoa(int(r.config.OCRTimeout/time.Second) + 1)
	cmd := exec.CommandContext(ctx,
		"/bin/sh", "-c", limitedShell, "sh", strconv.Itoa(ocrMemory), seconds,
		program, "stdin", "stdout", "-l", r.config.OCRLanguages,
		"--psm", "1", // detect the orientation of the page too
		"--dpi", strconv.Itoa(scanDPI), "tsv")
	cmd.Env = []string{"OMP_THREAD_LIMIT=1", "LC_ALL=C.UTF-8"}
	cmd.Dir = "/"
	cmd.Stdin = encodePGM(straighten(img))
	stdout := &limitedBuffer{left: maxTSV, full: io.ErrShortWrite} // which ends tesseract
	stderr := &limitedBuffer{left: 300}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	setProcessGroup(cmd)
	cmd.WaitDelay = 10 * time.Second // on a busy machine, reading the output takes that long
	err = cmd.Run()
	if cmd.ProcessState != nil {
		used = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return used, fmt.Errorf("recognize characters: %w", context.Cause(ctx))
	case errors.As(err, &exit) && !exit.Exited():
		return used, fmt.Errorf("%w: tesseract was terminated: %w", ErrBroken, exit)
	case err != nil:
		// The image is valid, so tesseract does not work or has too little memory.
		message := strings.TrimSpace(stderr.String())
		return used, fmt.Errorf("%w: tesseract failed: %w: %s", ErrNoText, err, message)
	}
	readTSV(stdout, text)
	return used, nil
}

// encodePGM returns the image in the binary Portable Gray Map format.
func encodePGM(img *image.Gray) io.Reader {
	width, height := img.Rect.Dx(), img.Rect.Dy()
	header := fmt.Sprintf("P5\n%d %d\n255\n", width, height)
	return io.MultiReader(strings.NewReader(header), bytes.NewReader(img.Pix[:width*height]))
}

// readTSV writes the words in tesseract's TSV output to text. The output has one line for each
// element, with twelve columns: level, page, block, paragraph, line, word, left, top, width,
// height, confidence and text. Words have level 5.
func readTSV(r io.Reader, text *text) {
	lines := bufio.NewScanner(r)
	var paragraph, line string
	for lines.Scan() && !text.full() {
		columns := strings.Split(lines.Text(), "\t")
		if len(columns) != 12 || columns[0] != "5" {
			continue
		}
		confidence, err := strconv.ParseFloat(columns[10], 64)
		if err != nil || !(confidence >= minWordConfidence) { // NaN is possible
			continue
		}
		wordParagraph := strings.Join(columns[1:4], "\t")
		switch {
		case wordParagraph != paragraph:
			text.breakLine()
			text.breakLine()
		case columns[4] != line:
			text.startLine()
		default:
			text.flow(" ")
		}
		paragraph, line = wordParagraph, columns[4]
		text.flow(columns[11])
	}
}

// limitedBuffer stores the first bytes that are written to it and drops the rest, or fails if full
// is not nil.
type limitedBuffer struct {
	bytes.Buffer
	left int
	full error
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	stored := p[:min(len(p), b.left)]
	b.left -= len(stored)
	b.Buffer.Write(stored) // the error is always nil
	if len(stored) < len(p) {
		return len(p), b.full
	}
	return len(p), nil
}
