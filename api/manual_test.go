package api

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"cunzheng/api/client"
	"cunzheng/api/wire"
	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm3"
	"cunzheng/evidence"
	"cunzheng/notary"
)

// TestManual runs the commands of docs/api.md with the tools a reader has: curl and OpenSSL. The assertion is thus also
// signed by somebody else's SM2.
func TestManual(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	manual, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(manual), -1)
	if len(blocks) != 4 {
		t.Fatalf("docs/api.md has %d blocks of commands; this test knows 4", len(blocks))
	}
	e := start(t, nil)
	dir := t.TempDir()
	kid := e.machine(t, filepath.Join(dir, "key.pem"))
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("password.txt", password)
	write("contract.pdf", "a contract")
	write("backup.tar", strings.Repeat("backup", 10_000))
	write("digests.ndjson", digestBody(1)+"\n"+digestBody(2)+"\n")
	d, err := e.as(t, "depositor").DepositFile(t.Context(), file("contract.pdf", "a contract"))
	if err != nil {
		t.Fatal(err)
	}
	const wrapper = `curl() { case "$*" in *--fail*) command curl -sS "$@";; *) command curl -sS --fail-with-body "$@"; echo;; esac; }`
	for i, block := range blocks {
		if i == 3 { // the last block downloads it
			if err := os.Remove(filepath.Join(dir, "contract.pdf")); err != nil {
				t.Fatal(err)
			}
		}
		commands := strings.NewReplacer(
			"username=zhang", "username=depositor",
			"jq -r .access_token", `sed 's/.*"access_token":"\([^"]*\)".*/\1/'`,
			"cunzheng-verify", "true ", // has tests of its own
		).Replace(block[1])
		script := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", wrapper+"\n"+commands)
		script.Dir = dir
		script.Env = append(os.Environ(), "S="+e.url, "TOKEN="+e.token(t, notary.RoleDepositor), "ISSUER="+issuer, "ID="+kid,
			"NUMBER="+d.Number, "SM3="+evidence.Digest(sm3.Sum([]byte("a contract"))).String())
		out, err := script.CombinedOutput()
		if err != nil {
			t.Errorf("block %d: %v\n%s", i+1, err, out)
		}
		if i == 1 && !strings.Contains(string(out), `"access_token"`) {
			t.Errorf("the assertion gave no token: %s", out)
		}
	}
	if n := e.stored(); n < 6 {
		t.Errorf("%d entries were made, want at least 6", n)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "contract.pdf")); err != nil || string(content) != "a contract" {
		t.Errorf("downloaded %q, %v", content, err)
	}
}

// machine registers the account gateway-1 with a key it writes to path, and returns the id of the key.
func (e *env) machine(t testing.TB, path string) string {
	t.Helper()
	e.account(t, "org-b", "gateway-1", notary.RoleDepartment)
	key, err := sm2.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	registered, err := e.client(t, client.Options{Credentials: client.Password("security-administrator", password)}).RegisterKey(t.Context(), wire.Key{
		Organisation: "org-b", Account: "gateway-1", Use: evidence.UseAuthentication,
		PEM: string(key.Public().(*sm2.PublicKey).PEM()), NotAfter: evidence.InstantOf(time.Now().Add(time.Hour)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return registered.ID.String()
}
