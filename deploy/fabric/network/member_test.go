//go:build unix

package network

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newcomer(t testing.TB) Organisation {
	t.Helper()
	text, err := os.ReadFile("../member.toml")
	if err != nil {
		t.Fatal(err)
	}
	o, err := ParseMember(text)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestParseMember(t *testing.T) {
	text, err := os.ReadFile("../member.toml")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ old, new, want string }{
		"unknown key": {`id = `, `name = `, "name"},
		"bad id":      {`"archive"`, `"../x"`, "id"},
		"an orderer":  {"peer = ", "orderer = { host = \"a\", port = 1 }\npeer = ", "with a peer only"},
		"no peer":     {"peer = ", "#", "peer.host"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseMember([]byte(strings.Replace(string(text), test.old, test.new, 1)))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one that says %q", err, test.want)
			}
		})
	}
}

// TestCreateMember: what the others get is public, complete, and fits the consortium; the folder is made once.
func TestCreateMember(t *testing.T) {
	dir, o := t.TempDir(), newcomer(t)
	path, d, err := CreateMember(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseDefinition(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, got); diff != "" {
		t.Error(diff)
	}
	c := Default(7050)
	c.Organisations = append(c.Organisations, got.organisation())
	if err := c.validate(); err != nil {
		t.Error(err)
	}
	if strings.Contains(string(text), "PRIVATE") {
		t.Errorf("a private key in\n%s", text)
	}
	if _, err := os.Stat(layout(dir).orderer(o)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an orderer's identity: %v", err)
	}
	if _, _, err := CreateMember(dir, o); !errors.Is(err, ErrOtherNetwork) {
		t.Errorf("again: %v", err)
	}
}

func TestParseDefinitionRefuses(t *testing.T) {
	dir, o := t.TempDir(), newcomer(t)
	_, good, err := CreateMember(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	l := layout(dir)
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	old, err := newAuthority(o, "old", time.Now().Add(-2*authorityLifetime))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*Definition)
		want   string
	}{
		"a private key":    {func(d *Definition) { d.CA = read(l.organisation(o, "ca", keyFile)) }, "ca: want one certificate"},
		"a key behind it":  {func(d *Definition) { d.CA += read(l.organisation(o, "ca", keyFile)) }, "ca: want one certificate"},
		"two certificates": {func(d *Definition) { d.TLSCA += d.CA }, "tls_ca: want one certificate"},
		"no authority":     {func(d *Definition) { d.CA = read(signingCertificate(l.user(o, adminUser))) }, "ca: not the certificate of an authority"},
		"expired":          {func(d *Definition) { d.CA = string(old.certificate) }, "ca: valid from"},
		"one for both":     {func(d *Definition) { d.TLSCA = d.CA }, "the same"},
		"nothing":          {func(d *Definition) { d.TLSCA = "" }, "tls_ca"},
		"MSP":              {func(d *Definition) { d.MSP = "A.member')" }, "msp"},
		"host":             {func(d *Definition) { d.Peer.Host = "a:1" }, "peer.host"},
		"port":             {func(d *Definition) { d.Peer.Port = 0 }, "peer.port"},
	} {
		t.Run(name, func(t *testing.T) {
			d := good
			test.change(&d)
			text, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParseDefinition(text); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one that says %q", err, test.want)
			}
		})
	}
}

// FuzzParseDefinition holds that what is accepted can be written down and read back.
func FuzzParseDefinition(f *testing.F) {
	path, _, err := CreateMember(filepath.Join(f.TempDir(), "new"), newcomer(f))
	if err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ParseDefinition(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseDefinition(text); err != nil || again != d {
			t.Errorf("%+v became %+v, %v", d, again, err)
		}
	})
}
