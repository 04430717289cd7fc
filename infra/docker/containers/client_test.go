//go:build containers

package containers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

// A client calls the API as one user.
type client struct {
	api   string // URL
	http  *http.Client
	token string
}

// document has the members of the API's documents that the tests use.
type document struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Reason string `json:"reason"`
}

// signIn signs in as the user of the deployment.
func (d *deployment) signIn() (*client, error) {
	return d.signInAt(apiURL, &http.Client{Timeout: 2 * time.Minute})
}

// signInAt is signIn at another address.
func (d *deployment) signInAt(api string, through *http.Client) (*client, error) {
	c := &client{api: api, http: through}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	err := c.call(http.MethodPost, c.api+"/api/auth/login",
		map[string]string{"email": email, "password": d.password}, &answer)
	c.token = answer.AccessToken
	return c, err
}

// An answerError is an answer that is not a success.
type answerError struct {
	status int
	body   []byte
}

func (e answerError) Error() string { return fmt.Sprintf("status %d: %.300s", e.status, e.body) }

// call sends a request with a JSON body, unless it is nil, and decodes the answer into result.
func (c *client) call(method, url string, body, result any) error {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, url, reader)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return c.do(req, result)
}

// do sends a request and decodes the answer into result, unless it is nil.
func (c *client) do(req *http.Request, result any) error {
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return answerError{resp.StatusCode, text}
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(text, result)
}

// upload uploads a file and returns the id of its document after the PUT was acknowledged.
func (c *client) upload(name, contentType string, content []byte) (id string, err error) {
	return c.uploadFrom(name, contentType, bytes.NewReader(content), int64(len(content)))
}

// uploadFrom is upload for a file that is read from a reader.
func (c *client) uploadFrom(
	name, contentType string, content io.Reader, size int64,
) (id string, err error) {
	u, err := c.requestUpload(name, contentType, size)
	if err != nil {
		return "", err
	}
	return u.Document.ID, c.put(u, content, size)
}

// An upload is the answer to the request for an upload's URL.
type upload struct {
	Document document `json:"document"`
	Upload   struct {
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
	} `json:"upload"`
}

// requestUpload requests the URL for a file.
func (c *client) requestUpload(name, contentType string, size int64) (u upload, err error) {
	err = c.call(http.MethodPost, c.api+"/api/documents/upload-url",
		map[string]any{"filename": name, "content_type": contentType, "size": size}, &u)
	if err != nil {
		err = fmt.Errorf("request the URL: %w", err)
	}
	return u, err
}

// put sends a file to its URL.
func (c *client) put(u upload, content io.Reader, size int64) error {
	req, err := http.NewRequest(u.Upload.Method, u.Upload.URL, content)
	if err != nil {
		return err
	}
	req.ContentLength = size
	for header, value := range u.Upload.Headers {
		req.Header.Set(header, value)
	}
	if err := c.do(req, nil); err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	return nil
}

// each calls do for the numbers below n, width of them concurrently, and returns the errors.
func each(n, width int, do func(i int) error) []error {
	var (
		mu     sync.Mutex
		errs   []error
		group  sync.WaitGroup
		number = make(chan int)
	)
	for range width {
		group.Go(func() {
			for i := range number {
				if err := do(i); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		number <- i
	}
	close(number)
	group.Wait()
	return errs
}

// A makeFile makes the file with a number.
type makeFile func(i int) (name, contentType string, content []byte)

// uploadEach uploads n files, width of them concurrently, and returns the ids of their documents.
func (c *client) uploadEach(n, width int, file makeFile) (ids []string, errs []error) {
	ids = make([]string, n)
	errs = each(n, width, func(i int) (err error) {
		name, contentType, content := file(i)
		ids[i], err = c.upload(name, contentType, content)
		return err
	})
	return ids, errs
}

// uploadAll is uploadEach for uploads that must all succeed.
func uploadAll(t *testing.T, c *client, n, width int, file makeFile) []string {
	t.Helper()
	ids, errs := c.uploadEach(n, width, file)
	if len(errs) > 0 {
		t.Fatalf("got %d failed uploads of %d, want none; the first: %v", len(errs), n, errs[0])
	}
	return ids
}

// waitStored waits until the object of a document is confirmed.
func waitStored(t *testing.T, c *client, id string) {
	t.Helper()
	waitFor(t, "the upload is confirmed", time.Minute, func() bool {
		var d document
		if err := c.call(http.MethodGet, c.api+"/api/documents/"+id, nil, &d); err != nil {
			t.Fatalf("get document %s: %v", id, err)
		}
		if d.Status == "rejected" || d.Status == "expired" {
			t.Fatalf("document %s: got %s (%s), want it stored", id, d.Status, d.Reason)
		}
		return d.Status != "pending"
	})
}

// download returns the contents of a document.
func (c *client) download(id string) ([]byte, error) {
	var answer struct {
		URL string `json:"url"`
	}
	err := c.call(http.MethodGet, c.api+"/api/documents/"+id+"/download-url", nil, &answer)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Get(answer.URL)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = answerError{resp.StatusCode, content}
	}
	return content, err
}

// waitClassified waits until every document is classified.
func waitClassified(t *testing.T, c *client, ids []string, timeout time.Duration) {
	t.Helper()
	open := ids
	var last document
	waitFor(t, fmt.Sprintf("%d documents are classified", len(ids)), timeout, func() bool {
		for len(open) > 0 {
			if err := c.call(http.MethodGet, c.api+"/api/documents/"+open[0], nil, &last); err != nil {
				t.Fatalf("get document %s: %v", open[0], err)
			}
			switch last.Status {
			case "classified":
				open = open[1:]
			case "pending", "uploaded":
				return false
			default:
				t.Fatalf("document %s: got %s (%s), want classified", last.ID, last.Status, last.Reason)
			}
		}
		return true
	})
}

// checkStored fails the test unless every document is a note and can be downloaded.
func checkStored(t *testing.T, c *client, ids []string) {
	t.Helper()
	errs := each(len(ids), 8, func(i int) error {
		content, err := c.download(ids[i])
		if err == nil && !bytes.Contains(content, []byte(noteText)) {
			err = fmt.Errorf("got %q, want a note", content)
		}
		return err
	})
	if len(errs) > 0 {
		t.Errorf("got %d of %d documents without their content; the first: %v",
			len(errs), len(ids), errs[0])
	}
}

const noteText = " of the electricity company. Please pay the amount due."

// note returns a short text file.
func note(i int) (name, contentType string, content []byte) {
	return fmt.Sprintf("note-%d.txt", i), "text/plain",
		fmt.Appendf(nil, "Invoice %d%s", i, noteText)
}
