package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"cunzheng/api/token"
	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm3"
	"cunzheng/evidence"
	"cunzheng/notary"
)

type fakeKeys struct{ key *sm2.PrivateKey }

type fakeSigner struct{ *sm2.PrivateKey }

func (fakeSigner) KeyID() string { return "k1" }

func (f fakeKeys) TokenSigner() (token.Signer, error) { return fakeSigner{f.key}, nil }
func (f fakeKeys) TokenKeys() []token.PublicKey {
	return []token.PublicKey{{ID: "k1", Key: f.key.Public().(*sm2.PublicKey)}}
}

type fake struct {
	mu       sync.Mutex
	contents map[string][]byte
	keys     map[string]*sm2.PublicKey
}

func (f *fake) receipt(number string) []byte {
	r := evidence.Receipt{Schema: evidence.SchemaReceipt, Number: number, Proof: []evidence.Digest{}, Checkpoint: "x\n", Signature: []byte{1}, Log: "cz.example/log",
		Key: evidence.Digest{1}, Leaf: evidence.Digest{1}, Statement: evidence.Digest{1}, ReceivedAt: evidence.InstantOf(time.Now())}
	b, err := r.Encode()
	if err != nil {
		panic(err)
	}
	return b
}

func (f *fake) put(content []byte) *notary.Deposit {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := evidence.NumberFormat{Area: "XM", Region: "350200", Office: "NOT01"}.Format(time.Now(), uint64(len(f.contents)+1))
	if f.contents == nil {
		f.contents = map[string][]byte{}
	}
	f.contents[n] = content
	return &notary.Deposit{Number: n, Receipt: f.receipt(n), Statement: []byte(`{"depositor":{},"log":"x","nonce":"x","receivedAt":"2026-11-23T11:22:33.456Z","schema":"cunzheng/statement/v1","type":"file"}`)}
}

func (f *fake) DepositFile(_ context.Context, _ notary.Actor, d notary.FileDeposit, r io.Reader) (*notary.Deposit, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	if d.ExpectSM3 != (evidence.Digest{}) && d.ExpectSM3 != evidence.Digest(sm3.Sum(b)) {
		return nil, &notary.Error{Code: "DIGEST_MISMATCH", ZH: "不符。", EN: "Mismatch."}
	}
	return f.put(b), nil
}
func (f *fake) DepositDigest(_ context.Context, _ notary.Actor, d notary.DigestDeposit) (*notary.Deposit, error) {
	return f.put(nil), nil
}
func (f *fake) DepositDigests(_ context.Context, _ notary.Actor, d []notary.DigestDeposit) []notary.Result {
	r := make([]notary.Result, len(d))
	for i := range d {
		r[i].Deposit = f.put(nil)
	}
	return r
}
func (f *fake) Get(_ context.Context, _ notary.Actor, number string) (*notary.Record, error) {
	return nil, &notary.Error{Code: "NOT_FOUND", ZH: "无。", EN: "None."}
}
func (f *fake) Search(context.Context, notary.Actor, notary.Query) (*notary.Page, error) {
	return &notary.Page{}, nil
}
func (f *fake) Bundle(_ context.Context, _ notary.Actor, _ string, w io.Writer, _ notary.BundleOptions) error {
	return errors.New("disk")
}
func (f *fake) ContentInfo(_ context.Context, _ notary.Actor, number string) (*notary.ContentInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &notary.ContentInfo{Name: "合同 1.pdf", Size: int64(len(f.contents[number])), SM3: sm3.Sum(f.contents[number])}, nil
}
func (f *fake) Content(_ context.Context, _ notary.Actor, number string, w io.Writer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := w.Write(f.contents[number])
	return err
}
func (f *fake) Trust() (*evidence.Trust, error) {
	return &evidence.Trust{Schema: evidence.SchemaTrust, Created: evidence.InstantOf(time.Now()), Logs: []evidence.TrustLog{}, Ledgers: []evidence.TrustLedger{}}, nil
}
func (f *fake) Authenticate(_ context.Context, account, password string) (notary.Actor, error) {
	if password != "correct horse" {
		return notary.Actor{}, &notary.Error{Code: "CREDENTIALS_INVALID", ZH: "无。", EN: "None."}
	}
	return f.Actor("org", account, "")
}
func (f *fake) Actor(_, account, _ string) (notary.Actor, error) {
	return notary.Actor{Organisation: "org", Account: account, Roles: []notary.Role{notary.Role(account)}}, nil
}
func (f *fake) AuthenticationKey(id string) (*sm2.PublicKey, error) {
	if k := f.keys[id]; k != nil {
		return k, nil
	}
	return nil, errors.New("unknown key")
}
func (f *fake) Checkpoint() ([]byte, error) { return []byte("cz.example/log\n0\n\n"), nil }
func (f *fake) Tile(string) ([]byte, error) {
	return nil, &notary.Error{Code: "NOT_FOUND", ZH: "无。", EN: "None."}
}
func (f *fake) EntryBundle(string) ([]byte, error) {
	return nil, &notary.Error{Code: "NOT_FOUND", ZH: "无。", EN: "None."}
}
