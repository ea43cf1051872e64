package ledger

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	entries    prometheus.Counter
	duplicates prometheus.Counter
	busy       prometheus.Counter
	group      prometheus.Histogram
	commit     prometheus.Histogram
	crossCheck prometheus.Histogram
	size       prometheus.Gauge
	halted     prometheus.Gauge
	selfCheck  prometheus.Counter
	vetoes     prometheus.Counter
	background prometheus.Counter
	corruption prometheus.Counter

	all        []prometheus.Collector
	registered []prometheus.Collector
}

// newMetrics makes the metrics of one log. waiting and diskSize are asked when they are read.
func newMetrics(waiting, diskSize func() float64) *metrics {
	m := &metrics{}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "cunzheng", Subsystem: "ledger", Name: name, Help: help})
		m.all = append(m.all, c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "cunzheng", Subsystem: "ledger", Name: name, Help: help})
		m.all = append(m.all, g)
		return g
	}
	gaugeFunc := func(name, help string, f func() float64) {
		m.all = append(m.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "cunzheng", Subsystem: "ledger", Name: name, Help: help}, f))
	}
	histogram := func(name, help string, start float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "cunzheng", Subsystem: "ledger", Name: name, Help: help,
			Buckets: prometheus.ExponentialBuckets(start, 2, 14)})
		m.all = append(m.all, h)
		return h
	}
	m.entries = counter("entries_total", "Entries appended and released since start.")
	m.duplicates = counter("duplicates_total", "Entries refused because one with the same Unique is stored.")
	m.busy = counter("busy_total", "Calls refused because the queue was full.")
	m.group = histogram("group_entries", "Entries committed together.", 1)
	m.commit = histogram("commit_seconds", "From the start of a group to its sync on disk.", 0.000_25)
	m.crossCheck = histogram("cross_check_seconds", "Check of a checkpoint by the second SM2 implementation.", 0.000_25)
	m.size = gauge("size", "Entries under the latest released checkpoint.")
	m.halted = gauge("halted", "1 when the log has halted. Must be 0.")
	m.selfCheck = counter("self_check_failures_total", "Proofs that did not hold when checked before an answer. Must be 0.")
	m.vetoes = counter("vetoes_total", "Checkpoints that an SM2 implementation refused. Must be 0.")
	m.background = counter("disk_errors_total", "Failures of flushes and compactions. Must be 0.")
	m.corruption = counter("corruption_total", "Unreadable blocks met on disk. Must be 0.")
	gaugeFunc("queue_entries", "Entries that wait for the sequencer.", waiting)
	gaugeFunc("disk_bytes", "Bytes that the log takes on disk.", diskSize)
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range m.all {
		if err := r.Register(c); err != nil {
			m.unregister(r)
			return errors.Join(errors.New("ledger: registering metrics"), err)
		}
		m.registered = append(m.registered, c)
	}
	return nil
}

func (m *metrics) unregister(r prometheus.Registerer) {
	for _, c := range m.registered {
		r.Unregister(c)
	}
	m.registered = nil
}
