package api

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"cunzheng/api/wire"
)

// samplePath fills the parameters of a route with something that does not exist.
func samplePath(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if strings.HasPrefix(s, ":") {
			segments[i] = "nothing"
		} else if s == "*" {
			segments[i] = "000"
		}
	}
	return strings.Join(segments, "/")
}

// TestAccess goes through every route as nobody and as each role: whoever is not allowed gets 401 or 403 and nothing
// else, whoever is allowed gets past that.
func TestAccess(t *testing.T) {
	e := start(t, nil)
	for _, r := range routes {
		path := samplePath(r.path)
		t.Run(r.name, func(t *testing.T) {
			anonymous := e.do(t, "", r.method, path, "")
			switch {
			case r.access.public && anonymous.StatusCode == http.StatusUnauthorized:
				t.Error("public, but refuses a stranger")
			case !r.access.public:
				anonymous.wantProblem(t, http.StatusUnauthorized, codeTokenMissing)
				if got := anonymous.Header.Get("WWW-Authenticate"); got != `Bearer realm="cunzheng"` {
					t.Errorf("WWW-Authenticate is %q", got)
				}
			}
			for _, role := range allRoles {
				got := e.do(t, role, r.method, path, "")
				allowed := r.access.public || slices.Contains(r.access.roles, role)
				forbidden := got.StatusCode == http.StatusForbidden && got.problem(t).Code == codeForbidden
				if allowed == forbidden || got.StatusCode == http.StatusUnauthorized {
					t.Errorf("%s: allowed %v, but answered %d", role, allowed, got.StatusCode)
				}
			}
		})
	}
}

// TestNoOtherRoutes holds that the router knows the table and nothing more.
func TestNoOtherRoutes(t *testing.T) {
	e := start(t, nil)
	known := map[string]bool{}
	for _, r := range routes {
		known[r.method+" "+r.path] = true
	}
	for _, r := range e.server.echo.Routes() {
		if !known[r.Method+" "+r.Path] && r.Method != echo.RouteNotFound {
			t.Errorf("%s %s is not in the table", r.Method, r.Path)
		}
	}
	if got := len(e.server.echo.Routes()); got != len(routes) {
		t.Errorf("the router has %d routes, the table %d", got, len(routes))
	}
}

// TestDenyByDefault holds that a route that says nothing about access lets nobody in.
func TestDenyByDefault(t *testing.T) {
	e := start(t, nil)
	handler := e.server.guard(route{method: get, path: "/x", handle: func(*Server, echo.Context) error {
		t.Error("the handler was called")
		return nil
	}})
	e.server.echo.GET("/x", handler)
	for _, role := range allRoles {
		r := e.request(t, get, "/x", nil, "Authorization", "Bearer "+e.token(t, role))
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: got %d", role, response.StatusCode)
		}
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	e := start(t, nil)
	plain := func(method, path string) *answer {
		t.Helper()
		response, err := http.DefaultTransport.RoundTrip(e.request(t, method, path, nil))
		if err != nil {
			t.Fatal(err)
		}
		return readAnswer(t, response)
	}
	for _, path := range []string{"/", "/v1", "/v1/evidence/", "/v2/evidence", "/log", "/v1/evidence/a/b", "/..%2f..%2fetc/passwd", "/favicon.ico"} {
		plain(get, path).wantProblem(t, http.StatusNotFound, codeNoSuchPath)
	}
	for _, r := range routes {
		a := plain("DELETE", samplePath(r.path))
		a.wantProblem(t, http.StatusMethodNotAllowed, codeMethod)
		if allow := a.Header.Get("Allow"); !strings.Contains(allow, r.method) {
			t.Errorf("%s: Allow is %q", r.path, allow)
		}
	}
	if a := plain("BREW", "/v1/evidence"); a.StatusCode != http.StatusMethodNotAllowed || a.Header.Get("Content-Type") != wire.ProblemType {
		t.Errorf("invented method: got %d", a.StatusCode)
	}
}
