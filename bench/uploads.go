package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"intray/schema"
)

// uploads measures what a client sees: how long after the answer to its PUT the
// document is uploaded.
func (b *bench) uploads(ctx context.Context, report *Report) error {
	password := rand.Text()
	hash, err := b.HashPassword(password)
	if err != nil {
		return err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 8 * inFlight, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: 30 * time.Second}
	defer transport.CloseIdleConnections()
	clients := make([]*client, inFlight)
	for i := range clients {
		name := "upload" + strconv.Itoa(i)
		if err := b.addUser(ctx, name, hash); err != nil {
			return err
		}
		clients[i] = &client{transport: transport, api: b.API}
		if err := clients[i].login(ctx, name+Domain, password); err != nil {
			return err
		}
	}

	var took []time.Duration
	for i := range max(1, b.Uploads/5) {
		id, answered, err := clients[0].upload(ctx)
		if err != nil {
			return err
		}
		t, err := clients[0].wait(ctx, id, answered)
		if err != nil {
			return err
		}
		took = append(took, t)
		b.Progress("uploads one at a time", i+1, b.Uploads/5)
	}
	report.OneAtATime = percentiles(took)
	return b.burst(ctx, clients, report)
}

// burst keeps 16 uploads in flight. A client waits for each of its documents
// while it goes on uploading.
func (b *bench) burst(ctx context.Context, clients []*client, report *Report) error {
	type outcome struct {
		answered time.Time
		took     time.Duration
		err      error
	}
	outcomes := make([]outcome, b.Uploads)
	var waiting sync.WaitGroup
	whole := ctx // a wait goes on when the last upload is done
	err := b.sideBySide(ctx, "uploads in a burst", b.Uploads, func(ctx context.Context, i int) error {
		c := clients[i%len(clients)]
		id, answered, err := c.upload(ctx)
		if err != nil {
			return err
		}
		outcomes[i].answered = answered
		waiting.Go(func() { outcomes[i].took, outcomes[i].err = c.wait(whole, id, answered) })
		return nil
	})
	waiting.Wait()
	if err != nil {
		return err
	}
	var last outcome
	took := make([]time.Duration, len(outcomes))
	for i, o := range outcomes {
		if o.err != nil {
			return o.err
		}
		took[i] = o.took
		if o.answered.After(last.answered) {
			last = o
		}
	}
	report.Burst = percentiles(took)
	report.Last = last.took.Seconds() * 1000
	return nil
}

// client is one signed-in user of the API.
type client struct {
	transport *http.Transport
	api       string
	token     string
}

func (c *client) login(ctx context.Context, email, password string) error {
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	err := c.call(ctx, http.MethodPost, "/api/auth/login", map[string]string{"email": email, "password": password}, &answer)
	c.token = answer.AccessToken
	return err
}

// upload asks for a URL and PUTs an object there. It returns the document's id and
// when the PUT was answered.
func (c *client) upload(ctx context.Context) (id string, answered time.Time, err error) {
	var issued struct {
		Document struct {
			ID string `json:"id"`
		} `json:"document"`
		Upload struct {
			Method  string            `json:"method"`
			URL     string            `json:"url"`
			Headers map[string]string `json:"headers"`
		} `json:"upload"`
	}
	err = c.call(ctx, http.MethodPost, "/api/documents/upload-url",
		map[string]any{"filename": "bench.txt", "content_type": "text/plain", "size": len(content)}, &issued)
	if err != nil {
		return "", answered, err
	}
	req, err := http.NewRequestWithContext(ctx, issued.Upload.Method, issued.Upload.URL, bytes.NewReader(content))
	if err != nil {
		return "", answered, fmt.Errorf("upload of document %s: the URL cannot be used", issued.Document.ID)
	}
	for name, value := range issued.Upload.Headers {
		req.Header.Set(name, value)
	}
	if err := c.do(req, nil); err != nil {
		return "", answered, fmt.Errorf("upload of document %s: %w", issued.Document.ID, err)
	}
	return issued.Document.ID, time.Now(), nil
}

// wait polls until the document is not pending any more: every millisecond at
// first, later at an eighth of the time that has passed.
func (c *client) wait(ctx context.Context, id string, answered time.Time) (time.Duration, error) {
	for {
		var document struct {
			Status schema.Status `json:"status"`
		}
		if err := c.call(ctx, http.MethodGet, "/api/documents/"+id, nil, &document); err != nil {
			return 0, err
		}
		passed := time.Since(answered)
		switch {
		case document.Status.Counted():
			return passed, nil
		case document.Status != schema.StatusPending:
			return 0, fmt.Errorf("document %s is %s", id, document.Status)
		}
		timer := time.NewTimer(max(time.Millisecond, passed/8))
		select {
		case <-ctx.Done():
			timer.Stop()
			return 0, ctx.Err()
		case <-timer.C:
		}
	}
}

func (c *client) call(ctx context.Context, method, path string, body, answer any) error {
	var text io.Reader = http.NoBody
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		text = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.api+path, text)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if err := c.do(req, answer); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// do sends the request and reads the answer. Its errors hold no URL, which may be
// a signed one.
func (c *client) do(req *http.Request, answer any) error {
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("answered %s: %.300s", resp.Status, text)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}
