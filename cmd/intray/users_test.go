package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"intray/cmd/internal/stacktest"
	"intray/infra/local"
)

func TestUsersCommands(t *testing.T) {
	s := up(t)
	t.Run("wrong usage", func(t *testing.T) { refusesMistakes(t, s) })
	t.Run("set", func(t *testing.T) { setsAnAccount(t, s) })
	t.Run("remove", func(t *testing.T) { removesAUser(t, s) })
}

func refusesMistakes(t *testing.T, s *stack) {
	for _, args := range [][]string{
		{"set", "bob@intray.local"},
		{"set", "bob@intray.local", "--quota=-1"},
		{"set", "bob@intray.local", "--role", "owner"},
		{"set", "bob@intray.local", "--ai-provider", "skynet"},
		{"set", "bob@intray.local", "--ai-model", strings.Repeat("m", 101)},
		{"set", "bob@intray.local", "--password", "--generate"},
		{"set", "bob@intray.local", "--password"}, // nothing on standard input
		{"remove"},
	} {
		s.operator(t, 2, append([]string{"users"}, args...)...)
	}
	s.operator(t, 1, "users", "set", "nobody@intray.local", "--quota", "1")
	s.operator(t, 1, "users", "remove", "nobody@intray.local", "--execute")
	s.operator(t, 1, "users", "set", "admin@intray.local", "--role", "user", "--quota", "5")
	s.operator(t, 1, "users", "remove", "admin@intray.local", "--execute")
	admin := s.Login(t, "admin")
	var me struct {
		Role  string `json:"role"`
		Quota struct {
			LimitBytes int64 `json:"limit_bytes"`
		} `json:"quota"`
	}
	if admin.Must("GET", "/api/me", nil, &me, http.StatusOK); me.Role != "admin" || me.Quota.LimitBytes == 5 {
		t.Errorf("the last administrator became %+v", me)
	}
}

func setsAnAccount(t *testing.T, s *stack) {
	bob := s.Login(t, "bob")
	var old struct {
		RefreshToken string `json:"refresh_token"`
	}
	var password string
	for _, a := range s.Accounts {
		if strings.HasPrefix(a.Email, "bob@") {
			password = a.Password
		}
	}
	login := func(password string, out any) int {
		status, _, err := s.Client(t).Call("POST", "/api/auth/login",
			map[string]string{"email": "bob@intray.local", "password": password}, out)
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	if status := login(password, &old); status != http.StatusOK || old.RefreshToken == "" {
		t.Fatalf("login: %d, %+v", status, old)
	}
	var set struct{ Password string }
	if err := json.Unmarshal([]byte(s.operator(t, 0, "users", "set", "BOB@intray.local", "--quota", "12345", "--role", "admin",
		"--ai-provider", "ollama", "--ai-model", "llama3.2", "--generate", "--json")), &set); err != nil || len(set.Password) < 15 {
		t.Fatalf("%+v, %v", set, err)
	}
	var me struct {
		Role       string `json:"role"`
		AIProvider string `json:"ai_provider"`
		AIModel    string `json:"ai_model"`
		Quota      struct {
			LimitBytes int64 `json:"limit_bytes"`
		} `json:"quota"`
	}
	bob.Must("GET", "/api/me", nil, &me, http.StatusOK)
	if me.Role != "admin" || me.AIProvider != "ollama" || me.AIModel != "llama3.2" || me.Quota.LimitBytes != 12345 {
		t.Errorf("bob is %+v", me)
	}
	if status := login(password, nil); status != http.StatusUnauthorized {
		t.Errorf("the old password: %d", status)
	}
	if status, _, err := bob.Call("POST", "/api/auth/refresh", old, nil); err != nil || status != http.StatusUnauthorized {
		t.Errorf("the old session: %d, %v", status, err)
	}
	if status := login(set.Password, nil); status != http.StatusOK {
		t.Errorf("the new password: %d", status)
	}
	if out := s.operator(t, 0, "users", "set", "bob@intray.local", "--role", "user", "--ai-provider=", "--ai-model="); !strings.Contains(out, "default") {
		t.Errorf("it says\n%s", out)
	}
	if out := s.operator(t, 0, "users", "list"); !strings.Contains(out, "12345") || strings.Contains(out, set.Password) {
		t.Errorf("it lists\n%s", out)
	}
}

func removesAUser(t *testing.T, s *stack) {
	alice, bob := s.Login(t, "alice"), s.Login(t, "admin")
	var kept []string
	for i := range 3 {
		id := alice.Upload(fmt.Sprintf("invoice%d.txt", i), "text/plain", []byte(invoice))
		alice.Becomes(id, 30*time.Second, "classified")
	}
	kept = append(kept, bob.Upload("kept.txt", "text/plain", []byte(invoice)))
	bob.Becomes(kept[0], 30*time.Second, "classified")
	late, err := alice.Ask("late.txt", "text/plain", len(invoice))
	if err != nil {
		t.Fatal(err)
	}

	out := s.operator(t, 0, "users", "remove", "alice@intray.local")
	if !strings.Contains(out, "4 documents (3 classified, 1 pending)") || !strings.Contains(out, "--execute") {
		t.Errorf("it says\n%s", out)
	}
	if used := alice.Used(); used != 3*int64(len(invoice)) {
		t.Errorf("alice uses %d after a dry run", used)
	}

	var removed struct {
		Removed   bool           `json:"removed"`
		Documents map[string]int `json:"documents"`
	}
	if err := json.Unmarshal([]byte(s.operator(t, 0, "users", "remove", "alice@intray.local", "--execute", "--json")), &removed); err != nil ||
		!removed.Removed || removed.Documents["classified"] != 3 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	if status, _, err := alice.Call("GET", "/api/documents", nil, nil); err != nil || status != http.StatusUnauthorized {
		t.Errorf("with her token: %d, %v", status, err)
	}
	if err := alice.Put(late, []byte(invoice)); err != nil { // its URL is still good
		t.Fatal(err)
	}
	root, err := miniogo.New(s.MinIO.Endpoint, &miniogo.Options{Creds: credentials.NewStaticV4(s.MinIO.RootUser, s.MinIO.RootPassword, "")})
	if err != nil {
		t.Fatal(err)
	}
	stacktest.Await(t, time.Minute, "her objects to be deleted", func() error {
		for o := range root.ListObjectsIter(t.Context(), s.MinIO.Bucket, miniogo.ListObjectsOptions{Recursive: true}) {
			if o.Err != nil || !strings.HasSuffix(o.Key, kept[0]) {
				return errors.Join(fmt.Errorf("%s is there", o.Key), o.Err)
			}
		}
		return nil
	})
	bob.Becomes(kept[0], time.Second, "classified")
	s.operator(t, 0, "reconcile", "--settle", "1ms")

	s.operator(t, 0, "users", "add", "alice@intray.local", "--generate")
	var page struct {
		Items []local.Account `json:"items"`
	}
	bob.Must("GET", "/api/admin/users", nil, &page, http.StatusOK)
	if len(page.Items) != 3 {
		t.Errorf("%d users", len(page.Items))
	}
}
