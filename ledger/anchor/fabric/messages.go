package fabric

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
)

// The SDK's messages are of an older generation than the module that encodes them.

func marshal(m protoadapt.MessageV1) ([]byte, error) { return proto.Marshal(protoadapt.MessageV2Of(m)) }

func unmarshal(encoded []byte, into protoadapt.MessageV1) error {
	return proto.Unmarshal(encoded, protoadapt.MessageV2Of(into))
}

// layer is a message within another one.
type layer struct {
	encoded func() []byte // asked for once the layers before are decoded
	into    protoadapt.MessageV1
}

func unwrap(layers ...layer) error {
	for _, l := range layers {
		if err := unmarshal(l.encoded(), l.into); err != nil {
			return err
		}
	}
	return nil
}
