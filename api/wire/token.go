package wire

// Token is the answer of the token endpoint (RFC 6749 §5.1).
type Token struct {
	AccessToken  string   `json:"access_token"`
	Type         string   `json:"token_type"`
	ExpiresIn    int64    `json:"expires_in"` // seconds
	Organisation string   `json:"organisation"`
	Account      string   `json:"account"`
	Roles        []string `json:"roles"`
}

// Grant types of the token endpoint.
const (
	GrantPassword  = "password"
	GrantAssertion = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// ServerMetadata describes the token endpoint (RFC 8414).
type ServerMetadata struct {
	Issuer                string   `json:"issuer"`
	TokenEndpoint         string   `json:"token_endpoint"`
	KeySet                string   `json:"jwks_uri"`
	GrantTypes            []string `json:"grant_types_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	AuthenticationMethods []string `json:"token_endpoint_auth_methods_supported"`
	Documentation         string   `json:"service_documentation"`
}
