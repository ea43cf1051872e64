// Package evidence is the pure kernel of Cunzheng: what a record says, how it is written down byte for byte, and how a
// stranger verifies it offline.
//
// A deposit becomes a [Statement]: canonical JSON (RFC 8785) whose bytes are one leaf of a Merkle log. The [Receipt]
// holds the log's signed checkpoint and the inclusion proof of that leaf, signed by the platform's receipt key. A
// bundle ([WriteBundle], [OpenBundle]) is one zip file with statement, receipt, the anchor on a ledger once there is
// one, the opened commitments, and optionally the original. [Verify] checks such a bundle against a [Trust] file:
//
//	report, err := evidence.Verify(evidence.Input{
//		Bundle: file, Size: size,
//		Trust:  trust,
//		At:     time.Now(),
//	})
//
// Nothing here touches the network, the file system or the clock: time and trust are arguments, and the same input
// gives the same report, byte for byte. The package builds for GOOS=js. Every format is specified in docs/formats.md.
package evidence
