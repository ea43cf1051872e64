package anchor

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	attempts    *prometheus.CounterVec // by result
	duration    prometheus.Histogram
	size        prometheus.Gauge
	lag         prometheus.GaugeFunc
	lastSuccess prometheus.Gauge
	halted      prometheus.Gauge
}

// Results of an attempt, as the label of the metric.
const (
	resultAnchored      = "anchored"
	resultUnchanged     = "unchanged"
	resultUnavailable   = "unavailable"
	resultRefused       = "refused"
	resultContradiction = "contradiction"
	resultError         = "error"
)

const namespace = "cunzheng"

func newMetrics(lag func() float64) *metrics {
	const subsystem = "anchor"
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}
	}
	return &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "attempts_total",
			Help: "Attempts to anchor the latest tree head, by result.",
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "duration_seconds",
			Help:    "Time of an attempt to anchor, whatever its result.",
			Buckets: prometheus.ExponentialBuckets(0.002, 4, 9),
		}),
		size:        prometheus.NewGauge(gauge("size", "Entries of the log under the last anchored tree head.")),
		lag:         prometheus.NewGaugeFunc(gauge("lag_entries", "Entries of the log that are not anchored yet."), lag),
		lastSuccess: prometheus.NewGauge(gauge("last_success_seconds", "Unix time when the ledger last confirmed the log; 0 if it has not since the start.")),
		halted:      prometheus.NewGauge(gauge("halted", "1 if the ledger contradicts the log and anchoring has stopped. Must stay 0.")),
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	return register(r, m.attempts, m.duration, m.size, m.lag, m.lastSuccess, m.halted)
}

// followerMetrics are those of a [Follower].
type followerMetrics struct {
	block, logs, findings, lastEvent prometheus.Gauge
	events, failures                 prometheus.Counter
}

func newFollowerMetrics() *followerMetrics {
	const subsystem = "follower"
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
	}
	return &followerMetrics{
		block:     gauge("block", "Number of the last block of the shared ledger with an event that was seen."),
		logs:      gauge("logs", "Logs that were seen anchored on the shared ledger."),
		findings:  gauge("findings", "Alarms: heads on the shared ledger that contradict each other. Must stay 0."),
		lastEvent: gauge("last_event_seconds", "Unix time when the last event of the shared ledger came; 0 if none has since the start."),
		events:    counter("events_total", "Events of the shared ledger that were seen."),
		failures:  counter("failures_total", "Times that following the shared ledger was interrupted."),
	}
}

func (m *followerMetrics) register(r prometheus.Registerer) error {
	return register(r, m.block, m.logs, m.findings, m.lastEvent, m.events, m.failures)
}

func register(r prometheus.Registerer, collectors ...prometheus.Collector) error {
	for _, c := range collectors {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("anchor: registering metrics: %w", err)
		}
	}
	return nil
}

func failure(err error) string {
	switch {
	case contradicts(err):
		return resultContradiction
	case errors.Is(err, ErrUnavailable):
		return resultUnavailable
	case errors.Is(err, ErrRefused):
		return resultRefused
	}
	return resultError
}
