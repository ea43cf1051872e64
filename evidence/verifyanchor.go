package evidence

import (
	"errors"
	"fmt"
	"slices"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/blockproof"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// anchor checks the ledger's block and the inclusion in the anchored tree.
func (v *verification) anchor() {
	data := v.bundle.File(fileProof)
	if data == nil {
		for _, id := range []string{CheckAnchor, CheckAnchorInclusion, CheckAnchorCheckpoint} {
			v.set(id, "ANCHOR_NONE", nil)
		}
		return
	}
	p, err := ParseProof(data)
	if err != nil {
		v.form(CheckAnchor, "ANCHOR_FORM", err)
		return
	}
	head, err := checkpoint.Parse([]byte(p.Checkpoint))
	if err != nil {
		v.set(CheckAnchorCheckpoint, "CHECKPOINT_FORM", err)
		return
	}
	switch {
	case p.Log != v.receipt.Log || head.Origin != v.receipt.Log || p.Index != v.receipt.Index:
		v.set(CheckAnchor, "ANCHOR_MISMATCH", errors.New("log or index is not that of the receipt"))
	case head.Size == v.head.Size && head.Root != v.head.Root:
		v.set(CheckAnchor, "ANCHOR_FORK", fmt.Errorf("size %d: %s and %s", head.Size, head.Root, v.head.Root))
	case p.Kind != LedgerEmbedded:
		v.set(CheckAnchor, "ANCHOR_KIND", fmt.Errorf("%q", p.Kind))
	}
	leaf := tlog.LeafHash(v.bundle.File(fileStatement))
	if err := tlog.VerifyInclusion(hashes(p.Proof), p.Index, head.Size, leaf, head.Root); err != nil {
		v.set(CheckAnchorInclusion, "INCLUSION_INVALID", err)
	}
	v.set(CheckAnchorInclusion, "INCLUSION_OK", nil)
	if at, ok := v.block(p, head.Size); ok {
		v.checkpointSignature(CheckAnchorCheckpoint, p.Checkpoint, span{v.receipt.ReceivedAt, at}, v.anchored)
	}
}

// block checks the block of an embedded ledger, which anchors a tree of that size, and returns its time. It reports false if there is no more to check.
func (v *verification) block(p *Proof, size uint64) (Instant, bool) {
	if _, decided := v.results[CheckAnchor]; decided {
		return 0, false
	}
	var keys []*sm2.PublicKey
	if v.in.Trust != nil {
		for _, l := range v.in.Trust.Ledgers {
			for _, k := range l.Keys {
				if key, err := sm2.ParsePublicKey(k.SPKI); err == nil {
					keys = append(keys, key)
				}
			}
		}
	}
	b, err := blockproof.VerifyEmbedded(p.Block, keys)
	switch {
	case errors.Is(err, blockproof.ErrUnknownKey):
		v.set(CheckAnchor, "KEY_UNKNOWN", err)
		return 0, false
	case err != nil, b.Time.Before(minInstant.Time()):
		v.set(CheckAnchor, "ANCHOR_INVALID", err)
		return 0, false
	case b.Origin != p.Log || string(b.Checkpoint) != p.Checkpoint:
		v.set(CheckAnchor, "ANCHOR_MISMATCH", nil)
		return 0, false
	}
	at := InstantOf(b.Time)
	if at > v.at {
		v.set(CheckAnchor, "ANCHOR_LATER", fmt.Errorf("block %d of %s", b.Height, at))
		v.set(CheckAnchorCheckpoint, "ANCHOR_LATER", nil)
		return 0, false
	}
	i := slices.IndexFunc(v.in.Trust.Ledgers, func(l TrustLedger) bool { return l.Name == b.Ledger })
	var trusted *TrustKey
	if i >= 0 {
		trusted, _, _ = findKey(v.in.Trust.Ledgers[i].Keys, Digest(b.Key.Fingerprint()))
	}
	if trusted == nil {
		v.set(CheckAnchor, "ANCHOR_KEY_FOREIGN", fmt.Errorf("ledger %q", b.Ledger))
		return 0, false
	}
	code := v.judge(trusted, RoleLedger, span{at, at}, 0)
	if code == "SIGNATURE_OK" {
		code = "ANCHOR_OK"
	}
	v.set(CheckAnchor, code, nil)
	if reasons[code].status != StatusPassed {
		return at, true
	}
	v.anchored, v.anchoredSize = at, size
	if v.report.Subject != nil {
		v.report.Subject.Anchor = &AnchorSummary{BlockHash: Digest(b.BlockHash), Height: b.Height, Kind: p.Kind, Ledger: b.Ledger,
			Operators: v.in.Trust.Ledgers[i].Operators, Size: size, Time: at}
	}
	return at, true
}
