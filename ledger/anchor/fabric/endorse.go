package fabric

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hyperledger/fabric-protos-go/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go/ledger/rwset/kvrwset"
	pb "github.com/hyperledger/fabric-protos-go/peer"
	"github.com/hyperledger/fabric-sdk-go/pkg/common/providers/fab"

	"cunzheng/chaincode"
)

// answerTimeout bounds how long one peer is waited for before another is asked.
const answerTimeout = 10 * time.Second

// answer is what one peer said to a proposal.
type answer struct {
	peer     *peer
	response *fab.TransactionProposalResponse // nil if err is set
	err      error
}

func (c *client) ask(ctx context.Context, p *peer, call *proposal) answer {
	ctx, cancel := c.request(ctx, answerTimeout)
	defer cancel()
	response, err := p.ProcessTransactionProposal(ctx, call.request)
	if err != nil {
		return answer{peer: p, err: err}
	}
	return answer{peer: p, response: response}
}

// evaluate asks one peer after the other until one answers or refuses.
func (c *client) evaluate(ctx context.Context, peers []*peer, chaincode, function string, args ...[]byte) (answer, error) {
	call, err := c.propose(chaincode, function, args)
	if err != nil {
		return answer{}, unavailable(PhaseTransport, "", err)
	}
	var errs []error
	for _, p := range peers {
		a := c.ask(ctx, p, call)
		if a.err == nil {
			return a, nil
		}
		if refusal := asRefusal(a.err); refusal != nil {
			return answer{}, refused("", refusal)
		}
		errs = append(errs, a.err)
		if err := context.Cause(ctx); err != nil {
			return answer{}, unavailable(PhaseTransport, "", err)
		}
	}
	return answer{}, unavailable(PhaseTransport, "", errors.Join(errs...))
}

// endorse sends a proposal to all peers at once and returns the answers of the first majority of organisations that
// came to the same result. An unreachable or slow peer thus costs no time. If all is set, it waits for everybody, so
// that a majority stands even if some of the signatures turn out to be worthless.
//
// If a majority refuses for the same reason, that is the error. It is final if nobody is of another opinion; otherwise
// some are behind, and it may be the majority.
func (c *client) endorse(ctx context.Context, call *proposal, majority int, all bool) ([]answer, verdict, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // for those who are not waited for
	peers := c.endorsers()
	answers := make(chan answer, len(peers))
	for _, p := range peers {
		go func() { answers <- c.ask(ctx, p, call) }()
	}
	var count tally
	var errs []error
	for range peers {
		a := <-answers
		if a.err == nil {
			count.agree(a)
		} else if refusal := asRefusal(a.err); refusal != nil {
			count.refuse(a.peer, refusal)
		} else {
			errs = append(errs, a.err)
		}
		if agreed, _ := count.majority(majority); agreed != nil && !all {
			return agreed, final, nil
		}
	}
	agreed, refusal := count.majority(majority)
	switch {
	case agreed != nil:
		return agreed, final, nil
	case refusal != nil && len(count.results)+len(count.refusals) == 1:
		return nil, final, refused(string(call.TxnID), refusal)
	case refusal != nil:
		return nil, again, refused(string(call.TxnID), refusal)
	}
	phase := PhaseEndorse
	if len(errs) == len(peers) {
		phase = PhaseTransport
	}
	errs = append([]error{fmt.Errorf("no %d organisations with the same result: %s", majority, &count)}, errs...)
	return nil, again, unavailable(phase, string(call.TxnID), errors.Join(errs...))
}

// tally counts organisations by the result they came to. An organisation counts by the peer that was asked, whatever
// the answer claims.
type tally struct {
	results  [][]answer // each with one payload
	refusals []refusals
}

type refusals struct {
	*chaincode.Error
	organisations map[string]bool
}

func (t *tally) agree(a answer) {
	for i, r := range t.results {
		if bytes.Equal(r[0].response.ProposalResponse.Payload, a.response.ProposalResponse.Payload) {
			t.results[i] = append(r, a)
			return
		}
	}
	t.results = append(t.results, []answer{a})
}

func (t *tally) refuse(p *peer, e *chaincode.Error) {
	for _, r := range t.refusals {
		if r.Code == e.Code {
			r.organisations[p.MSPID()] = true
			return
		}
	}
	t.refusals = append(t.refusals, refusals{e, map[string]bool{p.MSPID(): true}})
}

// majority returns the answers or the refusal that at least n organisations gave.
func (t *tally) majority(n int) ([]answer, *chaincode.Error) {
	for _, r := range t.results {
		if organisations(r) >= n {
			return r, nil
		}
	}
	for _, r := range t.refusals {
		if len(r.organisations) >= n {
			return nil, r.Error
		}
	}
	return nil, nil
}

func organisations(answers []answer) int {
	seen := make(map[string]bool)
	for _, a := range answers {
		seen[a.peer.MSPID()] = true
	}
	return len(seen)
}

func (t *tally) String() string {
	var text bytes.Buffer
	fmt.Fprintf(&text, "%d results", len(t.results))
	for _, r := range t.results {
		fmt.Fprintf(&text, ", one of %d organisations", organisations(r))
	}
	for _, r := range t.refusals {
		fmt.Fprintf(&text, "; refused by %d (%v)", len(r.organisations), r.Error)
	}
	return text.String()
}

// result is what a simulated transaction read, wrote and returned.
type result struct {
	value []byte
	state *kvrwset.KVRWSet // of the namespace asked for; empty if the transaction did not touch it
}

func readResult(response *pb.ProposalResponse, namespace string) (result, error) {
	r := result{value: response.GetResponse().GetPayload(), state: new(kvrwset.KVRWSet)}
	payload, action, sets := new(pb.ProposalResponsePayload), new(pb.ChaincodeAction), new(rwset.TxReadWriteSet)
	if err := unwrap(
		layer{func() []byte { return response.Payload }, payload},
		layer{func() []byte { return payload.Extension }, action},
		layer{func() []byte { return action.Results }, sets},
	); err != nil {
		return result{}, fmt.Errorf("fabric: answer of a peer: %w", err)
	}
	for _, set := range sets.NsRwset {
		if set.Namespace != namespace {
			continue
		}
		if err := unmarshal(set.Rwset, r.state); err != nil {
			return result{}, fmt.Errorf("fabric: answer of a peer: %w", err)
		}
	}
	return r, nil
}
