package fabric

import (
	"context"

	"cunzheng/ledger/blockproof"
)

// OrderWithOneEndorsement sends a call that only the peer of the caller's organisation has endorsed through the ordering
// service. It returns the proof that its block would be, and the peer's own word on the transaction.
func (l *Ledger) OrderWithOneEndorsement(ctx context.Context, function string, args ...[]byte) (proof []byte, judged, err error) {
	ctx, end, err := l.begin(ctx, l.o.Timeout)
	if err != nil {
		return nil, nil, err
	}
	defer end()
	call, err := l.client.propose(l.o.Chaincode, function, args)
	if err != nil {
		return nil, nil, err
	}
	a := l.client.ask(ctx, l.client.peers[0], call)
	if a.err != nil {
		return nil, nil, a.err
	}
	fate, _, judged := l.order(ctx, call, []answer{a})
	raw, _, err := l.block(ctx, l.client.archives(), fate.block)
	if err != nil {
		return nil, judged, err
	}
	proof, err = blockproof.FabricProof{Block: raw, Transaction: string(call.TxnID)}.Encode()
	return proof, judged, err
}
