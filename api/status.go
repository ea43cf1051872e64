package api

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"cunzheng/api/wire"
	"cunzheng/evidence"
)

// openapi.yaml is written by hand; openapi.json is the same document, kept in step by TestOpenAPIForms.
var (
	//go:embed openapi.yaml
	openapiYAML []byte
	//go:embed openapi.json
	openapiJSON []byte
)

func (s *Server) getOpenAPIYAML(c echo.Context) error {
	return writeBytes(c, http.StatusOK, "application/yaml", openapiYAML)
}

func (s *Server) getOpenAPIJSON(c echo.Context) error {
	return writeBytes(c, http.StatusOK, "application/json", openapiJSON)
}

// getHealth says that the process answers: an orchestrator restarts it when it does not.
func (s *Server) getHealth(c echo.Context) error {
	return ok(c, wire.Health{Status: "ok", Version: s.version})
}

// getReady says whether requests should be sent here, and what keeps the service from working.
func (s *Server) getReady(c echo.Context) error {
	answer := wire.Readiness{Ready: true, Checks: s.ready(c.Request().Context())}
	if s.stopping.Load() {
		answer.Checks = append(answer.Checks, Check{Name: "server", Required: true, ZH: "服务正在停止。", EN: "The server is stopping."})
	}
	if answer.Checks == nil {
		answer.Checks = []Check{}
	}
	status := http.StatusOK
	for _, check := range answer.Checks {
		if check.Required && !check.OK {
			answer.Ready, status = false, http.StatusServiceUnavailable
		}
	}
	return writeJSON(c, status, "application/json", answer)
}

// getMetrics serves Prometheus. It tells about the platform's traffic, so it is not public; a scraper without a token
// uses a listener of its own.
func (s *Server) getMetrics(c echo.Context) error {
	if s.gatherer == nil {
		return &failure{code: codeNoSuchPath}
	}
	promhttp.HandlerFor(s.gatherer, promhttp.HandlerOpts{}).ServeHTTP(c.Response(), c.Request())
	return nil
}

// getTrust answers with the platform's trust file: what a verifier needs, fetched over a channel it trusts.
func (s *Server) getTrust(c echo.Context) error {
	trust, err := s.evidence.Trust()
	if err != nil {
		return err
	}
	return writeTrust(c, trust)
}

// getConsortiumTrust answers with the trust file of all nodes on the shared ledger.
func (s *Server) getConsortiumTrust(c echo.Context) error {
	if s.consortiumTrust == nil {
		return &failure{code: codeNoSuchPath}
	}
	release, err := s.relays.take(c.Request().Context(), s.callerAddress(c.Request()), proofPatience)
	if err != nil {
		return err
	}
	defer release()
	trust, err := s.consortiumTrust(c.Request().Context())
	if err != nil {
		return err
	}
	return writeTrust(c, trust)
}

func writeTrust(c echo.Context, trust *evidence.Trust) error {
	encoded, err := trust.Encode()
	if err != nil {
		return err
	}
	return writeBytes(c, http.StatusOK, "application/json", encoded)
}

// getKeys answers with the platform's own public keys, in PEM as well, for people with stock tools.
func (s *Server) getKeys(c echo.Context) error {
	trust, err := s.evidence.Trust()
	if err != nil {
		return err
	}
	keys := wire.PlatformKeys{Keys: []wire.PlatformKey{}}
	for _, log := range trust.Logs {
		for _, k := range log.Keys {
			keys.Keys = append(keys.Keys, platformKey(log.Origin, k))
		}
	}
	for _, ledger := range trust.Ledgers {
		for _, k := range ledger.Keys {
			keys.Keys = append(keys.Keys, platformKey(ledger.Name, k))
		}
	}
	return ok(c, keys)
}
