package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"cunzheng/notary"
)

// route is one endpoint. The table below is the only place where an endpoint comes into being.
type route struct {
	method string
	path   string // in echo's notation
	name   string // operationId in openapi.yaml
	access access
	body   bodyKind
	query  []string // parameters it knows; others are refused
	oauth  bool     // errors also carry the members of RFC 6749
	handle func(*Server, echo.Context) error
}

// Who may do what. Whether a caller may see a particular record is decided by the notary, record by record.
var (
	depositors = only(notary.RoleDepositor, notary.RoleDepartment, notary.RoleNotary)
	readers    = only(notary.RoleDepositor, notary.RoleDepartment, notary.RoleNotary, notary.RoleApprover,
		notary.RoleArchivist, notary.RoleCourt, notary.RoleAuditor)
	contentReaders = only(notary.RoleDepositor, notary.RoleDepartment, notary.RoleNotary, notary.RoleApprover,
		notary.RoleArchivist, notary.RoleCourt)
	entryReaders = only(notary.RoleAuditor, notary.RoleCourt)

	// The three administrators are kept apart: the system administrator says who exists, the security administrator
	// what they may prove themselves with, and the audit administrator sees both and changes neither.
	systemAdmins   = only(notary.RoleSystemAdmin)
	securityAdmins = only(notary.RoleSecurityAdmin)
	registryReader = only(notary.RoleSystemAdmin, notary.RoleSecurityAdmin, notary.RoleAuditAdmin)
	// Administrators of each kind also set the passwords of their kind; the notary decides for whom.
	administrators = registryReader
	operators      = only(notary.RoleSystemAdmin, notary.RoleAuditAdmin)
)

const (
	get  = http.MethodGet
	post = http.MethodPost
	put  = http.MethodPut
)

var routes = []route{
	{method: post, path: tokenPath, name: "issueToken", access: public, body: bodySmall, oauth: true, handle: (*Server).issueToken},
	{method: get, path: keySetPath, name: "getTokenKeys", access: public, handle: (*Server).keySet},
	{method: get, path: serverMetadataPath, name: "getTokenServer", access: public, handle: (*Server).serverMetadata},

	{method: post, path: "/v1/evidence/files", name: "depositForm", access: depositors, body: bodyForm, handle: (*Server).depositForm},
	{method: put, path: "/v1/evidence/files/:name", name: "depositFile", access: depositors, body: bodyFile, handle: (*Server).depositRaw},
	{method: post, path: "/v1/evidence/digests", name: "depositDigest", access: depositors, body: bodySmall, handle: (*Server).depositDigest},
	{method: post, path: "/v1/evidence/batch", name: "depositBatch", access: depositors, body: bodyBatch, handle: (*Server).depositBatch},

	{method: get, path: "/v1/evidence", name: "searchEvidence", access: readers, query: searchParameters, handle: (*Server).searchEvidence},
	{method: get, path: "/v1/evidence/:number", name: "getEvidence", access: readers, handle: (*Server).getEvidence},
	{method: get, path: "/v1/evidence/:number/bundle", name: "getBundle", access: readers, query: []string{"content"}, handle: (*Server).getBundle},
	{method: get, path: "/v1/evidence/:number/content", name: "getContent", access: contentReaders, handle: (*Server).getContent},

	{method: get, path: "/v1/proofs/:number", name: "getProof", access: public, query: []string{"sm3", "local"}, handle: (*Server).getProof},

	{method: get, path: "/v1/registry/organisations", name: "listOrganisations", access: registryReader, handle: (*Server).listOrganisations},
	{method: post, path: "/v1/registry/organisations", name: "registerOrganisation", access: systemAdmins, body: bodySmall, handle: (*Server).registerOrganisation},
	{method: get, path: "/v1/registry/accounts", name: "listAccounts", access: registryReader, handle: (*Server).listAccounts},
	{method: post, path: "/v1/registry/accounts", name: "registerAccount", access: systemAdmins, body: bodySmall, handle: (*Server).registerAccount},
	{method: put, path: "/v1/registry/accounts/:account/password", name: "setPassword", access: administrators, body: bodySmall, handle: (*Server).setPassword},
	{method: get, path: "/v1/registry/keys", name: "listKeys", access: registryReader, handle: (*Server).listKeys},
	{method: post, path: "/v1/registry/keys", name: "registerKey", access: securityAdmins, body: bodySmall, handle: (*Server).registerKey},
	{method: post, path: "/v1/registry/keys/:key/revocation", name: "revokeKey", access: securityAdmins, body: bodySmall, handle: (*Server).revokeKey},

	{method: get, path: "/v1/trust", name: "getTrust", access: public, handle: (*Server).getTrust},
	{method: get, path: "/v1/trust/consortium", name: "getConsortiumTrust", access: public, handle: (*Server).getConsortiumTrust},
	{method: get, path: "/v1/keys", name: "getKeys", access: public, handle: (*Server).getKeys},
	{method: get, path: "/log/checkpoint", name: "getCheckpoint", access: public, handle: (*Server).getCheckpoint},
	{method: get, path: "/log/tile/*", name: "getTile", access: public, handle: (*Server).getTile},
	{method: get, path: "/log/tile/entries/*", name: "getEntries", access: entryReaders, handle: (*Server).getEntries},

	{method: get, path: "/healthz", name: "getHealth", access: public, handle: (*Server).getHealth},
	{method: get, path: "/readyz", name: "getReady", access: public, handle: (*Server).getReady},
	{method: get, path: "/metrics", name: "getMetrics", access: operators, handle: (*Server).getMetrics},
	{method: get, path: "/openapi.yaml", name: "getOpenAPIYAML", access: public, handle: (*Server).getOpenAPIYAML},
	{method: get, path: "/openapi.json", name: "getOpenAPIJSON", access: public, handle: (*Server).getOpenAPIJSON},
}
