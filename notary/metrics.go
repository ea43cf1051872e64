package notary

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cunzheng/evidence"
)

// metrics of one service.
type metrics struct {
	registerer prometheus.Registerer

	deposits      *prometheus.CounterVec // by type and result
	contentBytes  prometheus.Counter
	selfCheck     prometheus.Counter // must stay 0
	disagreements prometheus.Counter // must stay 0
	logins        *prometheus.CounterVec
	bundles       prometheus.Counter
	contentErrors prometheus.Counter
	clockSkew     prometheus.GaugeFunc
}

// newMetrics registers the metrics. skew says by how much the machine's clock is wrong.
func newMetrics(r prometheus.Registerer, skew func() time.Duration) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "cunzheng", Subsystem: "notary", Name: name, Help: help})
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "cunzheng", Subsystem: "notary", Name: name, Help: help}, labels)
	}
	m := &metrics{
		deposits: vector("deposits_total",
			"Deposits by type (file, digest) and result (new, duplicate, or the code of the error).", "type", "result"),
		contentBytes:  counter("content_bytes_total", "Bytes of original content stored."),
		selfCheck:     counter("receipt_check_failures_total", "Receipts whose own check failed before they were sent. Must stay 0."),
		disagreements: counter("receipt_disagreements_total", "Receipts that the second SM2 implementation refused. Must stay 0."),
		logins:        vector("logins_total", "Password logins by result (ok, or the code of the error).", "result"),
		bundles:       counter("bundles_total", "Bundles handed out whole."),
		contentErrors: counter("content_errors_total", "Originals that could not be read or were not what was deposited."),
		clockSkew: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "cunzheng", Subsystem: "notary", Name: "clock_skew_seconds",
			Help: "By how much the machine's clock is wrong: negative when behind, positive after a leap ahead, 0 otherwise. Unless it is 0 no deposits are taken."},
			func() float64 { return skew().Seconds() }),
	}
	if r == nil {
		return m, nil
	}
	m.registerer = r
	for i, c := range m.collectors() {
		if err := r.Register(c); err != nil {
			for _, done := range m.collectors()[:i] {
				r.Unregister(done)
			}
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.deposits, m.contentBytes, m.selfCheck, m.disagreements, m.logins, m.bundles, m.contentErrors, m.clockSkew}
}

func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.collectors() {
		m.registerer.Unregister(c)
	}
}

// deposited counts one deposit.
func (m *metrics) deposited(t evidence.Type, d *Deposit, err error) {
	result := "new"
	switch {
	case err != nil:
		result = codeOf(err)
	case d.Duplicate:
		result = "duplicate"
	}
	m.deposits.WithLabelValues(string(t), result).Inc()
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}
