//go:build unix

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cunzheng/chaincode/chaincodetest"
	"cunzheng/deploy/fabric/network"
	"cunzheng/ledger/anchor/fabric"
	"cunzheng/ledger/blockproof"
)

// joining is a network of four, and what the organisations exchange while a fifth joins.
type joining struct {
	t          *testing.T
	network    *network.Network
	dir, files string // of the four; what goes from hand to hand
	newcomer   string // its folder
}

func newJoining(t *testing.T) *joining {
	t.Helper()
	port, release, err := network.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	dir := t.TempDir()
	j := &joining{t: t, dir: filepath.Join(dir, "fabric"), files: filepath.Join(dir, "files"), newcomer: filepath.Join(dir, "archive")}
	j.network, err = network.Up(t.Context(), j.dir, network.Default(port), network.Options{Tied: true, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, j.network)
	if err := os.Mkdir(j.files, 0o700); err != nil {
		t.Fatal(err)
	}
	// A default network leaves four of each ten ports free.
	j.write("member.toml", strings.NewReplacer("7056", strconv.Itoa(port+6), "7057", strconv.Itoa(port+7), "7058", strconv.Itoa(port+8)).Replace(read(t, "member.toml")))
	return j
}

func stopAfter(t *testing.T, n *network.Network) {
	t.Cleanup(func() {
		if err := n.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func (j *joining) file(name string) string { return filepath.Join(j.files, name) }

func (j *joining) write(name, text string) {
	j.t.Helper()
	if err := os.WriteFile(j.file(name), []byte(text), 0o600); err != nil {
		j.t.Fatal(err)
	}
}

// member runs a step that must end with code, and returns what it printed.
func (j *joining) member(code int, args ...string) string {
	j.t.Helper()
	got := command(j.t, append([]string{"member"}, args...)...)
	if got.code != code {
		j.t.Fatalf("member %q: exit code %d, want %d\n%s%s", args, got.code, code, got.stdout, got.stderr)
	}
	return got.stdout + got.stderr
}

// of runs a step of one of the four.
func (j *joining) of(code int, organisation, step, definition string) string {
	j.t.Helper()
	return j.member(code, step, "--dir", j.dir, "--organisation", organisation, "--definition", j.file(definition), "--update", j.file("update.pb"))
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func wants(t *testing.T, output string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(output, word) {
			t.Errorf("no %q in\n%s", word, output)
		}
	}
}

// TestMemberJoins lets a fifth organisation join a network of four while it runs, by the steps of docs/consortium.md.
func TestMemberJoins(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Fabric network")
	}
	j := newJoining(t)
	genesis := filepath.Join(j.dir, "channel", "genesis.block")
	pinned, err := blockproof.ParseFabricConfig([]byte(read(t, genesis)))
	if err != nil {
		t.Fatal(err)
	}

	wants(t, j.member(exitOK, "create", "--dir", j.newcomer, "--config", j.file("member.toml")), "org.json", "ArchiveMSP", "SHA-256")
	wants(t, j.member(exitError, "create", "--dir", j.newcomer, "--config", j.file("member.toml")), "another network")
	j.write("org.json", read(t, filepath.Join(j.newcomer, "org.json")))
	if strings.Contains(read(t, j.file("org.json")), "PRIVATE") {
		t.Error("org.json holds a private key")
	}
	j.agree()
	n := j.start(genesis)
	wants(t, j.member(exitOK, "admit", "--dir", j.dir, "--definition", j.file("org.json")), j.network.Profile("notary"))
	j.mustBeInForce(n, pinned)
	j.mustCount(n, []byte(read(t, genesis)), pinned)

	if status := command(t, "status", "--dir", j.newcomer); status.code != exitOK || strings.Count(status.stdout, "archive  ") != 2 {
		t.Errorf("status of the newcomer: %+v", status)
	}
	j.mustStartAlone(n)
}

// agree goes through the steps of the four, and through what must not work.
func (j *joining) agree() {
	t := j.t
	wants(t, j.of(exitOK, "notary", "propose", "org.json"), "ArchiveMSP", "3 of 4 organisations before, 3 of 5 after", "nobody yet")
	wants(t, j.of(exitOK, "notary", "sign", "org.json"), "signed 已签署: NotaryMSP;")
	wants(t, j.of(exitOK, "notary", "sign", "org.json"), "signed 已签署: NotaryMSP;") // again is no second signature
	// Somebody slipped the bureau the authorities of another: it does not sign what it did not see.
	other := filepath.Join(j.files, "other")
	j.member(exitOK, "create", "--dir", other, "--config", j.file("member.toml"))
	j.write("other.json", read(t, filepath.Join(other, "org.json")))
	wants(t, j.of(exitError, "bureau", "sign", "other.json"), "not the one that adds this organisation")
	// Two of four are no majority.
	wants(t, j.of(exitError, "bureau", "submit", "org.json"), "2 sub-policies were satisfied, but this policy requires 3")

	wants(t, j.of(exitOK, "bureau", "sign", "org.json"), "NotaryMSP, BureauMSP;")
	wants(t, j.of(exitOK, "court", "sign", "org.json"), "NotaryMSP, BureauMSP, CourtMSP;")
	wants(t, j.of(exitOK, "notary", "submit", "org.json"), "ArchiveMSP is an organisation of channel cunzheng")
	wants(t, j.of(exitError, "notary", "propose", "org.json"), "already")
}

// start starts the newcomer's peer, first by the package so that it is tied to this test, then by the command, which
// finds it running.
func (j *joining) start(genesis string) *network.Network {
	t := j.t
	t.Helper()
	j.write("genesis.block", read(t, genesis))
	j.write("consortium.toml", read(t, filepath.Join(j.dir, "consortium.toml")))
	c, err := network.Parse([]byte(read(t, j.file("consortium.toml"))))
	if err != nil {
		t.Fatal(err)
	}
	n, err := network.Join(t.Context(), j.newcomer, c, []byte(read(t, j.file("genesis.block"))), network.Options{Tied: true, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, n)
	wants(t, j.member(exitOK, "start", "--dir", j.newcomer, "--consortium", j.file("consortium.toml"), "--genesis", j.file("genesis.block")),
		n.Profile("archive"))
	if _, err := os.Stat(filepath.Join(j.newcomer, "organisations", "notary", "users")); err == nil {
		t.Error("the newcomer has keys of the notary")
	}
	return n
}

// mustBeInForce: the newcomer's peer holds the ledger, and the channel's configuration names five.
func (j *joining) mustBeInForce(n *network.Network, pinned *blockproof.FabricConfig) {
	t := j.t
	t.Helper()
	block, err := n.ConfigBlock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	config, err := blockproof.ParseFabricConfig(block)
	if err != nil {
		t.Fatal(err)
	}
	five := []string{"ArchiveMSP", "BureauMSP", "CourtMSP", "HealthMSP", "NotaryMSP"}
	if got := config.Organisations(); !slices.Equal(got, five) || len(config.Consenters()) != 4 {
		t.Errorf("organisations %v, orderers %v", got, config.Consenters())
	}
	if len(pinned.Organisations()) != 4 || config.Number() <= pinned.Number() {
		t.Errorf("config block %d of %v before, %d now", pinned.Number(), pinned.Organisations(), config.Number())
	}
}

// mustCount: with two of the four down, transactions need the fifth's endorsement. A proof of one verifies from the
// configuration that was pinned before it joined.
func (j *joining) mustCount(n *network.Network, genesis []byte, pinned *blockproof.FabricConfig) {
	t := j.t
	t.Helper()
	for _, name := range []string{"peer.health", "peer.court"} {
		if err := j.network.Kill(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, profile := range []string{j.network.Profile("notary"), n.Profile("archive")} {
		ledger, err := fabric.Open(t.Context(), fabric.Options{Profile: profile, Config: genesis})
		if err != nil {
			t.Fatal(err)
		}
		log := chaincodetest.NewLog(t, strings.ToLower(ledger.Organisation())+".example.cn/log")
		log.Append(1)
		if err := ledger.RegisterLog(t.Context(), log.Origin, log.PublicKey()); err != nil {
			t.Fatal(err)
		}
		head := log.Head(t, 1)
		proof, err := ledger.Anchor(t.Context(), head, log.Consistency(t, 0, 1))
		if err != nil {
			t.Fatal(err)
		}
		anchored, err := blockproof.VerifyFabric(proof, "cunzheng", pinned)
		if err != nil {
			t.Fatal(err)
		}
		if anchored.Org != ledger.Organisation() || !bytes.Equal(anchored.Checkpoint, head.Note) || anchored.Config == pinned.Number() ||
			!slices.Equal(anchored.Endorsers, []string{"ArchiveMSP", "BureauMSP", "NotaryMSP"}) || len(anchored.Organisations) != 5 {
			t.Errorf("%+v", anchored)
		}
		if err := ledger.Close(); err != nil {
			t.Error(err)
		}
	}
}

// mustStartAlone: nobody's start waits for the processes of one that is elsewhere.
func (j *joining) mustStartAlone(n *network.Network) {
	t := j.t
	t.Helper()
	if err := n.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"peer.health", "peer.court"} {
		if err := j.network.Start(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if up := command(t, "up", "--dir", j.dir); up.code != exitOK {
		t.Errorf("up of the four without the fifth: %+v", up)
	}
}
