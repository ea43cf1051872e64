package notary

import (
	"slices"

	"cunzheng/evidence"
)

// Role is what an account may be trusted with.
type Role string

// Roles.
const (
	RoleDepositor     Role = "depositor"              // 申请人: deposits, reads what its organisation deposited
	RoleDepartment    Role = "department"             // 委办局: the same, for a department and its systems
	RoleNotary        Role = "notary"                 // 承办公证员
	RoleApprover      Role = "approver"               // 审批人
	RoleArchivist     Role = "archivist"              // 档案员
	RoleCourt         Role = "court"                  // 法官, 鉴定人: verifies
	RoleAuditor       Role = "auditor"                // 审计, 主管部门: sees records, no content and no personal data
	RoleSystemAdmin   Role = "system-administrator"   // 系统管理员: says who exists
	RoleSecurityAdmin Role = "security-administrator" // 安全管理员: says what they prove themselves with
	RoleAuditAdmin    Role = "audit-administrator"    // 审计管理员: sees what the other two did
)

// Roles lists all roles.
func Roles() []Role {
	return []Role{RoleDepositor, RoleDepartment, RoleNotary, RoleApprover, RoleArchivist, RoleCourt, RoleAuditor,
		RoleSystemAdmin, RoleSecurityAdmin, RoleAuditAdmin}
}

// Administrator reports whether the role is one of the three administrators (三员), which are kept apart from each
// other and from all other roles (GB/T 39477).
func (r Role) Administrator() bool {
	return r == RoleSystemAdmin || r == RoleSecurityAdmin || r == RoleAuditAdmin
}

// Actor is who acts: a registered account and how it proved itself. The fields are identifiers, never personal data.
type Actor struct {
	Organisation   string
	Account        string
	Roles          []Role
	Authentication evidence.Authentication // empty for the operator of the machine itself
	Key            evidence.Digest         // of the key it proved itself with, if it did
	Credential     string                  // what it proved itself with, for [Service.Actor]
}

type action int

const (
	actDeposit  action = iota // make evidence
	actSee                    // statement, receipt, proof
	actDisclose               // opened commitments: names, descriptions, personal data
	actContent                // the original
	actPeople                 // register organisations and accounts
	actSecrets                // set passwords, register and revoke keys
	actRegistry               // read the registry
	actions
)

// scope says on whose evidence an action is allowed.
type scope int

const (
	none scope = iota
	own        // of the actor's organisation
	all
)

// policy is the one place where access is decided. An action that a role does not name is not allowed.
var policy = map[Role]map[action]scope{
	RoleDepositor:     {actDeposit: own, actSee: own, actDisclose: own, actContent: own},
	RoleDepartment:    {actDeposit: own, actSee: own, actDisclose: own, actContent: own},
	RoleNotary:        {actDeposit: own, actSee: all, actDisclose: all, actContent: all},
	RoleApprover:      {actSee: all, actDisclose: all, actContent: all},
	RoleArchivist:     {actSee: all, actDisclose: all, actContent: all},
	RoleCourt:         {actSee: all, actDisclose: all, actContent: all},
	RoleAuditor:       {actSee: all},
	RoleSystemAdmin:   {actPeople: all, actRegistry: all},
	RoleSecurityAdmin: {actSecrets: all, actRegistry: all},
	RoleAuditAdmin:    {actRegistry: all},
}

// scope returns the widest scope that one of the actor's roles has.
func (a Actor) scope(act action) scope {
	widest := none
	for _, r := range a.Roles {
		widest = max(widest, policy[r][act])
	}
	return widest
}

// may reports whether the actor may act on evidence of the organisation.
func (a Actor) may(act action, organisation string) bool {
	switch a.scope(act) {
	case all:
		return true
	case own:
		return a.Organisation == organisation
	}
	return false
}

// demand returns an error if no role of the actor allows the action on anything.
func (a Actor) demand(act action) error {
	if a.scope(act) == none {
		return refuse(CodeForbidden, "您的角色无权进行此操作。", "None of your roles may do this.")
	}
	return nil
}

// checkRoles checks roles for one account, sorted as the format wants them.
func checkRoles(roles []Role) ([]string, error) {
	names := make([]string, 0, len(roles))
	for _, r := range roles {
		if !slices.Contains(Roles(), r) {
			return nil, refuse(CodeRoleUnknown, "没有此角色："+string(r)+"。", "There is no role "+string(r)+".").at("roles")
		}
		if r.Administrator() && len(roles) > 1 {
			return nil, refuse(CodeRoleConflict, "系统、安全、审计管理员须分立，且不得兼任其他角色。",
				"The system, security and audit administrators are kept apart and hold no other role.").at("roles")
		}
		names = append(names, string(r))
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
