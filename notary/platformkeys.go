package notary

import (
	"cmp"
	"context"
	"slices"

	"cunzheng/evidence"
	"cunzheng/keystore"
)

// RevokePlatformKey logs that one of the platform's own keys must not be trusted any more, from r.At on; without a time,
// from now on. Trust files say so from then on, and each bundle that the key signed is judged by it.
//
// No account may do this. It is for the operator, who holds the keystore, and only for a key that was rotated away: the
// platform would go on signing with it otherwise. The *Error is of CodeKeyUnknown, CodeKeyRevoked if it is revoked from
// that time on already, or CodeFieldInvalid.
func (s *Service) RevokePlatformKey(ctx context.Context, r evidence.KeyRevocation) error {
	return errorOf(s.revokePlatformKey(ctx, r))
}

func (s *Service) revokePlatformKey(ctx context.Context, r evidence.KeyRevocation) error {
	s.registry.change.Lock()
	defer s.registry.change.Unlock()
	k, there := s.platformKey(r.Fingerprint)
	if !there {
		return refuse(CodeKeyUnknown, "这不是平台自身的密钥。", "This is no key of the platform.").at("key")
	}
	if k.Retired.IsZero() {
		return refuse(CodeFieldInvalid, "密钥仍在使用，请先轮换。", "The key is in use: rotate it first.").at("key")
	}
	from, now := evidence.InstantOf(k.Created), s.clock.estimate()
	r.At = cmp.Or(r.At, max(now, from))
	switch known := s.registry.revocation(r.Fingerprint); {
	case r.At < from:
		return refuse(CodeFieldInvalid, "吊销时间早于密钥启用时间。", "The key was not in use yet at that time.").at("at")
	case r.At > max(now, from):
		return refuse(CodeFieldInvalid, "吊销时间晚于现在。", "The time lies in the future.").at("at")
	case known != nil && known.At <= r.At:
		return refuse(CodeKeyRevoked, "该密钥已自 "+known.At.String()+" 起吊销。", "The key is revoked already, from "+known.At.String()+" on.")
	}
	return s.record(ctx, s.platform(), evidence.Statement{Type: evidence.TypeKeyRevocation, Revocation: &r})
}

// PlatformRevocation returns when and why one of the platform's own keys was revoked, or nil.
func (s *Service) PlatformRevocation(fingerprint evidence.Digest) *evidence.KeyRevocation {
	return s.registry.revocation(fingerprint)
}

// platform is who makes the platform's own statements.
func (s *Service) platform() Actor {
	return Actor{Organisation: s.config.Organisation, Account: "platform"}
}

// platformKey returns a key of the keystore by its fingerprint.
func (s *Service) platformKey(fingerprint evidence.Digest) (keystore.PublicKey, bool) {
	for _, role := range platformRoles {
		keys := s.keys.Keys(role)
		i := slices.IndexFunc(keys, func(k keystore.PublicKey) bool { return evidence.Digest(k.Key.Fingerprint()) == fingerprint })
		if i >= 0 {
			return keys[i], true
		}
	}
	return keystore.PublicKey{}, false
}

var platformRoles = []keystore.Role{keystore.RoleLog, keystore.RoleReceipt, keystore.RoleToken, keystore.RoleSeal, keystore.RoleLedger}
