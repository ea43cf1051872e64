package notary_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"cunzheng/evidence"
	"cunzheng/notary"
)

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	n := newNode(t, func(n *node) { n.registerer = registry })
	n.mustDepositFile(t, depositor, notary.FileDeposit{Name: "a", IdempotencyKey: "k"}, "12345")
	n.mustDepositFile(t, depositor, notary.FileDeposit{Name: "a", IdempotencyKey: "k"}, "12345")
	n.DepositDigests(t.Context(), depositor, append(sequence("x", 3), notary.DigestDeposit{}))
	n.Authenticate(t.Context(), "nobody", "wrong password")
	page := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/", nil))
	for _, line := range []string{
		`cunzheng_notary_content_bytes_total 5`,
		`cunzheng_notary_deposits_total{result="DIGEST_INVALID",type="digest"} 1`,
		`cunzheng_notary_deposits_total{result="duplicate",type="file"} 1`,
		`cunzheng_notary_deposits_total{result="new",type="digest"} 3`,
		`cunzheng_notary_deposits_total{result="new",type="file"} 1`,
		`cunzheng_notary_logins_total{result="LOGIN_FAILED"} 1`,
		`cunzheng_notary_receipt_check_failures_total 0`,
		`cunzheng_notary_receipt_disagreements_total 0`,
	} {
		if !strings.Contains(page.Body.String(), "\n"+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
	n.restart(t) // registers again
}

// TestNothingPrivateIsLogged runs into many errors and then reads the program's log.
func TestNothingPrivateIsLogged(t *testing.T) {
	var out bytes.Buffer
	n := newNode(t, func(n *node) {
		n.logger = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	const secret = "王小明的秘密"
	n.register(t, "org-a", notary.Account{ID: "alice", Kind: evidence.AccountPerson, DisplayName: secret, Roles: []notary.Role{notary.RoleNotary}})
	if err := n.SetPassword(t.Context(), secretAdm, "alice", secret); err != nil {
		t.Fatal(err)
	}
	n.Authenticate(t.Context(), "alice", secret)
	n.Authenticate(t.Context(), secret, secret)
	d := n.mustDepositFile(t, depositor, notary.FileDeposit{Name: secret, Private: map[string]string{"collector": secret}}, secret)
	damage(t, n)
	var errs []string
	keep := func(err error) {
		if err != nil {
			errs = append(errs, err.Error())
		}
	}
	keep(n.Content(t.Context(), depositor, d.Number, 0, &bytes.Buffer{}))
	_, err := n.DepositFile(t.Context(), depositor, notary.FileDeposit{Name: secret + "/x"}, strings.NewReader(secret))
	keep(err)
	_, err = n.DepositFile(t.Context(), depositor, notary.FileDeposit{Name: "a", Private: map[string]string{"collector": secret + "\x00"}}, strings.NewReader(secret))
	keep(err)
	n.restart(t)
	if len(errs) != 3 || out.Len() == 0 {
		t.Fatalf("%d errors, %d bytes of log: the test tests nothing", len(errs), out.Len())
	}
	for _, text := range append(errs, out.String()) {
		if strings.Contains(text, secret) {
			t.Errorf("tells a secret: %s", text)
		}
	}
}
