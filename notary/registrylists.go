package notary

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"cunzheng/evidence"
)

// RegisteredKey is a key of the registry and its revocation, if there is one.
type RegisteredKey struct {
	evidence.Key
	Revocation *evidence.KeyRevocation
}

// Organisations lists the registered organisations by identifier.
func (s *Service) Organisations(_ context.Context, by Actor) ([]evidence.Organisation, error) {
	if err := by.demand(actRegistry); err != nil {
		return nil, err
	}
	s.registry.mu.RLock()
	defer s.registry.mu.RUnlock()
	return slices.SortedFunc(maps.Values(s.registry.organisations),
		func(a, b evidence.Organisation) int { return cmp.Compare(a.ID, b.ID) }), nil
}

// Accounts lists the registered accounts by identifier, without names of persons.
func (s *Service) Accounts(_ context.Context, by Actor) ([]Account, error) {
	if err := by.demand(actRegistry); err != nil {
		return nil, err
	}
	s.registry.mu.RLock()
	defer s.registry.mu.RUnlock()
	list := make([]Account, 0, len(s.registry.accounts))
	for _, a := range s.registry.accounts {
		list = append(list, Account{ID: a.ID, Organisation: a.Organisation, Kind: a.Kind, Roles: rolesOf(a.Roles), Status: a.Status})
	}
	slices.SortFunc(list, func(a, b Account) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// Keys lists the registered keys by organisation, account and time.
func (s *Service) Keys(_ context.Context, by Actor) ([]RegisteredKey, error) {
	if err := by.demand(actRegistry); err != nil {
		return nil, err
	}
	s.registry.mu.RLock()
	defer s.registry.mu.RUnlock()
	list := make([]RegisteredKey, 0, len(s.registry.keys))
	for fingerprint, k := range s.registry.keys {
		r := RegisteredKey{Key: k.Key}
		if revoked, there := s.registry.revoked[fingerprint]; there {
			r.Revocation = &revoked
		}
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b RegisteredKey) int {
		return cmp.Or(cmp.Compare(a.Organisation, b.Organisation), cmp.Compare(a.Account, b.Account),
			cmp.Compare(a.NotBefore, b.NotBefore), cmp.Compare(a.Fingerprint.String(), b.Fingerprint.String()))
	})
	return list, nil
}
