package signin

import (
	"strconv"
	"testing"
)

func TestMemory(t *testing.T) {
	const limit = 100
	m := newMemory[int](limit)
	kept := digestOf("kept")
	m.put(kept, -1)
	for i := range 10 * limit {
		m.put(digestOf(strconv.Itoa(i)), i)
		if i%(limit/2) == 0 {
			if v, ok := m.get(kept); !ok || v != -1 {
				t.Fatalf("forgot what is in use after %d others: %d, %v", i, v, ok)
			}
		}
		if n := len(m.young) + len(m.old); n > 2*limit {
			t.Fatalf("remembers %d", n)
		}
	}
	for i := 9 * limit; i < 10*limit; i++ {
		if v, ok := m.get(digestOf(strconv.Itoa(i))); i > 9*limit+limit/2 && (!ok || v != i) {
			t.Errorf("forgot %d, one of the newest: %d, %v", i, v, ok)
		}
	}
	if _, ok := m.get(digestOf("0")); ok {
		t.Error("remembers the oldest")
	}
	m.put(kept, 1)
	if v, _ := m.get(kept); v != 1 {
		t.Errorf("got %d", v)
	}
	m.remove(kept)
	if _, ok := m.get(kept); ok {
		t.Error("remembers what was removed")
	}
}
