package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// remembered derives each key once, so that thousands of files can be tried
// against a slow Unlock.
type remembered struct {
	Unlock
	keys map[string][]byte
}

func (r remembered) derive(p unlockParams) ([]byte, error) {
	name := fmt.Sprint(p.Method, p.Salt, p.Memory, p.Passes, p.Lanes)
	if key := r.keys[name]; key != nil {
		return key, nil
	}
	key, err := r.Unlock.derive(p)
	r.keys[name] = key
	return key, err
}

// quick is a passphrase under the cheapest parameters that are accepted.
type quick struct{ Unlock }

func (quick) fresh() unlockParams {
	return unlockParams{Method: methodPassphrase, Memory: minArgonMemory, Passes: 1, Lanes: 1}
}

// No byte of the file can be changed, removed or added.
func TestEveryByteCounts(t *testing.T) {
	for name, u := range map[string]Unlock{"key file": newKeyFile(t), "passphrase": quick{Passphrase([]byte("p"))}} {
		dir := t.TempDir()
		s := mustCreate(t, dir, u, RoleLog, RoleReceipt)
		if _, err := s.RotateWith(RoleLog, time.Now(), func(Signer, PublicKey) ([]byte, error) { return []byte("handover"), nil }); err != nil {
			t.Fatal(err)
		}
		cached := remembered{u, map[string][]byte{}}
		try := func(what string, at int, changed []byte) {
			t.Helper()
			fresh := &Store{dir: dir}
			err := fresh.load(changed, cached)
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrWrongPassphrase) {
				t.Errorf("%s: %s byte %d (%q): %v", name, what, at, s.raw[max(0, at-20):min(len(s.raw), at+5)], err)
			}
			if fresh.master != nil || fresh.keys != nil || fresh.private != nil {
				t.Errorf("%s: %s byte %d: the Store holds something", name, what, at)
			}
		}
		if err := new(Store).load(s.raw, cached); err != nil {
			t.Fatal(err)
		}
		for i, b := range s.raw {
			for _, x := range []byte{0x01, 0x20, 0x80} {
				changed := bytes.Clone(s.raw)
				changed[i] = b ^ x
				try("changed", i, changed)
			}
			try("removed", i, append(bytes.Clone(s.raw[:i]), s.raw[i+1:]...))
			for _, x := range []byte{b, ' ', '\n', '0'} {
				try("added", i, append(append(bytes.Clone(s.raw[:i]), x), s.raw[i:]...))
			}
		}
		for i := range s.raw {
			try("cut before", i, s.raw[:i])
		}
		try("added after", len(s.raw), append(bytes.Clone(s.raw), '\n'))
	}
}

// Nor can parts be exchanged between files of the same keystore.
func TestParsOfOtherVersions(t *testing.T) {
	dir, keyFile := t.TempDir(), newKeyFile(t)
	s := mustCreate(t, dir, keyFile, RoleLog)
	before, err := parseDocument(s.raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rotate(RoleLog, time.Now()); err != nil {
		t.Fatal(err)
	}
	after, err := parseDocument(s.raw)
	if err != nil {
		t.Fatal(err)
	}
	for name, mixed := range map[string]document{
		"old keys, new secrets": {after.Schema, after.Unlock, before.Keys, after.Sealed},
		"new keys, old secrets": {after.Schema, after.Unlock, after.Keys, before.Sealed},
		"keys in another order": {after.Schema, after.Unlock, []keyRecord{after.Keys[1], after.Keys[0]}, after.Sealed},
		"no keys":               {after.Schema, after.Unlock, []keyRecord{}, after.Sealed},
	} {
		raw, err := encode(mixed)
		if err != nil {
			t.Fatal(err)
		}
		if err := new(Store).load(raw, keyFile); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A hostile file cannot make Open use much time or memory.
func TestHostileParameters(t *testing.T) {
	dir := t.TempDir()
	s := mustCreate(t, dir, quick{Passphrase([]byte("p"))}, RoleLog)
	for name, change := range map[string]func(*unlockParams){
		"memory":        func(p *unlockParams) { p.Memory = maxArgonMemory + 1 },
		"all memory":    func(p *unlockParams) { p.Memory = 1<<32 - 1 },
		"little memory": func(p *unlockParams) { p.Memory = minArgonMemory - 1 },
		"passes":        func(p *unlockParams) { p.Passes = maxArgonPasses + 1 },
		"no passes":     func(p *unlockParams) { p.Passes = 0 },
		"lanes":         func(p *unlockParams) { p.Lanes = maxArgonLanes + 1 },
		"no lanes":      func(p *unlockParams) { p.Lanes = 0 },
		"method":        func(p *unlockParams) { p.Method = "none" },
		"key file":      func(p *unlockParams) { p.Method = methodKeyFile },
		"no salt":       func(p *unlockParams) { p.Salt = nil },
		"long salt":     func(p *unlockParams) { p.Salt = make([]byte, 1000) },
		"no check":      func(p *unlockParams) { p.Check = nil },
	} {
		doc, err := parseDocument(s.raw)
		if err != nil {
			t.Fatal(err)
		}
		change(&doc.Unlock)
		raw, err := encode(doc)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := new(Store).load(raw, Passphrase([]byte("p"))); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s: refusing takes %v", name, took)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, fileName), bytes.Repeat([]byte(" "), maxFileSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Passphrase([]byte("p"))); err == nil {
		t.Error("an endless file opens")
	}
}

// steps are those of replaceFile. After a failure before the rename the old file
// is in place, afterwards the new one; see TestCrash for real crashes.
var steps = []struct {
	name     string
	replaced bool
}{{"create", false}, {"write", false}, {"sync", false}, {"rename", false}, {"sync folder", true}}

func TestFaults(t *testing.T) {
	failure := errors.New("disk failure")
	for _, step := range steps {
		dir, keyFile, otherFile := t.TempDir(), newKeyFile(t), newKeyFile(t)
		var failing bool
		fault := func(name string) error {
			if failing && name == step.name {
				return failure
			}
			return nil
		}
		leftovers := func() {
			t.Helper()
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if e.Name() != fileName && e.Name() != "keystore.lock" {
					t.Errorf("%s: %s is left behind", step.name, e.Name())
				}
			}
		}

		failing = true
		if _, err := create(dir, keyFile, fault, []Role{RoleLog}); !errors.Is(err, failure) {
			t.Errorf("%s: Create: %v", step.name, err)
		}
		leftovers()
		_, err := Open(dir, keyFile)
		if step.replaced && err != nil || !step.replaced && !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: Open after Create: %v", step.name, err)
		}
		os.Remove(filepath.Join(dir, fileName))

		failing = false
		s, err := create(dir, keyFile, fault, []Role{RoleLog})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		for round := range 2 { // the Store stays usable after a failure
			now = now.Add(time.Hour)
			failing = true
			keysBefore := len(s.Keys(RoleLog))
			if _, err := s.Rotate(RoleLog, now); !errors.Is(err, failure) {
				t.Errorf("%s: Rotate: %v", step.name, err)
			}
			leftovers()
			want := keysBefore
			if step.replaced {
				want++
			}
			onDisk := mustOpen(t, dir, keyFile)
			check(t, onDisk, RoleLog)
			check(t, s, RoleLog)
			if got := len(onDisk.Keys(RoleLog)); got != want || len(s.Keys(RoleLog)) != want {
				t.Errorf("%s, round %d: %d keys on disk, %d in memory, want %d", step.name, round, got, len(s.Keys(RoleLog)), want)
			}
			failing = false
			if _, err := s.Rotate(RoleLog, now); err != nil {
				t.Errorf("%s: Rotate after a failure: %v", step.name, err)
			}
			check(t, mustOpen(t, dir, keyFile), RoleLog)
		}

		failing = true
		if err := s.ChangeUnlock(otherFile); !errors.Is(err, failure) {
			t.Errorf("%s: ChangeUnlock: %v", step.name, err)
		}
		opens := Unlock(keyFile)
		if step.replaced {
			opens = otherFile
		}
		check(t, mustOpen(t, dir, opens), RoleLog)
		failing = false
		if err := s.ChangeUnlock(otherFile); err != nil {
			t.Errorf("%s: ChangeUnlock after a failure: %v", step.name, err)
		}
		check(t, mustOpen(t, dir, otherFile), RoleLog)
	}
}

const (
	crashStep = "KEYSTORE_TEST_STEP"
	crashDir  = "KEYSTORE_TEST_DIR"
	crashKey  = "KEYSTORE_TEST_KEY"
)

// child runs this test again in another process, where os.Getenv(crashStep) is step.
func child(t *testing.T, step, dir string, key keyFile) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), crashStep+"="+step, crashDir+"="+dir, crashKey+"="+string(key))
	return cmd
}

// SIGKILL at each step of a rotation.
func TestCrash(t *testing.T) {
	if step := os.Getenv(crashStep); step != "" {
		s := mustOpen(t, os.Getenv(crashDir), KeyFile(os.Getenv(crashKey)))
		s.fault = func(name string) error {
			if name == step {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
			return nil
		}
		s.Rotate(RoleLog, time.Now())
		t.Fatal("still alive")
	}
	for _, step := range steps {
		dir, keyFile := t.TempDir(), newKeyFile(t)
		mustCreate(t, dir, keyFile, RoleLog)
		out, err := child(t, step.name, dir, keyFile).CombinedOutput()
		if !strings.Contains(fmt.Sprint(err), "killed") {
			t.Fatalf("%s: the child was not killed: %v\n%s", step.name, err, out)
		}
		want := 1
		if step.replaced {
			want = 2
		}
		s := mustOpen(t, dir, keyFile)
		check(t, s, RoleLog)
		if got := len(s.Keys(RoleLog)); got != want {
			t.Errorf("killed before %q: %d keys, want %d", step.name, got, want)
		}
		// The lock died with the process, and the next write cleans up.
		if _, err := s.Rotate(RoleLog, time.Now()); err != nil {
			t.Errorf("killed before %q: %v", step.name, err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 2 {
			t.Errorf("killed before %q: %v is left, %v", step.name, entries, err)
		}
	}
}

// A half-written file is never taken for the keystore.
func TestLeftovers(t *testing.T) {
	dir, keyFile := t.TempDir(), newKeyFile(t)
	s := mustCreate(t, dir, keyFile, RoleLog)
	leftover := filepath.Join(dir, fileName+".tmp-123")
	if err := os.WriteFile(leftover, s.raw[:100], 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, mustOpen(t, dir, keyFile), RoleLog)
	if _, err := s.Rotate(RoleLog, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(leftover); err == nil {
		t.Error("the leftover stays")
	}
}

// Two processes on one keystore: while one writes, the other waits, and gives up
// in the end.
func TestLock(t *testing.T) {
	if os.Getenv(crashStep) != "" {
		unlock, err := lock(os.Getenv(crashDir), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		fmt.Println("locked")
		os.Stdin.Read(make([]byte, 1)) // until the parent closes it
		return
	}
	dir, keyFile := t.TempDir(), newKeyFile(t)
	s := mustCreate(t, dir, keyFile, RoleLog)
	cmd := child(t, "lock", dir, keyFile)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir, 50*time.Millisecond); !errors.Is(err, ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	check(t, mustOpen(t, dir, keyFile), RoleLog) // readers need no lock
	time.AfterFunc(200*time.Millisecond, func() { stdin.Close() })
	if _, err := s.Rotate(RoleLog, time.Now()); err != nil {
		t.Errorf("Rotate while another process writes: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func FuzzLoad(f *testing.F) {
	keyFile := newKeyFile(f)
	s := mustCreate(f, f.TempDir(), keyFile, RoleLog)
	f.Add(s.raw)
	f.Add(s.raw[:len(s.raw)/2])
	f.Add([]byte("{}"))
	f.Add([]byte(`{"schema":"cunzheng/keystore/v1","schema":"x"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, err := parseDocument(raw)
		if err == nil {
			if again, err := encode(doc); err != nil || !bytes.Equal(again, raw) {
				t.Errorf("accepted %q, wrote %q, %v", raw, again, err)
			}
		}
		if err := new(Store).load(raw, keyFile); err == nil && !bytes.Equal(raw, s.raw) {
			t.Errorf("opened %q", raw)
		}
	})
}

func BenchmarkOpenPassphrase(b *testing.B) {
	dir := b.TempDir()
	mustCreate(b, dir, Passphrase([]byte("p")), allRoles...)
	b.ReportAllocs()
	for b.Loop() {
		mustOpen(b, dir, Passphrase([]byte("p")))
	}
}

func BenchmarkWrap(b *testing.B) {
	s := mustCreate(b, b.TempDir(), newKeyFile(b), RoleLog)
	for b.Loop() {
		if _, err := s.Wrap([]byte("0123456789abcdef"), []byte("object")); err != nil {
			b.Fatal(err)
		}
	}
}
