//go:build unix

package network

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
)

// Configurations of a channel are read and written as the JSON that Fabric's configtxlator makes of them.

// tree is a JSON object.
type tree map[string]any

// parseTree keeps numbers as they are written.
func parseTree(text []byte) (tree, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var t map[string]any
	if err := decoder.Decode(&t); err != nil {
		return nil, err
	}
	return t, nil
}

// child returns the object at a path.
func (t tree) child(path ...string) (tree, error) {
	for _, name := range path {
		next, ok := t[name].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("the configuration has no %s", name)
		}
		t = next
	}
	return t, nil
}

// list returns the list of that name.
func (t tree) list(name string) []any {
	list, _ := t[name].([]any)
	return list
}

// names are the names of the members, sorted.
func (t tree) names() []string { return slices.Sorted(maps.Keys(t)) }

// translator turns Fabric's messages into JSON and back, in a folder of its own.
type translator struct {
	network *Network
	dir     string
	files   int
}

func (n *Network) translator() (*translator, error) {
	dir, err := os.MkdirTemp("", "cunzheng-config-*")
	return &translator{network: n, dir: dir}, err
}

func (w *translator) close() { os.RemoveAll(w.dir) }

func (w *translator) file(data []byte) (string, error) {
	w.files++
	path := filepath.Join(w.dir, fmt.Sprint(w.files))
	return path, writeFile(path, data)
}

func (w *translator) run(ctx context.Context, arguments ...string) ([]byte, error) {
	return w.network.tool(ctx, nil, "configtxlator", arguments...)
}

func (w *translator) decode(ctx context.Context, message string, data []byte) (tree, error) {
	path, err := w.file(data)
	if err != nil {
		return nil, err
	}
	text, err := w.run(ctx, "proto_decode", "--type", message, "--input", path)
	if err != nil {
		return nil, err
	}
	return parseTree(text)
}

func (w *translator) encode(ctx context.Context, message string, t tree) ([]byte, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	path, err := w.file(text)
	if err != nil {
		return nil, err
	}
	return w.run(ctx, "proto_encode", "--type", message, "--input", path)
}

// config returns the configuration in a config block of the network's channel.
func (w *translator) config(ctx context.Context, block []byte) (tree, error) {
	decoded, err := w.decode(ctx, "common.Block", block)
	if err != nil {
		return nil, err
	}
	data, err := decoded.child("data")
	if err != nil {
		return nil, err
	}
	envelopes := data.list("data")
	if len(envelopes) != 1 {
		return nil, errors.New("not a config block")
	}
	envelope, _ := envelopes[0].(map[string]any)
	header, err := tree(envelope).child("payload", "header", "channel_header")
	if err != nil {
		return nil, err
	}
	if channel := w.network.Consortium.Channel; header["channel_id"] != channel {
		return nil, fmt.Errorf("of channel %v, not %s", header["channel_id"], channel)
	}
	return tree(envelope).child("payload", "data", "config")
}

// difference is the update that leads from one configuration to another.
func (w *translator) difference(ctx context.Context, channel string, original, updated []byte) (tree, error) {
	before, err := w.file(original)
	if err != nil {
		return nil, err
	}
	after, err := w.file(updated)
	if err != nil {
		return nil, err
	}
	update, err := w.run(ctx, "compute_update", "--channel_id", channel, "--original", before, "--updated", after)
	if err != nil {
		return nil, err
	}
	return w.decode(ctx, "common.ConfigUpdate", update)
}

// same checks that an envelope is an update of the channel which does what want does.
func (w *translator) same(envelope tree, channel string, want tree) error {
	header, err := envelope.child("payload", "header", "channel_header")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOtherUpdate, err)
	}
	got, err := envelope.child("payload", "data", "config_update")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOtherUpdate, err)
	}
	if header["channel_id"] != channel || !reflect.DeepEqual(map[string]any(got), map[string]any(want)) {
		return ErrOtherUpdate
	}
	return nil
}

// signers are the MSP IDs of those who signed an update. The signatures are not checked here but by the orderers.
func signers(envelope tree) ([]string, error) {
	data, err := envelope.child("payload", "data")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range data.list("signatures") {
		signature, _ := s.(map[string]any)
		creator, err := tree(signature).child("signature_header", "creator")
		if err != nil {
			return nil, err
		}
		if name, ok := creator["mspid"].(string); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// authorities are an organisation's roots as a group of a configuration has them, as PEM.
func authorities(groups tree, msp string) (ca, tlsca []byte, err error) {
	config, err := groups.child(msp, "values", "MSP", "value", "config")
	if err != nil {
		return nil, nil, err
	}
	if ca, err = only(config, "root_certs"); err != nil {
		return nil, nil, err
	}
	tlsca, err = only(config, "tls_root_certs")
	return ca, tlsca, err
}

func only(config tree, name string) ([]byte, error) {
	list := config.list(name)
	if len(list) != 1 {
		return nil, fmt.Errorf("%s: %d certificates, this tool works with one", name, len(list))
	}
	text, _ := list[0].(string)
	return base64.StdEncoding.DecodeString(text)
}
