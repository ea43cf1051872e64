// Package sm4 encrypts and authenticates with SM4-GCM (GB/T 32907-2016,
// RFC 8998): streams of any length in constant memory, and small records.
//
//	w, err := sm4.NewWriter(key, file) // key: 16 fresh random bytes, for this stream only
//	io.Copy(w, original)
//	w.Close()                          // writes the last chunk; without it the stream does not open
//
//	r, err := sm4.NewReader(key, file)
//	io.Copy(dst, r)                    // fails with ErrAuthentication unless all of it is genuine
//
// # Stream format
//
// The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: "Online
// Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", CRYPTO 2015).
// There is no header. The plaintext is cut into chunks of 65,536 bytes, the last
// of which may be shorter. The empty plaintext is one empty chunk; otherwise no
// chunk is empty. Chunk number i, counted from 0, is written as
//
//	SM4-GCM(key, nonce_i, chunk_i), without additional data:
//	the ciphertext, as long as the chunk, followed by the tag of 16 bytes
//
// and the chunks follow each other without separators. The nonce has 12 bytes:
//
//	bytes 0 to 10   i, big-endian
//	byte  11        0x01 for the last chunk of the stream, 0x00 for all others
//
// The counter makes chunks that are swapped, repeated or left out fail, and the
// flag makes a stream fail that ends early (at a border of chunks too) or that
// goes on after its end.
//
// # Record format
//
// [Seal] writes a random nonce of 12 bytes, the ciphertext, and the tag of 16
// bytes.
package sm4

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm4"
)

const (
	KeySize   = 16       // length of a key in bytes
	ChunkSize = 64 << 10 // plaintext bytes in each chunk of a stream but the last

	nonceSize = 12
	tagSize   = 16
)

var (
	// ErrAuthentication means that the data are not what was sealed under this
	// key: altered, cut off, reordered, extended, or sealed under another key.
	ErrAuthentication = errors.New("sm4: message authentication failed")

	// ErrKeySize means that the key does not have KeySize bytes.
	ErrKeySize = errors.New("sm4: the key must have 16 bytes")
)

func newGCM(key []byte) (cipher.AEAD, error) {
	if len(key) != KeySize {
		return nil, ErrKeySize
	}
	block, err := sm4.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("sm4: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("sm4: %w", err)
	}
	return aead, nil
}

// Seal encrypts plaintext and authenticates it together with additional, which
// is not part of the result and must be given to [Open] again. The nonce is
// random: do not seal more than 2^32 records under one key.
func Seal(key, plaintext, additional []byte) ([]byte, error) {
	aead, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	sealed := make([]byte, nonceSize, nonceSize+len(plaintext)+tagSize)
	rand.Read(sealed) // never fails: crypto/rand ends the program instead
	return aead.Seal(sealed, sealed, plaintext, additional), nil
}

// Open returns what was given to [Seal], or ErrAuthentication.
func Open(key, sealed, additional []byte) ([]byte, error) {
	aead, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	if len(sealed) < nonceSize+tagSize {
		return nil, ErrAuthentication
	}
	plaintext, err := aead.Open(nil, sealed[:nonceSize], sealed[nonceSize:], additional)
	if err != nil {
		return nil, ErrAuthentication
	}
	return plaintext, nil
}

// selfTest is the example of RFC 8998, A.1.
var selfTest = struct{ key, nonce, additional, plaintext, sealed string }{
	key:        "0123456789abcdeffedcba9876543210",
	nonce:      "00001234567800000000abcd",
	additional: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	plaintext: "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd" +
		"eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa",
	sealed: "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735" +
		"d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d" +
		"83de3541e4c2b58177e065a9bf7b62ec",
}

// SelfTest computes the example of RFC 8998, A.1, and runs the self-test of the
// library. A program must refuse to work when it fails.
func SelfTest() error {
	if err := sm4.SelfTest(); err != nil {
		return fmt.Errorf("sm4: self-test of the library: %w", err)
	}
	var decodeErr error
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		decodeErr = errors.Join(decodeErr, err)
		return b
	}
	key, nonce, additional := unhex(selfTest.key), unhex(selfTest.nonce), unhex(selfTest.additional)
	plaintext, sealed := unhex(selfTest.plaintext), unhex(selfTest.sealed)
	if decodeErr != nil {
		return fmt.Errorf("sm4: self-test: %w", decodeErr)
	}
	aead, err := newGCM(key)
	if err != nil {
		return err
	}
	if !bytes.Equal(aead.Seal(nil, nonce, plaintext, additional), sealed) {
		return errors.New("sm4: self-test: wrong ciphertext for RFC 8998 A.1")
	}
	opened, err := aead.Open(nil, nonce, sealed, additional)
	if err != nil || !bytes.Equal(opened, plaintext) {
		return errors.New("sm4: self-test: RFC 8998 A.1 does not open")
	}
	sealed[0] ^= 1
	if _, err := aead.Open(nil, nonce, sealed, additional); err == nil {
		return errors.New("sm4: self-test: a changed ciphertext opens")
	}
	return nil
}
