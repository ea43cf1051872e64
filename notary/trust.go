package notary

import (
	"cunzheng/evidence"
	"cunzheng/keystore"
)

// Trust returns what a verifier needs to know about this platform: its log, its keys, those it no longer uses
// included, and the ledger it is anchored on.
func (s *Service) Trust() (*evidence.Trust, error) {
	t := &evidence.Trust{
		Schema:  evidence.SchemaTrust,
		Created: s.now(),
		Logs: []evidence.TrustLog{{
			Origin: s.config.Origin, Office: s.config.Office,
			Keys: s.trustKeys(keystore.RoleLog, keystore.RoleReceipt, keystore.RoleToken, keystore.RoleSeal),
		}},
		Ledgers: []evidence.TrustLedger{},
	}
	for _, l := range s.config.Ledgers {
		trusted := evidence.TrustLedger{
			Kind: l.Kind, Name: l.Name, Operators: l.Operators, Chaincode: l.Chaincode, Configs: l.Configs, Keys: []evidence.TrustKey{},
		}
		if l.Kind == evidence.LedgerEmbedded {
			trusted.Keys = s.trustKeys(keystore.RoleLedger)
		}
		t.Ledgers = append(t.Ledgers, trusted)
	}
	if err := t.Validate(); err != nil {
		return nil, internal(err)
	}
	return t, nil
}

func (s *Service) trustKeys(roles ...keystore.Role) []evidence.TrustKey {
	keys := []evidence.TrustKey{}
	for _, role := range roles {
		for _, k := range s.keys.Keys(role) {
			trusted := evidence.TrustKey{
				ID: k.Key.Fingerprint(), Role: evidence.Role(role), SPKI: k.Key.SPKI(),
				From: evidence.InstantOf(k.Created), Until: evidence.InstantOf(k.Retired),
			}
			if r := s.registry.revocation(trusted.ID); r != nil {
				trusted.Revoked = &evidence.TrustRevocation{At: r.At, Reason: r.Reason}
			}
			keys = append(keys, trusted)
		}
	}
	return keys
}
