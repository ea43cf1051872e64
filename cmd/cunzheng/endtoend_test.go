package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cunzheng/api/client"
	"cunzheng/api/wire"
	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm3"
	"cunzheng/evidence"
)

// commands builds the real binaries and returns their folder.
func commands(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "../cunzheng", "../cunzheng-verify")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// testNode is a node made by `cunzheng init`, driven through its binaries.
type testNode struct {
	t      *testing.T
	bin    string
	dir    string // working folder; the node is in dir/node
	env    []string
	server *server
}

func newTestNode(t *testing.T, initFlags ...string) *testNode {
	n := &testNode{t: t, bin: commands(t), dir: t.TempDir()}
	n.env = []string{"PATH=" + n.bin, "HOME=" + n.dir, "XDG_CONFIG_HOME=" + n.dir + "/config", "LANG=C"}
	n.run("cunzheng", append([]string{"init", "--data", "node"}, initFlags...)...)
	t.Cleanup(func() {
		if n.server != nil {
			n.server.stop(syscall.SIGKILL)
		}
	})
	return n
}

func (n *testNode) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(n.bin, name), args...)
	cmd.Dir, cmd.Env = n.dir, n.env
	if n.server != nil {
		cmd.Env = append(cmd.Env[:len(cmd.Env):len(cmd.Env)], serverEnv+"="+n.server.url)
	}
	return cmd
}

func (n *testNode) run(name string, args ...string) string {
	n.t.Helper()
	out, err := n.command(name, args...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (n *testNode) start(flags ...string) {
	n.t.Helper()
	log, err := os.OpenFile(filepath.Join(n.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	if n.server, err = startServer(n.env, n.dir, "node", log, flags...); err != nil {
		text, _ := os.ReadFile(log.Name())
		n.t.Fatalf("%v\n%s", err, text)
	}
}

func (n *testNode) client() *client.Client {
	n.t.Helper()
	matches, err := filepath.Glob(filepath.Join(n.dir, "config/cunzheng/credentials/*.json"))
	if err != nil || len(matches) != 1 {
		n.t.Fatalf("credentials: %v %v", matches, err)
	}
	credentials, err := readCredentials(matches[0])
	if err != nil {
		n.t.Fatal(err)
	}
	key, err := sm2.ParsePrivateKeyPEM([]byte(credentials.Key), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	c, err := client.New(client.Options{
		Server: n.server.url, Issuer: credentials.Platform, Credentials: client.Machine(credentials.Account, credentials.KeyID, key), Attempts: 1,
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(c.Close)
	return c
}

// acknowledged is what a client was told, and what it must find again for ever.
type acknowledged struct {
	number  string
	sm3     evidence.Digest
	content []byte // nil: only the digest was deposited
}

// TestKilledServerLosesNothing kills the server at random moments under load. After each restart everything that was
// acknowledged is there and verifies, and in the end the whole node is clean.
func TestKilledServerLosesNothing(t *testing.T) {
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	n := newTestNode(t)
	var all []acknowledged
	for range rounds {
		n.start()
		c := n.client()
		for _, a := range all[max(0, len(all)-200):] {
			checkAcknowledged(t, c, a)
		}
		all = append(all, loadUntilKilled(t, n, c, random)...)
	}
	if len(all) == 0 {
		t.Fatal("nothing was acknowledged; the kills came too early to test anything")
	}
	n.start()
	c := n.client()
	for _, a := range all {
		checkAcknowledged(t, c, a)
	}
	last := all[len(all)-1]
	n.run("cunzheng", "bundle", last.number, "-o", "last.zip")
	n.run("cunzheng", "trust", "export", "-o", "trust.json")
	if err := n.server.stop(syscall.SIGTERM); err != nil {
		t.Fatalf("orderly stop: %v", err)
	}
	n.run("cunzheng-verify", "--trust", "trust.json", "last.zip")
	t.Logf("%d acknowledged over %d kills; %s", len(all), rounds, strings.TrimSpace(n.run("cunzheng", "fsck", "--data", "node", "--originals")))
	n.checkNoOrphans()
}

// checkNoOrphans holds that interrupted uploads left nothing: there is an object for each file in the log, no other.
func (n *testNode) checkNoOrphans() {
	n.t.Helper()
	node, err := openNode(context.Background(), filepath.Join(n.dir, "node"), slog.New(slog.DiscardHandler))
	if err != nil {
		n.t.Fatal(err)
	}
	defer node.Close()
	kept := 0
	for index := range node.log.Latest().Size {
		entry, err := node.log.Entry(index)
		if err != nil {
			n.t.Fatal(err)
		}
		if s, err := evidence.ParseStatement(entry); err != nil {
			n.t.Fatal(err)
		} else if s.OriginalKept == evidence.KeptByPlatform {
			kept++
		}
	}
	objects := 0
	err = filepath.WalkDir(filepath.Join(n.dir, "node", originalsDir), func(_ string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			objects++
		}
		return err
	})
	if err != nil || objects != kept {
		n.t.Errorf("%d objects for %d files in the log (%v)", objects, kept, err)
	}
	if pending := node.vault.Pending(); len(pending) > 0 {
		n.t.Errorf("intents left: %v", pending)
	}
}

// loadUntilKilled deposits with several clients until the server is killed, and returns what was acknowledged.
func loadUntilKilled(t *testing.T, n *testNode, c *client.Client, random *rand.Rand) []acknowledged {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var mu sync.Mutex
	var all []acknowledged
	var workers sync.WaitGroup
	for range 8 {
		seed := random.Uint64()
		workers.Go(func() {
			own := rand.New(rand.NewPCG(seed, 1))
			for ctx.Err() == nil {
				a, err := depositSomething(ctx, c, own)
				if err != nil {
					continue // not acknowledged: it may be there or not
				}
				mu.Lock()
				all = append(all, a)
				mu.Unlock()
			}
		})
	}
	time.Sleep(300*time.Millisecond + time.Duration(random.IntN(1200))*time.Millisecond)
	n.server.stop(syscall.SIGKILL) // its status is that of a killed process
	cancel()
	workers.Wait()
	return all
}

func depositSomething(ctx context.Context, c *client.Client, random *rand.Rand) (acknowledged, error) {
	content := make([]byte, random.IntN(200_000))
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	a := acknowledged{sm3: sm3.Sum(content)}
	var answer *wire.Deposit
	var err error
	if random.IntN(2) == 0 {
		answer, err = c.DepositDigest(ctx, wire.DigestDeposit{SM3: a.sm3})
	} else {
		a.content = content
		answer, err = c.DepositFile(ctx, client.File{
			FileMetadata: wire.FileMetadata{Metadata: wire.Metadata{Name: "random.bin"}},
			Content:      bytes.NewReader(content), Length: int64(len(content)),
		})
	}
	if err != nil {
		return a, err
	}
	a.number = answer.Number
	return a, nil
}

func checkAcknowledged(t *testing.T, c *client.Client, a acknowledged) {
	t.Helper()
	record, err := c.Get(t.Context(), a.number)
	if err != nil {
		t.Fatalf("%s was acknowledged and is gone: %v", a.number, err)
	}
	statement, err := evidence.ParseStatement(record.Statement)
	if err != nil || statement.Content.SM3 != a.sm3 {
		t.Fatalf("%s speaks of other content: %v", a.number, err)
	}
	if a.content == nil {
		return
	}
	var kept bytes.Buffer
	if err := c.Content(t.Context(), a.number, &kept); err != nil || !bytes.Equal(kept.Bytes(), a.content) {
		t.Fatalf("%s: the original is not what was deposited: %v", a.number, err)
	}
}

// TestLargeFileTakesLittleMemory deposits a large file, exports its bundle and verifies it, and holds the peak memory of
// each process to 64 MiB above an idle server. CUNZHENG_TEST_BYTES sets another size than 1 GiB.
func TestLargeFileTakesLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("moves a gigabyte through the whole path")
	}
	size := int64(1 << 30)
	if text := os.Getenv("CUNZHENG_TEST_BYTES"); text != "" {
		var err error
		if size, err = strconv.ParseInt(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	n := newTestNode(t)
	writeLarge(t, filepath.Join(n.dir, "large.bin"), size)
	n.start()
	os.WriteFile(filepath.Join(n.dir, "small.txt"), []byte("small"), 0o600)
	n.run("cunzheng", "deposit", "small.txt") // everything is loaded and warm
	idle := n.peakMemory()

	began := time.Now()
	deposit := n.measured("cunzheng", "deposit", "--json", "large.bin")
	t.Logf("deposit: %.0f MB/s, client %d MiB", rate(size, began), deposit.peak>>20)
	_, rest, _ := strings.Cut(deposit.output, `"number":"`)
	number, _, _ := strings.Cut(rest, `"`)
	began = time.Now()
	export := n.measured("cunzheng", "bundle", number, "-o", "large.zip", "--with-content")
	t.Logf("bundle: %.0f MB/s, client %d MiB", rate(size, began), export.peak>>20)
	n.run("cunzheng", "trust", "export", "-o", "trust.json")
	busy := n.peakMemory()
	if err := n.server.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	verify := n.measured("cunzheng-verify", "--trust", "trust.json", "large.zip")
	t.Logf("verify: %.0f MB/s, %d MiB; server idle %d MiB, at most %d MiB", rate(size, began), verify.peak>>20, idle>>20, busy>>20)

	const allowed = 64 << 20
	if busy > idle+allowed {
		t.Errorf("the server took %d MiB above idle", (busy-idle)>>20)
	}
	for name, peak := range map[string]int64{"deposit": deposit.peak, "bundle": export.peak, "verify": verify.peak} {
		if peak > idle+allowed {
			t.Errorf("%s took %d MiB", name, peak>>20)
		}
	}
}

func rate(size int64, began time.Time) float64 {
	return float64(size) / 1e6 / time.Since(began).Seconds()
}

// peakMemory is the greatest resident size the server has had, in bytes.
func (n *testNode) peakMemory() int64 {
	n.t.Helper()
	peak, err := peakOf(n.server.process.Process.Pid)
	if err != nil {
		n.t.Fatal(err)
	}
	return peak
}

func peakOf(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib int64
	_, err = fmt.Sscan(rest, &kib)
	return kib << 10, err
}

type measurement struct {
	output string
	peak   int64 // bytes
}

// measured runs a command and watches its peak memory. (What the system reports at its end, ru_maxrss, starts with the
// size of the process that forked it.)
func (n *testNode) measured(name string, args ...string) measurement {
	n.t.Helper()
	cmd := n.command(name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	m := measurement{}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil || m.peak == 0 {
				n.t.Fatalf("%s: %v (peak %d)\n%s", name, err, m.peak, out.Bytes())
			}
			m.output = out.String()
			return m
		case <-ticker.C:
			if peak, err := peakOf(cmd.Process.Pid); err == nil {
				m.peak = peak
			}
		}
	}
}

// writeLarge makes a file of incompressible, repeating blocks.
func writeLarge(t *testing.T, path string, size int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	source := rand.NewChaCha8([32]byte{1})
	source.Read(block)
	for left := size; left > 0; left -= int64(len(block)) {
		if _, err := io.Copy(f, bytes.NewReader(block[:min(left, int64(len(block)))])); err != nil {
			t.Fatal(err)
		}
	}
}
