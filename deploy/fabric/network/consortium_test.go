//go:build unix

package network_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"

	"cunzheng/deploy/fabric/network"
)

func example(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../consortium.toml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestExampleIsTheDefault holds what the example says of itself.
func TestExampleIsTheDefault(t *testing.T) {
	got, err := network.Parse([]byte(example(t)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(network.Default(7050), got); diff != "" {
		t.Errorf("consortium.toml is not the default consortium (-default +file):\n%s", diff)
	}
}

func TestParseSaysWhichFieldIsWrong(t *testing.T) {
	const first = `orderer = { host = "127.0.0.1", port = 7050, admin_port = 7051, operations_port = 7052 }`
	for name, test := range map[string]struct{ old, new, want string }{
		"no TOML":                    {`channel = `, `channel = = `, "line "},
		"unknown key":                {`channel = "cunzheng"`, `chanel = "cunzheng"`, "chanel"},
		"unknown key of a peer":      {`chaincode_port = 7055`, `chaincodeport = 7055`, "chaincodeport"},
		"no channel":                 {`channel = "cunzheng"`, `channel = ""`, "channel"},
		"channel in capitals":        {`channel = "cunzheng"`, `channel = "Cunzheng"`, "channel"},
		"chaincode with a slash":     {`name = "cunzheng"`, `name = "a/b"`, "chaincode.name"},
		"chaincode ends in a hyphen": {`name = "cunzheng"`, `name = "a-"`, "chaincode.name"},
		"no version":                 {`version = "1"`, `version = ""`, "chaincode.version"},
		"version with a slash":       {`version = "1"`, `version = "../1"`, "chaincode.version"},
		"version is a number":        {`version = "1"`, `version = 1`, "line "},
		"id climbs out of folder":    {`id = "notary"`, `id = "../x"`, "organisations[0].id"},
		"id in capitals":             {`id = "notary"`, `id = "Notary"`, "organisations[0].id"},
		"id twice":                   {`id = "bureau"`, `id = "notary"`, "organisations[1].id"},
		"MSP breaks the policy":      {`msp = "NotaryMSP"`, `msp = "A.member')"`, "organisations[0].msp"},
		"MSP twice":                  {`msp = "CourtMSP"`, `msp = "HealthMSP"`, "organisations[3].msp"},
		"MSPs that differ in case":   {`msp = "CourtMSP"`, `msp = "HEALTHMSP"`, "organisations[3].msp"},
		"no title":                   {`title = "公证处"`, `title = ""`, "organisations[0].title"},
		"title of two lines":         {`title = "公证处"`, `title = "a\nb"`, "organisations[0].title"},
		"title too long":             {`title = "公证处"`, `title = "` + strings.Repeat("证", 65) + `"`, "organisations[0].title"},
		"host with a port":           {first, strings.Replace(first, "127.0.0.1", "a:1", 1), "organisations[0].orderer.host"},
		"host is everywhere":         {first, strings.Replace(first, "127.0.0.1", "0.0.0.0", 1), "organisations[0].orderer.host"},
		"no peer":                    {`peer = { host = "127.0.0.1", port = 7053, operations_port = 7054, chaincode_port = 7055 }`, "", "organisations[0].peer.host"},
		"port too large":             {`admin_port = 7061`, `admin_port = 65536`, "organisations[1].orderer.admin_port"},
		"port missing":               {`, admin_port = 7061`, ``, "organisations[1].orderer.admin_port"},
		"port negative":              {`chaincode_port = 7065`, `chaincode_port = -1`, "organisations[1].peer.chaincode_port"},
		"port twice":                 {`port = 7063,`, `port = 7050,`, "organisations[1].peer.port"},
	} {
		t.Run(name, func(t *testing.T) {
			text := example(t)
			changed := strings.Replace(text, test.old, test.new, 1)
			if changed == text {
				t.Fatalf("the example has no %q", test.old)
			}
			_, err := network.Parse([]byte(changed))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one that says %q", err, test.want)
			}
		})
	}
}

func TestParseWantsFourOrganisations(t *testing.T) {
	text := example(t)
	_, err := network.Parse([]byte(text[:strings.LastIndex(text, "[[organisations]]")]))
	if err == nil || !strings.Contains(err.Error(), "at least 4") {
		t.Errorf("three organisations: got error %v", err)
	}
}

func TestParseTakesNamesAndSixes(t *testing.T) {
	text := strings.NewReplacer(
		`orderer = { host = "127.0.0.1", port = 7050`, `orderer = { host = "orderer.notary.example.cn", port = 7050`,
		`peer = { host = "127.0.0.1", port = 7053`, `peer = { host = "2001:db8::1", port = 7050`,
	).Replace(example(t))
	if _, err := network.Parse([]byte(text)); err != nil {
		t.Error(err)
	}
}

// FuzzParse holds that what is accepted can be written down and read back, as the network's folder does it.
func FuzzParse(f *testing.F) {
	f.Add([]byte(example(f)))
	f.Add([]byte(`channel = "a"`))
	f.Add([]byte(`organisations = [{}, {}, {}, {}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := network.Parse(data)
		if err != nil {
			return
		}
		text, err := toml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := network.Parse(text)
		if err != nil {
			t.Fatalf("what was accepted is refused when written again: %v\n%s", err, text)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Error(diff)
		}
	})
}
