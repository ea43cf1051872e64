package evidence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
)

// The container is a zip file in one form only: entries stored (never compressed) in a fixed order, without gaps,
// comments, data descriptors or dates; zip64 fields only where a size or offset needs them. The reader takes names,
// sizes and CRCs from the central directory, lays out anew what the writer would have written for them, and compares
// every byte. So nothing can hide between, before or behind the entries, and no second reading of the file exists.

// zipEntry is one file of the container.
type zipEntry struct {
	name string
	size int64
	crc  uint32

	offset int64 // of the local header; set by layOut
}

const (
	zipLocalSize   = 30
	zipCentralSize = 46
	zipEndSize     = 22
	zip64EndSize   = 56
	zip64LocSize   = 20
	zip64ExtraSize = 20

	zipUTF8     = 0x0800         // names are UTF-8
	zipDate     = 0x0021         // 1980-01-01, the zero of DOS dates
	zipMadeBy   = 3<<8 | 45      // Unix, zip 4.5
	zipMode     = 0o100644 << 16 // regular file, rw-r--r--
	zipVersion  = 10
	zip64Needed = 45

	maxZipEntries   = 16
	maxZipDirectory = 16 << 10
)

var (
	// ErrContainer says that a file is not a bundle, or not in the one form that is allowed.
	ErrContainer = errors.New("bundle container")
	le           = binary.LittleEndian
)

func containerError(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrContainer, fmt.Errorf(format, args...))
}

func (e *zipEntry) wide() bool { return e.size >= math.MaxUint32 }

func (e *zipEntry) dataOffset() int64 { return e.offset + int64(len(e.local())) }

// local returns the local header.
func (e *zipEntry) local() []byte {
	b := make([]byte, 0, zipLocalSize+len(e.name)+zip64ExtraSize)
	b = append(b, "PK\x03\x04"...)
	b = e.appendCommon(b)
	b = le.AppendUint16(b, uint16(len(e.name)))
	b = le.AppendUint16(b, uint16(len(e.extra())))
	b = append(b, e.name...)
	return append(b, e.extra()...)
}

// central returns the header in the central directory.
func (e *zipEntry) central() []byte {
	b := make([]byte, 0, zipCentralSize+len(e.name)+zip64ExtraSize)
	b = append(b, "PK\x01\x02"...)
	b = le.AppendUint16(b, zipMadeBy)
	b = e.appendCommon(b)
	b = le.AppendUint16(b, uint16(len(e.name)))
	b = le.AppendUint16(b, uint16(len(e.extra())))
	b = le.AppendUint16(b, 0) // comment
	b = le.AppendUint16(b, 0) // disk
	b = le.AppendUint16(b, 0) // internal attributes
	b = le.AppendUint32(b, zipMode)
	b = le.AppendUint32(b, uint32(e.offset)) // the large entry is the last one: offsets are small
	b = append(b, e.name...)
	return append(b, e.extra()...)
}

// appendCommon appends what both headers share: version needed, flags, method, time, date, CRC, both sizes.
func (e *zipEntry) appendCommon(b []byte) []byte {
	version, size := uint16(zipVersion), uint32(math.MaxUint32)
	if e.wide() {
		version = zip64Needed
	} else {
		size = uint32(e.size)
	}
	b = le.AppendUint16(b, version)
	b = le.AppendUint16(b, zipUTF8)
	b = le.AppendUint16(b, 0) // stored
	b = le.AppendUint16(b, 0) // time
	b = le.AppendUint16(b, zipDate)
	b = le.AppendUint32(b, e.crc)
	b = le.AppendUint32(b, size)
	return le.AppendUint32(b, size)
}

// extra returns the zip64 field with both sizes, if the entry needs it.
func (e *zipEntry) extra() []byte {
	if !e.wide() {
		return nil
	}
	b := make([]byte, 0, zip64ExtraSize)
	b = le.AppendUint16(b, 0x0001)
	b = le.AppendUint16(b, 16)
	b = le.AppendUint64(b, uint64(e.size))
	return le.AppendUint64(b, uint64(e.size))
}

// layOut sets the offsets of the entries and returns the bytes behind the last one's data and their offset. Every
// entry but the last must be small.
func layOut(entries []zipEntry) (tail []byte, tailOffset int64, err error) {
	offset := int64(0)
	for i := range entries {
		e := &entries[i]
		if e.size < 0 || e.size > maxInteger || e.wide() && i != len(entries)-1 {
			return nil, 0, containerError("size of %q", e.name)
		}
		e.offset = offset
		offset = e.dataOffset() + e.size
	}
	for i := range entries {
		tail = append(tail, entries[i].central()...)
	}
	size, count := len(tail), uint16(len(entries))
	at := uint32(math.MaxUint32)
	if offset >= math.MaxUint32 {
		tail = append(tail, "PK\x06\x06"...)
		tail = le.AppendUint64(tail, zip64EndSize-12)
		tail = le.AppendUint16(tail, zipMadeBy)
		tail = le.AppendUint16(tail, zip64Needed)
		tail = le.AppendUint32(tail, 0)
		tail = le.AppendUint32(tail, 0)
		tail = le.AppendUint64(tail, uint64(count))
		tail = le.AppendUint64(tail, uint64(count))
		tail = le.AppendUint64(tail, uint64(size))
		tail = le.AppendUint64(tail, uint64(offset))
		tail = append(tail, "PK\x06\x07"...)
		tail = le.AppendUint32(tail, 0)
		tail = le.AppendUint64(tail, uint64(offset)+uint64(size))
		tail = le.AppendUint32(tail, 1)
	} else {
		at = uint32(offset)
	}
	tail = append(tail, "PK\x05\x06"...)
	tail = le.AppendUint16(tail, 0)
	tail = le.AppendUint16(tail, 0)
	tail = le.AppendUint16(tail, count)
	tail = le.AppendUint16(tail, count)
	tail = le.AppendUint32(tail, uint32(size))
	tail = le.AppendUint32(tail, at)
	tail = le.AppendUint16(tail, 0)
	return tail, offset, nil
}

// openContainer reads the entries of the container and checks every byte that is not data of an entry. An error that
// does not wrap ErrContainer comes from r.
func openContainer(r io.ReaderAt, size int64) ([]zipEntry, error) {
	directory, count, err := readDirectory(r, size)
	if err != nil {
		return nil, err
	}
	entries, err := parseDirectory(directory, count)
	if err != nil {
		return nil, err
	}
	tail, offset, err := layOut(entries)
	if err != nil {
		return nil, err
	}
	if size != offset+int64(len(tail)) {
		return nil, containerError("%d bytes, want %d", size, offset+int64(len(tail)))
	}
	for i := range entries {
		if err := compareAt(r, entries[i].offset, entries[i].local(), entries[i].name); err != nil {
			return nil, err
		}
	}
	return entries, compareAt(r, offset, tail, "central directory")
}

func compareAt(r io.ReaderAt, offset int64, want []byte, what string) error {
	got := make([]byte, len(want))
	if err := readAt(r, got, offset); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return containerError("header of %q is not in the one allowed form", what)
	}
	return nil
}

// readAt fills b from offset. The end of the file is a container error, anything else the reader's.
func readAt(r io.ReaderAt, b []byte, offset int64) error {
	n, err := r.ReadAt(b, offset)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return containerError("ends too early")
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return fmt.Errorf("reading the bundle: %w", err)
}

// readDirectory returns the central directory. It trusts nothing yet beyond what bounds memory.
func readDirectory(r io.ReaderAt, size int64) (directory []byte, count int, err error) {
	if size < zipEndSize {
		return nil, 0, containerError("%d bytes are no zip file", size)
	}
	end := make([]byte, zipEndSize)
	if err := readAt(r, end, size-zipEndSize); err != nil {
		return nil, 0, err
	}
	if string(end[:4]) != "PK\x05\x06" {
		return nil, 0, containerError("not a zip file, cut off, or with data behind its end")
	}
	count = int(le.Uint16(end[10:]))
	length, offset := uint64(le.Uint32(end[12:])), uint64(le.Uint32(end[16:]))
	if offset == math.MaxUint32 {
		if size < zipEndSize+zip64LocSize+zip64EndSize {
			return nil, 0, containerError("zip64 end is missing")
		}
		wide := make([]byte, zip64EndSize)
		if err := readAt(r, wide, size-zipEndSize-zip64LocSize-zip64EndSize); err != nil {
			return nil, 0, err
		}
		if string(wide[:4]) != "PK\x06\x06" {
			return nil, 0, containerError("zip64 end is missing")
		}
		offset = le.Uint64(wide[48:])
	}
	if count > maxZipEntries || length > maxZipDirectory || offset > uint64(size) {
		return nil, 0, containerError("too many entries, or offset out of range")
	}
	directory = make([]byte, length)
	return directory, count, readAt(r, directory, int64(offset))
}

// parseDirectory reads name, size and CRC of each entry. What it skips is compared later.
func parseDirectory(b []byte, count int) ([]zipEntry, error) {
	entries := make([]zipEntry, 0, count)
	for range count {
		if len(b) < zipCentralSize {
			return nil, containerError("central directory is cut off")
		}
		e := zipEntry{crc: le.Uint32(b[16:]), size: int64(le.Uint32(b[24:]))}
		name, extra := int(le.Uint16(b[28:])), int(le.Uint16(b[30:]))
		if len(b) < zipCentralSize+name+extra {
			return nil, containerError("central directory is cut off")
		}
		e.name = string(b[zipCentralSize : zipCentralSize+name])
		field := b[zipCentralSize+name : zipCentralSize+name+extra]
		if e.size == math.MaxUint32 {
			if len(field) < 12 {
				return nil, containerError("zip64 size of %q is missing", e.name)
			}
			e.size = int64(le.Uint64(field[4:]))
		}
		entries = append(entries, e)
		b = b[zipCentralSize+name+extra:]
	}
	if len(b) != 0 {
		return nil, containerError("central directory has other data behind it")
	}
	return entries, nil
}

// readEntry returns the data of a small entry after comparing its CRC.
func readEntry(r io.ReaderAt, e *zipEntry, limit int64) ([]byte, error) {
	if e.size > limit {
		return nil, containerError("%q has %d bytes, at most %d", e.name, e.size, limit)
	}
	data := make([]byte, e.size)
	if err := readAt(r, data, e.dataOffset()); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(data) != e.crc {
		return nil, containerError("CRC of %q", e.name)
	}
	return data, nil
}
