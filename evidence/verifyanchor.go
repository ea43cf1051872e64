package evidence

import (
	"errors"
	"fmt"
	"slices"
	"time"

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
	case p.Kind != LedgerEmbedded && p.Kind != LedgerFabric:
		v.set(CheckAnchor, "ANCHOR_KIND", fmt.Errorf("%q", p.Kind))
	}
	leaf := tlog.LeafHash(v.bundle.File(fileStatement))
	if err := tlog.VerifyInclusion(hashes(p.Proof), p.Index, head.Size, leaf, head.Root); err != nil {
		v.set(CheckAnchorInclusion, "INCLUSION_INVALID", err)
	}
	v.set(CheckAnchorInclusion, "INCLUSION_OK", nil)
	if _, decided := v.results[CheckAnchor]; decided {
		return
	}
	judge := v.embedded
	if p.Kind == LedgerFabric {
		judge = v.consortium
	}
	if at, ok := judge(p, head.Size); ok {
		v.checkpointSignature(CheckAnchorCheckpoint, p.Checkpoint, span{v.receipt.ReceivedAt, at}, v.covers)
	}
}

// embedded checks the block of an embedded ledger, which anchors a tree of that size, and returns its time. It reports
// false if there is no more to check.
func (v *verification) embedded(p *Proof, size uint64) (Instant, bool) {
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
	if errors.Is(err, blockproof.ErrUnknownKey) {
		v.set(CheckAnchor, "KEY_UNKNOWN", err)
		return 0, false
	}
	at, ok := v.anchors(p, b.Origin, b.Checkpoint, b.Time, b.Height, err)
	if !ok {
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
	v.covers = at
	v.anchoredBy(&AnchorSummary{BlockHash: Digest(b.BlockHash), Height: b.Height, Kind: p.Kind, Ledger: b.Ledger,
		Operators: v.in.Trust.Ledgers[i].Operators, Size: size, Time: at})
	return at, true
}

// consortium does the same for a block of a Fabric channel. Its time is the claim of whoever submitted the transaction,
// who may be the very holder of a stolen key: such a block covers no signature.
func (v *verification) consortium(p *Proof, size uint64) (Instant, bool) {
	channel, err := blockproof.FabricChannel(p.Block)
	if err != nil {
		v.set(CheckAnchor, "ANCHOR_INVALID", err)
		return 0, false
	}
	ledger := v.channel(channel)
	if ledger == nil {
		v.set(CheckAnchor, "TRUST_LEDGER_UNKNOWN", fmt.Errorf("channel %q", channel))
		return 0, false
	}
	configs, err := ledger.channel()
	if err != nil { // cannot be: the trust file was validated
		v.set(CheckAnchor, "TRUST_LEDGER_UNKNOWN", err)
		return 0, false
	}
	b, err := blockproof.VerifyFabric(p.Block, ledger.Chaincode, configs...)
	if errors.Is(err, blockproof.ErrUnknownKey) {
		v.set(CheckAnchor, "TRUST_LEDGER_UNKNOWN", err)
		return 0, false
	}
	at, ok := v.anchors(p, b.Origin, b.Checkpoint, b.Time, b.Height, err)
	if !ok {
		return 0, false
	}
	v.set(CheckAnchor, "ANCHOR_CONSORTIUM_OK", nil)
	v.anchoredBy(&AnchorSummary{BlockHash: Digest(b.BlockHash), Height: b.Height, Kind: p.Kind, Ledger: b.Channel, Operators: ledger.Operators, Size: size, Time: at,
		Consortium: &ConsortiumSummary{Chaincode: b.Chaincode, Config: b.Config, Endorsers: b.Endorsers, Orderers: b.Consenters, Quorum: b.Quorum,
			Signatures: b.Signatures, Submitter: b.Org, Total: b.Orderers, Transaction: b.Transaction}})
	return at, true
}

// channel returns the trusted ledger that is the Fabric channel of that name, or nil.
func (v *verification) channel(name string) *TrustLedger {
	if v.in.Trust == nil {
		return nil
	}
	i := slices.IndexFunc(v.in.Trust.Ledgers, func(l TrustLedger) bool { return l.Kind == LedgerFabric && l.Name == name })
	if i < 0 {
		return nil
	}
	return &v.in.Trust.Ledgers[i]
}

// anchors checks that a block, verified with err, anchors what the proof says, by the time of the verdict, and returns
// its time.
func (v *verification) anchors(p *Proof, origin string, note []byte, claimed time.Time, height uint64, err error) (Instant, bool) {
	switch {
	case err != nil:
		v.set(CheckAnchor, "ANCHOR_INVALID", err)
		return 0, false
	case origin != p.Log || string(note) != p.Checkpoint:
		v.set(CheckAnchor, "ANCHOR_MISMATCH", nil)
		return 0, false
	case claimed.Before(minInstant.Time()):
		v.set(CheckAnchor, "ANCHOR_INVALID", fmt.Errorf("block of %s", claimed.Format(time.RFC3339)))
		return 0, false
	}
	at := InstantOf(claimed)
	if at > v.at {
		v.set(CheckAnchor, "ANCHOR_LATER", fmt.Errorf("block %d of %s", height, at))
		v.set(CheckAnchorCheckpoint, "ANCHOR_LATER", nil)
		return 0, false
	}
	return at, true
}

// anchoredBy records the block that anchors the statement.
func (v *verification) anchoredBy(a *AnchorSummary) {
	v.anchored, v.anchoredSize, v.kind = a.Time, a.Size, a.Kind
	if v.report.Subject != nil {
		v.report.Subject.Anchor = a
	}
}
