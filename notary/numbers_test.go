package notary

import (
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"cunzheng/evidence"
)

// TestNumbersAreUnique plays days of deposits, clocks that jump, orderly stops and crashes, and holds that no number is
// given out twice and that they only grow.
func TestNumbersAreUnique(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		format := evidence.NumberFormat{Area: "XM", Region: "350200", Office: "NOT01"}
		path := filepath.Join(t.TempDir(), numbersFile)
		open := func() *numbers {
			n := &numbers{format: format, path: path}
			if _, err := n.read(); err != nil {
				t.Fatal(err)
			}
			return n
		}
		n := open()
		now := evidence.InstantOf(time.Date(2026, 11, 23, 15, 59, 0, 0, time.UTC)) // midnight in China is near
		last := evidence.Number{}
		crashes := 0
		for step := range 3000 {
			switch random.IntN(300) {
			case 0:
				n = open()
				crashes++
			case 1:
				if err := n.close(); err != nil {
					t.Fatal(err)
				}
				n = open()
			case 2:
				now += evidence.Instant(random.Int64N(int64(30 * time.Hour / time.Millisecond)))
			case 3:
				now -= evidence.Instant(random.Int64N(int64(50 * time.Hour / time.Millisecond)))
			}
			text, _, err := n.take(now)
			if err != nil {
				t.Fatal(err)
			}
			number, err := evidence.ParseNumber(text)
			if err != nil {
				t.Fatal(err)
			}
			if day := dayOf(evidence.InstantOf(number.Date)); day < dayOf(now) {
				t.Fatalf("seed %d, step %d: %s on a later day", seed, step, text)
			}
			if number.Date.Before(last.Date) || number.Date.Equal(last.Date) && number.Serial <= last.Serial {
				t.Fatalf("seed %d, step %d: %s after %s", seed, step, text, last)
			}
			if number.Date.After(last.Date) && number.Serial != 1 {
				t.Fatalf("seed %d, step %d: a day begins with %s", seed, step, text)
			}
			last = number
		}
		if max := uint64(3000 + crashes*numberLease); last.Serial > max {
			t.Errorf("seed %d: serial %d", seed, last.Serial)
		}
	}
}

func TestOrderlyStopSkipsNoNumber(t *testing.T) {
	path := filepath.Join(t.TempDir(), numbersFile)
	format := evidence.NumberFormat{Area: "XM", Region: "350200", Office: "NOT01"}
	for serial := uint64(1); serial < 20; serial++ {
		n := &numbers{format: format, path: path}
		if _, err := n.read(); err != nil {
			t.Fatal(err)
		}
		text, _, err := n.take(1_000_000_000_000)
		if err != nil {
			t.Fatal(err)
		}
		if number, err := evidence.ParseNumber(text); err != nil || number.Serial != serial {
			t.Fatalf("%s, %v, want serial %d", text, err, serial)
		}
		if err := n.close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNumbersInParallel(t *testing.T) {
	n := &numbers{format: evidence.NumberFormat{Area: "XM", Region: "350200", Office: "NOT01"}, path: filepath.Join(t.TempDir(), numbersFile)}
	var mu sync.Mutex
	seen := make(map[string]bool)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 2000 {
				text, _, err := n.take(1_000_000_000_000)
				mu.Lock()
				if err != nil || seen[text] {
					t.Errorf("%s, %v", text, err)
				}
				seen[text] = true
				mu.Unlock()
			}
		})
	}
	group.Wait()
}

// TestDays: the day changes at midnight in China.
func TestDays(t *testing.T) {
	for text, want := range map[string]string{
		"2026-11-23T15:59:59.999Z": "20261123",
		"2026-11-23T16:00:00.000Z": "20261124",
	} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		d := dayOf(evidence.InstantOf(at))
		if got := d.start().Time().In(time.FixedZone("", 8*3600)).Format("20060102"); got != want {
			t.Errorf("%s is on %s, want %s", text, got, want)
		}
		if dayOf(d.start()) != d || dayOf(d.start()-1) != d-1 {
			t.Errorf("the day of %s does not begin where it begins", text)
		}
	}
}
