// Package crypto holds no code. Its folders wrap the national cryptography of
// China behind one strict interface, and nothing else in this module touches
// the libraries below it:
//
//	sm3   hash, HMAC, HKDF, Merkle nodes           GB/T 32905-2016
//	sm2   key pairs and signatures                 GB/T 32918-2016, GB/T 35276-2017
//	sm4   authenticated encryption, streams        GB/T 32907-2016, RFC 8998
//
// github.com/emmansun/gmsm signs, verifies, hashes and encrypts.
// github.com/tjfoc/gmsm is the independent second implementation of SM2: it can
// veto what the first one accepted and never admits anything by itself. The
// rules the wrappers keep, and the test that holds each of them:
//
//	 1  one canonical form of a signature                  sm2 TestMalformedSignatures, TestCanonicalForm
//	 2  tjfoc may veto, never admit                        sm2 TestSecondLibraryNeverAdmits
//	 3  public keys are uncompressed, parsed by emmansun   sm2 TestMalformedPublicKeys, TestUseOfSecondLibrary
//	 4  messages are signed, never digests                 sm2 TestOnlyMessagesAreSigned, TestNoDigestInInterface
//	 5  no weak number, no empty message, explicit user ID sm2 TestRefusedAtTheBorder
//	 6  a panic in a library becomes an error              sm2 TestPanicsBecomeErrors
//	 7  the broken parts of tjfoc stay out                 crypto TestImports
//	 8  certificates made by tjfoc name their algorithm    crypto TestSecondLibraryCertificates, TestImports
//	 9  a process tests its cryptography before it starts  TestSelfTest in sm2, sm3 and sm4
//	10  both libraries are pinned                          crypto TestPinned
package crypto
