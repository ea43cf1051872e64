// Package token makes and checks the JSON Web Tokens (RFC 7519) of the HTTP interface.
//
// Two kinds exist, both signed with SM2 over SM3 under the algorithm name "SM2-SM3":
//
//   - an access token, issued by the platform for minutes, carried in "Authorization: Bearer …";
//   - an assertion (RFC 7523), made by a machine with its own SM2 key and traded for an access token.
//
// A token is header.claims.signature in base64url without padding. The signature is the canonical DER SEQUENCE of
// r and s over the ASCII of "header.claims" with the user ID 1234567812345678: the form OpenSSL and Bouncy Castle
// produce, and the only one this platform stores or accepts anywhere.
//
//	{"alg":"SM2-SM3","kid":"0f1e2d3c4b5a6978","typ":"JWT"}
//	{"iss":"https://cz.example","aud":"https://cz.example","sub":"zhang","org":"91350200…","roles":["notary"],
//	 "jti":"…","iat":1795432953,"nbf":1795432953,"exp":1795433853}
//
// Parsing is strict: three segments, no padding, known members only, no member twice, a size limit, and exactly this
// algorithm. The package keeps no state beyond the two bounded caches it says it keeps.
package token
