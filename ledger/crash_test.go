package ledger

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// The tests in this file run this test binary again as a server that dies.
const (
	childDir    = "CUNZHENG_TEST_CHILD_DIR"
	childKey    = "CUNZHENG_TEST_CHILD_KEY"    // base64 of PKCS#8
	childSerial = "CUNZHENG_TEST_CHILD_SERIAL" // of the first entry
	childFail   = "CUNZHENG_TEST_CHILD_FAIL"   // number of the write that fails, 0 for none
	childSticky = "CUNZHENG_TEST_CHILD_STICKY" // "true": all later ones fail too
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child appends to the log in dir from many callers until it is killed or the
// log halts. It writes a line to standard output for each acknowledged entry.
func child(dir string) error {
	pkcs8, err := base64.StdEncoding.DecodeString(os.Getenv(childKey))
	if err != nil {
		return err
	}
	key, err := sm2.ParsePrivateKey(pkcs8)
	if err != nil {
		return err
	}
	first, err := strconv.ParseUint(os.Getenv(childSerial), 10, 64)
	if err != nil {
		return err
	}
	fail, err := strconv.ParseInt(os.Getenv(childFail), 10, 64)
	if err != nil {
		return err
	}
	sticky := os.Getenv(childSticky) == "true"
	o := Options{Origin: testOrigin, Signer: key, Index: testIndex, memTable: 256 << 10, MaxBatch: 64}
	var writes atomic.Int64
	o.FS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		if n := writes.Add(1); fail > 0 && (n == fail || sticky && n > fail) {
			return errDisk
		}
		return nil
	}))
	l, err := Open(dir, o)
	if err != nil {
		return err
	}
	var serial atomic.Uint64
	serial.Store(first)
	var out sync.Mutex
	var wg sync.WaitGroup
	for range 48 {
		wg.Go(func() {
			for {
				n := serial.Add(1)
				e := testEntry(n, 64+int(n%500))
				e.Private = e.Data[:10]
				a, err := l.Append(context.Background(), e)
				if errors.Is(err, ErrHalted) {
					return
				}
				if err != nil {
					panic(err)
				}
				line := fmt.Sprintf("%d %d %d %v %s\n", n, a.Index, a.Checkpoint.Size, a.Checkpoint.Root, base64.StdEncoding.EncodeToString(a.Checkpoint.Note))
				out.Lock()
				io.WriteString(os.Stdout, line)
				out.Unlock()
			}
		})
	}
	wg.Wait()
	return fmt.Errorf("halted: %w", l.Halted())
}

type acknowledgement struct {
	serial, index uint64
	head          checkpoint.Checkpoint
	note          []byte
}

// runChild runs a child for at most the given time and returns what it
// acknowledged and wrote to standard error.
func runChild(t *testing.T, dir string, key *sm2.PrivateKey, first uint64, limit time.Duration, fail int, sticky bool) (acks []acknowledgement, stderr string) {
	t.Helper()
	pkcs8, err := key.PKCS8()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childKey+"="+base64.StdEncoding.EncodeToString(pkcs8),
		childSerial+"="+strconv.FormatUint(first, 10), childFail+"="+strconv.Itoa(fail), childSticky+"="+strconv.FormatBool(sticky))
	var messages strings.Builder
	cmd.Stderr = &messages
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(limit, func() { cmd.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a line that was cut off was not seen by the caller
		}
		var a acknowledgement
		var root, note string
		if _, err := fmt.Sscan(line, &a.serial, &a.index, &a.head.Size, &root, &note); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		a.head.Origin = testOrigin
		if err := a.head.Root.UnmarshalText([]byte(root)); err != nil {
			t.Fatal(err)
		}
		if a.note, err = base64.StdEncoding.DecodeString(note); err != nil {
			t.Fatal(err)
		}
		acks = append(acks, a)
	}
	cmd.Wait() // it was killed, or says in stderr why it ended
	return acks, messages.String()
}

// checkSurvivors opens the log after a crash and looks for everything that was
// acknowledged.
func checkSurvivors(t *testing.T, dir string, o Options, acks []acknowledgement) {
	t.Helper()
	l := openLog(t, dir, o)
	defer closeLog(t, l)
	head := l.Latest()
	for _, a := range acks {
		data, err := l.Entry(a.index)
		if err != nil {
			t.Fatalf("serial %d was acknowledged: %v", a.serial, err)
		}
		if want := testEntry(a.serial, 64+int(a.serial%500)); string(want.Data) != string(data) {
			t.Fatalf("entry %d is not serial %d", a.index, a.serial)
		}
		if private, err := l.Private(a.index); err != nil || string(private) != string(data[:10]) {
			t.Fatalf("private %d: %x, %v", a.index, private, err)
		}
		if a.head.Size > head.Size {
			t.Fatalf("a checkpoint of size %d was acknowledged, the latest is %d", a.head.Size, head.Size)
		}
		kept, err := l.CheckpointFor(a.index)
		if err != nil || string(kept.Note) != string(a.note) {
			t.Fatalf("entry %d was accepted under another checkpoint than is stored: %v", a.index, err)
		}
		proof, err := l.InclusionProof(a.index, a.head.Size)
		if err == nil {
			err = tlog.VerifyInclusion(proof, a.index, a.head.Size, tlog.LeafHash(data), a.head.Root)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	wantClean(t, l)
}

func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes for seconds")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	o := testOptions(t)
	dir := t.TempDir() + "/log"
	if err := Create(dir, o); err != nil {
		t.Fatal(err)
	}
	var all []acknowledgement
	for round := range 6 {
		limit := time.Duration(50+rng.IntN(450)) * time.Millisecond
		acks, stderr := runChild(t, dir, o.Signer.(*sm2.PrivateKey), uint64(round)<<32, limit, 0, false)
		if stderr != "" {
			t.Fatalf("round %d: %s", round, stderr)
		}
		all = append(all, acks...)
		checkSurvivors(t, dir, o, all)
	}
	t.Logf("%d entries were acknowledged", len(all))
	if len(all) == 0 {
		t.Error("nothing was tested")
	}
}

// TestFailedWrites lets one write or sync after the other fail, whatever it
// belongs to, for once or from then on. The child halts or dies.
func TestFailedWrites(t *testing.T) {
	if testing.Short() {
		t.Skip("runs processes for seconds")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	o := testOptions(t)
	dir := t.TempDir() + "/log"
	if err := Create(dir, o); err != nil {
		t.Fatal(err)
	}
	var all []acknowledgement
	ends := map[string]int{}
	for round := range 12 {
		fail := 1 + rng.IntN(20<<(round/2))
		acks, stderr := runChild(t, dir, o.Signer.(*sm2.PrivateKey), uint64(round)<<32, 500*time.Millisecond, fail, round%2 == 1)
		switch {
		case stderr == "":
			ends["went on"]++ // Pebble repeated the write, or it was never reached
		case strings.Contains(stderr, ErrHalted.Error()):
			ends["halted"]++
		case strings.Contains(stderr, "panic: "):
			ends["died"]++
		default:
			ends["did not open"]++
		}
		// Pebble ends the process itself when it cannot begin a file; its message
		// does not always name the cause then.
		if stderr != "" && !strings.Contains(stderr, errDisk.Error()) && !strings.Contains(stderr, "pebble/v2.(*DB).rotateWAL") {
			t.Errorf("round %d, write %d: %s", round, fail, stderr)
		}
		all = append(all, acks...)
		checkSurvivors(t, dir, o, all)
	}
	t.Logf("%d entries were acknowledged; %v", len(all), ends)
}
