package local

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
)

const (
	// maxLog is the size in bytes at which a child's log is set aside as NAME.log.1; a child thus
	// keeps at most twice this much.
	maxLog = 8 << 20
	// maxTail is how many bytes of a child's last output are kept in memory to be shown
	// when it dies.
	maxTail = 4 << 10
)

// A logFile collects what a child writes, bounded in size, and remembers the last lines.
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

// Write never fails: an error here would close the child's output and so end the child.
// When the disk is full the lines are lost and the tail in memory remains.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, p...)
	if n := len(l.tail) - maxTail; n > 0 {
		l.tail = append(l.tail[:0], l.tail[n:]...)
	}
	if l.size+int64(len(p)) > maxLog {
		l.rotate()
	}
	if l.file != nil {
		n, _ := l.file.Write(p)
		l.size += int64(n)
	}
	return len(p), nil
}

// rotate goes on with the old file if it cannot be set aside, and with none if no new one
// can be made.
func (l *logFile) rotate() {
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
	_ = os.Rename(l.path, l.path+".1")
	_ = l.open()
}

// forget drops the remembered lines, so that those shown after a death are the dead process's own.
func (l *logFile) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = l.tail[:0]
}

// lines returns at most n of the last lines, without empty ones, indented for display.
func (l *logFile) lines(n int) string {
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
