package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// A model is what a log should hold.
type model struct {
	entries []Entry
	leaves  tlog.Frontier
	roots   []tlog.Hash // at each size
	unique  map[string]uint64
}

func newModel() *model {
	return &model{roots: []tlog.Hash{tlog.EmptyRoot()}, unique: map[string]uint64{}}
}

// add returns the index that the log must give to e.
func (m *model) add(e Entry) (index uint64, duplicate bool) {
	if index, ok := m.unique[string(e.Unique)]; ok && e.Unique != nil {
		return index, true
	}
	index = uint64(len(m.entries))
	m.entries = append(m.entries, e)
	m.leaves.Append(tlog.LeafHash(e.Data))
	m.roots = append(m.roots, m.leaves.Root())
	if e.Unique != nil {
		m.unique[string(e.Unique)] = index
	}
	return index, false
}

// check compares everything that the log says with the model.
func (m *model) check(t *testing.T, l *Log, rng *rand.Rand) {
	t.Helper()
	size := uint64(len(m.entries))
	if head := l.Latest(); head.Size != size || head.Root != m.roots[size] {
		t.Fatalf("latest is size %d root %v, want %d %v", head.Size, head.Root, size, m.roots[size])
	}
	for i, e := range m.entries {
		data, err := l.Entry(uint64(i))
		if err != nil || !bytes.Equal(data, e.Data) {
			t.Fatalf("entry %d: %x, %v", i, data, err)
		}
		private, err := l.Private(uint64(i))
		if e.Private == nil && !errors.Is(err, ErrNotFound) || e.Private != nil && !bytes.Equal(private, e.Private) {
			t.Fatalf("private %d: %x, %v, want %x", i, private, err, e.Private)
		}
	}
	for range 20 {
		if size == 0 {
			break
		}
		at := 1 + rng.Uint64N(size)
		index, old := rng.Uint64N(at), rng.Uint64N(at+1)
		proof, err := l.InclusionProof(index, at)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.VerifyInclusion(proof, index, at, tlog.LeafHash(m.entries[index].Data), m.roots[at]); err != nil {
			t.Fatal(err)
		}
		if proof, err = l.ConsistencyProof(old, at); err != nil {
			t.Fatal(err)
		}
		if err := tlog.VerifyConsistency(proof, old, at, m.roots[old], m.roots[at]); err != nil {
			t.Fatal(err)
		}
		head, err := l.CheckpointFor(index)
		if err != nil {
			t.Fatal(err)
		}
		if head.Size <= index || head.Size > size || head.Root != m.roots[head.Size] {
			t.Fatalf("checkpoint for entry %d is of size %d", index, head.Size)
		}
		if again, err := l.CheckpointAt(head.Size); err != nil || !bytes.Equal(again.Note, head.Note) {
			t.Fatalf("checkpoint at %d: %v", head.Size, err)
		}
	}
}

// checkAnswer checks an answer of Append against the model.
func (m *model) checkAnswer(t *testing.T, a Appended, index uint64, duplicate bool) {
	t.Helper()
	if a.Index != index || a.Duplicate != duplicate {
		t.Fatalf("index %d, duplicate %v; want %d, %v", a.Index, a.Duplicate, index, duplicate)
	}
	if a.Checkpoint.Root != m.roots[a.Checkpoint.Size] {
		t.Fatalf("checkpoint of size %d has another root than the model", a.Checkpoint.Size)
	}
	leaf := tlog.LeafHash(m.entries[index].Data)
	if err := tlog.VerifyInclusion(a.Proof, index, a.Checkpoint.Size, leaf, a.Checkpoint.Root); err != nil {
		t.Fatal(err)
	}
}

func TestAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	o := testOptions(t)
	o.FS = vfs.NewMem()
	o.MaxBatch = 50
	l, dir := newLog(t, o)
	m := newModel()
	ctx := context.Background()
	randomEntry := func() Entry {
		e := testEntry(rng.Uint64N(400), 16+rng.IntN(200)) // repeats among 400
		switch rng.IntN(4) {
		case 0:
			e.Private = fmt.Appendf(nil, "private %d", rng.Uint64())
		case 1: // no limit; then it must not be findable by it either
			e.Data[7], e.Unique = byte(rng.Uint32()), nil
			e = Entry{Data: e.Data, Private: e.Private}
		}
		return e
	}
	for step := range 200 {
		switch rng.IntN(12) {
		case 0:
			closeLog(t, l)
			l = openLog(t, dir, o)
		case 1:
			m.check(t, l, rng)
		case 2, 3:
			entries := make([]Entry, rng.IntN(150))
			for i := range entries {
				entries[i] = randomEntry()
			}
			done, err := l.AppendAll(ctx, entries)
			if err != nil || len(done) != len(entries) {
				t.Fatalf("step %d: %d answers, %v", step, len(done), err)
			}
			indexes, duplicates := make([]uint64, len(entries)), make([]bool, len(entries))
			for i, e := range entries {
				indexes[i], duplicates[i] = m.add(e)
			}
			for i, a := range done {
				m.checkAnswer(t, a, indexes[i], duplicates[i])
			}
		default:
			e := randomEntry()
			a := mustAppend(t, l, e)
			index, duplicate := m.add(e)
			m.checkAnswer(t, a, index, duplicate)
		}
	}
	m.check(t, l, rng)
	closeLog(t, l)
}

// TestManyTiles fills a tile of level 1 and looks at what is served.
func TestManyTiles(t *testing.T) {
	if testing.Short() {
		t.Skip("66,000 entries")
	}
	const size = tlog.TileWidth*tlog.TileWidth + 3*tlog.TileWidth + 17
	o := testOptions(t)
	o.FS = vfs.NewMem()
	o.Index = func([]byte) ([]Term, []byte, error) { return nil, nil, nil }
	l, dir := newLog(t, o)
	m := newModel()
	for len(m.entries) < size {
		entries := make([]Entry, min(10_000, size-len(m.entries)))
		for i := range entries {
			entries[i] = Entry{Data: binary.BigEndian.AppendUint32(nil, uint32(len(m.entries)))}
			m.add(entries[i])
		}
		if _, err := l.AppendAll(context.Background(), entries); err != nil {
			t.Fatal(err)
		}
	}
	tree := new(edge)
	for _, e := range m.entries {
		tree.append(tlog.LeafHash(e.Data))
	}
	closeLog(t, l)
	l = openLog(t, dir, o)
	for _, tile := range []tlog.Tile{
		{Level: 0, Index: 0, Width: 256}, {Level: 0, Index: 0, Width: 1}, {Level: 0, Index: size / 256, Width: 17}, {Level: 0, Index: size / 256, Width: 3},
		{Level: 1, Index: 0, Width: 256}, {Level: 1, Index: 1, Width: 3}, {Level: 1, Index: 1, Width: 2}, {Level: 2, Index: 0, Width: 1},
	} {
		got, err := l.Tile(tile)
		if err != nil {
			t.Fatalf("%s: %v", tile.Path(), err)
		}
		if want := tree.tile(tile.Level, tile.Index).row(tile.Width); !bytes.Equal(got, want) {
			t.Errorf("%s differs", tile.Path())
		}
	}
	for _, tile := range []tlog.Tile{
		{Level: 0, Index: size / 256, Width: 18}, {Level: 0, Index: size/256 + 1, Width: 1}, {Level: 2, Index: 0, Width: 2}, {Level: 3, Index: 0, Width: 1},
		{Level: 63, Index: 0, Width: 1}, {Level: 0, Index: 1 << 60, Width: 1}, {Level: 0, Index: 0, Width: 0}, {Level: 0, Index: 0, Width: 257},
	} {
		if _, err := l.Tile(tile); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", tile.Path(), err)
		}
	}
	for _, b := range []tlog.EntryBundle{{Index: 0, Width: 256}, {Index: size / 256, Width: 17}, {Index: 3, Width: 5}} {
		bundle, err := l.EntryBundle(b)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := tlog.ParseEntries(bundle, b.Width)
		if err != nil {
			t.Fatal(err)
		}
		for i, data := range entries {
			if !bytes.Equal(data, m.entries[int(b.Index)*256+i].Data) {
				t.Errorf("%s: entry %d differs", b.Path(), i)
			}
		}
	}
	if _, err := l.EntryBundle(tlog.EntryBundle{Index: size / 256, Width: 18}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		at := 1 + rng.Uint64N(size)
		i, old := rng.Uint64N(at), rng.Uint64N(at+1)
		proof, err := l.InclusionProof(i, at)
		if err == nil {
			err = tlog.VerifyInclusion(proof, i, at, tlog.LeafHash(m.entries[i].Data), m.roots[at])
		}
		if err != nil {
			t.Fatal(err)
		}
		if proof, err = l.ConsistencyProof(old, at); err == nil {
			err = tlog.VerifyConsistency(proof, old, at, m.roots[old], m.roots[at])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range [][2]uint64{{0, 0}, {5, 5}, {0, size + 1}} {
		if _, err := l.InclusionProof(bad[0], bad[1]); !errors.Is(err, ErrNotFound) {
			t.Errorf("inclusion of %d in %d: %v", bad[0], bad[1], err)
		}
	}
	for _, bad := range [][2]uint64{{6, 5}, {0, size + 1}} {
		if _, err := l.ConsistencyProof(bad[0], bad[1]); !errors.Is(err, ErrNotFound) {
			t.Errorf("consistency of %d with %d: %v", bad[0], bad[1], err)
		}
	}
	wantClean(t, l)
	closeLog(t, l)
}

// TestConcurrentCallers has many callers append, most of them entries that
// others append too, while readers look at what is released.
func TestConcurrentCallers(t *testing.T) {
	for _, callers := range []int{64, 1024} {
		t.Run(fmt.Sprint(callers), func(t *testing.T) {
			o := testOptions(t)
			o.MaxBatch = 100
			l, _ := newLog(t, o)
			const each = 6
			ctx, cancel := context.WithCancel(context.Background())
			var readers sync.WaitGroup
			for range 2 {
				readers.Go(func() {
					for ctx.Err() == nil {
						readLatest(t, l)
					}
				})
			}
			var mu sync.Mutex
			indexes := map[uint64]uint64{} // of serial
			stored := 0
			var wg sync.WaitGroup
			for c := range callers {
				wg.Go(func() {
					for i := range each {
						// Each serial is appended by two callers, at about the same time.
						serial := uint64(c/2*each + i)
						e := testEntry(serial, 64)
						a, err := l.Append(ctx, e)
						if err == nil {
							err = tlog.VerifyInclusion(a.Proof, a.Index, a.Checkpoint.Size, tlog.LeafHash(e.Data), a.Checkpoint.Root)
						}
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						if !a.Duplicate {
							stored++
						}
						if before, ok := indexes[serial]; ok && before != a.Index {
							t.Errorf("serial %d is at %d and %d", serial, before, a.Index)
						}
						indexes[serial] = a.Index
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			cancel()
			readers.Wait()
			want := callers / 2 * each
			if stored != want || len(indexes) != want || l.Latest().Size != uint64(want) {
				t.Errorf("%d stored, %d indexes, size %d; want %d", stored, len(indexes), l.Latest().Size, want)
			}
			wantClean(t, l)
			closeLog(t, l)
		})
	}
}

// readLatest checks that what a reader sees fits together.
func readLatest(t *testing.T, l *Log) {
	head := l.Latest()
	if head.Size == 0 {
		return
	}
	last := head.Size - 1
	data, err := l.Entry(last)
	if err != nil {
		t.Error(err)
		return
	}
	proof, err := l.InclusionProof(last, head.Size)
	if err == nil {
		err = tlog.VerifyInclusion(proof, last, head.Size, tlog.LeafHash(data), head.Root)
	}
	if err != nil {
		t.Error(err)
	}
	hits, _, err := l.Find(Query{Kind: kindNumber, Limit: 1, Reverse: true})
	if err != nil || len(hits) != 1 {
		t.Errorf("%d hits, %v", len(hits), err)
	}
}

// openHeld opens a log whose groups are not released until letGo is called.
func openHeld(t *testing.T, o Options) (l *Log, dir string, letGo func()) {
	t.Helper()
	dir = t.TempDir() + "/log"
	if err := Create(dir, o); err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	var opened atomic.Bool
	o.crossCheck = func(v *checkpoint.Verifier, note []byte) error {
		if opened.Load() {
			<-gate
		}
		return v.CrossCheck(note)
	}
	l = openLog(t, dir, o)
	opened.Store(true)
	return l, dir, sync.OnceFunc(func() { close(gate) })
}

func TestQueueFull(t *testing.T) {
	o := testOptions(t)
	o.Queue, o.MaxBatch = 10, 1
	l, _, letGo := openHeld(t, o)
	defer closeLog(t, l)
	defer letGo()
	ctx := context.Background()
	// Two groups of one are in flight, ten entries wait, and no more.
	var wg sync.WaitGroup
	for i := range uint64(inFlight) {
		wg.Go(func() { mustAppend(t, l, testEntry(i, 32)) })
	}
	waitFor(t, func() bool { return l.applied.Load() == inFlight })
	wg.Go(func() {
		entries := make([]Entry, 10)
		for i := range entries {
			entries[i] = testEntry(uint64(100+i), 32)
		}
		if _, err := l.AppendAll(ctx, entries); err != nil {
			t.Error(err)
		}
	})
	waitFor(t, func() bool { return l.queue.length() == 10 })
	if _, err := l.Append(ctx, testEntry(50, 32)); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	if _, err := l.AppendAll(ctx, make([]Entry, 11)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	letGo()
	wg.Wait()
	if size := l.Latest().Size; size != inFlight+10 {
		t.Errorf("size %d", size)
	}
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen within 20 s")
		}
	}
}

// TestUnreleasedIsInvisible holds a group between its commit and its release.
func TestUnreleasedIsInvisible(t *testing.T) {
	l, dir, letGo := openHeld(t, testOptions(t))
	defer closeLog(t, l)
	defer letGo()
	ctx := context.Background()
	e := testEntry(1, 32)
	e.Private = []byte("private")
	var wg sync.WaitGroup
	for range 2 { // the second is a duplicate of one in flight
		wg.Go(func() {
			if a, err := l.Append(ctx, e); err != nil || a.Index != 0 {
				t.Errorf("%+v %v", a, err)
			}
		})
	}
	waitFor(t, func() bool { return l.applied.Load() == 1 })
	if size := l.Latest().Size; size != 0 {
		t.Errorf("latest is %d", size)
	}
	for what, err := range map[string]error{
		"entry":          second(l.Entry(0)),
		"private":        second(l.Private(0)),
		"erase":          l.ErasePrivate(ctx, 0),
		"checkpoint for": second(l.CheckpointFor(0)),
		"checkpoint at":  second(l.CheckpointAt(1)),
		"inclusion":      second(l.InclusionProof(0, 1)),
		"consistency":    second(l.ConsistencyProof(0, 1)),
		"tile":           second(l.Tile(tlog.Tile{Width: 1})),
		"bundle":         second(l.EntryBundle(tlog.EntryBundle{Width: 1})),
		"anchor":         l.PutAnchor(1, []byte("proof")),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", what, err)
		}
	}
	if hits, more, err := l.Find(Query{Kind: kindNumber, Limit: 5}); len(hits) > 0 || more || err != nil {
		t.Errorf("found %v, %v, %v", hits, more, err)
	}
	if _, found, err := l.LookupUnique(e.Unique); found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
	// A caller may give up; what it appended stays.
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if _, err := l.Append(short, testEntry(2, 32)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the error of the context", err)
	}
	// Nobody else can open the log meanwhile.
	if _, err := Open(dir, l.options); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open: %v", err)
	}
	letGo()
	wg.Wait()
	if a := mustAppend(t, l, testEntry(2, 32)); !a.Duplicate || a.Index != 1 {
		t.Errorf("%+v", a)
	}
}

func second[T any](_ T, err error) error { return err }

func TestCloseFinishesWhatIsQueued(t *testing.T) {
	o := testOptions(t)
	o.MaxBatch = 3
	l, dir, letGo := openHeld(t, o)
	const callers = 40
	var wg sync.WaitGroup
	var late atomic.Uint64 // calls that were not queued yet when the log closed
	for i := range uint64(callers) {
		wg.Go(func() {
			switch _, err := l.Append(context.Background(), testEntry(i, 32)); {
			case errors.Is(err, ErrClosed):
				late.Add(1)
			case err != nil:
				t.Error(err)
			}
		})
	}
	const taken = 2 * 3 // at most, by the sequencer
	waitFor(t, func() bool { return l.queue.length() >= callers-taken })
	time.AfterFunc(20*time.Millisecond, letGo)
	closeLog(t, l)
	wg.Wait()
	if late.Load() > taken {
		t.Errorf("%d calls were refused, of which at least %d were queued", late.Load(), late.Load()-taken)
	}
	if _, err := l.Append(context.Background(), testEntry(99, 32)); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	if _, err := l.Entry(0); !errors.Is(err, ErrClosed) {
		t.Errorf("entry after close: %v", err)
	}
	if err := l.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second close: %v", err)
	}
	l = openLog(t, dir, o)
	defer closeLog(t, l)
	if size := l.Latest().Size; size != callers-late.Load() {
		t.Errorf("%d entries, want %d", size, callers-late.Load())
	}
}

func TestInvalidEntries(t *testing.T) {
	o := testOptions(t)
	o.FS = vfs.NewMem()
	l, _ := newLog(t, o)
	defer closeLog(t, l)
	ok := []byte("data")
	for name, tt := range map[string]struct {
		entry Entry
		want  error
	}{
		"empty":           {Entry{}, ErrInvalid},
		"too large":       {Entry{Data: make([]byte, 1<<16)}, ErrTooLarge},
		"private":         {Entry{Data: ok, Private: make([]byte, MaxPrivateSize+1)}, ErrTooLarge},
		"empty term":      {Entry{Data: ok, Terms: []Term{{1, nil}}}, ErrInvalid},
		"long term":       {Entry{Data: ok, Terms: []Term{{1, make([]byte, 256)}}}, ErrInvalid},
		"empty unique":    {Entry{Data: ok, Unique: []byte{}}, ErrInvalid},
		"too long unique": {Entry{Data: ok, Unique: make([]byte, 256)}, ErrInvalid},
	} {
		if _, err := l.Append(context.Background(), tt.entry); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		// One bad entry refuses all.
		if _, err := l.AppendAll(context.Background(), []Entry{testEntry(1, 32), tt.entry}); !errors.Is(err, tt.want) {
			t.Errorf("%s among others: %v, want %v", name, err, tt.want)
		}
	}
	if size := l.Latest().Size; size != 0 {
		t.Errorf("%d entries were stored", size)
	}
	largest := Entry{Data: bytes.Repeat([]byte{1}, 1<<16-1), Terms: []Term{{255, make([]byte, 255)}, {0, []byte{0}}}, Unique: make([]byte, 255), Private: make([]byte, MaxPrivateSize)}
	if a := mustAppend(t, l, largest); a.Index != 0 {
		t.Errorf("%+v", a)
	}
	if done, err := l.AppendAll(context.Background(), nil); len(done) != 0 || err != nil {
		t.Errorf("%v %v", done, err)
	}
}

func TestKeyRotation(t *testing.T) {
	o := testOptions(t)
	o.FS = vfs.NewMem()
	l, dir := newLog(t, o)
	mustAppend(t, l, testEntry(1, 32))
	closeLog(t, l)

	old := o.Signer
	o.Signer = testKey(t)
	if _, err := Open(dir, o); !errors.Is(err, checkpoint.ErrUnknownKey) {
		t.Errorf("without the retired key: %v", err)
	}
	o.Verifiers = []note.Verifier{testVerifierOf(t, old)}
	l = openLog(t, dir, o)
	mustAppend(t, l, testEntry(2, 32))
	wantClean(t, l)
	closeLog(t, l)

	// Fsck needs no signer.
	o.Verifiers = append(o.Verifiers, testVerifierOf(t, o.Signer))
	o.Signer = nil
	if err := Fsck(context.Background(), dir, o, func(d Difference) { t.Error(d) }); err != nil {
		t.Error(err)
	}
}

func TestMetrics(t *testing.T) {
	o := testOptions(t)
	o.FS = vfs.NewMem()
	registry := prometheus.NewPedanticRegistry()
	o.Registerer = registry
	l, dir := newLog(t, o)
	mustAppend(t, l, testEntry(1, 32))
	mustAppend(t, l, testEntry(1, 32))
	if _, err := Open(dir, o); !errors.Is(err, ErrLocked) {
		t.Error(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		values[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	for name, want := range map[string]float64{
		"cunzheng_ledger_entries_total": 1, "cunzheng_ledger_duplicates_total": 1, "cunzheng_ledger_size": 1, "cunzheng_ledger_group_entries": 1,
		"cunzheng_ledger_halted": 0, "cunzheng_ledger_vetoes_total": 0, "cunzheng_ledger_cross_check_seconds": 1, "cunzheng_ledger_commit_seconds": 1,
	} {
		if got, ok := values[name]; !ok || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	closeLog(t, l)
	closeLog(t, openLog(t, dir, o)) // registers again
}

func TestQueueBounds(t *testing.T) {
	q := newQueue(100)
	r := &request{items: make([]item, 7)}
	for i := range r.items {
		r.items[i].entry.Data = make([]byte, 10)
	}
	take := func(entries, bytes int) (n int) {
		for _, p := range q.take(entries, bytes, 1, 0) {
			n += len(p.items)
		}
		return n
	}
	var got []int
	for range 2 {
		if err := q.put(r); err != nil {
			t.Fatal(err)
		}
	}
	for q.length() > 0 {
		got = append(got, take(4, 25)) // three entries reach 25 bytes
	}
	if want := []int{3, 3, 3, 3, 2}; !slices.Equal(got, want) {
		t.Errorf("took %v, want %v", got, want)
	}
	q.close()
	if n := take(1, 1); n != 0 {
		t.Errorf("took %d of a closed queue", n)
	}
	// One entry larger than the bound still comes.
	q = newQueue(1)
	if err := q.put(&request{items: []item{{entry: Entry{Data: make([]byte, 50)}}}}); err != nil {
		t.Fatal(err)
	}
	if n := take(1, 1); n != 1 {
		t.Errorf("took %d", n)
	}
}

func TestRecentUnique(t *testing.T) {
	r := newRecentUnique(100, 3)
	for i := range uint64(20) {
		r.add(fmt.Appendf(nil, "u%d", i), 100+i)
		for j := range i + 1 {
			index, found := r.find(fmt.Appendf(nil, "u%d", j))
			if found && index != 100+j || !found && 100+j >= r.first {
				t.Fatalf("after %d: u%d is at %d, %v, and all from %d on should be there", i, j, index, found, r.first)
			}
		}
		if 100+i-r.first > 6 {
			t.Fatalf("after %d: remembers from %d on", i, r.first)
		}
	}
}
