package wire

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// Problem is an error answer (RFC 9457). Programs act on Code, which never changes its meaning; people read Detail,
// which is in the language of Accept-Language, or either of DetailZH and DetailEN.
type Problem struct {
	Type     string `json:"type"`   // "urn:cunzheng:problem:" and the code
	Title    string `json:"title"`  // the same for every occurrence of Code
	Status   int    `json:"status"` // the HTTP status
	Code     string `json:"code"`   // for example DIGEST_MISMATCH
	Detail   string `json:"detail"` // one sentence
	DetailZH string `json:"detail_zh"`
	DetailEN string `json:"detail_en"`
	Instance string `json:"instance,omitzero"` // "urn:cunzheng:request:" and the request id; not in batches

	Field    string `json:"field,omitzero"`    // the offending member, header or parameter
	Existing string `json:"existing,omitzero"` // the number of the evidence that is already there

	// The members of RFC 6749 §5.2, on the token endpoint only.
	OAuthError       string `json:"error,omitzero"`
	OAuthDescription string `json:"error_description,omitzero"`
}
