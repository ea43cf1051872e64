package vault_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"cunzheng/notary/vault"
)

// gateway is a real S3 server on the loopback interface, with a folder behind it.
type gateway struct {
	address, root string
	process       *exec.Cmd
}

const (
	s3User, s3Secret = "cunzheng-test", "a secret of the tests"
	s3Bucket         = "originals"
)

// buildGateway builds versitygw from its Go module; the build cache makes that fast from the second time on.
var buildGateway = sync.OnceValues(func() (string, error) {
	module, err := filepath.Abs("../../deploy/s3")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	// Kept between runs: linking takes as long as all tests here.
	path := filepath.Join(cache, "cunzheng-test", "versitygw")
	build := exec.Command("go", "build", "-o", path, "github.com/versity/versitygw/cmd/versitygw")
	build.Dir = module
	build.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building versitygw: %w\n%s", err, out)
	}
	return path, nil
})

func startGateway(t testing.TB) *gateway {
	t.Helper()
	g := &gateway{root: t.TempDir()}
	if err := os.Mkdir(filepath.Join(g.root, s3Bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.address = listener.Addr().String()
	listener.Close()
	g.start(t)
	t.Setenv("AWS_ACCESS_KEY_ID", s3User)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3Secret)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	return g
}

func (g *gateway) start(t testing.TB) {
	t.Helper()
	binary, err := buildGateway()
	if err != nil {
		t.Fatal(err)
	}
	g.process = exec.Command(binary, "--port", g.address, "--quiet", "posix", g.root)
	g.process.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s3User, "ROOT_SECRET_KEY="+s3Secret)
	g.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log bytes.Buffer
	g.process.Stdout, g.process.Stderr = &log, &log
	if err := g.process.Start(); err != nil {
		t.Fatal(err)
	}
	process := g.process
	t.Cleanup(func() { process.Process.Kill(); process.Wait() })
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		response, err := http.Get("http://" + g.address + "/")
		if err == nil {
			response.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			g.kill()
			t.Fatalf("versitygw does not answer: %v\n%s", err, &log)
		}
	}
}

func (g *gateway) kill() {
	g.process.Process.Kill()
	g.process.Wait()
}

func (g *gateway) url(bucket string) string {
	return "s3://" + bucket + "?region=us-east-1&use_path_style=true&endpoint=http://" + g.address
}

func openS3(t testing.TB, g *gateway, intents string, key *masterKey) *vault.Vault {
	t.Helper()
	v, err := vault.Open(t.Context(), g.url(s3Bucket), intents, key, vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

// files lists what the server holds: objects and the parts of unfinished uploads.
func (g *gateway) files(t testing.TB) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(filepath.Join(g.root, s3Bucket), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, g.root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestS3(t *testing.T) {
	g := startGateway(t)
	v := openS3(t, g, t.TempDir(), newMasterKey())
	if err := v.Check(t.Context()); err != nil {
		t.Fatal(err)
	}

	t.Run("round trip", func(t *testing.T) {
		for _, n := range []int{0, 1, 100_000, 8 << 20, 25 << 20} {
			id := fmt.Sprintf("n-%d", n)
			put(t, v, id, content(n))
			wantContent(t, v, id, content(n))
		}
	})
	t.Run("memory", func(t *testing.T) {
		if testing.Short() {
			t.Skip("uploads half a gigabyte")
		}
		checkMemory(t, v, "big", 512<<20)
	})
	t.Run("never replaced", func(t *testing.T) {
		put(t, v, "a", []byte("first"))
		if _, err := v.Put(t.Context(), "a", strings.NewReader("second"), 0); !errors.Is(err, vault.ErrExists) {
			t.Fatalf("small: %v", err)
		}
		if _, err := v.Put(t.Context(), "a", io.LimitReader(zeros{}, 20<<20), 0); !errors.Is(err, vault.ErrExists) {
			t.Fatalf("multipart: %v", err)
		}
		wantContent(t, v, "a", []byte("first"))
	})
	t.Run("not found", func(t *testing.T) {
		if _, err := v.Open(t.Context(), "none"); !errors.Is(err, vault.ErrNotFound) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("abort", func(t *testing.T) {
		before := len(g.files(t))
		if _, err := v.Put(t.Context(), "gone", io.LimitReader(zeros{}, 20<<20), 0); err != nil {
			t.Fatal(err)
		}
		if err := v.Abort(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		if left := g.files(t); len(left) != before {
			t.Errorf("left behind: %q", left)
		}
	})
	t.Run("prefix", func(t *testing.T) {
		v, err := vault.Open(t.Context(), g.url(s3Bucket)+"&prefix=node-1/", t.TempDir(), newMasterKey(), vault.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		put(t, v, "a", []byte("of node 1"))
		wantContent(t, v, "a", []byte("of node 1"))
		if names := g.files(t); !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "/"+s3Bucket+"/node-1/") }) {
			t.Errorf("files: %q", names)
		}
		if _, err := v.Put(t.Context(), "b", io.MultiReader(io.LimitReader(zeros{}, 30<<20), iotest.ErrReader(io.ErrUnexpectedEOF)), 0); err == nil {
			t.Fatal("no error")
		}
		var ids []string
		err = v.List(t.Context(), func(id string) error { ids = append(ids, id); return nil })
		if err != nil || !slices.Equal(ids, []string{"a"}) {
			t.Errorf("List: %q, %v", ids, err)
		}
	})
	t.Run("altered object", func(t *testing.T) {
		put(t, v, "altered", content(1000))
		for _, name := range g.files(t) {
			if filepath.Base(name) == "altered" {
				path := filepath.Join(g.root, name)
				p, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				p[500] ^= 1
				if err := os.WriteFile(path, p, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, _, err := get(t, v, "altered"); err == nil {
			t.Fatal("an altered object opens")
		}
	})
}

// TestS3BrokenUpload breaks uploads off before, in and after the first parts of a multipart upload, each way an upload
// can break, and looks into the server's folder: neither objects nor parts are left.
func TestS3BrokenUpload(t *testing.T) {
	g := startGateway(t)
	v := openS3(t, g, t.TempDir(), newMasterKey())
	for _, n := range []int{0, 1 << 20, 9 << 20, 30 << 20} {
		for name, breakOff := range map[string]func(cancel func()) ([]byte, error){
			"reader fails":  func(func()) ([]byte, error) { return nil, io.ErrUnexpectedEOF },
			"caller leaves": func(cancel func()) ([]byte, error) { cancel(); return []byte("x"), nil },
		} {
			t.Run(fmt.Sprintf("%s after %d", name, n), func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				last := readerFunc(func(p []byte) (int, error) {
					b, err := breakOff(cancel)
					return copy(p, b), err
				})
				if _, err := v.Put(ctx, "a", io.MultiReader(io.LimitReader(zeros{}, int64(n)), last), 0); err == nil {
					t.Fatal("no error")
				}
				if left := g.files(t); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
				if pending := v.Pending(); len(pending) > 0 {
					t.Errorf("pending: %q", pending)
				}
			})
		}
	}
}

// TestS3ServerKilled kills the server in the middle of a multipart upload. The upload fails with ErrUnavailable; when
// the server is back, Recover takes back the parts.
func TestS3ServerKilled(t *testing.T) {
	g := startGateway(t)
	v := openS3(t, g, t.TempDir(), newMasterKey())
	var once sync.Once
	r := io.MultiReader(io.LimitReader(zeros{}, 40<<20), readerFunc(func(p []byte) (int, error) {
		once.Do(func() {
			if len(g.files(t)) == 0 {
				t.Error("no part has reached the server yet: the test tests nothing")
			}
			g.kill()
		})
		return len(p), nil
	}))
	if _, err := v.Put(t.Context(), "a", io.LimitReader(r, 80<<20), 0); !errors.Is(err, vault.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if pending := v.Pending(); len(pending) != 1 {
		t.Fatalf("pending: %q", pending)
	}
	if err := v.Check(t.Context()); !errors.Is(err, vault.ErrUnavailable) {
		t.Fatalf("Check: %v", err)
	}
	unknown := func(string) (bool, error) { return false, nil }
	if err := v.Recover(t.Context(), unknown); !errors.Is(err, vault.ErrUnavailable) {
		t.Fatalf("Recover while the server is down: %v", err)
	}
	g.start(t)
	if err := v.Recover(t.Context(), unknown); err != nil {
		t.Fatal(err)
	}
	if left := g.files(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if pending := v.Pending(); len(pending) > 0 {
		t.Errorf("pending: %q", pending)
	}
}

// TestS3ClientKilled kills the process that uploads; a new one finds the intent and takes back the parts.
func TestS3ClientKilled(t *testing.T) {
	g := startGateway(t)
	intents := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestChildUpload$", "-test.v")
	child.Env = append(os.Environ(), childURL+"="+g.url(s3Bucket), childIntents+"="+intents)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), childReady) {
	}
	child.Process.Kill()
	child.Wait()
	if len(g.files(t)) == 0 {
		t.Fatal("no part has reached the server: the test tests nothing")
	}

	v := openS3(t, g, intents, newMasterKey())
	if err := v.Recover(t.Context(), func(string) (bool, error) { return false, nil }); err != nil {
		t.Fatal(err)
	}
	if left := g.files(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

const (
	childURL     = "CUNZHENG_TEST_VAULT_URL"
	childIntents = "CUNZHENG_TEST_VAULT_INTENTS"
	childReady   = "parts are on their way"
)

// TestChildUpload is the process that others kill: it uploads, says so, and waits for its end.
func TestChildUpload(t *testing.T) {
	if os.Getenv(childURL) == "" {
		t.Skip("runs as a child of other tests")
	}
	v, err := vault.Open(t.Context(), os.Getenv(childURL), os.Getenv(childIntents), newMasterKey(), vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v.Put(t.Context(), "a", io.MultiReader(io.LimitReader(zeros{}, 40<<20), readerFunc(func([]byte) (int, error) {
		time.Sleep(200 * time.Millisecond) // the last parts may still be in the sockets
		fmt.Println(childReady)
		select {}
	})), 0)
}

func TestS3Errors(t *testing.T) {
	g := startGateway(t)
	open := func(t *testing.T, url string) *vault.Vault {
		v, err := vault.Open(t.Context(), url, t.TempDir(), newMasterKey(), vault.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { v.Close() })
		return v
	}
	check := func(t *testing.T, v *vault.Vault, want error) {
		t.Helper()
		_, putErr := v.Put(t.Context(), "a", io.LimitReader(zeros{}, 20<<20), 0)
		for what, err := range map[string]error{"Check": v.Check(t.Context()), "Put": putErr} {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
			if err != nil && strings.Contains(err.Error(), s3Secret) {
				t.Errorf("%s tells the secret: %v", what, err)
			}
		}
	}
	t.Run("wrong secret", func(t *testing.T) {
		t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
		check(t, open(t, g.url(s3Bucket)), vault.ErrDenied)
	})
	t.Run("unknown user", func(t *testing.T) {
		t.Setenv("AWS_ACCESS_KEY_ID", "nobody")
		check(t, open(t, g.url(s3Bucket)), vault.ErrDenied)
	})
	t.Run("no credentials", func(t *testing.T) {
		for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
		t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
		t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
		check(t, open(t, g.url(s3Bucket)), vault.ErrDenied)
	})
	t.Run("no bucket", func(t *testing.T) { check(t, open(t, g.url("nonesuch")), vault.ErrNoBucket) })
	t.Run("no server", func(t *testing.T) {
		g.kill()
		check(t, open(t, g.url(s3Bucket)), vault.ErrUnavailable)
	})
}
