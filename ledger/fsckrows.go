package ledger

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

func iterOptions(lower, upper []byte) *pebble.IterOptions {
	return &pebble.IterOptions{LowerBound: lower, UpperBound: upper}
}

// checkBeside looks at what is kept beside the entries and checkpoints.
func (c *checker) checkBeside() error {
	err := iterate(c.r, []byte{rowPrivate}, rowEnd(rowPrivate), false, func(key, _ []byte) (bool, error) {
		if index, err := parseNumberKey(rowPrivate, key); err != nil || index >= c.size {
			c.report("extra", "private", fmt.Sprintf("%x", key[1:]), "there is no such entry")
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	return iterate(c.r, []byte{rowAnchor}, rowEnd(rowAnchor), false, func(key, _ []byte) (bool, error) {
		size, err := parseNumberKey(rowAnchor, key)
		if err == nil {
			_, err = get(c.r, numberKey(rowCheckpoint, size))
		}
		if err != nil {
			c.report("extra", "anchor", fmt.Sprintf("%x", key[1:]), "there is no such checkpoint")
		}
		return true, nil
	})
}

// checkUnknown looks for rows of no known kind.
func (c *checker) checkUnknown() error {
	var lower []byte
	for _, row := range []byte{rowAnchor, rowCheckpoint, rowEntry, rowTerm, rowUnique, rowMeta, rowPrivate, rowTile, 0xff} {
		upper := []byte{row}
		if row == 0xff {
			upper = nil
		}
		err := iterate(c.r, lower, upper, false, func(key, _ []byte) (bool, error) {
			c.report("extra", "row", fmt.Sprintf("%x", key), "rows of this kind are unknown")
			return true, nil
		})
		if err != nil {
			return err
		}
		if lower = rowEnd(row); row == rowMeta {
			lower = append(metaKey[:1:1], 0) // it is one row, without a number
		}
	}
	return nil
}

// checkIndex compares the stored index rows with those that the entries call
// for, both in order, so that every missing and every extra row is met.
func (c *checker) checkIndex() error {
	bad := func(index uint64, err error) error {
		if !errors.Is(err, errDerive) {
			return err
		}
		c.report("wrong", "entry", number(index), "%v", err)
		return nil
	}
	return withIndexRows(c.ctx, c.r, c.size, c.o, c.dir, bad, func(rows []*sorter) (err error) {
		stored, err := c.r.NewIter(iterOptions([]byte{rowTerm}, rowEnd(rowUnique)))
		if err != nil {
			return readError(err)
		}
		defer func() {
			if closeErr := errors.Join(stored.Error(), stored.Close()); closeErr != nil {
				err = errors.Join(err, readError(closeErr))
			}
		}()
		valid := stored.First()
		extra := func() {
			kind, name := describe(stored.Key())
			c.report("extra", kind, name, "no entry calls for it")
			valid = stored.Next()
		}
		var last []byte
		n := uint64(0)
		err = merge(rows, func(key, value []byte) error {
			if n++; n%(1<<16) == 0 {
				c.o.Progress("comparing index rows", n, 0)
				if err := c.ctx.Err(); err != nil {
					return err
				}
			}
			for valid && bytes.Compare(stored.Key(), key) < 0 {
				extra()
			}
			kind, name := describe(key)
			switch {
			case bytes.Equal(key, last):
				index, _ := parseNumber(value)
				c.report("wrong", "entry", number(index), "an earlier entry has the same unique value %s", name)
			case !valid || !bytes.Equal(stored.Key(), key):
				c.report("missing", kind, name, "%s", wanted(value))
			default:
				if !bytes.Equal(stored.Value(), value) {
					c.report("wrong", kind, name, "it holds %x, %s", stored.Value(), wanted(value))
				}
				valid = stored.Next()
			}
			last = append(last[:0], key...)
			return nil
		})
		for err == nil && valid {
			extra()
		}
		return err
	})
}

// describe names an index row for people.
func describe(key []byte) (kind, name string) {
	if key[0] == rowUnique {
		return "unique", fmt.Sprintf("%x", key[1:])
	}
	t, index, err := parseTermKey(key)
	if err != nil {
		return "row", fmt.Sprintf("%x", key)
	}
	return "term", fmt.Sprintf("kind %d value %x entry %d", t.Kind, t.Value, index)
}

func wanted(value []byte) string {
	if index, err := parseNumber(value); err == nil {
		return fmt.Sprintf("entry %d calls for it", index)
	}
	return "its entry calls for it"
}
