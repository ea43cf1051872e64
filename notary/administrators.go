package notary

import (
	"context"

	"cunzheng/evidence"
)

// The three administrators (三员) check each other only while none can become another. Two ways would lead there:
//
//   - Whoever sets a password, or registers a key that proves an account, can sign in as that account. So what an
//     administrator's account proves itself with is set by an administrator of the same kind, who gains nothing by it,
//     or by the operator of the machine. The first one only is the security administrator's to set: it takes a new
//     account, which another administrator has to register.
//   - Once nobody is left in a role, the others act unchecked, and nobody may bring it back. So the last one who can act
//     in a role stays.

// CorrelationPassword marks the statement that an account was given a new password: a statement of type officer that
// repeats the account as it is registered, by whoever set the password.
const CorrelationPassword = "cunzheng:password-set"

// SetPassword gives a registered account a new password and ends a lock. Tokens issued for the old password end. The log
// says who did it, before it is done.
func (s *Service) SetPassword(ctx context.Context, by Actor, account, password string) error {
	return errorOf(s.setPassword(ctx, by, account, password))
}

func (s *Service) setPassword(ctx context.Context, by Actor, account, password string) error {
	if _, err := s.mayProve(by, account); err != nil { // before the work that follows
		return err
	}
	hashed, err := s.accounts.prepare(ctx, account, password)
	if err != nil {
		return err
	}
	s.registry.change.Lock()
	defer s.registry.change.Unlock()
	officer, err := s.mayProve(by, account)
	if err != nil {
		return err
	}
	if _, err := s.clock.receipt(); err != nil {
		return err
	}
	err = s.record(ctx, by, evidence.Statement{Type: evidence.TypeOfficer, Officer: &officer, Correlation: CorrelationPassword})
	if err != nil {
		return err
	}
	return s.accounts.setPassword(account, hashed)
}

// mayProve returns an account if by may say what it proves itself with. Whoever may not does not learn whether there is
// such an account.
func (s *Service) mayProve(by Actor, account string) (evidence.Officer, error) {
	officer, there := s.registry.account(account)
	role := administratorOf(officer.Roles)
	if there && role != "" && by.holds(role) {
		return officer, nil
	}
	if err := by.demand(actSecrets); err != nil {
		return evidence.Officer{}, err
	}
	switch {
	case !there:
		return evidence.Officer{}, accountUnknown()
	case role == "", by.Authentication == "", s.neverProved(account):
		return officer, nil
	}
	return evidence.Officer{}, refuse(CodeForbidden, "管理员的口令和密钥，除首次外，只能由同类管理员设置。",
		"After the first time, passwords and keys of an administrator are set by administrators of the same kind.").at("account")
}

func (a Actor) holds(role string) bool {
	for _, r := range a.Roles {
		if string(r) == role {
			return true
		}
	}
	return false
}

// neverProved reports whether the account has had neither a password nor a key so far.
func (s *Service) neverProved(account string) bool {
	_, hasPassword := s.accounts.credential(account)
	return !hasPassword && !s.registry.anyKey(account, func(registeredKey) bool { return true })
}

// canSignIn reports whether the account has a password, or a key that proves it now.
func (s *Service) canSignIn(account string) bool {
	if _, hasPassword := s.accounts.credential(account); hasPassword {
		return true
	}
	now := s.clock.wall()
	return s.registry.anyKey(account, func(k registeredKey) bool {
		_, err := s.registry.authenticationKey(k.Fingerprint, now, s.reached(now))
		return err == nil
	})
}

// keepAdministrators returns an error if nobody could act in an administrator's role any more once the accounts that
// goes names are gone. The caller holds registry.change.
func (s *Service) keepAdministrators(goes func(evidence.Officer) bool) error {
	leaving, staying := make(map[string]bool), make(map[string]bool)
	for _, a := range s.registry.active() {
		role := administratorOf(a.Roles)
		switch {
		case role == "":
		case goes(a):
			leaving[role] = true
		case s.canSignIn(a.ID):
			staying[role] = true
		}
	}
	for role := range leaving {
		if !staying[role] {
			return refuse(CodeLastAdministrator, "该角色（"+role+"）没有其他可用的管理员，不得停用最后一名。",
				"Nobody else can act as "+role+"; the last one stays.").at("status")
		}
	}
	return nil
}
