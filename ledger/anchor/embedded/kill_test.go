package embedded

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"cunzheng/chaincode/chaincodetest"
	"cunzheng/crypto/sm2"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/anchor/anchortest"
)

// childFolder names the variable by which TestKill tells a copy of itself to be the process that is killed.
const childFolder = "CUNZHENG_TEST_LEDGER"

// TestKill kills a process that anchors as fast as it can, several times on the same ledger. Whatever it had confirmed
// is there.
func TestKill(t *testing.T) {
	if folder := os.Getenv(childFolder); folder != "" {
		anchorUntilKilled(t, folder)
		return
	}
	if testing.Short() {
		t.Skip("starts processes")
	}
	folder := t.TempDir()
	for _, name := range []string{"ledger.pem", "log.pem"} {
		text, err := chaincodetest.NewKey(t).PEM()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o, log := childLedger(t, folder)
	if err := Create(filepath.Join(folder, "ledger"), o); err != nil {
		t.Fatal(err)
	}
	confirmed := uint64(0)
	for range 5 {
		confirmed = max(confirmed, killOnce(t, folder))
		l, err := Open(filepath.Join(folder, "ledger"), o)
		if err != nil {
			t.Fatal(err)
		}
		verify(t, l)
		head, err := l.Latest(t.Context(), log.Origin)
		if err != nil {
			t.Fatal(err)
		}
		if head.Size < confirmed {
			t.Errorf("last head has size %d, %d was confirmed", head.Size, confirmed)
		}
		for size := uint64(1); size <= confirmed; size++ {
			if _, err := l.Proof(t.Context(), log.Origin, size); err != nil {
				t.Error(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if confirmed < 10 {
		t.Errorf("only %d heads were confirmed", confirmed)
	}
}

// killOnce returns the size of the last head that the process confirmed.
func killOnce(t *testing.T, folder string) (confirmed uint64) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$", "-test.v")
	child.Env = append(os.Environ(), childFolder+"="+folder)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var kill *time.Timer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		text, ok := strings.CutPrefix(lines.Text(), "anchored ")
		if !ok {
			continue
		}
		if confirmed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Error(err)
		}
		if kill == nil {
			kill = time.AfterFunc(rand.N(100*time.Millisecond), func() { _ = child.Process.Kill() })
		}
	}
	if err := child.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
	if kill == nil {
		t.Fatal("the process confirmed nothing")
	}
	return confirmed
}

func anchorUntilKilled(t *testing.T, folder string) {
	o, tree := childLedger(t, folder)
	l, err := Open(filepath.Join(folder, "ledger"), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.RegisterLog(t.Context(), tree.Origin, tree.PublicKey()); err != nil {
		t.Fatal(err)
	}
	if head, err := l.Latest(t.Context(), tree.Origin); err == nil {
		tree.Append(int(head.Size))
	} else if !errors.Is(err, anchor.ErrNoAnchor) {
		t.Fatal(err)
	}
	log := anchortest.NewLog(t, tree.Origin, 0)
	log.Replace(tree)
	w, err := anchor.NewWorker(anchor.Options{Log: log, Ledger: l})
	if err != nil {
		t.Fatal(err)
	}
	for {
		log.Append(1)
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("anchored %d\n", log.Latest().Size)
	}
}

// childLedger returns the ledger's options and an empty log, with the keys in folder.
func childLedger(t *testing.T, folder string) (Options, *chaincodetest.Log) {
	t.Helper()
	key := func(name string) *sm2.PrivateKey {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		key, err := sm2.ParsePrivateKeyPEM(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	o := Options{Name: "试验链", Org: "notary", Signer: sm2.Verified(key("ledger.pem"))}
	return o, &chaincodetest.Log{Origin: "cunzheng.test/log", Key: key("log.pem")}
}
