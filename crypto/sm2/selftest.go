package sm2

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
)

// vector is a known signature. Its digest is given where no message is known.
type vector struct {
	name                               string
	private, spki, message, za, e, sig string
}

var vectors = []vector{
	{
		// The example of GB/T 32918.5-2017, annex A.
		name:    "GB/T 32918.5",
		private: "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8",
		spki: "3059301306072a8648ce3d020106082a811ccf5501822d034200" +
			"0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020" +
			"ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13",
		message: "message digest",
		za:      "b2e14c5c79c6df5b85f4fe7ed8db7a262b9da7e07ccb0ea9f4747b8ccda8a4f3",
		e:       "f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640",
		sig: "3046022100f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3" +
			"022100b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa",
	},
	{
		// A valid signature that emmansun/gmsm v0.27.0 to v0.44.0 refuse on amd64
		// (issue 560, a lost carry in the multiplication of the field).
		name: "issue 560",
		spki: "3059301306072a8648ce3d020106082a811ccf5501822d03420004ef4de57af00ae424c00c4caadff7193f804a19dd73a7e2954db9d0d15ab4cbba" +
			"67728c3f4572878b7a674735da9fde1682fe2d9e0799c4a5cde57e3d473039a2",
		e: "0000000000000000000000000000000000000000000000000000000000000000",
		sig: "3046022100be0ea64e1ec06f0d247093f3ccbbadcfb6260224272f86ddb78326e7cd6c7560" +
			"022100e9f6ab2fcc48a2cef94838e66b5c7e21fd8e4de25990dd98ca5243f4966f2853",
	},
}

// SelfTest runs the self-test of the first library, checks known signatures, and
// makes one that both libraries must accept. A program must refuse to work when
// it fails: it may be about to sign, or to refuse, what the rest of the world
// does not.
func SelfTest() error {
	if err := librarySelfTest(); err != nil {
		return fmt.Errorf("sm2: self-test of the library: %w", err)
	}
	for _, v := range vectors {
		if err := v.check(); err != nil {
			return fmt.Errorf("sm2: self-test: %s: %w", v.name, err)
		}
	}
	key, err := GenerateKey()
	if err != nil {
		return fmt.Errorf("sm2: self-test: %w", err)
	}
	if _, err := Sign(Verified(key), []byte("self-test")); err != nil {
		return fmt.Errorf("sm2: self-test: %w", err)
	}
	return nil
}

func (v vector) check() error {
	var decodeErr error
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		decodeErr = errors.Join(decodeErr, err)
		return b
	}
	private, spki, za, e, sig := unhex(v.private), unhex(v.spki), unhex(v.za), unhex(v.e), unhex(v.sig)
	if decodeErr != nil {
		return decodeErr
	}
	pub, err := ParsePublicKey(spki)
	if err != nil {
		return err
	}
	if _, err := parseSignature(sig); err != nil {
		return err
	}
	if ok, err := pub.key.verifyDigest(e, sig); err != nil || !ok {
		return errors.Join(errors.New("a valid signature is refused"), err)
	}
	wrong := bytes.Clone(e)
	wrong[0] ^= 1
	if ok, err := pub.key.verifyDigest(wrong, sig); err != nil || ok {
		return errors.Join(errors.New("a signature of another digest is accepted"), err)
	}
	if v.message == "" {
		return nil
	}
	if !bytes.Equal(pub.key.za, za) {
		return errors.New("wrong ZA")
	}
	if !bytes.Equal(pub.key.digest([]byte(v.message)), e) {
		return errors.New("wrong digest")
	}
	if err := pub.Verify([]byte(v.message), sig); err != nil {
		return err
	}
	if err := pub.CrossCheck([]byte(v.message), sig); err != nil {
		return err
	}
	scalar, err := parseScalar(private)
	if err != nil {
		return err
	}
	key, err := newPrivateKey(scalar)
	if err != nil {
		return err
	}
	if !key.pub.Equal(pub) {
		return errors.New("wrong public key")
	}
	return nil
}
