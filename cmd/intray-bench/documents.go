package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"intray/cmd/internal/cli"
	"intray/infra/local"
)

type documentsCommand struct {
	cli.OperatorFlags
	JSON    bool `help:"One JSON object instead of the table."`
	Single  int  `default:"50" help:"PDFs of one page, one at a time."`
	Mixed   int  `default:"500" help:"Documents of many kinds, 16 uploads at a time."`
	Hostile int  `default:"200" help:"Damaged and hostile files, with a sound document beside every tenth."`
}

// Help says what is measured.
func (documentsCommand) Help() string {
	return `Measures, on the stack that "intray up" runs, how documents become classified, as a client sees it:

one page: from the answer to the PUT of a PDF of one page to classified, one at a time.
mixed: PDF, text, HTML, CSV, mail and docx; from the first PUT to the last that is classified.
hostile: files cut off, changed, recursive, bombs, noise. None may be left waiting, no sound document
beside them may end other than classified, and consume must be the same process afterwards; else the
exit status is 1.

Memory is that of consume and all its children, looked at every 20 ms (on Linux).

The documents belong to the development account that has the role user, and are deleted afterwards.`
}

type documentsReport struct {
	P50            float64        `json:"one_page_p50_ms"`
	P90            float64        `json:"one_page_p90_ms"`
	PerSecond      float64        `json:"mixed_per_second"`
	MixedEnds      map[string]int `json:"mixed_ends"`
	HostileEnds    map[string]int `json:"hostile_ends"`
	BesideEnds     map[string]int `json:"beside_ends"`
	HostileSeconds float64        `json:"hostile_seconds"`
	PeakMiB        float64        `json:"peak_mib"`
	Restarted      bool           `json:"restarted"`
}

// Run measures and reports.
func (c documentsCommand) Run(ctx context.Context) error {
	if min(c.Single, c.Mixed, c.Hostile) < 0 {
		return cli.Usage(errors.New("numbers are not negative"))
	}
	dir, err := cli.DataDir(c.Data)
	if err != nil {
		return err
	}
	if _, err := cli.Running(dir); err != nil {
		return err
	}
	stack, err := local.ReadStack(dir)
	if err != nil {
		return err
	}
	b := &documentsBench{api: stack.API, http: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	for _, account := range stack.Accounts {
		if account.Role == "user" && b.token == "" {
			if err := b.login(ctx, account.Email, account.Password); err != nil {
				return err
			}
		}
	}
	progress := cli.NewProgressBar("", -1)
	defer progress.Clear()
	defer b.removeAll()
	watch, stop := context.WithCancel(ctx)
	defer stop()
	pid := stack.PIDs["consume"]
	var watching sync.WaitGroup
	watching.Go(func() { b.watch(watch, pid) })

	var r documentsReport
	var took []time.Duration
	for i := range c.Single {
		_, t, err := b.classified(ctx, benchFile{fmt.Sprintf("single-%d.pdf", i), "application/pdf", onePagePDF(benchText(i))}, 2*time.Millisecond)
		if err != nil {
			return err
		}
		took = append(took, t)
		progress.Stage("one page", i+1, c.Single)
	}
	slices.Sort(took)
	if n := len(took); n > 0 {
		r.P50, r.P90 = took[n/2].Seconds()*1000, took[n*9/10].Seconds()*1000
	}
	began := time.Now()
	if r.MixedEnds, _, err = b.all(ctx, c.Mixed, mixedFile, 0, func(n int) { progress.Stage("mixed", n, c.Mixed) }); err != nil {
		return err
	}
	r.PerSecond = float64(c.Mixed) / time.Since(began).Seconds()
	began = time.Now()
	if r.HostileEnds, r.BesideEnds, err = b.all(ctx, c.Hostile, hostileFile, 10, func(n int) { progress.Stage("hostile", n, c.Hostile) }); err != nil {
		return err
	}
	r.HostileSeconds = time.Since(began).Seconds()
	stop()
	watching.Wait()
	r.PeakMiB = float64(b.peak.Load()) / (1 << 20)
	if after, err := local.ReadStack(dir); err != nil || after.PIDs["consume"] != pid {
		r.Restarted = true
	}
	progress.Clear()
	if c.JSON {
		err = json.NewEncoder(os.Stdout).Encode(r)
	} else {
		err = writeDocuments(os.Stdout, r)
	}
	if bad := len(r.BesideEnds) - min(1, r.BesideEnds["classified"]); err == nil && (r.Restarted || bad > 0) {
		err = errors.New("hostile files did not stay alone with what they did")
	}
	return err
}

// writeDocuments prints the report as a table.
func writeDocuments(w io.Writer, r documentsReport) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "one page, PUT answered to classified\tp50 %.1f ms, p90 %.1f ms\n", r.P50, r.P90)
	fmt.Fprintf(table, "mixed\t%.1f /s\t%s\n", r.PerSecond, ends(r.MixedEnds))
	fmt.Fprintf(table, "hostile, in %.1f s\t%s\n", r.HostileSeconds, ends(r.HostileEnds))
	fmt.Fprintf(table, "sound ones beside them\t%s\n", ends(r.BesideEnds))
	fmt.Fprintf(table, "memory of consume and its children\t%.0f MiB\n", r.PeakMiB)
	fmt.Fprintf(table, "consume is another process\t%t\n", r.Restarted)
	return table.Flush()
}

func ends(counts map[string]int) string {
	var parts []string
	for _, end := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", end, counts[end]))
	}
	return strings.Join(parts, ", ")
}

type documentsBench struct {
	api, token string
	http       *http.Client
	peak       atomic.Int64
	mu         sync.Mutex
	made       []string
}

// all uploads n files, 16 at a time, and a sound one beside every one in so many; it
// counts how they end.
func (b *documentsBench) all(ctx context.Context, n int, file func(int) benchFile, every int, done func(int)) (counts, beside map[string]int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	counts, beside = map[string]int{}, map[string]int{}
	var mu sync.Mutex
	var wait sync.WaitGroup
	ended := 0
	turn := make(chan struct{}, 16)
	one := func(f benchFile, counts map[string]int) {
		defer func() { <-turn }()
		end, _, err := b.classified(ctx, f, 30*time.Millisecond) // many side by side stay within the limit of requests
		if err != nil {
			cancel(fmt.Errorf("%s: %w", f.name, err))
			return
		}
		mu.Lock()
		defer mu.Unlock()
		counts[end]++
		ended++
		done(ended)
	}
	for i := range n {
		turn <- struct{}{}
		wait.Go(func() { one(file(i), counts) })
		if every > 0 && i%every == 0 {
			turn <- struct{}{}
			wait.Go(func() { one(mixedFile(100_000+i), beside) })
		}
	}
	wait.Wait()
	return counts, beside, context.Cause(ctx)
}

// classified uploads a file and returns how it ended, with its reason, and how long after the
// answer to its PUT. It asks every poll, later on less often.
func (b *documentsBench) classified(ctx context.Context, f benchFile, poll time.Duration) (end string, took time.Duration, err error) {
	var made struct {
		Document struct{ ID string }
		Upload   struct {
			URL     string
			Headers map[string]string
		}
	}
	if err := b.call(ctx, http.MethodPost, "/api/documents/upload-url",
		map[string]any{"filename": f.name, "content_type": f.contentType, "size": len(f.content)}, &made); err != nil {
		return "", 0, err
	}
	b.mu.Lock()
	b.made = append(b.made, made.Document.ID)
	b.mu.Unlock()
	put, err := http.NewRequestWithContext(ctx, http.MethodPut, made.Upload.URL, bytes.NewReader(f.content))
	if err != nil {
		return "", 0, err
	}
	for name, value := range made.Upload.Headers {
		put.Header.Set(name, value)
	}
	if err := b.do(put, nil); err != nil {
		return "", 0, err
	}
	answered := time.Now()
	for {
		var d struct {
			Status string
			Reason *string
		}
		if err := b.call(ctx, http.MethodGet, "/api/documents/"+made.Document.ID, nil, &d); err != nil {
			return "", 0, err
		}
		if d.Status != "pending" && d.Status != "uploaded" {
			if d.Reason != nil {
				d.Status += " (" + *d.Reason + ")"
			}
			return d.Status, time.Since(answered), nil
		}
		if time.Since(answered) > 5*time.Minute {
			return "", 0, fmt.Errorf("still %s after five minutes", d.Status)
		}
		select {
		case <-ctx.Done():
			return "", 0, context.Cause(ctx)
		case <-time.After(min(50*time.Millisecond, poll+time.Since(answered)/20)):
		}
	}
}

func (b *documentsBench) login(ctx context.Context, email, password string) error {
	var tokens struct {
		AccessToken string `json:"access_token"`
	}
	err := b.call(ctx, http.MethodPost, "/api/auth/login", map[string]string{"email": email, "password": password}, &tokens)
	b.token = tokens.AccessToken
	return err
}

// call calls the API, and again when it says so where there were too many calls.
func (b *documentsBench) call(ctx context.Context, method, path string, body, answer any) error {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return err
		}
	}
	for {
		request, err := http.NewRequestWithContext(ctx, method, b.api+path, bytes.NewReader(raw))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		if b.token != "" {
			request.Header.Set("Authorization", "Bearer "+b.token)
		}
		err = b.do(request, answer)
		var limited tooManyCalls
		if !errors.As(err, &limited) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Duration(limited)):
		}
	}
}

// tooManyCalls says when to call again.
type tooManyCalls time.Duration

func (t tooManyCalls) Error() string { return "too many calls; again in " + time.Duration(t).String() }

// do sends a request. Its errors leave out the query of a presigned URL.
func (b *documentsBench) do(request *http.Request, answer any) error {
	response, err := b.http.Do(request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", request.Method, request.URL.Path, errors.Unwrap(err))
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", request.Method, request.URL.Path, err)
	}
	if response.StatusCode == http.StatusTooManyRequests {
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		return tooManyCalls(time.Duration(max(seconds, 1)) * time.Second)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s", request.Method, request.URL.Path, response.Status)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(raw, answer)
}

// removeAll deletes what was uploaded, also after Ctrl-C.
func (b *documentsBench) removeAll() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, id := range b.made {
		_ = b.call(ctx, http.MethodDelete, "/api/documents/"+id, nil, nil) // what is left, its owner sees
	}
}

// watch keeps the largest memory of a process and all its children.
func (b *documentsBench) watch(ctx context.Context, pid int) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		b.peak.Store(max(b.peak.Load(), residentBytes(pid)))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// residentBytes is the resident memory of a process and its descendants, of /proc; 0
// where there is none.
func residentBytes(pid int) (total int64) {
	if fields := strings.Fields(readProc(pid, "statm")); len(fields) > 1 {
		pages, _ := strconv.ParseInt(fields[1], 10, 64)
		total = pages * int64(os.Getpagesize())
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		children, _ := os.ReadFile(task)
		for child := range strings.FieldsSeq(string(children)) {
			if id, err := strconv.Atoi(child); err == nil {
				total += residentBytes(id)
			}
		}
	}
	return total
}

func readProc(pid int, file string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	return string(text)
}
