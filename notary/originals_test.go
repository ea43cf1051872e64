package notary_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cunzheng/notary"
)

func TestCheckOriginals(t *testing.T) {
	n := newNode(t)
	var numbers []string
	for _, content := range []string{"one", strings.Repeat("two", 100_000), "three", ""} {
		numbers = append(numbers, n.mustDepositFile(t, depositor, notary.FileDeposit{Name: "f"}, content).Number)
	}
	n.mustDepositDigest(t, depositor, notary.DigestDeposit{SM3: digestOf("x")})
	check := func(want ...string) {
		t.Helper()
		problems := make(map[string]error)
		err := notary.CheckOriginals(t.Context(), n.log, n.vault, func(number string, problem error) { problems[number] = problem })
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(problems)); !slices.Equal(got, want) {
			t.Errorf("problems: %v, want %q", problems, want)
		}
	}
	check()
	path := func(number string) string {
		found, err := filepath.Glob(filepath.Join(n.dir, "originals", "*", number))
		if err != nil || len(found) != 1 {
			t.Fatalf("%q, %v", found, err)
		}
		return found[0]
	}
	one, two := path(numbers[0]), path(numbers[1])
	if err := os.Remove(one); err != nil {
		t.Fatal(err)
	}
	p, err := os.ReadFile(two)
	if err != nil {
		t.Fatal(err)
	}
	p[len(p)-500] ^= 1
	if err := os.WriteFile(two, p, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(two), "stray"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check(numbers[0], numbers[1], "stray")
}
