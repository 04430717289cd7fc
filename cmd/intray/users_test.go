package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"

	"intray/cmd/internal/stacktest"
	"intray/infra/local"
)

func TestUsersCommands(t *testing.T) {
	s := up(t)
	t.Run("wrong usage", func(t *testing.T) { testUsersUsage(t, s) })
	t.Run("the last administrator", func(t *testing.T) { testLastAdministrator(t, s) })
	t.Run("set", func(t *testing.T) { testUsersSet(t, s) })
	t.Run("remove", func(t *testing.T) { testUsersRemove(t, s) })
	t.Run("passwords", func(t *testing.T) { testUsersPasswords(t, s) })
	t.Run("spellings", func(t *testing.T) { testUsersSpellings(t, s) })
	t.Run("providers", func(t *testing.T) { testUsersProviders(t, s) })
}

// testUsersSpellings checks that an address is the same in each case and normalization form.
func testUsersSpellings(t *testing.T, s *stack) {
	s.operator(t, 0, "users", "add", "ZOE\u0308@stra\u00dfe.example", "--generate")
	for _, same := range []string{"zo\u00eb@STRASSE.example", "Zoe\u0308@stra\u00dfe.example"} {
		s.operator(t, 1, "users", "add", same, "--generate")
		s.operator(t, 0, "users", "set", same, "--quota", "7")
	}
	out := s.operator(t, 0, "users", "list")
	if !strings.Contains(out, "ZO\u00cb@stra\u00dfe.example") {
		t.Errorf("got %s, want the address in normalization form C", out)
	}
}

// testUsersProviders checks that a provider is refused once the consumers have noted which they
// have. Until then each is accepted.
func testUsersProviders(t *testing.T, s *stack) {
	for deadline := time.Now().Add(time.Minute); ; {
		set := exec.CommandContext(t.Context(), stacktest.Program(t, "intray"),
			"users", "set", "alice@intray.local", "--ai-provider", "anthropic", "--data", s.Dir)
		out, _ := set.CombinedOutput()
		exit := set.ProcessState.ExitCode()
		if exit == 2 && strings.Contains(string(out), "is not configured") {
			break
		}
		if exit != 0 || time.Now().After(deadline) {
			t.Fatalf("got exit status %d, %s, want 2 and that the provider is not configured", exit, out)
		}
	}
	s.operator(t, 0, "users", "set", "alice@intray.local", "--ai-provider", "ollama")
	s.operator(t, 0, "users", "set", "alice@intray.local", "--ai-provider=")
}

func testUsersUsage(t *testing.T, s *stack) {
	for name, c := range map[string]struct {
		args []string
		exit int
	}{
		"nothing to change":       {[]string{"set", "bob@intray.local"}, 2},
		"a negative quota":        {[]string{"set", "bob@intray.local", "--quota=-1"}, 2},
		"an unknown role":         {[]string{"set", "bob@intray.local", "--role", "owner"}, 2},
		"an unknown provider":     {[]string{"set", "bob@intray.local", "--ai-provider", "skynet"}, 2},
		"a model name too long":   {[]string{"set", "bob@intray.local", "--ai-model", strings.Repeat("m", 101)}, 2},
		"two ways for a password": {[]string{"set", "bob@intray.local", "--password", "--generate"}, 2},
		"no password on input":    {[]string{"set", "bob@intray.local", "--password"}, 2},
		"an address too long":     {[]string{"add", strings.Repeat("a", 321-len("@b.example")) + "@b.example", "--generate"}, 2},
		"remove without a user":   {[]string{"remove"}, 2},
		"set an unknown user":     {[]string{"set", "nobody@intray.local", "--quota", "1"}, 1},
		"remove an unknown user":  {[]string{"remove", "nobody@intray.local", "--execute"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s.operator(t, c.exit, append([]string{"users"}, c.args...)...)
		})
	}
}

// testUsersPasswords checks that the commands accept the passwords that the API accepts.
func testUsersPasswords(t *testing.T, s *stack) {
	for password, want := range map[string]int{
		strings.Repeat("e\u0301z", 7): 2, strings.Repeat("az", 513): 2,
		"passwordpassword": 2, "Alice@Intray.local": 2,
		strings.Repeat("e\u0301z", 512): 0,
	} {
		set := exec.CommandContext(t.Context(), stacktest.Program(t, "intray"),
			"users", "set", "alice@intray.local", "--password", "--data", s.Dir)
		set.Stdin = strings.NewReader(password + "\r\n")
		out, _ := set.CombinedOutput()
		if got := set.ProcessState.ExitCode(); got != want {
			t.Errorf("password of %d bytes: got exit status %d, want %d\n%s", len(password), got, want, out)
		}
	}
	composed := map[string]string{
		"email": "alice@intray.local", "password": strings.Repeat("\u00e9z", 512),
	}
	s.Client(t).Must("POST", "/api/auth/login", composed, nil, http.StatusOK)
}

// accountJSON holds the members of GET /api/me that the tests use.
type accountJSON struct {
	Role       string `json:"role"`
	AIProvider string `json:"ai_provider"`
	AIModel    string `json:"ai_model"`
	Quota      struct {
		LimitBytes int64 `json:"limit_bytes"`
	} `json:"quota"`
}

func testLastAdministrator(t *testing.T, s *stack) {
	s.operator(t, 1, "users", "set", "admin@intray.local", "--role", "user", "--quota", "5")
	s.operator(t, 1, "users", "remove", "admin@intray.local", "--execute")
	var got accountJSON
	s.Login(t, "admin").Must("GET", "/api/me", nil, &got, http.StatusOK)
	if got.Role != "admin" || got.Quota.LimitBytes == 5 {
		t.Errorf("got %+v, want an administrator with an unchanged quota", got)
	}
}

// password returns the password of the development account NAME@intray.local.
func (s *stack) password(t *testing.T, name string) string {
	t.Helper()
	for _, a := range s.Accounts {
		if strings.HasPrefix(a.Email, name+"@") {
			return a.Password
		}
	}
	t.Fatalf("got no account %s, want one", name)
	return ""
}

func testUsersSet(t *testing.T, s *stack) {
	bob := s.Login(t, "bob")
	login := func(password string, out any) int {
		t.Helper()
		status, _, err := s.Client(t).Call("POST", "/api/auth/login",
			map[string]string{"email": "bob@intray.local", "password": password}, out)
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	oldPassword := s.password(t, "bob")
	var session struct {
		RefreshToken string `json:"refresh_token"`
	}
	if got := login(oldPassword, &session); got != http.StatusOK || session.RefreshToken == "" {
		t.Fatalf("login: got status %d, %+v, want 200 and a refresh token", got, session)
	}
	out := s.operator(t, 0, "users", "set", "BOB@intray.local", "--quota", "12345",
		"--role", "admin", "--ai-provider", "ollama", "--ai-model", "llama3.2", "--generate", "--json")
	var changed struct{ Password string }
	if err := json.Unmarshal([]byte(out), &changed); err != nil || len(changed.Password) < 15 {
		t.Fatalf("got %s, error %v, want a password of at least 15 characters", out, err)
	}

	t.Run("properties are changed", func(t *testing.T) {
		var got accountJSON
		bob.For(t).Must("GET", "/api/me", nil, &got, http.StatusOK)
		want := accountJSON{Role: "admin", AIProvider: "ollama", AIModel: "llama3.2"}
		want.Quota.LimitBytes = 12345
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
	t.Run("the password is changed", func(t *testing.T) {
		if got := login(oldPassword, nil); got != http.StatusUnauthorized {
			t.Errorf("old password: got status %d, want 401", got)
		}
		if got := login(changed.Password, nil); got != http.StatusOK {
			t.Errorf("new password: got status %d, want 200", got)
		}
	})
	t.Run("sessions are ended", func(t *testing.T) {
		got, _, err := bob.For(t).Call("POST", "/api/auth/refresh", session, nil)
		if err != nil || got != http.StatusUnauthorized {
			t.Errorf("refresh: got status %d, error %v, want 401", got, err)
		}
	})
	t.Run("AI settings are reset", func(t *testing.T) {
		expectText(t, s.operator(t, 0, "users", "set", "bob@intray.local", "--role", "user",
			"--ai-provider=", "--ai-model="), "default")
	})
	t.Run("the list has no password", func(t *testing.T) {
		out := s.operator(t, 0, "users", "list")
		expectText(t, out, "12345")
		if strings.Contains(out, changed.Password) {
			t.Errorf("got the password in\n%s", out)
		}
	})
}

func testUsersRemove(t *testing.T, s *stack) {
	alice, admin := s.Login(t, "alice"), s.Login(t, "admin")
	for i := range 3 {
		id := alice.Upload(fmt.Sprintf("invoice%d.txt", i), "text/plain", []byte(invoice))
		alice.Becomes(id, 30*time.Second, "classified")
	}
	kept := admin.Upload("kept.txt", "text/plain", []byte(invoice))
	admin.Becomes(kept, 30*time.Second, "classified")
	late, err := alice.RequestURL("late.txt", "text/plain", len(invoice))
	if err != nil {
		t.Fatal(err)
	}

	t.Run("without --execute", func(t *testing.T) {
		expectText(t, s.operator(t, 0, "users", "remove", "alice@intray.local"),
			"4 documents (3 classified, 1 pending)", "--execute")
		if got, want := alice.For(t).Used(), 3*int64(len(invoice)); got != want {
			t.Errorf("got %d used bytes, want %d", got, want)
		}
	})
	t.Run("with --execute", func(t *testing.T) {
		out := s.operator(t, 0, "users", "remove", "alice@intray.local", "--execute", "--json")
		var got struct {
			Removed   bool           `json:"removed"`
			Documents map[string]int `json:"documents"`
		}
		err := json.Unmarshal([]byte(out), &got)
		if err != nil || !got.Removed || got.Documents["classified"] != 3 {
			t.Errorf("got %s, error %v, want removed with 3 classified documents", out, err)
		}
		status, _, err := alice.For(t).Call("GET", "/api/documents", nil, nil)
		if err != nil || status != http.StatusUnauthorized {
			t.Errorf("with her access token: got status %d, error %v, want 401", status, err)
		}
	})
	t.Run("objects are deleted", func(t *testing.T) {
		// The upload URL is still valid. The object that it creates must be deleted too.
		if err := alice.For(t).Put(late, []byte(invoice)); err != nil {
			t.Fatal(err)
		}
		stacktest.Await(t, time.Minute, "the deletion of her objects", func() error {
			options := miniogo.ListObjectsOptions{Recursive: true}
			for o := range s.root(t).ListObjectsIter(t.Context(), s.MinIO.Bucket, options) {
				if o.Err != nil || !strings.HasSuffix(o.Key, kept) {
					return errors.Join(fmt.Errorf("object %s exists", o.Key), o.Err)
				}
			}
			return nil
		})
		admin.For(t).Becomes(kept, time.Second, "classified")
		s.operator(t, 0, "reconcile", "--settle", "1ms")
	})
	t.Run("the address can be used again", func(t *testing.T) {
		s.operator(t, 0, "users", "add", "alice@intray.local", "--generate")
		var page struct {
			Items []local.Account `json:"items"`
		}
		admin.For(t).Must("GET", "/api/admin/users", nil, &page, http.StatusOK)
		if got := len(page.Items); got != 3 {
			t.Errorf("got %d users, want 3", got)
		}
	})
}
