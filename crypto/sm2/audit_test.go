package sm2

import (
	"errors"
	"testing"
)

func TestAuditor(t *testing.T) {
	key, pub := newTestKey(t)
	_, other := newTestKey(t)
	divided := &PublicKey{spki: other.spki, key: pub.key} // see TestSecondLibraryNeverAdmits
	message := []byte("message")
	sig := sign(t, key, message)

	var alarms []error
	a := NewAuditor(1, func(err error) { alarms = append(alarms, err) })
	for range 5 {
		a.Observe(pub, message, sig)
	}
	a.Observe(divided, message, sig)
	a.Close()
	a.Close()
	if a.Checked() != 6 || a.Disagreed() != 1 || a.Dropped() != 0 {
		t.Errorf("checked %d, disagreed %d, dropped %d", a.Checked(), a.Disagreed(), a.Dropped())
	}
	if len(alarms) != 1 || !errors.Is(alarms[0], ErrDisagreement) {
		t.Errorf("alarms: %v", alarms)
	}
	a.Observe(pub, message, sig)
	if a.Dropped() != 1 {
		t.Errorf("after Close: dropped %d", a.Dropped())
	}
}

// It copies what it keeps, and a slow second implementation neither blocks the
// caller nor fills the memory.
func TestAuditorIsBounded(t *testing.T) {
	key, pub := newTestKey(t)
	_, other := newTestKey(t)
	message := []byte("message")
	sig := sign(t, key, message)

	entered, release := make(chan bool), make(chan bool)
	alarms := 0
	a := NewAuditor(1, func(error) {
		if alarms++; alarms == 1 {
			close(entered)
			<-release
		}
	})
	a.Observe(&PublicKey{spki: other.spki, key: pub.key}, message, sig)
	<-entered
	for range auditQueue + 10 {
		a.Observe(pub, message, sig)
	}
	clear(message)
	clear(sig)
	close(release)
	a.Close()
	if a.Dropped() != 10 || a.Checked() != auditQueue+1 || a.Disagreed() != 1 {
		t.Errorf("checked %d, disagreed %d, dropped %d", a.Checked(), a.Disagreed(), a.Dropped())
	}
}

func TestAuditorSample(t *testing.T) {
	const n, total = 64, 64 * 400
	a, b := NewAuditor(n, nil), NewAuditor(n, nil)
	defer a.Close()
	defer b.Close()
	chosen, differ := 0, false
	var sig [8]byte
	for i := range total {
		sig[0], sig[1] = byte(i), byte(i>>8)
		inA, inB := a.chosen(sig[:]), b.chosen(sig[:])
		if inA {
			chosen++
		}
		differ = differ || inA != inB
	}
	if chosen < total/n/2 || chosen > total/n*2 {
		t.Errorf("%d of %d are chosen, want about 1 in %d", chosen, total, n)
	}
	if !differ {
		t.Error("two auditors choose the same: a signer could foresee it")
	}
}
