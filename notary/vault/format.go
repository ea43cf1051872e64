package vault

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"cunzheng/crypto/sm3"
	"cunzheng/crypto/sm4"
)

// See the package documentation for the format.
const (
	magic          = "CZVAULT\x01"
	maxWrapped     = 1024
	factsSize      = 8 + 4 + 32 + 32
	trailerSize    = 12 + factsSize + 16
	contentPurpose = "cunzheng/vault/v1 content"
	trailerPurpose = "cunzheng/vault/v1 trailer"
)

// wrapContext binds a wrapped key to its object.
func wrapContext(id string) []byte { return []byte("cunzheng/vault/v1\x00" + id) }

func subkey(dataKey []byte, purpose string) ([]byte, error) {
	return sm3.HKDF(dataKey, nil, purpose, sm4.KeySize)
}

func encodeHeader(wrapped []byte) ([]byte, error) {
	if len(wrapped) == 0 || len(wrapped) > maxWrapped {
		return nil, errors.New("vault: a wrapped key must have 1 to 1024 bytes")
	}
	head := binary.BigEndian.AppendUint16([]byte(magic), uint16(len(wrapped)))
	return append(head, wrapped...), nil
}

// readHeader reads exactly the header from r and returns it whole, and the wrapped key in it.
func readHeader(r io.Reader) (head, wrapped []byte, err error) {
	head = make([]byte, len(magic)+2, len(magic)+2+maxWrapped)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, nil, truncated(err)
	}
	n := int(binary.BigEndian.Uint16(head[len(magic):]))
	if !bytes.HasPrefix(head, []byte(magic)) || n == 0 || n > maxWrapped {
		return nil, nil, fmt.Errorf("%w: no header", ErrCorrupt)
	}
	head = head[:len(magic)+2+n]
	wrapped = head[len(magic)+2:]
	if _, err := io.ReadFull(r, wrapped); err != nil {
		return nil, nil, truncated(err)
	}
	return head, wrapped, nil
}

func truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut off", ErrCorrupt)
	}
	return classify(err)
}

// trailerContext binds the trailer to the header and the id. The header says its own length.
func trailerContext(head []byte, id string) []byte { return slices.Concat(head, []byte(id)) }

func sealTrailer(dataKey, head []byte, o *Object) ([]byte, error) {
	key, err := subkey(dataKey, trailerPurpose)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	facts := binary.BigEndian.AppendUint64(make([]byte, 0, factsSize), uint64(o.Size))
	facts = binary.BigEndian.AppendUint32(facts, o.CRC32)
	facts = append(facts, o.SM3[:]...)
	facts = append(facts, o.SHA256[:]...)
	return sm4.Seal(key, facts, trailerContext(head, o.ID))
}

func openTrailer(dataKey, head, sealed []byte, id string) (*Object, error) {
	key, err := subkey(dataKey, trailerPurpose)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	facts, err := sm4.Open(key, sealed, trailerContext(head, id))
	if err != nil || len(facts) != factsSize {
		return nil, fmt.Errorf("%w: trailer", ErrCorrupt)
	}
	o := &Object{ID: id, Size: int64(binary.BigEndian.Uint64(facts)), CRC32: binary.BigEndian.Uint32(facts[8:])}
	copy(o.SM3[:], facts[12:])
	copy(o.SHA256[:], facts[44:])
	return o, nil
}
