package notary

import (
	"context"
	"slices"
	"time"

	"cunzheng/crypto/sm2"
	"cunzheng/evidence"
)

// Authenticate checks a password and returns the account it belongs to. Whoever does not know the password does not
// learn whether there is such an account.
func (s *Service) Authenticate(ctx context.Context, account, password string) (Actor, error) {
	actor, err := s.authenticate(ctx, account, password)
	result := "ok"
	if err = errorOf(err); err != nil {
		result = codeOf(err)
	}
	s.metrics.logins.WithLabelValues(result).Inc()
	return actor, err
}

func (s *Service) authenticate(ctx context.Context, account, password string) (Actor, error) {
	credential, err := s.accounts.check(ctx, account, password)
	if err != nil {
		return Actor{}, err
	}
	return s.actor("", account, credential)
}

// Actor returns an account with the roles it has now, or an error if it, its organisation, or what it proved itself with
// may not act any more. An empty organisation means whichever the account belongs to. The credential is the id of the
// authentication key the account proved itself with, or Actor.Credential of what Authenticate returned.
func (s *Service) Actor(organisation, account, credential string) (Actor, error) {
	return s.actor(organisation, account, credential)
}

func (s *Service) actor(organisation, account, credential string) (Actor, error) {
	a, there := s.registry.account(account)
	switch {
	case !there || organisation != "" && a.Organisation != organisation:
		return Actor{}, accountUnknown()
	case a.Status != evidence.StandingActive:
		return Actor{}, refuse(CodeAccountClosed, "账号已停用。", "The account is closed.").at("account")
	}
	if _, err := s.registry.organisation(a.Organisation); err != nil {
		return Actor{}, err
	}
	actor := Actor{Organisation: a.Organisation, Account: a.ID, Roles: rolesOf(a.Roles), Credential: credential}
	if isPassword(credential) {
		if current, there := s.accounts.credential(a.ID); !there || current != credential {
			return Actor{}, refuse(CodeLoginFailed, "口令已变更，请重新登录。", "The password has changed; sign in again.")
		}
		actor.Authentication = evidence.AuthenticationPassword
		return actor, nil
	}
	k, err := s.keyByID(credential)
	if err != nil {
		return Actor{}, err
	}
	if k.Account != a.ID {
		return Actor{}, refuse(CodeKeyUnknown, "密钥不属于该账号。", "The key is not this account's.")
	}
	if k.Roles != nil { // the key may be trusted with less than its account
		actor.Roles = slices.DeleteFunc(actor.Roles, func(r Role) bool { return !slices.Contains(k.Roles, string(r)) })
	}
	actor.Authentication, actor.Key = evidence.AuthenticationKey, k.Fingerprint
	return actor, nil
}

// AuthenticationKey returns the registered key with the given id (its fingerprint in hexadecimal), or says why it may
// not prove anybody now.
func (s *Service) AuthenticationKey(id string) (*sm2.PublicKey, error) {
	k, err := s.keyByID(id)
	if err != nil {
		return nil, err
	}
	return k.parsed, nil
}

func (s *Service) keyByID(id string) (registeredKey, error) {
	fingerprint, err := evidence.ParseDigest(id)
	if err != nil {
		return registeredKey{}, refuse(CodeKeyUnknown, "密钥标识应为公钥指纹（64 位十六进制）。",
			"The id of a key is its fingerprint (64 hexadecimal characters).").because(err)
	}
	now := s.clock.wall()
	return s.registry.authenticationKey(fingerprint, now, s.reached(now))
}

// reached is now, or what the log has reached if that is later.
func (s *Service) reached(now time.Time) evidence.Instant {
	return max(evidence.InstantOf(now), s.clock.latest())
}
