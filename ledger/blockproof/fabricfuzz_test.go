package blockproof

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// The hash over a block's data keeps a fuzzer out of what lies behind it. These take the parts by themselves, with what
// a real network made as seeds.

func realEnvelope(f *testing.F, name string) []byte {
	f.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "fabric", name))
	if err != nil {
		f.Fatal(err)
	}
	b, err := parseBlock(raw)
	if err != nil {
		f.Fatal(err)
	}
	return b.envelopes[0]
}

func FuzzTransaction(f *testing.F) {
	f.Add(realEnvelope(f, "anchor-5.block"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := parseEnvelope(raw)
		if err == nil {
			var a *action
			if a, err = e.parseAction("cunzheng"); err == nil {
				_, _, err = a.anchored()
				if !a.overtakes(a) && len(a.writes) > 0 && a.reads[a.writes[0].key] != (version{}) {
					t.Fatal("a transaction after itself is not void")
				}
			}
		}
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Fatalf("%v is not ErrInvalid", err)
		}
	})
}

func FuzzConfiguration(f *testing.F) {
	f.Add(realEnvelope(f, "config-0.block"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		sum := sha256.Sum256(raw)
		c, err := newConfig(&fabricBlock{data: sum[:], envelopes: [][]byte{raw}})
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("%v is not ErrInvalid", err)
			}
			return
		}
		if q, n := c.Quorum(), len(c.consenters); q > n || 2*q <= n {
			t.Fatalf("quorum %d of %d", q, n)
		}
		if ids, err := c.policy.evaluate(nil); err == nil {
			t.Fatalf("the endorsement policy is satisfied by nobody: %v", ids)
		}
	})
}

func FuzzMembership(f *testing.F) {
	e, err := parseEnvelope(realEnvelope(f, "config-0.block"))
	if err != nil {
		f.Fatal(err)
	}
	envelope, err := shapeConfigEnvelope.decode(e.data)
	if err != nil {
		f.Fatal(err)
	}
	config, err := shapeConfig.decode(envelope.octets(1))
	if err != nil {
		f.Fatal(err)
	}
	group, err := parseGroup(config.octets(2))
	if err != nil {
		f.Fatal(err)
	}
	application, err := group.child("Application")
	if err != nil {
		f.Fatal(err)
	}
	for name := range application.groups {
		o, err := application.child(name)
		if err != nil {
			f.Fatal(err)
		}
		raw, err := o.raw("MSP")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := parseMembership(raw)
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Fatalf("%v is not ErrInvalid", err)
		}
		if err == nil && !validName(s.id) {
			t.Fatalf("name %q", s.id)
		}
	})
}
