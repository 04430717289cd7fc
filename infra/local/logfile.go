package local

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
)

const (
	// maxLogSize is the size, in bytes, at which a child's log is rotated: it is renamed to
	// NAME.log.1, and the previous NAME.log.1 is lost. A child's logs take at most twice this size.
	maxLogSize = 8 << 20
	// maxTail is how many bytes of a child's last output are kept in memory, to be shown when the
	// child exits.
	maxTail = 4 << 10
)

// A logFile stores the output of a child in a file of bounded size and keeps the last lines in
// memory.
type logFile struct {
	path string

	mu   sync.Mutex
	file *os.File
	size int64
	tail []byte
}

func openLog(path string) (*logFile, error) {
	l := &logFile{path: path}
	if err := l.open(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("open log: %w", err)
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Write appends p to the log. It never returns an error, because an error would close the child's
// output and so terminate the child. When the disk is full, the lines are missing from the file,
// and only the tail in memory has them.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, p...)
	if n := len(l.tail) - maxTail; n > 0 {
		l.tail = append(l.tail[:0], l.tail[n:]...)
	}
	if l.size+int64(len(p)) > maxLogSize {
		l.rotate()
	}
	if l.file != nil {
		n, _ := l.file.Write(p)
		l.size += int64(n)
	}
	return len(p), nil
}

// rotate renames the log to NAME.log.1 and opens a new one. If the rename fails, the log keeps
// growing. If no file can be opened, the output is kept only in memory.
func (l *logFile) rotate() {
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
	_ = os.Rename(l.path, l.path+".1")
	_ = l.open()
}

// resetLastLines discards the lines in memory. It is called before each start of the child, so that
// the lines shown after an exit are those of the process that exited.
func (l *logFile) resetLastLines() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = l.tail[:0]
}

// lastLines returns at most n of the last lines that are not empty, indented for display.
func (l *logFile) lastLines(n int) string {
	l.mu.Lock()
	text := string(bytes.ToValidUTF8(l.tail, []byte("?")))
	l.mu.Unlock()
	var all []string
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n "); line != "" {
			all = append(all, "    "+line)
		}
	}
	if len(all) > n {
		all = all[len(all)-n:]
	}
	return strings.Join(all, "\n")
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}
