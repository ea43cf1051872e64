package consortium

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"cunzheng/evidence"
	"cunzheng/ledger/anchor/directory"
)

// platformRoles are the roles of keys that belong into a trust file.
var platformRoles = []evidence.Role{evidence.RoleLog, evidence.RoleReceipt, evidence.RoleToken, evidence.RoleSeal}

// Trust returns what a verifier needs to know about the whole consortium: the logs of all nodes in the directory with
// their keys, retired and revoked ones included, and the ledgers of [Options]. A log that cannot stand in a trust file,
// because its owner published no keys or too many, is left out and said in the log.
//
// It is worth what the directory's answers are worth; see package directory.
func (c *Consortium) Trust(ctx context.Context) (*evidence.Trust, error) {
	nodes, err := c.o.Directory.Nodes(ctx, "")
	if err != nil {
		return nil, err
	}
	trust, err := c.emptyTrust(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		keys, err := c.o.Directory.Keys(ctx, n.Origin)
		if err != nil {
			return nil, err
		}
		log := trustLog(n, keys)
		if err := usable(log, trust.Created); err != nil {
			c.o.Logger.Warn("a log of the directory is left out of the trust file", "log", n.Origin, "error", err)
			continue
		}
		trust.Logs = append(trust.Logs, log)
	}
	if err := trust.Validate(); err != nil {
		return nil, fmt.Errorf("consortium: %w", err)
	}
	return trust, nil
}

// emptyTrust is a trust file with the ledgers alone.
func (c *Consortium) emptyTrust(ctx context.Context) (*evidence.Trust, error) {
	ledgers, err := c.o.Ledgers(ctx)
	if err != nil {
		return nil, fmt.Errorf("consortium: ledgers: %w", err)
	}
	if ledgers == nil {
		ledgers = []evidence.TrustLedger{}
	}
	return &evidence.Trust{
		Schema: evidence.SchemaTrust, Created: evidence.InstantOf(c.o.Clock()), Logs: []evidence.TrustLog{}, Ledgers: ledgers,
	}, nil
}

// usable says why a log cannot stand in a trust file.
func usable(log evidence.TrustLog, created evidence.Instant) error {
	alone := evidence.Trust{Schema: evidence.SchemaTrust, Created: created, Logs: []evidence.TrustLog{log}, Ledgers: []evidence.TrustLedger{}}
	if err := alone.Validate(); err != nil {
		return err
	}
	if len(log.Keys) == 0 {
		return fmt.Errorf("%s has no keys in the directory", log.Origin)
	}
	return nil
}

// trustLog turns what the directory says about a log into its part of a trust file.
//
// The directory says from when a key is in use, and not until when: a node uses one key for each role at a time, so a key
// ends where the next one of its role begins.
func trustLog(n directory.Node, keys []directory.Key) evidence.TrustLog {
	log := evidence.TrustLog{Origin: n.Origin, Office: n.Name, Keys: []evidence.TrustKey{}}
	for _, k := range keys {
		role := evidence.Role(k.Role)
		if !slices.Contains(platformRoles, role) || k.Organisation != n.Organisation {
			continue
		}
		trusted := evidence.TrustKey{From: evidence.InstantOf(k.From), ID: k.Key.Fingerprint(), Role: role, SPKI: k.Key.SPKI()}
		if r := k.Revoked; r != nil {
			trusted.Revoked = &evidence.TrustRevocation{At: evidence.InstantOf(r.At), Reason: evidence.RevocationReason(r.Reason)}
		}
		log.Keys = append(log.Keys, trusted)
	}
	slices.SortFunc(log.Keys, func(a, b evidence.TrustKey) int {
		return cmp.Or(cmp.Compare(slices.Index(platformRoles, a.Role), slices.Index(platformRoles, b.Role)),
			cmp.Compare(a.From, b.From), slices.Compare(a.ID[:], b.ID[:]))
	})
	for i := range log.Keys[:max(0, len(log.Keys)-1)] {
		if next := log.Keys[i+1]; next.Role == log.Keys[i].Role {
			log.Keys[i].Until = next.From
		}
	}
	return log
}
