package ledger

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm3"
	"cunzheng/ledger/checkpoint"
)

const testOrigin = "log.test.example"

// Kinds of terms in tests, as a deposit has them.
const (
	kindNumber    = 1 // 8 bytes, in sequence
	kindSM3       = 2 // 16 bytes
	kindSHA256    = 3 // 16 bytes
	kindDepositor = 4 // 8 bytes, few values
)

// testEntry makes an entry of the given size, at least 16 bytes, from a serial number.
func testEntry(serial uint64, size int) Entry {
	data := make([]byte, size)
	rng := rand.NewPCG(serial, 77)
	for i := 0; i+8 <= size; i += 8 {
		binary.LittleEndian.PutUint64(data[i:], rng.Uint64())
	}
	binary.BigEndian.PutUint64(data, serial)
	terms, unique, err := testIndex(data)
	if err != nil {
		panic(err)
	}
	return Entry{Data: data, Terms: terms, Unique: unique}
}

var errTestIndex = errors.New("test: entry too short")

// testIndex is Options.Index for entries of testEntry.
func testIndex(data []byte) ([]Term, []byte, error) {
	if len(data) < 8 {
		return nil, nil, errTestIndex
	}
	serial := binary.BigEndian.Uint64(data)
	national, foreign := sm3.Sum(data), sha256.Sum256(data)
	unique := sha256.Sum256(data[:8])
	return []Term{
		{kindNumber, data[:8:8]},
		{kindSM3, national[:16]},
		{kindSHA256, foreign[:16]},
		{kindDepositor, binary.BigEndian.AppendUint64(nil, serial%7)},
	}, unique[:16], nil
}

func testKey(t testing.TB) *sm2.PrivateKey {
	t.Helper()
	key, err := sm2.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func testVerifierOf(t testing.TB, key crypto.Signer) *checkpoint.Verifier {
	t.Helper()
	v, err := checkpoint.NewVerifier(testOrigin, key.Public().(*sm2.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func testOptions(t testing.TB) Options {
	t.Helper()
	return Options{Origin: testOrigin, Signer: testKey(t), Index: testIndex}
}

// newLog creates and opens a log in a temporary directory. The test closes it.
func newLog(t testing.TB, o Options) (*Log, string) {
	t.Helper()
	dir := t.TempDir() + "/log"
	if o.FS != nil {
		dir = "/log"
	}
	if err := Create(dir, o); err != nil {
		t.Fatal(err)
	}
	return openLog(t, dir, o), dir
}

func openLog(t testing.TB, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closeLog(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustAppend(t testing.TB, l *Log, e Entry) Appended {
	t.Helper()
	a, err := l.Append(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// wantClean runs Fsck and fails on every difference.
func wantClean(t testing.TB, l *Log) {
	t.Helper()
	for _, d := range fsckOf(t, l) {
		t.Errorf("fsck: %v", d)
	}
}

func fsckOf(t testing.TB, l *Log) (differences []Difference) {
	t.Helper()
	if err := l.Fsck(context.Background(), func(d Difference) { differences = append(differences, d) }); err != nil {
		t.Fatal(err)
	}
	return differences
}
