package ledger

// recentUnique remembers the Unique values of the newest entries, so that the
// sequencer need not ask Pebble about what the callers have looked up already
// in parallel. It is owned by the sequencer.
type recentUnique struct {
	first   uint64 // every value of entries from here on is in older or newer
	turn    uint64 // the first entry of newer
	older   map[string]uint64
	newer   map[string]uint64
	perHalf int
}

func newRecentUnique(size uint64, perHalf int) *recentUnique {
	return &recentUnique{first: size, turn: size, older: map[string]uint64{}, newer: map[string]uint64{}, perHalf: perHalf}
}

// find returns the entry with a value among the remembered ones.
func (r *recentUnique) find(unique []byte) (index uint64, ok bool) {
	if index, ok = r.newer[string(unique)]; !ok {
		index, ok = r.older[string(unique)]
	}
	return index, ok
}

// add remembers the value of a new entry. It forgets the oldest half when the
// newest is full.
func (r *recentUnique) add(unique []byte, index uint64) {
	if len(r.newer) >= r.perHalf {
		r.first, r.turn = r.turn, index
		clear(r.older)
		r.older, r.newer = r.newer, r.older
	}
	r.newer[string(unique)] = index
}
