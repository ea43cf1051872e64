package consortium

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cunzheng/crypto/sm2"
	"cunzheng/evidence"
	"cunzheng/ledger/anchor/directory"
)

func TestCache(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	loads := map[string]int{}
	var failure error
	c := newCache(2, time.Minute, func() time.Time { return now }, func(_ context.Context, key string) (int, error) {
		loads[key]++
		return loads[key], failure
	})
	want := func(key string, value int) {
		t.Helper()
		got, read, err := c.get(t.Context(), key, 10*time.Second)
		if err != nil || got != value || now.Sub(read) >= 10*time.Second {
			t.Fatalf("%s: %d as of %s, %v; want %d", key, got, read, err, value)
		}
	}
	want("a", 1)
	now = now.Add(9 * time.Second)
	want("a", 1)
	want("b", 1)
	now = now.Add(time.Second)
	want("a", 2) // too old
	want("c", 1) // in place of b
	want("a", 2)
	want("b", 2)
	if len(c.kept) != 2 {
		t.Errorf("%d entries are kept", len(c.kept))
	}
	failure = errors.New("down")
	now = now.Add(time.Minute)
	if _, _, err := c.get(t.Context(), "a", time.Second); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
	failure = nil
	want("a", 4) // a failure is not kept
}

// TestCacheShares holds that many who ask at once make one reading, which does not end with the first who gives up.
func TestCacheShares(t *testing.T) {
	var loads atomic.Int32
	began, goOn := make(chan struct{}), make(chan struct{})
	c := newCache(2, time.Minute, time.Now, func(ctx context.Context, key string) (string, error) {
		loads.Add(1)
		close(began)
		<-goOn
		return key, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, _, err := c.get(ctx, "a", time.Minute)
		first <- err
	}()
	<-began
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first: %v", err)
	}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if got, _, err := c.get(t.Context(), "a", time.Minute); err != nil || got != "a" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	close(goOn)
	all.Wait()
	if n := loads.Load(); n != 1 {
		t.Errorf("%d readings", n)
	}
}

func TestTrustLog(t *testing.T) {
	at := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	node := directory.Node{Origin: "log.example/a", Organisation: "NotaryMSP", Name: "公证处"}
	var keys []directory.Key
	add := func(role string, from time.Duration, change func(*directory.Key)) evidence.Digest {
		key, err := sm2.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		k := directory.Key{Key: key.Public().(*sm2.PublicKey), Organisation: node.Organisation, Log: node.Origin, Role: role, From: at.Add(from)}
		if change != nil {
			change(&k)
		}
		keys = append(keys, k)
		return k.Key.Fingerprint()
	}
	third := add("receipt", 2*time.Hour, nil)
	first := add("receipt", 0, nil)
	second := add("receipt", time.Hour, func(k *directory.Key) {
		k.Revoked = &directory.Revocation{At: at.Add(90 * time.Minute), Reason: "compromise"}
	})
	log := add("log", 3*time.Hour, nil)
	add("officer", 0, nil)
	add("timestamp", 0, nil)
	add("seal", 0, func(k *directory.Key) { k.Organisation = "BureauMSP" })
	got := trustLog(node, keys)
	var text string
	for _, k := range got.Keys {
		name := map[evidence.Digest]string{first: "first", second: "second", third: "third", log: "log"}[k.ID]
		until := "open"
		if k.Until != 0 {
			until = k.Until.Time().Sub(at).String()
		}
		text += fmt.Sprintf("%s %s %s-%s revoked %v\n", name, k.Role, k.From.Time().Sub(at), until, k.Revoked != nil)
	}
	const want = "log log 3h0m0s-open revoked false\n" +
		"first receipt 0s-1h0m0s revoked false\n" +
		"second receipt 1h0m0s-2h0m0s revoked true\n" +
		"third receipt 2h0m0s-open revoked false\n"
	if text != want || got.Origin != node.Origin || got.Office != node.Name {
		t.Errorf("got\n%swant\n%s%+v", text, want, got)
	}
	if err := usable(got, evidence.InstantOf(at)); err != nil {
		t.Error(err)
	}
	if usable(trustLog(node, nil), evidence.InstantOf(at)) == nil {
		t.Error("a log without keys is usable")
	}
}

// TestHTTPClient holds what the client must not do.
func TestHTTPClient(t *testing.T) {
	for address, want := range map[string]bool{
		"http://127.0.0.1:80": true, "http://127.1.2.3": true, "http://[::1]:80": true, "http://localhost": false, "http://192.0.2.1": false,
		"https://127.0.0.1": false, "http://127.0.0.1.example": false, "http://": false, "http://0.0.0.0": false, "": false,
	} {
		if isLoopback(address) != want {
			t.Errorf("%q is loopback: %v", address, !want)
		}
	}
	c := &Consortium{plain: true}
	for _, address := range []string{
		"https://user@a.example", "https://a.example?x=1", "https://a.example#f", "https://", "ftp://a.example", "http://a.example",
		"http://localhost", "//a.example", "https://a.example/%zz", "",
	} {
		if target, err := c.address(directory.Node{URL: address}, "N", evidence.Digest{31: 1}); err == nil {
			t.Errorf("%q leads to %s", address, target)
		}
	}
	digest := strings.Repeat("0", 63) + "1"
	for address, want := range map[string]string{
		"https://a.example":           "https://a.example/v1/proofs/N?local=true&sm3=" + digest,
		"https://a.example:8443/base": "https://a.example:8443/base/v1/proofs/N?local=true&sm3=" + digest,
		"http://127.0.0.1:8080":       "http://127.0.0.1:8080/v1/proofs/N?local=true&sm3=" + digest,
	} {
		if target, err := c.address(directory.Node{URL: address}, "N", evidence.Digest{31: 1}); err != nil || target != want {
			t.Errorf("%q leads to %s, %v", address, target, err)
		}
	}
}
