// Package independent_test holds two readings of docs/formats.md against each other: the Go package evidence, and the
// Python program beside this file, which was written from the document alone.
package independent_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"cunzheng/evidence"
)

const (
	vectors   = "../vectors"
	mutations = 40
)

type vectorCase struct {
	Name, Bundle, Trust, Content, At, Verdict, Level, Report string
}

// verdict is what either verifier says.
type verdict struct {
	Verdict string            `json:"verdict"`
	Level   string            `json:"level"`
	Checks  map[string]string `json:"checks"`
}

func requireTools(t *testing.T) {
	t.Helper()
	for _, args := range [][]string{
		{"python3", "-c", "import sys, hashlib; assert sys.version_info >= (3, 9); hashlib.new('sm3')"},
		{"openssl", "ecparam", "-name", "SM2", "-noout"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("this test needs python3 (3.9 or later, with SM3 in hashlib) and openssl (3 or later, with SM2): %v: %v\n%s", args, err, out)
		}
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(vectors, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readCases(t *testing.T) []vectorCase {
	t.Helper()
	var cases []vectorCase
	if err := json.Unmarshal(read(t, "cases.json"), &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	return cases
}

// python runs the independent verifier on a bundle with the other inputs of a case.
func python(c vectorCase, bundle string) (*verdict, error) {
	args := []string{"verify.py", "--at", c.At}
	if c.Trust != "" {
		args = append(args, "--trust", filepath.Join(vectors, c.Trust))
	}
	if c.Content != "" {
		args = append(args, "--content", filepath.Join(vectors, c.Content))
	}
	cmd := exec.Command("python3", append(args, bundle)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	code := cmd.ProcessState.ExitCode()
	var v verdict
	if err := json.Unmarshal(out, &v); err != nil || stderr.Len() > 0 {
		return nil, fmt.Errorf("verify.py exits with %d: %s%s", code, out, stderr.Bytes())
	}
	if want, ok := map[string]int{"PASSED": 0, "FAILED": 1, "INDETERMINATE": 2}[v.Verdict]; !ok || code != want {
		return nil, fmt.Errorf("verify.py exits with %d for %q", code, v.Verdict)
	}
	return &v, nil
}

// kernel runs the verifier of this module.
func kernel(t *testing.T, c vectorCase, bundle []byte) *verdict {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, c.At)
	if err != nil {
		t.Fatal(err)
	}
	in := evidence.Input{Bundle: bytes.NewReader(bundle), Size: int64(len(bundle)), At: at}
	if c.Trust != "" {
		if in.Trust, err = evidence.ParseTrust(read(t, c.Trust)); err != nil {
			t.Fatal(err)
		}
	}
	if c.Content != "" {
		in.Content = bytes.NewReader(read(t, c.Content))
	}
	report, err := evidence.Verify(in)
	if err != nil {
		t.Fatal(err)
	}
	v := &verdict{Verdict: string(report.Verdict), Level: string(report.Level), Checks: make(map[string]string)}
	for _, check := range report.Checks {
		v.Checks[check.ID] = check.Code
	}
	return v
}

// TestCases compares verdict, level and the code of every check with the published reports.
func TestCases(t *testing.T) {
	requireTools(t)
	for _, c := range readCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			got, err := python(c, filepath.Join(vectors, c.Bundle))
			if err != nil {
				t.Fatal(err)
			}
			if got.Verdict != c.Verdict || got.Level != c.Level {
				t.Errorf("%s %s, want %s %s", got.Verdict, got.Level, c.Verdict, c.Level)
			}
			var report struct{ Checks []struct{ ID, Code string } }
			if err := json.Unmarshal(read(t, c.Report), &report); err != nil {
				t.Fatal(err)
			}
			if len(report.Checks) != len(got.Checks) {
				t.Errorf("%d checks, want %d", len(got.Checks), len(report.Checks))
			}
			for _, want := range report.Checks {
				if code := got.Checks[want.ID]; code != want.Code {
					t.Errorf("%s is %s, want %s", want.ID, code, want.Code)
				}
			}
		})
	}
}

// TestMutations changes single bytes, spread over three bundles that pass: neither verifier may let one pass, and both
// must give the same verdict.
func TestMutations(t *testing.T) {
	requireTools(t)
	cases := readCases(t)
	limit := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wait sync.WaitGroup
	for _, name := range []string{"anchored", "accepted", "consortium"} {
		i := slices.IndexFunc(cases, func(c vectorCase) bool { return c.Name == name })
		if i < 0 {
			t.Fatalf("no case %q", name)
		}
		c, bundle := cases[i], read(t, cases[i].Bundle)
		for n := range mutations / 2 {
			position := (2*n + 1) * len(bundle) / mutations
			changed := slices.Clone(bundle)
			changed[position] ^= []byte{0x01, 0x20, 0x80, 0xff}[n%4]
			path := filepath.Join(t.TempDir(), "changed.zip")
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			want := kernel(t, c, changed)
			wait.Go(func() {
				limit <- struct{}{}
				defer func() { <-limit }()
				got, err := python(c, path)
				if err != nil {
					t.Errorf("%s, byte %d: %v", name, position, err)
					return
				}
				if got.Verdict == "PASSED" || want.Verdict == "PASSED" || got.Verdict != want.Verdict {
					t.Errorf("%s, byte %d: %s %v; package evidence says %s %v", name, position, got.Verdict, got.Checks, want.Verdict, want.Checks)
				}
			})
		}
	}
	wait.Wait()
}
