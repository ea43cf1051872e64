package sm2

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"cunzheng/crypto/sm3"
)

const (
	pbkdf2Iterations    = 600_000
	maxPBKDF2Iterations = 5_000_000 // a hostile file costs seconds, not hours
	pbkdf2SaltSize      = 16
	maxEncryptedSize    = 1 << 10
)

var (
	oidPBES2      = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d} // 1.2.840.113549.1.5.13
	oidPBKDF2     = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c} // 1.2.840.113549.1.5.12
	oidHMACSHA256 = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09}       // 1.2.840.113549.2.9
	oidHMACSM3    = []byte{0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x83, 0x11, 0x02} // 1.2.156.10197.1.401.2
	oidAES256CBC  = []byte{0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a} // 2.16.840.1.101.3.4.1.42
	oidSM4CBC     = []byte{0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x68, 0x02}       // 1.2.156.10197.1.104.2
)

// encryptedKey is an EncryptedPrivateKeyInfo (RFC 5958) with PBES2 (RFC 8018).
type encryptedKey struct {
	salt       []byte
	iterations int
	keySize    bool // whether the optional size of the derived key is written
	prf        []byte
	prfNull    bool // whether the parameters of the PRF are NULL or absent
	cipher     []byte
	iv         []byte
	data       []byte
}

func parseEncrypted(der, passphrase []byte) (*PrivateKey, error) {
	e, err := readEncrypted(der)
	if err != nil {
		return nil, err
	}
	if len(passphrase) == 0 {
		return nil, fmt.Errorf("%w: the key is encrypted", ErrPassphrase)
	}
	mode, err := e.newMode(passphrase, cipher.NewCBCDecrypter)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(e.data))
	defer clear(plain)
	mode.CryptBlocks(plain, e.data)

	// With a wrong passphrase the padding or the key inside is garbage. One
	// answer for both: there is nobody here to be an oracle for, but neither is
	// there a way to tell them apart.
	pkcs8, ok := unpad(plain)
	if !ok {
		return nil, fmt.Errorf("%w: the key does not decrypt", ErrPassphrase)
	}
	key, err := ParsePrivateKey(pkcs8)
	if err != nil {
		return nil, fmt.Errorf("%w: the key does not decrypt: %v", ErrPassphrase, err)
	}
	return key, nil
}

func encrypt(pkcs8, passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 {
		return nil, fmt.Errorf("%w: refusing to encrypt under an empty one", ErrPassphrase)
	}
	e := encryptedKey{
		salt:       make([]byte, pbkdf2SaltSize),
		iterations: pbkdf2Iterations,
		prf:        oidHMACSHA256,
		prfNull:    true,
		cipher:     oidAES256CBC,
		iv:         make([]byte, aes.BlockSize),
		data:       pad(pkcs8),
	}
	rand.Read(e.salt)
	rand.Read(e.iv)
	mode, err := e.newMode(passphrase, cipher.NewCBCEncrypter)
	if err != nil {
		return nil, err
	}
	mode.CryptBlocks(e.data, e.data)
	return e.encode()
}

// newMode derives the key and returns the cipher.
func (e *encryptedKey) newMode(passphrase []byte, newCBC func(cipher.Block, []byte) cipher.BlockMode) (cipher.BlockMode, error) {
	newHash := sha256.New
	if string(e.prf) == string(oidHMACSM3) {
		newHash = sm3.New
	}
	size, newBlock := cipherOf(e.cipher)
	key, err := pbkdf2.Key(newHash, string(passphrase), e.salt, e.iterations, size)
	if err != nil {
		return nil, fmt.Errorf("sm2: PBKDF2: %w", err)
	}
	defer clear(key)
	block, err := newBlock(key)
	if err != nil {
		return nil, fmt.Errorf("sm2: %w", err)
	}
	return newCBC(block, e.iv), nil
}

func cipherOf(oid []byte) (keySize int, newBlock func([]byte) (cipher.Block, error)) {
	if string(oid) == string(oidSM4CBC) {
		return 16, newSM4
	}
	return 32, aes.NewCipher
}

func pad(b []byte) []byte {
	n := aes.BlockSize - len(b)%aes.BlockSize
	padded := make([]byte, len(b)+n)
	for i := copy(padded, b); i < len(padded); i++ {
		padded[i] = byte(n)
	}
	return padded
}

func unpad(b []byte) ([]byte, bool) {
	n := int(b[len(b)-1])
	if n == 0 || n > aes.BlockSize || n > len(b) {
		return nil, false
	}
	good := 1
	for _, v := range b[len(b)-n:] {
		good &= subtle.ConstantTimeByteEq(v, byte(n))
	}
	return b[:len(b)-n], good == 1
}

// readEncrypted checks everything that the decryption relies on.
func readEncrypted(der []byte) (*encryptedKey, error) {
	fail := func(reason string) (*encryptedKey, error) {
		return nil, fmt.Errorf("%w: encrypted PKCS#8: %s", ErrKey, reason)
	}
	if len(der) > maxEncryptedSize {
		return fail("too long")
	}
	var (
		e                                                       encryptedKey
		in                                                      = cryptobyte.String(der)
		info, scheme, params, kdf, kdfParams, prf, cbc, oid, iv cryptobyte.String
	)
	if !in.ReadASN1(&info, asn1.SEQUENCE) ||
		!info.ReadASN1(&scheme, asn1.SEQUENCE) ||
		!info.ReadASN1Bytes(&e.data, asn1.OCTET_STRING) ||
		!scheme.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) {
		return fail("not an EncryptedPrivateKeyInfo")
	}
	if string(oid) != string(oidPBES2) ||
		!scheme.ReadASN1(&params, asn1.SEQUENCE) ||
		!params.ReadASN1(&kdf, asn1.SEQUENCE) ||
		!params.ReadASN1(&cbc, asn1.SEQUENCE) {
		return fail("not PBES2; convert it with: openssl pkcs8 -topk8")
	}
	if !kdf.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) || string(oid) != string(oidPBKDF2) ||
		!kdf.ReadASN1(&kdfParams, asn1.SEQUENCE) ||
		!kdfParams.ReadASN1Bytes(&e.salt, asn1.OCTET_STRING) ||
		!kdfParams.ReadASN1Integer(&e.iterations) {
		return fail("not PBKDF2")
	}
	var size int
	if kdfParams.PeekASN1Tag(asn1.INTEGER) {
		e.keySize = true
		if !kdfParams.ReadASN1Integer(&size) {
			return fail("bad size of the derived key")
		}
	}
	if !kdfParams.ReadASN1(&prf, asn1.SEQUENCE) || !prf.ReadASN1Bytes(&e.prf, asn1.OBJECT_IDENTIFIER) {
		return fail("PBKDF2 with HMAC-SHA1; convert it with: openssl pkcs8 -topk8")
	}
	e.prfNull = !prf.Empty()
	if string(e.prf) != string(oidHMACSHA256) && string(e.prf) != string(oidHMACSM3) {
		return fail("PBKDF2 with neither HMAC-SHA256 nor HMAC-SM3")
	}
	if !cbc.ReadASN1Bytes(&e.cipher, asn1.OBJECT_IDENTIFIER) || !cbc.ReadASN1(&iv, asn1.OCTET_STRING) ||
		string(e.cipher) != string(oidAES256CBC) && string(e.cipher) != string(oidSM4CBC) {
		return fail("the cipher is neither AES-256-CBC nor SM4-CBC")
	}
	e.iv = iv
	if want, _ := cipherOf(e.cipher); e.keySize && size != want {
		return fail("the size of the derived key does not fit the cipher")
	}
	if e.iterations < 1 || e.iterations > maxPBKDF2Iterations {
		return fail(fmt.Sprintf("the number of iterations is not between 1 and %d", maxPBKDF2Iterations))
	}
	if len(e.iv) != aes.BlockSize || len(e.data) == 0 || len(e.data)%aes.BlockSize != 0 {
		return fail("not whole blocks")
	}
	if same, err := e.encode(); err != nil || string(same) != string(der) {
		return fail("not DER")
	}
	return &e, nil
}

func (e *encryptedKey) encode() ([]byte, error) {
	var b cryptobyte.Builder
	sequence := func(b *cryptobyte.Builder, oid []byte, rest func(*cryptobyte.Builder)) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(oid) })
			rest(b)
		})
	}
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		sequence(b, oidPBES2, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				sequence(b, oidPBKDF2, func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1OctetString(e.salt)
						b.AddASN1Int64(int64(e.iterations))
						if e.keySize {
							size, _ := cipherOf(e.cipher)
							b.AddASN1Int64(int64(size))
						}
						sequence(b, e.prf, func(b *cryptobyte.Builder) {
							if e.prfNull {
								b.AddASN1NULL()
							}
						})
					})
				})
				sequence(b, e.cipher, func(b *cryptobyte.Builder) { b.AddASN1OctetString(e.iv) })
			})
		})
		b.AddASN1OctetString(e.data)
	})
	return b.Bytes()
}
