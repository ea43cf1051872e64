package notary

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"cunzheng/crypto/sm2"
	"cunzheng/evidence"
	"cunzheng/keystore"
	"cunzheng/ledger"
)

// registry is what the log's registry entries add up to. It is derived: applying them in their order makes it.
type registry struct {
	// change is held over checking and logging a change, so that changes come one after the other.
	change sync.Mutex

	mu            sync.RWMutex // guards what follows
	organisations map[string]evidence.Organisation
	accounts      map[string]evidence.Officer
	keys          map[evidence.Digest]registeredKey
	revoked       map[evidence.Digest]evidence.KeyRevocation // registered keys and the platform's own
	own           map[evidence.Digest]evidence.LogKey        // the platform's own keys
}

type registeredKey struct {
	evidence.Key
	parsed *sm2.PublicKey
}

func newRegistry() *registry {
	return &registry{
		organisations: make(map[string]evidence.Organisation),
		accounts:      make(map[string]evidence.Officer),
		keys:          make(map[evidence.Digest]registeredKey),
		revoked:       make(map[evidence.Digest]evidence.KeyRevocation),
		own:           make(map[evidence.Digest]evidence.LogKey),
	}
}

// apply takes over one entry.
func (r *registry) apply(s *evidence.Statement) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch s.Type {
	case evidence.TypeOrganisation:
		r.organisations[s.Organisation.ID] = *s.Organisation
	case evidence.TypeOfficer:
		r.accounts[s.Officer.ID] = *s.Officer
	case evidence.TypeKey:
		parsed, err := sm2.ParsePublicKey(s.Key.SPKI)
		if err != nil {
			return err
		}
		r.keys[s.Key.Fingerprint] = registeredKey{*s.Key, parsed}
	case evidence.TypeKeyRevocation:
		// The earliest time counts: a later entry cannot make a key good again.
		if known, there := r.revoked[s.Revocation.Fingerprint]; !there || s.Revocation.At < known.At {
			r.revoked[s.Revocation.Fingerprint] = *s.Revocation
		}
	case evidence.TypeLogKey:
		r.own[s.LogKey.Fingerprint] = *s.LogKey
	}
	return nil
}

// replayRegistry reads the registry out of the log. Its entries are found by their term, in order within each type;
// types do not depend on each other's order.
func (s *Service) replayRegistry() error {
	return s.each(ledger.Query{Kind: evidence.TermRegistry}, func(index uint64) error {
		statement, err := s.statement(index)
		if err != nil {
			return err
		}
		return s.registry.apply(statement)
	})
}

// record logs a registry entry and then applies it. Whether the clock must be right is the caller's to say: taking
// somebody's power away must not wait for it. The caller holds registry.change.
func (s *Service) record(ctx context.Context, by Actor, body evidence.Statement, disclosures ...evidence.Disclosure) error {
	body.Schema, body.Log, body.Nonce = evidence.SchemaStatement, s.config.Origin, evidence.NewNonce()
	body.Depositor = s.depositor(by)
	body.Private = evidence.Commit(disclosures)
	body.ReceivedAt = s.clock.estimate()
	d := &draft{Statement: body, disclosures: disclosures}
	entry, err := s.entry(d)
	if err != nil {
		return err
	}
	if _, err := s.log.Append(context.WithoutCancel(ctx), entry); err != nil {
		err, _ = logError(err)
		return err
	}
	s.clock.atLeast(d.ReceivedAt)
	return s.registry.apply(&d.Statement)
}

// RegisterOrganisation registers an organisation, or changes it: the last entry counts. An empty status means active.
func (s *Service) RegisterOrganisation(ctx context.Context, by Actor, o evidence.Organisation) error {
	if err := by.demand(actPeople); err != nil {
		return err
	}
	o.Status = cmp.Or(o.Status, evidence.StandingActive)
	s.registry.change.Lock()
	defer s.registry.change.Unlock()
	if o.Status != evidence.StandingActive {
		if err := s.keepAdministrators(func(a evidence.Officer) bool { return a.Organisation == o.ID }); err != nil {
			return err
		}
	} else if _, err := s.clock.receipt(); err != nil {
		return err
	}
	return errorOf(s.record(ctx, by, evidence.Statement{Type: evidence.TypeOrganisation, Organisation: &o}))
}

// Account is a registered account of a person or a system.
type Account struct {
	ID           string // unique on the platform; an opaque code, not a person's name
	Organisation string
	Kind         evidence.AccountKind
	Roles        []Role
	Status       evidence.Standing // empty: active
	DisplayName  string            // of a person; enters the log only as a commitment; not returned by Accounts
}

// RegisterOfficer registers an account, or changes it: the last entry counts. Its organisation must be registered and
// stays the same.
func (s *Service) RegisterOfficer(ctx context.Context, by Actor, a Account) error {
	return errorOf(s.registerOfficer(ctx, by, a))
}

func (s *Service) registerOfficer(ctx context.Context, by Actor, a Account) error {
	if err := by.demand(actPeople); err != nil {
		return err
	}
	roles, err := checkRoles(a.Roles)
	if err != nil {
		return err
	}
	if a.ID == by.Account {
		return refuse(CodeForbidden, "不得变更本人的账号。", "Nobody may change their own account.").at("id")
	}
	var disclosures []evidence.Disclosure
	if a.DisplayName != "" {
		d, err := evidence.NewDisclosure(evidence.FieldDisplayName, a.DisplayName)
		if err != nil {
			return fieldError(err)
		}
		disclosures = append(disclosures, d)
	}
	officer := evidence.Officer{
		ID: a.ID, Organisation: a.Organisation, Kind: a.Kind, Roles: roles, Status: cmp.Or(a.Status, evidence.StandingActive),
	}
	s.registry.change.Lock()
	defer s.registry.change.Unlock()
	if err := s.checkOfficer(officer); err != nil {
		return err
	}
	return s.record(ctx, by, evidence.Statement{Type: evidence.TypeOfficer, Officer: &officer}, disclosures...)
}

// checkOfficer checks an account against what is registered. The caller holds registry.change.
func (s *Service) checkOfficer(officer evidence.Officer) error {
	if _, err := s.registry.organisation(officer.Organisation); err != nil {
		return err
	}
	if before, there := s.registry.account(officer.ID); there && before.Organisation != officer.Organisation {
		return refuse(CodeAccountTaken, "账号 "+officer.ID+" 属于另一机构。", "The account "+officer.ID+" belongs to another organisation.").at("id")
	} else if there && administratorOf(before.Roles) != administratorOf(officer.Roles) {
		// The account would keep its password, keys and tokens: whoever has them would get the other power.
		return refuse(CodeRoleConflict, "管理员账号与其他账号不得互相转换，请另开账号。",
			"An account does not become an administrator's, or stop being one; register another account.").at("roles")
	}
	if officer.Status != evidence.StandingActive {
		return s.keepAdministrators(func(a evidence.Officer) bool { return a.ID == officer.ID })
	}
	_, err := s.clock.receipt()
	return err
}

// administratorOf returns the administrator's role among roles, or "".
func administratorOf(roles []string) string {
	for _, r := range roles {
		if Role(r).Administrator() {
			return r
		}
	}
	return ""
}

// RegisterKey registers the SM2 key of an account, or of an organisation if Account is empty. Fingerprint is filled in;
// a NotBefore that is absent means now. The key's id, the kid of assertions, is its fingerprint in hexadecimal.
func (s *Service) RegisterKey(ctx context.Context, by Actor, k evidence.Key) (evidence.Key, error) {
	k, err := s.registerKey(ctx, by, k)
	return k, errorOf(err)
}

func (s *Service) registerKey(ctx context.Context, by Actor, k evidence.Key) (evidence.Key, error) {
	if err := s.mayRegister(by, k); err != nil {
		return k, err
	}
	parsed, err := sm2.ParsePublicKey(k.SPKI)
	if err != nil {
		return k, refuse(CodeFieldInvalid, "不是 SM2 公钥。", "This is not an SM2 public key.").at("spki").because(err)
	}
	k.Fingerprint = parsed.Fingerprint()
	now, err := s.clock.receipt()
	if err != nil {
		return k, err
	}
	k.NotBefore = cmp.Or(k.NotBefore, now)
	roles := make([]Role, len(k.Roles))
	for i, r := range k.Roles {
		roles[i] = Role(r)
	}
	if k.Roles, err = checkRoles(roles); err != nil {
		return k, err
	}
	k.Roles = emptyToNil(k.Roles)
	s.registry.change.Lock()
	defer s.registry.change.Unlock()
	if err := s.checkNewKey(by, k); err != nil {
		return k, err
	}
	return k, s.record(ctx, by, evidence.Statement{Type: evidence.TypeKey, Key: &k})
}

// mayRegister checks whether by may register keys, and such a key for its account.
func (s *Service) mayRegister(by Actor, k evidence.Key) error {
	if k.Account == "" || k.Use != evidence.UseAuthentication {
		return by.demand(actSecrets)
	}
	_, err := s.mayProve(by, k.Account)
	return err
}

// checkNewKey checks a key against what is registered. The caller holds registry.change.
func (s *Service) checkNewKey(by Actor, k evidence.Key) error {
	if err := s.mayRegister(by, k); err != nil { // again, now that nothing else changes
		return err
	}
	if _, err := s.registry.organisation(k.Organisation); err != nil {
		return err
	}
	if k.Account != "" {
		if a, there := s.registry.account(k.Account); !there || a.Organisation != k.Organisation {
			return accountUnknown()
		}
	} else if k.Use == evidence.UseAuthentication {
		return refuse(CodeFieldInvalid, "用于身份鉴别的密钥须属于一个账号。", "A key for authentication must belong to an account.").at("account")
	}
	if s.registry.knowsKey(k.Fingerprint) {
		return refuse(CodeKeyExists, "该密钥已登记，或为平台自身密钥。", "The key is registered already, or is the platform's own.").at("spki")
	}
	return nil
}

// RevokeKey revokes a registered key. A time that is absent means now, or the beginning of its use if that is later. The
// platform's own keys are not revoked here: each bundle that they signed would fail from then on.
func (s *Service) RevokeKey(ctx context.Context, by Actor, r evidence.KeyRevocation) error {
	if err := by.demand(actSecrets); err != nil {
		return err
	}
	s.registry.change.Lock()
	defer s.registry.change.Unlock()
	if s.registry.ownKey(r.Fingerprint) {
		return refuse(CodeForbidden, "平台自身密钥不得在此吊销。", "The platform's own keys cannot be revoked here.").at("key")
	}
	k, there := s.registry.key(r.Fingerprint)
	if !there {
		return refuse(CodeKeyUnknown, "没有此密钥。", "There is no such key.").at("key")
	}
	r.At = cmp.Or(r.At, max(s.clock.estimate(), k.NotBefore))
	if r.At < k.NotBefore {
		return refuse(CodeFieldInvalid, "吊销时间早于密钥启用时间。", "The key was not in use yet at that time.").at("at")
	}
	return errorOf(s.record(ctx, by, evidence.Statement{Type: evidence.TypeKeyRevocation, Revocation: &r}))
}

// recordOwnKeys logs the public keys of the keystore that the log does not know yet.
func (s *Service) recordOwnKeys(ctx context.Context) error {
	s.registry.change.Lock()
	defer s.registry.change.Unlock()
	by := Actor{Organisation: s.config.Organisation, Account: "platform"}
	for _, role := range []keystore.Role{keystore.RoleLog, keystore.RoleReceipt, keystore.RoleToken, keystore.RoleSeal, keystore.RoleLedger} {
		var previous evidence.Digest
		for _, k := range s.keys.Keys(role) {
			fingerprint := evidence.Digest(k.Key.Fingerprint())
			if !s.registry.ownKey(fingerprint) {
				key := &evidence.LogKey{
					Fingerprint: fingerprint, From: evidence.InstantOf(k.Created), Previous: previous,
					Role: evidence.Role(role), SPKI: k.Key.SPKI(),
				}
				if err := s.record(ctx, by, evidence.Statement{Type: evidence.TypeLogKey, LogKey: key}); err != nil {
					return err
				}
			}
			previous = fingerprint
		}
	}
	return nil
}

func (r *registry) organisation(id string) (evidence.Organisation, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	o, there := r.organisations[id]
	switch {
	case !there:
		return o, refuse(CodeOrganisationUnknown, "机构未登记。", "The organisation is not registered.").at("organisation")
	case o.Status != evidence.StandingActive:
		return o, refuse(CodeOrganisationClosed, "机构已停用。", "The organisation is closed.").at("organisation")
	}
	return o, nil
}

func (r *registry) account(id string) (evidence.Officer, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	a, there := r.accounts[id]
	return a, there
}

// active returns the active accounts of active organisations.
func (r *registry) active() []evidence.Officer {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var found []evidence.Officer
	for _, a := range r.accounts {
		if a.Status == evidence.StandingActive && r.organisations[a.Organisation].Status == evidence.StandingActive {
			found = append(found, a)
		}
	}
	return found
}

// anyKey reports whether ok holds for one of the account's keys for authentication.
func (r *registry) anyKey(account string, ok func(registeredKey) bool) bool {
	r.mu.RLock()
	var keys []registeredKey
	for _, k := range r.keys {
		if k.Account == account && k.Use == evidence.UseAuthentication {
			keys = append(keys, k)
		}
	}
	r.mu.RUnlock()
	return slices.ContainsFunc(keys, ok)
}

func (r *registry) ownKey(fingerprint evidence.Digest) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, there := r.own[fingerprint]
	return there
}

func (r *registry) key(fingerprint evidence.Digest) (registeredKey, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k, there := r.keys[fingerprint]
	return k, there
}

func (r *registry) knowsKey(fingerprint evidence.Digest) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, registered := r.keys[fingerprint]
	_, own := r.own[fingerprint]
	return registered || own
}

// revocation returns when and why a key was revoked, or nil.
func (r *registry) revocation(fingerprint evidence.Digest) *evidence.KeyRevocation {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if found, there := r.revoked[fingerprint]; there {
		return &found
	}
	return nil
}

// authenticationKey returns a key that may prove an account at this time. reached is the later of now and the latest
// time of receipt: revocations and new keys carry times of receipt, and hold at once also while the machine's clock is
// behind those. Expiry goes by now, so that one jump of the clock does not shut everybody out for good.
func (r *registry) authenticationKey(fingerprint evidence.Digest, now time.Time, reached evidence.Instant) (registeredKey, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k, there := r.keys[fingerprint]
	at := evidence.InstantOf(now)
	revoked, isRevoked := r.revoked[fingerprint]
	switch {
	case !there || k.Use != evidence.UseAuthentication:
		return k, refuse(CodeKeyUnknown, "密钥未登记为鉴别密钥。", "The key is not registered for authentication.")
	case isRevoked && revoked.At <= reached:
		return k, refuse(CodeKeyRevoked, "密钥已吊销。", "The key is revoked.")
	case reached < k.NotBefore || at >= k.NotAfter:
		return k, refuse(CodeKeyNotInUse, "密钥不在有效期内。", "The key is not in its time of use.")
	}
	return k, nil
}

func accountUnknown() *Error {
	return refuse(CodeAccountUnknown, "账号未登记。", "The account is not registered.").at("account")
}

func rolesOf(names []string) []Role {
	roles := make([]Role, len(names))
	for i, n := range names {
		roles[i] = Role(n)
	}
	return roles
}
