package api

import (
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one server. Labels are routes, never paths, so their number is bounded.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	panics   prometheus.Counter
	cut      prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cunzheng_http_requests_total", Help: "Requests answered, by method, route and status.",
		}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cunzheng_http_request_seconds", Help: "Time from the headers of a request to the end of its answer, by method and route.",
			Buckets: []float64{.001, .0025, .005, .01, .02, .05, .1, .25, 1, 5, 30, 300},
		}, []string{"method", "route"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cunzheng_http_problems_total", Help: "Requests answered with a problem document, by code.",
		}, []string{"code"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cunzheng_http_panics_total", Help: "Handlers that panicked. Must stay 0.",
		}),
		cut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cunzheng_http_downloads_cut_total", Help: "Downloads cut off because an error came up after the first byte.",
		}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.refused, m.panics, m.cut} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) observe(c echo.Context, state *request, took time.Duration) {
	method, route := state.method, state.route
	m.requests.WithLabelValues(method, route, strconv.Itoa(c.Response().Status)).Inc()
	m.seconds.WithLabelValues(method, route).Observe(took.Seconds())
	if state.code != "" {
		m.refused.WithLabelValues(state.code).Inc()
	}
}
