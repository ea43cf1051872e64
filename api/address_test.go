package api

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestCallerAddress(t *testing.T) {
	s := &Server{proxies: append([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, loopback...)}
	for _, test := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"192.0.2.1:80", nil, "192.0.2.1"},
		{"192.0.2.1:80", []string{"198.51.100.7"}, "192.0.2.1"}, // not from a proxy: anybody's word
		{"127.0.0.1:80", nil, ""},
		{"[::1]:80", nil, ""},
		{"127.0.0.1:80", []string{"198.51.100.7"}, "198.51.100.7"},
		{"127.0.0.1:80", []string{"1.2.3.4, 198.51.100.7"}, "198.51.100.7"},
		{"127.0.0.1:80", []string{"1.2.3.4", "198.51.100.7"}, "198.51.100.7"},
		{"127.0.0.1:80", []string{"1.2.3.4, 198.51.100.7, 10.1.1.1"}, "198.51.100.7"},
		{"127.0.0.1:80", []string{"10.1.1.1"}, ""},
		{"127.0.0.1:80", []string{"198.51.100.7, unknown"}, ""},
		{"127.0.0.1:80", []string{""}, ""},
		{"127.0.0.1:80", []string{"2001:db8:1:2:3:4:5:6"}, "2001:db8:1:2::/64"},
		{"127.0.0.1:80", []string{"[2001:db8:1:2::6]"}, "2001:db8:1:2::/64"},
		{"[::ffff:127.0.0.1]:80", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{"[fe80::1%eth0]:80", nil, "fe80::/64"},
		{"@", nil, ""},
	} {
		r := &http.Request{RemoteAddr: test.peer, Header: http.Header{"X-Forwarded-For": test.forwarded}}
		if got := s.callerAddress(r); got != test.want {
			t.Errorf("%s, forwarded %q: got %q, want %q", test.peer, test.forwarded, got, test.want)
		}
	}
}
