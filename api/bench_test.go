//go:build unix

package api

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"cunzheng/crypto/sm3"
	"cunzheng/evidence"
	"cunzheng/notary"
)

const benchClients = 64

// load is what one run of hammer measured.
type load struct {
	rate     float64       // requests per second
	cpu      time.Duration // processor time of one request, client included: tells on a busy machine too
	p50, p99 time.Duration
}

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// hammer makes n requests from 64 clients, each on its own connection.
func hammer(b *testing.B, n int, request func(i int) *http.Request, want int) load {
	b.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: benchClients, DisableCompression: true}
	defer transport.CloseIdleConnections()
	latencies := make([]time.Duration, n)
	var next atomic.Int64
	var wait sync.WaitGroup
	begun, used := time.Now(), processorTime(b)
	for range benchClients {
		wait.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				sent := time.Now()
				response, err := transport.RoundTrip(request(i))
				if err != nil {
					b.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if err != nil || response.StatusCode != want {
					b.Errorf("%d, %v", response.StatusCode, err)
					return
				}
				latencies[i] = time.Since(sent)
			}
		})
	}
	wait.Wait()
	took, used := time.Since(begun), processorTime(b)-used
	slices.Sort(latencies)
	return load{float64(n) / took.Seconds(), used / time.Duration(n), latencies[n/2], latencies[n*99/100]}
}

// plainEcho is the yardstick: echo answering a JSON of 300 bytes.
func plainEcho(b *testing.B) string {
	b.Helper()
	e := echo.New()
	body := []byte(`{"a":"` + strings.Repeat("x", 292) + `"}`)
	e.POST("/", func(c echo.Context) error {
		if _, err := io.Copy(io.Discard, c.Request().Body); err != nil {
			return err
		}
		return c.JSONBlob(http.StatusCreated, body)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: e}
	go server.Serve(listener)
	b.Cleanup(func() { server.Close() })
	return "http://" + listener.Addr().String() + "/"
}

func benchServer(b *testing.B) *env {
	return start(b, func(o *Options) { o.Logger = slog.New(slog.NewJSONHandler(io.Discard, nil)) })
}

func digestBody(i int) string {
	return `{"sm3":"` + evidence.Digest(sm3.Sum(fmt.Append(nil, "bench", i))).String() +
		`","name":"record.json","size":1234,"case":"C-1","provenance":{"sourceSystem":"OA","generation":"system"}}`
}

// BenchmarkDigestDeposit deposits digests one by one from 64 clients, with everything on: token, strict JSON, canonical
// statement, SM2 signature on each receipt, proof, fsync. The yardstick runs before and after it, in the same process.
func BenchmarkDigestDeposit(b *testing.B) {
	e := benchServer(b)
	header := http.Header{"Authorization": {"Bearer " + e.token(b, notary.RoleDepositor)}, "Content-Type": {jsonType}}
	yard := plainEcho(b)
	send := func(url string) func(int) *http.Request {
		return func(i int) *http.Request {
			r, err := http.NewRequest(post, url, strings.NewReader(digestBody(i)))
			if err != nil {
				b.Error(err)
			}
			r.Header = header
			return r
		}
	}
	const yardRequests = 30_000
	hammer(b, 2000, send(yard), http.StatusCreated)
	before := hammer(b, yardRequests, send(yard), http.StatusCreated)
	b.ResetTimer()
	deposits := hammer(b, b.N, send(e.url+"/v1/evidence/digests"), http.StatusCreated)
	b.StopTimer()
	after := hammer(b, yardRequests, send(yard), http.StatusCreated)
	echoRate := (before.rate + after.rate) / 2
	b.ReportMetric(deposits.rate, "deposits/s")
	b.ReportMetric(echoRate, "echo/s")
	b.ReportMetric(deposits.rate/echoRate, "of-echo")
	b.ReportMetric(float64(before.cpu+after.cpu)/2/float64(deposits.cpu), "of-echo-cpu")
	b.ReportMetric(float64(deposits.cpu.Microseconds()), "cpu-µs/deposit")
	b.ReportMetric(float64(deposits.p50.Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(deposits.p99.Microseconds())/1000, "p99-ms")
}

// BenchmarkBatch deposits digests in batches of 10,000 lines, one batch after the other.
func BenchmarkBatch(b *testing.B) {
	e := benchServer(b)
	const lines = 10_000
	token := e.token(b, notary.RoleDepositor)
	batches := make([]*bytes.Buffer, b.N)
	for i := range batches {
		batches[i] = new(bytes.Buffer)
		for j := range lines {
			batches[i].WriteString(digestBody(i*lines+j) + "\n")
		}
	}
	used := processorTime(b)
	b.ResetTimer()
	for _, batch := range batches {
		r := e.request(b, post, "/v1/evidence/batch", batch, "Authorization", "Bearer "+token, "Content-Type", lineType)
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || bytes.Count(body, []byte(`"status":201`)) != lines {
			b.Fatalf("%v, %d deposits", err, bytes.Count(body, []byte(`"status":201`)))
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N*lines)/b.Elapsed().Seconds(), "deposits/s")
	b.ReportMetric(float64((processorTime(b)-used).Microseconds())/float64(b.N*lines), "cpu-µs/deposit")
}

// BenchmarkFile uploads one file of 256 MiB; b.SetBytes gives the rate.
func BenchmarkFile(b *testing.B) {
	e := benchServer(b)
	const size = 256 << 20
	token := e.token(b, notary.RoleDepositor)
	block := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	b.SetBytes(size)
	for b.Loop() {
		var readers []io.Reader
		for range size / len(block) {
			readers = append(readers, bytes.NewReader(block))
		}
		r := e.request(b, put, "/v1/evidence/files/big.bin", io.MultiReader(readers...), "Authorization", "Bearer "+token)
		r.ContentLength = size
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusCreated {
			b.Fatal(response.Status)
		}
	}
}
