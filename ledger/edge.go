package ledger

import (
	"cunzheng/ledger/tlog"
)

// An expandedTile holds the nodes of a tile at all its heights: 256 at height
// 0, 128 at height 1, and so on to the tile's root at height 8.
//
// Nodes are only ever filled in, each once, by the goroutine that owns the edge.
// Another goroutine that learned of a tree size through a channel or lock may
// read the nodes below that size without further synchronisation.
type expandedTile struct {
	nodes [2*tlog.TileWidth - 1]tlog.Hash
}

// slot returns the place of the node at the given height and position.
func slot(height uint, position uint64) uint64 {
	return 2*tlog.TileWidth - 2*tlog.TileWidth>>height + position
}

// set fills in the leaf at a position, which must be the next one, and every
// node that it completes. It reports whether the tile is full.
func (t *expandedTile) set(position uint64, h tlog.Hash) (full bool) {
	height := uint(0)
	t.nodes[slot(0, position)] = h
	for ; position&1 == 1; position >>= 1 {
		h = tlog.NodeHash(t.nodes[slot(height, position-1)], h)
		height++
		t.nodes[slot(height, position>>1)] = h
	}
	return height == tlog.TileHeight
}

func (t *expandedTile) root() tlog.Hash { return t.nodes[len(t.nodes)-1] }

// row returns the tile as it is stored and served.
func (t *expandedTile) row(width int) []byte {
	return tlog.AppendHashes(make([]byte, 0, width*tlog.HashSize), t.nodes[:width])
}

// expand computes the inner nodes of a full tile.
func expand(hashes []tlog.Hash) *expandedTile {
	t := new(expandedTile)
	for i, h := range hashes {
		t.set(uint64(i), h)
	}
	return t
}

// An edge holds the tiles at the right end of the tree: per tile level the
// partial tile, and those that were completed since the last call of trim. All
// proofs for the leaves that came since then can be made from it.
//
// It is owned by one goroutine. A snapshot may be read by others.
type edge struct {
	size   uint64
	levels []edgeLevel
}

type edgeLevel struct {
	first uint64 // index of tiles[0]
	tiles []*expandedTile
}

// append adds a leaf.
func (e *edge) append(leaf tlog.Hash) {
	n, h := e.size, leaf
	e.size++
	for level := 0; ; level++ {
		if level == len(e.levels) {
			e.levels = append(e.levels, edgeLevel{})
		}
		l := &e.levels[level]
		position := n % tlog.TileWidth
		if position == 0 {
			if len(l.tiles) == 0 {
				l.first = n / tlog.TileWidth
			}
			l.tiles = append(l.tiles, new(expandedTile))
		}
		last := l.tiles[len(l.tiles)-1]
		if !last.set(position, h) {
			return
		}
		n, h = n/tlog.TileWidth, last.root()
	}
}

// full calls fn for every full tile.
func (e *edge) full(fn func(level uint, index uint64, t *expandedTile) error) error {
	for level, l := range e.levels {
		for i, t := range l.tiles {
			index := l.first + uint64(i)
			if tlog.WidthAt(uint(level), index, e.size) < tlog.TileWidth {
				continue
			}
			if err := fn(uint(level), index, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// snapshot returns the edge as it is now, to be read beside further appends.
func (e *edge) snapshot() *edge {
	s := &edge{size: e.size, levels: make([]edgeLevel, len(e.levels))}
	copy(s.levels, e.levels)
	return s
}

// trim drops the full tiles. Snapshots keep theirs.
func (e *edge) trim() {
	for level := range e.levels {
		l := &e.levels[level]
		var partial []*expandedTile
		l.first = e.size >> (uint(level) * tlog.TileHeight) / tlog.TileWidth
		if tlog.WidthAt(uint(level), l.first, e.size) > 0 {
			partial = l.tiles[len(l.tiles)-1:]
		}
		// A new array, since the snapshots' goes on being read.
		l.tiles = append(make([]*expandedTile, 0, 2), partial...)
	}
}

// tile returns a tile, nil if the edge does not hold it.
func (e *edge) tile(level uint, index uint64) *expandedTile {
	if level >= uint(len(e.levels)) {
		return nil
	}
	l := e.levels[level]
	if index < l.first || index-l.first >= uint64(len(l.tiles)) {
		return nil
	}
	return l.tiles[index-l.first]
}

// A forest makes the nodes of tlog out of tiles.
type forest struct {
	edge *edge
	tile func(level uint, index uint64) (*expandedTile, error) // for full tiles that the edge does not hold
}

// Node implements tlog.Nodes.
func (f forest) Node(level uint, n uint64) (tlog.Hash, error) {
	tileLevel, height := level/tlog.TileHeight, level%tlog.TileHeight
	index, position := n>>(tlog.TileHeight-height), n&(tlog.TileWidth>>height-1)
	t := f.edge.tile(tileLevel, index)
	if t == nil {
		var err error
		if t, err = f.tile(tileLevel, index); err != nil {
			return tlog.Hash{}, err
		}
	}
	return t.nodes[slot(height, position)], nil
}
