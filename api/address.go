package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// loopback is where proxies run that end TLS for this server, unless Options says otherwise.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// callerAddress returns the network address of whoever makes the request, as one to be counted by: for IPv6 the /64,
// all of which belongs to one subscriber. It is empty if only a proxy could tell and does not. Of X-Forwarded-For only
// what proxies have added counts; the caller can write into it what it likes.
func (s *Server) callerAddress(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	at := peer.Addr()
	hops := forwarded(r.Header)
	for s.isProxy(at) {
		if len(hops) == 0 {
			return ""
		}
		last := hops[len(hops)-1]
		hops = hops[:len(hops)-1]
		if at, err = netip.ParseAddr(strings.Trim(last, "[]")); err != nil {
			return ""
		}
	}
	at = at.Unmap().WithZone("")
	if at.Is6() {
		subscriber, _ := at.Prefix(64) // an error only for more bits than there are
		return subscriber.String()
	}
	return at.String()
}

func (s *Server) isProxy(at netip.Addr) bool {
	return slices.ContainsFunc(s.proxies, func(p netip.Prefix) bool { return p.Contains(at.Unmap()) })
}

// forwarded returns the addresses of X-Forwarded-For, the nearest last.
func forwarded(h http.Header) []string {
	var hops []string
	for _, line := range h.Values("X-Forwarded-For") {
		for hop := range strings.SplitSeq(line, ",") {
			hops = append(hops, strings.TrimSpace(hop))
		}
	}
	return hops
}
