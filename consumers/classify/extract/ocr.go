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

const (
	// ocrMemory bounds tesseract's addresses, in KiB. A large page takes about
	// a third of it.
	ocrMemory = 768 << 10
	// minConfidence is the least confidence, in percent, of a word that is kept.
	// What tesseract sees in pictures without letters mostly lies below.
	minConfidence = 50
	// maxTSV bounds what is read of tesseract's output, in bytes.
	maxTSV = 8 << 20
)

// limitedShell runs the program in its arguments after the first two, which
// bound its memory (KiB) and processor time (s). It may write no file and no
// core dump.
const limitedShell = `ulimit -v "$1" && ulimit -t "$2" && ulimit -f 0 && ulimit -c 0 && shift 2 && exec "$@"`

// recognizer reads letters in pictures with tesseract, one picture at a time:
// each takes a core for some seconds.
type recognizer struct {
	config Config
	turn   chan struct{}
	root   context.Context // ends with close
	stop   context.CancelFunc
}

func newRecognizer(config Config) *recognizer {
	r := &recognizer{config: config, turn: make(chan struct{}, 1)}
	r.root, r.stop = context.WithCancel(context.Background())
	return r
}

// close ends what is running.
func (r *recognizer) close() { r.stop() }

// find returns tesseract's path. It looks anew each time, so that tesseract can
// be installed while the consumer runs.
func (r *recognizer) find() (string, error) {
	path, err := exec.LookPath(r.config.Tesseract)
	if err != nil {
		return "", fmt.Errorf("%w: it is a picture, and tesseract is not installed to read it", ErrNoText)
	}
	return path, nil
}

// installed reports whether pictures can be read at all.
func (r *recognizer) installed() bool {
	_, err := r.find()
	return err == nil
}

// acquire waits for the turn, which ends with the function it returns.
func (r *recognizer) acquire(ctx context.Context) (release func(), err error) {
	select {
	case r.turn <- struct{}{}:
		return func() { <-r.turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for character recognition: %w", context.Cause(ctx))
	case <-r.root.Done():
		return nil, ErrClosed
	}
}

// read writes to text what it reads in the pictures, each as a page. Its caller
// has the turn. Once there is text, what goes wrong only ends it.
func (r *recognizer) read(ctx context.Context, pictures []*image.Gray, text *text) error {
	program, err := r.find()
	if err != nil {
		return err
	}
	caller := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, r.config.OCRTimeout,
		fmt.Errorf("%w: character recognition took longer than %s", ErrBroken, r.config.OCRTimeout))
	defer cancel()
	defer context.AfterFunc(r.root, cancel)()
	for _, picture := range pictures {
		err := r.page(ctx, program, picture, text)
		switch {
		case r.root.Err() != nil:
			return ErrClosed
		case caller.Err() != nil:
			return fmt.Errorf("recognize characters: %w", context.Cause(caller))
		case err != nil && text.readable:
			text.incomplete = true
			return nil
		case err != nil:
			return err
		}
		text.breakLine()
		text.breakLine()
	}
	return nil
}

// page runs tesseract on one picture. Its standard input is the picture as a
// plain gray map that we made: tesseract's own readers never see a stranger's file.
func (r *recognizer) page(ctx context.Context, program string, picture *image.Gray, text *text) error {
	seconds := strconv.Itoa(int(r.config.OCRTimeout/time.Second) + 1)
	// Page segmentation 1 finds out which way is up as well.
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", limitedShell, "sh", strconv.Itoa(ocrMemory), seconds,
		program, "stdin", "stdout", "-l", r.config.OCRLanguages, "--psm", "1", "--dpi", strconv.Itoa(scanDPI), "tsv")
	cmd.Env = []string{"OMP_THREAD_LIMIT=1", "LC_ALL=C.UTF-8"}
	cmd.Dir = "/"
	cmd.Stdin = grayMap(picture)
	out := &bounded{left: maxTSV}
	problems := &bounded{left: 300}
	cmd.Stdout, cmd.Stderr = out, problems
	inOwnGroup(cmd)
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("recognize characters: %w", context.Cause(ctx))
	case errors.As(err, &exit) && !exit.Exited():
		return fmt.Errorf("%w: tesseract ended: %w", ErrBroken, exit)
	case err != nil:
		// The picture is a sound one: it is tesseract that does not work, or has
		// too little memory.
		return fmt.Errorf("%w: tesseract failed: %w: %s", ErrNoText, err, strings.TrimSpace(problems.String()))
	}
	readTSV(out, text)
	return nil
}

// grayMap is the picture as a binary Portable Gray Map.
func grayMap(picture *image.Gray) io.Reader {
	width, height := picture.Rect.Dx(), picture.Rect.Dy()
	header := fmt.Sprintf("P5\n%d %d\n255\n", width, height)
	return io.MultiReader(strings.NewReader(header), bytes.NewReader(picture.Pix[:width*height]))
}

// readTSV writes the words of tesseract's TSV output: a line for each element,
// of twelve columns: level, page, block, paragraph, line, word, left, top, width,
// height, confidence and text. Level 5 is a word.
func readTSV(r io.Reader, text *text) {
	lines := bufio.NewScanner(r)
	var paragraph, line string
	for lines.Scan() && !text.full() {
		columns := strings.Split(lines.Text(), "\t")
		if len(columns) != 12 || columns[0] != "5" {
			continue
		}
		confidence, err := strconv.ParseFloat(columns[10], 64)
		if err != nil || !(confidence >= minConfidence) {
			continue
		}
		inParagraph := strings.Join(columns[1:4], "\t")
		switch {
		case inParagraph != paragraph:
			text.breakLine()
			text.breakLine()
		case columns[4] != line:
			text.startLine()
		default:
			text.flow(" ")
		}
		paragraph, line = inParagraph, columns[4]
		text.flow(columns[11])
	}
}

// bounded keeps the first bytes that are written to it and drops the rest.
type bounded struct {
	bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	kept := p[:min(len(p), b.left)]
	b.left -= len(kept)
	b.Buffer.Write(kept) // its error is always nil
	return len(p), nil
}
