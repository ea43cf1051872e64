package ledger

import (
	"container/list"
	"errors"
	"fmt"
	"sync"

	"cunzheng/ledger/tlog"
)

// nodes gives access to the tree as released at some time.
func (l *Log) nodes(at *released) tlog.Nodes { return forest{at.edge, l.storedTile} }

// tileRow reads a full tile.
func (l *Log) tileRow(level uint, index uint64) ([]byte, error) {
	return readTile(l.store.db, level, index)
}

func readTile(r reader, level uint, index uint64) ([]byte, error) {
	row, err := get(r, tileKey(level, index))
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, fmt.Errorf("%w: tile %d of level %d is missing", ErrCorrupt, index, level)
	case err != nil:
		return nil, err
	case len(row) != tlog.TileWidth*tlog.HashSize:
		return nil, fmt.Errorf("%w: tile %d of level %d has %d bytes", ErrCorrupt, index, level, len(row))
	}
	return row, nil
}

// storedTile returns a full tile with its inner nodes.
func (l *Log) storedTile(level uint, index uint64) (*expandedTile, error) {
	name := tileName{level, index}
	if t := l.tiles.get(name); t != nil {
		return t, nil
	}
	row, err := l.tileRow(level, index)
	if err != nil {
		return nil, err
	}
	hashes, err := tlog.ParseHashes(row, tlog.TileWidth)
	if err != nil {
		return nil, err
	}
	t := expand(hashes)
	l.tiles.put(name, t)
	return t, nil
}

type tileName struct {
	level uint
	index uint64
}

// cachedTiles is how many expanded tiles are kept, 16 KiB each. Expanding one
// takes about 0.15 ms, and the tiles above level 0 are in nearly every proof.
const cachedTiles = 1024

// A tileCache keeps the tiles used last. It may be used concurrently.
type tileCache struct {
	limit int

	mu    sync.Mutex
	order list.List // of cachedTile, used last in front
	tiles map[tileName]*list.Element
}

type cachedTile struct {
	name tileName
	tile *expandedTile
}

func newTileCache(limit int) *tileCache {
	return &tileCache{limit: limit, tiles: make(map[tileName]*list.Element)}
}

func (c *tileCache) get(name tileName) *expandedTile {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.tiles[name]
	if !ok {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(cachedTile).tile
}

func (c *tileCache) put(name tileName, t *expandedTile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.tiles[name]; ok {
		return
	}
	c.tiles[name] = c.order.PushFront(cachedTile{name, t})
	if c.order.Len() > c.limit {
		delete(c.tiles, c.order.Remove(c.order.Back()).(cachedTile).name)
	}
}
