package api

import (
	"encoding/pem"

	"cunzheng/api/wire"
	"cunzheng/evidence"
	"cunzheng/notary"
)

func depositOf(d *notary.Deposit) *wire.Deposit {
	answer := &wire.Deposit{Number: d.Number, Receipt: d.Receipt, Statement: d.Statement, Replayed: d.Duplicate, Earlier: d.Earlier}
	for _, n := range d.Notes {
		answer.Notes = append(answer.Notes, wire.Note(n))
	}
	return answer
}

func evidenceOf(r *notary.Record) wire.Evidence {
	e := wire.Evidence{Number: r.Number, Level: "accepted", Statement: r.Statement, Receipt: r.Receipt, Disclosed: r.Disclosed}
	if r.Anchored {
		e.Level = "anchored"
	}
	return e
}

func pageOf(p *notary.Page) wire.Page {
	page := wire.Page{Items: make([]wire.Summary, len(p.Items)), Next: p.Next}
	for i, item := range p.Items {
		st := item.Statement
		page.Items[i] = wire.Summary{
			Number: st.Number, Type: string(st.Type), ReceivedAt: st.ReceivedAt, Organisation: st.Depositor.Organisation,
			SM3: st.Content.SM3, SHA256: st.Content.SHA256, Size: st.Content.Size, Case: st.Case, Correlation: st.Correlation,
		}
	}
	return page
}

func platformKey(of string, k evidence.TrustKey) wire.PlatformKey {
	return wire.PlatformKey{
		ID: k.ID, Of: of, Role: k.Role, From: k.From, Until: k.Until, Revoked: k.Revoked,
		PEM: publicPEM(k.SPKI),
	}
}

func keyOf(k evidence.Key) wire.Key {
	return wire.Key{
		ID: k.Fingerprint, Organisation: k.Organisation, Account: k.Account, Use: k.Use, Roles: k.Roles,
		PEM: publicPEM(k.SPKI), NotBefore: k.NotBefore, NotAfter: k.NotAfter,
	}
}

const publicKeyPEM = "PUBLIC KEY"

func publicPEM(spki []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: publicKeyPEM, Bytes: spki}))
}

func roleNames(roles []notary.Role) []string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return names
}
