package notary_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cunzheng/keystore"
	"cunzheng/notary"
)

const childNode = "CUNZHENG_TEST_NODE"

// TestChildDeposits is the process that TestKill kills: it deposits without end and prints each number once it is
// acknowledged.
func TestChildDeposits(t *testing.T) {
	dir := os.Getenv(childNode)
	if dir == "" {
		t.Skip("runs as a child of TestKill")
	}
	n := existingNode(t, dir)
	n.start(t)
	fmt.Println("started")
	var mu sync.Mutex
	acknowledged := func(kind string, d *notary.Deposit, err error) {
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(kind, d.Number)
	}
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := 0; ; i++ {
				d, err := n.DepositFile(t.Context(), depositor, notary.FileDeposit{Name: "f", IdempotencyKey: fmt.Sprint(os.Getpid(), "-", w, "-", i)},
					io.LimitReader(readerFunc(func(p []byte) (int, error) { return len(p), nil }), rand.Int64N(2<<20)))
				acknowledged("file", d, err)
			}
		})
		group.Go(func() {
			for i := 0; ; i++ {
				d, err := n.DepositDigest(t.Context(), depositor, notary.DigestDeposit{SM3: digestOf(fmt.Sprint(w, i))})
				acknowledged("digest", d, err)
			}
		})
	}
	group.Wait()
}

func existingNode(t *testing.T, dir string) *node {
	t.Helper()
	keys, err := keystore.Open(filepath.Join(dir, "keys"), keystore.KeyFile(filepath.Join(dir, "unlock.key")))
	if err != nil {
		t.Fatal(err)
	}
	return bareNode(dir, keys)
}

// TestKill kills the process in the middle of its work, again and again. Each acknowledged deposit is there and
// verifies, no number was given twice, the log agrees with itself, and nothing half-done is left.
func TestKill(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	n := newNode(t)
	n.stop(t)
	seen := make(map[string]string)
	for round := range rounds {
		for kind, numbers := range n.killOnce(t) {
			for _, number := range numbers {
				if seen[number] != "" {
					t.Fatalf("%s was given twice", number)
				}
				seen[number] = kind
			}
		}
		n.clock.add(time.Since(n.clock.Now())) // the child's clock was started later
		n.start(t)
		checked := 0
		for number, kind := range seen {
			if checked++; checked > 40 {
				break
			}
			n.wantPassed(t, depositor, number, notary.BundleOptions{WithContent: kind == "file", Disclose: true})
		}
		for number := range seen {
			if _, err := n.Get(t.Context(), depositor, number); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
		n.wantOriginals(t)
		n.wantClean(t)
		n.stop(t)
	}
	t.Logf("%d deposits were acknowledged", len(seen))
	if len(seen) == 0 {
		t.Error("nothing was deposited: the test tests nothing")
	}
}

// killOnce runs a child for a moment and returns what it acknowledged, by kind.
func (n *node) killOnce(t *testing.T) map[string][]string {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestChildDeposits$", "-test.v")
	child.Env = append(os.Environ(), childNode+"="+n.dir)
	child.Stderr = os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	timer := time.AfterFunc(time.Minute, func() { child.Process.Kill() })
	defer timer.Stop()
	acknowledged := make(map[string][]string)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch kind, number, _ := strings.Cut(lines.Text(), " "); kind {
		case "started":
			timer.Reset(100*time.Millisecond + time.Duration(rand.Int64N(int64(600*time.Millisecond))))
		case "file", "digest":
			acknowledged[kind] = append(acknowledged[kind], number)
		case "---", "FAIL":
			t.Fatalf("the child failed: %s", lines.Text())
		}
	}
	return acknowledged
}

// wantOriginals holds that there is an original for each file in the log and no other.
func (n *node) wantOriginals(t *testing.T) {
	t.Helper()
	files, q := 0, notary.Query{Limit: notary.MaxPage}
	for {
		page, err := n.Search(t.Context(), officer, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			if item.Statement.Type == "file" {
				files++
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if n.originals(t) != files {
		t.Errorf("%d originals for %d files", n.originals(t), files)
	}
}
