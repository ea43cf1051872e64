package blockproof

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"math/big"

	"google.golang.org/protobuf/encoding/protowire"
)

// Shapes of the messages around the data of a block: common/common.proto.
var (
	shapeBlock         = &shape{name: "Block", fields: map[protowire.Number]fieldKind{1: octets, 2: octets, 3: octets}}
	shapeBlockHeader   = &shape{name: "BlockHeader", fields: map[protowire.Number]fieldKind{1: number, 2: octets, 3: octets}}
	shapeBlockData     = &shape{name: "BlockData", fields: map[protowire.Number]fieldKind{1: manyOctets}}
	shapeBlockMetadata = &shape{name: "BlockMetadata", fields: map[protowire.Number]fieldKind{1: manyOctets}}
	shapeMetadata      = &shape{name: "Metadata", fields: map[protowire.Number]fieldKind{1: octets, 2: manyOctets}}
	shapeMetadataSig   = &shape{name: "MetadataSignature", fields: map[protowire.Number]fieldKind{1: octets, 2: octets, 3: octets}}
	shapeOrdererMeta   = &shape{name: "OrdererBlockMetadata", open: true, fields: map[protowire.Number]fieldKind{1: octets, 2: octets}}
	shapeLastConfig    = &shape{name: "LastConfig", open: true, fields: map[protowire.Number]fieldKind{1: number}}
	shapeIdentifier    = &shape{name: "IdentifierHeader", open: true, fields: map[protowire.Number]fieldKind{1: number, 2: octets}}
)

// fabricBlock is a block of a Fabric channel without what nobody signs: of the metadata it keeps the orderers'
// signatures and drops the validation flags and the commit hash, which are a peer's own.
type fabricBlock struct {
	number         uint64
	previous, data []byte   // SHA-256 of the block before, and of the envelopes; previous is empty in block 0
	envelopes      [][]byte // common.Envelope
	signed         []byte   // OrdererBlockMetadata, which each orderer signs together with the header; empty in block 0
	lastConfig     uint64   // from signed: number of the config block in force
	signatures     []blockSignature
}

// blockSignature is the signature of one consenter of a BFT ordering service.
type blockSignature struct {
	header     []byte // IdentifierHeader, part of what is signed
	identifier uint32 // from header
	signature  []byte
}

// parseBlock reads a block as peers and orderers hand it out, and checks that the data is that of the header.
func parseBlock(raw []byte) (*fabricBlock, error) {
	m, err := shapeBlock.decode(raw)
	if err != nil {
		return nil, err
	}
	header, err := shapeBlockHeader.decode(m.octets(1))
	if err != nil {
		return nil, err
	}
	data, err := shapeBlockData.decode(m.octets(2))
	if err != nil {
		return nil, err
	}
	metadata, err := shapeBlockMetadata.decode(m.octets(3))
	if err != nil {
		return nil, err
	}
	b := &fabricBlock{number: header.uint(1), previous: header.octets(2), data: header.octets(3), envelopes: data.all(1)}
	switch {
	case b.number > maxNumber:
		return nil, fmt.Errorf("%w: block number above 2^53", ErrInvalid)
	case len(b.envelopes) == 0:
		return nil, fmt.Errorf("%w: block %d is empty", ErrInvalid, b.number)
	case b.number == 0 && len(b.previous) != 0, b.number > 0 && len(b.previous) != sha256.Size:
		return nil, fmt.Errorf("%w: hash of the block before has %d bytes", ErrInvalid, len(b.previous))
	}
	hash := sha256.New()
	for _, e := range b.envelopes {
		hash.Write(e)
	}
	if !bytes.Equal(hash.Sum(nil), b.data) {
		return nil, fmt.Errorf("%w: data hash: the transactions are not those of the header of block %d", ErrInvalid, b.number)
	}
	if len(metadata.all(1)) > 0 {
		return b, b.parseSignatures(metadata.all(1)[0])
	}
	return b, nil
}

// parseSignatures reads the metadata SIGNATURES, the first one.
func (b *fabricBlock) parseSignatures(raw []byte) error {
	m, err := shapeMetadata.decode(raw)
	if err != nil {
		return err
	}
	b.signed = m.octets(1)
	meta, err := shapeOrdererMeta.decode(b.signed)
	if err != nil {
		return err
	}
	last, err := shapeLastConfig.decode(meta.octets(1))
	if err != nil {
		return err
	}
	b.lastConfig = last.uint(1)
	for _, raw := range m.all(2) {
		s, err := shapeMetadataSig.decode(raw)
		if err != nil {
			return err
		}
		header, err := shapeIdentifier.decode(s.octets(3))
		if err != nil {
			return err
		}
		id := header.uint(1)
		if len(s.octets(1)) > 0 || len(s.octets(3)) == 0 || id > 1<<32-1 {
			return fmt.Errorf("%w: signature of block %d is not one of a BFT orderer", ErrInvalid, b.number)
		}
		b.signatures = append(b.signatures, blockSignature{header: s.octets(3), identifier: uint32(id), signature: s.octets(2)})
	}
	return nil
}

// encode renders the block in the one form that a proof holds: fields in the order of their numbers, empty ones left
// out, no metadata but the signatures.
func (b *fabricBlock) encode() []byte {
	var header, data, signatures []byte
	if b.number > 0 {
		header = protowire.AppendTag(header, 1, protowire.VarintType)
		header = protowire.AppendVarint(header, b.number)
	}
	header = appendField(header, 2, b.previous)
	header = appendField(header, 3, b.data)
	for _, e := range b.envelopes {
		data = protowire.AppendTag(data, 1, protowire.BytesType)
		data = protowire.AppendBytes(data, e)
	}
	signatures = appendField(signatures, 1, b.signed)
	for _, s := range b.signatures {
		var one []byte
		one = appendField(one, 2, s.signature)
		one = appendField(one, 3, s.header)
		signatures = appendField(signatures, 2, one)
	}
	var block []byte
	block = appendField(block, 1, header)
	block = appendField(block, 2, data)
	return appendField(block, 3, appendField(nil, 1, signatures))
}

func appendField(b []byte, num protowire.Number, value []byte) []byte {
	if len(value) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), value)
}

// trimBlock returns the block in the form of encode.
func trimBlock(raw []byte) ([]byte, error) {
	b, err := parseBlock(raw)
	if err != nil {
		return nil, err
	}
	return b.encode(), nil
}

// parseTrimmed reads what encode makes and nothing else.
func parseTrimmed(raw []byte) (*fabricBlock, error) {
	b, err := parseBlock(raw)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(b.encode(), raw) {
		return nil, fmt.Errorf("%w: block %d is not in the form of a proof", ErrInvalid, b.number)
	}
	return b, nil
}

// headerBytes is what the hash of the block is taken from and what orderers sign: DER of number and both hashes
// (protoutil.BlockHeaderBytes).
func (b *fabricBlock) headerBytes() []byte {
	der, err := asn1.Marshal(struct {
		Number         *big.Int
		Previous, Data []byte
	}{new(big.Int).SetUint64(b.number), b.previous, b.data})
	if err != nil {
		panic(err) // an integer and two byte strings can always be encoded
	}
	return der
}

func (b *fabricBlock) hash() [sha256.Size]byte { return sha256.Sum256(b.headerBytes()) }

// message is what the consenter signed.
func (b *fabricBlock) message(s blockSignature) []byte {
	return bytes.Join([][]byte{b.signed, s.header, b.headerBytes()}, nil)
}
