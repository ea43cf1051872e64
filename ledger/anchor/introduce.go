package anchor

import (
	"context"
	"errors"
	"fmt"

	"cunzheng/chaincode"
	"cunzheng/crypto/sm2"
)

// LogKey is one of the keys that a log has had.
type LogKey struct {
	Key *sm2.PublicKey

	// Handover is the signature of the key before over [chaincode.RotationMessage]; nil for the first key. It binds the
	// size of the last anchored head: no head may be anchored between the signing and the delivery.
	Handover []byte
}

// Introduce makes the ledger know a log under the last of keys: it registers the log, or delivers the handovers that the
// ledger has not seen. It may be called again at any time, and changes nothing then.
func Introduce(ctx context.Context, ledger Ledger, origin string, keys []LogKey) error {
	if len(keys) == 0 {
		return errors.New("anchor: a log without keys")
	}
	err := ledger.RegisterLog(ctx, origin, keys[len(keys)-1].Key)
	if !refusedWith(err, chaincode.LogExists) {
		return introduced(origin, err)
	}
	// It is registered with an earlier key, or to somebody else.
	for _, k := range keys {
		if k.Handover == nil {
			continue
		}
		err = ledger.RotateLogKey(ctx, origin, k.Key, k.Handover)
		if err != nil && !refusedWith(err, chaincode.KeyUsed) {
			break
		}
	}
	return introduced(origin, err)
}

func introduced(origin string, err error) error {
	if err != nil {
		return fmt.Errorf("anchor: introducing %s: %w", origin, err)
	}
	return nil
}

func refusedWith(err error, code chaincode.Code) bool {
	var refusal *chaincode.Error
	return errors.As(err, &refusal) && refusal.Code == code
}
