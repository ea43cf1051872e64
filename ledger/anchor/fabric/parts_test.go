package fabric

import (
	"errors"
	"testing"

	"github.com/hyperledger/fabric-protos-go/common"
	pb "github.com/hyperledger/fabric-protos-go/peer"
	"github.com/hyperledger/fabric-sdk-go/pkg/common/errors/status"
	"github.com/hyperledger/fabric-sdk-go/pkg/common/providers/fab"

	"cunzheng/chaincode"
	"cunzheng/ledger/anchor"
)

// organisation is a peer that is only counted.
type organisation struct {
	fab.Peer
	msp string
}

func (o organisation) MSPID() string { return o.msp }

func TestTally(t *testing.T) {
	type vote struct{ msp, result, code string }
	for _, test := range []struct {
		name    string
		votes   []vote
		agreed  int // answers; 0 for none
		refused chaincode.Code
	}{
		{"nobody", nil, 0, ""},
		{"a majority", []vote{{"A", "x", ""}, {"B", "x", ""}, {"C", "x", ""}}, 3, ""},
		{"a majority beside others", []vote{{"A", "x", ""}, {"D", "y", ""}, {"B", "x", ""}, {"C", "x", ""}}, 3, ""},
		{"a majority beside a refusal", []vote{{"A", "x", ""}, {"D", "", "FORK"}, {"B", "x", ""}, {"C", "x", ""}}, 3, ""},
		{"two peers of one organisation", []vote{{"A", "x", ""}, {"A", "x", ""}, {"B", "x", ""}}, 0, ""},
		{"two and two", []vote{{"A", "x", ""}, {"B", "x", ""}, {"C", "y", ""}, {"D", "y", ""}}, 0, ""},
		{"refused", []vote{{"A", "", "FORK"}, {"B", "", "FORK"}, {"C", "", "FORK"}}, 0, chaincode.Fork},
		{"refused by two peers of one organisation", []vote{{"A", "", "FORK"}, {"A", "", "FORK"}, {"B", "", "FORK"}}, 0, ""},
		{"refused for different reasons", []vote{{"A", "", "FORK"}, {"B", "", "FORK"}, {"C", "", "PROOF"}}, 0, ""},
	} {
		var count tally
		for _, v := range test.votes {
			p := &peer{Peer: organisation{msp: v.msp}}
			if v.code != "" {
				count.refuse(p, &chaincode.Error{Code: chaincode.Code(v.code)})
				continue
			}
			payload := &pb.ProposalResponse{Payload: []byte(v.result)}
			count.agree(answer{peer: p, response: &fab.TransactionProposalResponse{ProposalResponse: payload}})
		}
		agreed, refusal := count.majority(3)
		if len(agreed) != test.agreed || (refusal != nil) != (test.refused != "") || refusal != nil && refusal.Code != test.refused {
			t.Errorf("%s: %d agreed, refusal %v (%s)", test.name, len(agreed), refusal, &count)
		}
	}
}

func TestAsRefusal(t *testing.T) {
	for _, test := range []struct {
		err  error
		code chaincode.Code
	}{
		{status.New(status.ChaincodeStatus, 500, `FORK: log "a" has another root`, nil), chaincode.Fork},
		{status.New(status.ChaincodeStatus, 500, "error in simulation: failed to execute transaction", nil), ""},
		{status.New(status.ChaincodeStatus, 500, "chaincode: reading: PROOF: no", nil), ""},
		{status.New(status.GRPCTransportStatus, 14, "FORK: said by no contract", nil), ""},
		{errors.New("FORK: said by no contract"), ""},
	} {
		refusal := asRefusal(test.err)
		if (refusal == nil) != (test.code == "") || refusal != nil && refusal.Code != test.code {
			t.Errorf("%v: %v", test.err, refusal)
		}
	}
}

func TestJudge(t *testing.T) {
	for code, want := range map[pb.TxValidationCode]verdict{
		pb.TxValidationCode_VALID:                      final,
		pb.TxValidationCode_MVCC_READ_CONFLICT:         again,
		pb.TxValidationCode_PHANTOM_READ_CONFLICT:      again,
		pb.TxValidationCode_ENDORSEMENT_POLICY_FAILURE: patient,
		pb.TxValidationCode_BAD_CREATOR_SIGNATURE:      final,
	} {
		next, err := judge("id", code)
		if next != want || (err == nil) != (code == pb.TxValidationCode_VALID) {
			t.Errorf("%s: %v, %v", code, next, err)
		}
		if err != nil && !errors.Is(err, anchor.ErrUnavailable) {
			t.Errorf("%s: %v is no ErrUnavailable", code, err)
		}
	}
}

func TestPhaseErrorText(t *testing.T) {
	err := refused("ab12", &chaincode.Error{Code: chaincode.Rollback, Reason: "too small"})
	const want = "fabric: endorse of transaction ab12: anchor: the log has fewer entries than the ledger has anchored: ROLLBACK: too small"
	if err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

// FuzzBlock holds that no block that a peer makes up brings the driver down.
func FuzzBlock(f *testing.F) {
	block, err := marshal(&common.Block{
		Header:   &common.BlockHeader{Number: 7},
		Data:     &common.BlockData{Data: [][]byte{{}, {0x0a, 0}}},
		Metadata: &common.BlockMetadata{Metadata: [][]byte{{}, {}, {0, 0}}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(block)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, encoded []byte) {
		b := new(common.Block)
		if unmarshal(encoded, b) != nil {
			return
		}
		if last, err := lastConfig(b); err == nil && last > b.GetHeader().GetNumber() {
			t.Errorf("config block %d", last)
		}
		_, _ = transactionAt(b, 0)
		_ = announced(b, "cunzheng", func(uint64, chaincode.Announcement) error { return nil })
	})
}

// FuzzAnswer holds the same of answers to proposals.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, payload, value []byte) {
		r, err := readResult(&pb.ProposalResponse{Payload: payload, Response: &pb.Response{Payload: value}}, "cunzheng")
		if err == nil && (r.state == nil || string(r.value) != string(value)) {
			t.Errorf("%+v", r)
		}
	})
}
