// Package blockproof checks offline what a shared ledger answered when a tree head was anchored on it.
//
// A proof is opaque bytes that travel in a bundle. There is one parser for each kind of ledger; they share the errors
// and nothing else. This package has no clock, no network and no database, and builds for the browser.
//
// # The embedded ledger
//
// The proof is one block of the chain, as canonical JSON (RFC 8785) without a final newline:
//
//	{"block":{"args":["…"],"events":[{"name":"Anchored","payload":"…"}],"function":"Anchor","ledger":"…","number":7,
//	"organisation":"…","previous":"…","time":"2026-11-23T11:22:33.456Z","writes":[{"key":"…","sm3":"…"}]},
//	"key":"…","kind":"embedded","signature":"…"}
//
// The message of a block is the line "cunzheng.embedded-block.v1\n" followed by the canonical JSON of the member
// "block". The hash of the block is SM3 of the message, and the member "previous" of the next block is this hash. The
// signature is SM2 over the same message (user ID 1234567812345678, canonical DER). The member "key" is SM3 of the
// signing key's SubjectPublicKeyInfo. Digests are lower-case hex, byte strings are padded standard base64. Block 0 has
// the function "Create", no arguments, and a previous hash of zeros.
//
// A block proves that the holder of the ledger's key accepted the transaction after the blocks before it. It does not
// prove that anybody else saw it: an embedded ledger is one organisation's own chain, and its time is that
// organisation's claim.
//
//	anchored, err := blockproof.VerifyEmbedded(proof, keys)
//	if errors.Is(err, blockproof.ErrUnknownKey) {
//		// the trust file does not hold the key of this ledger: nothing is proven, nothing is refuted
//	}
//
// # Hyperledger Fabric
//
// The proof is canonical JSON around the block of the channel and the config blocks that lead from a trusted one to the
// one in force ([FabricProof]). The blocks are Fabric's own messages without what nobody signs: header, transactions,
// and the orderers' signatures. [VerifyFabric] checks what a peer checks when it receives and validates a block, as far
// as it can be known without the state of the channel; docs/formats.md has every step. It proves that enough
// organisations' peers ran the contract on the head and signed the result, and that a quorum of the orderers put it into
// this block.
//
// What a verifier must trust is one config block of the channel ([ParseFabricConfig]): it names the organisations with
// their root certificates, the orderers and the policies. Signatures are ECDSA P-256 over SHA-256, Fabric's own.
package blockproof

import "errors"

// MaxSize is the greatest length of a proof by an embedded ledger in bytes.
const MaxSize = 64 << 10

var (
	// ErrInvalid says that the proof is malformed, a signature is false, or too few signed: it is not what the ledger made.
	ErrInvalid = errors.New("blockproof: invalid proof")

	// ErrUnknownKey says that none of the given keys is the one that the proof names, or none of the given configurations
	// leads to the one in force. The proof may be good; ask for the key or the configuration.
	ErrUnknownKey = errors.New("blockproof: signed by an unknown key")
)
