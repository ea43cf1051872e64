// Package api serves the platform over HTTP: it decodes, authenticates, calls package notary, and encodes.
//
// One table (routes.go) names every route with its handler, the roles that may call it and the size of body it reads;
// routing, authorisation, the tests and the check against openapi.yaml all come from it. One function (problem.go)
// turns errors into RFC 9457 problem documents through one table of codes (codes.go). Nothing else writes a status.
//
//	server, err := api.New(api.Options{Evidence: service, …})
//	…
//	err = server.Run(ctx, listener) // until ctx ends, then finishes what is under way
//
// Memory does not grow with the size of files: uploads and downloads stream. See docs/api.md for callers.
package api
