package pull

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"hyprstream/errs"
)

// policy says where a pull may go. Its zero value allows everything.
type policy struct {
	restricted bool
	items      []string // Hub, Registry, Web, HOST or HOST:PORT
}

// CheckAllow says what is wrong with a list for Options.Allow.
func CheckAllow(list []string) error {
	for _, item := range list {
		if item == "" || strings.ContainsAny(item, "/@?# ") {
			return invalid("%q is none of hf, oci, https, HOST and HOST:PORT", item)
		}
	}
	return nil
}

func (p policy) names(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return slices.ContainsFunc(p.items, func(item string) bool {
		return strings.EqualFold(item, host) || strings.EqualFold(item, name)
	})
}

// source says whether a statement may name s.
func (p policy) source(s Source) error {
	if !p.restricted || slices.Contains(p.items, s.Kind) || p.names(s.Host()) {
		return nil
	}
	return errs.New(errs.PermissionDenied, op, "this server does not pull %s: start it with --allow-pull %s (or --allow-pull %s), or put the file below an allowed directory and give its path",
		s, s.Kind, s.Host())
}

// trusts says whether a connection to host:port may be made wherever it leads:
// whoever runs the server named it.
func (p policy) trusts(address string) bool {
	if !p.restricted || p.names(address) {
		return true
	}
	return slices.Contains(p.items, Hub) && address == withPort(endpoint())
}

// withPort is a URL's host and port.
func withPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// closed are addresses that are not of the public Internet, beside those that
// net/netip knows.
var closed = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

func public(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !slices.ContainsFunc(closed, func(p netip.Prefix) bool { return p.Contains(ip) })
}

func inward(host string) error {
	return errs.New(errs.PermissionDenied, op, "%s is an address inside this network, which clients may not reach: start the server with --allow-pull %s if they should", host, host)
}

// transport makes connections under the policy. The address is looked at after
// the name was resolved, so that a name cannot lead inward either. Behind a
// proxy the proxy resolves names, and only addresses in URLs are looked at.
func (p *Puller) newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 p.viaProxy,
		DialContext:           p.dial,
		TLSClientConfig:       p.tls,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true, // sizes and ranges are of the file itself
		MaxIdleConnsPerHost:   2,
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: p.stall,
	}
}

func (p *Puller) viaProxy(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if u == nil || err != nil {
		return u, err
	}
	if ip, err := netip.ParseAddr(r.URL.Hostname()); err == nil && !public(ip) && !p.policy.trusts(withPort(r.URL)) {
		return nil, inward(r.URL.Host)
	}
	p.proxies.Store(withPort(u), true)
	return u, nil
}

func (p *Puller) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 15 * time.Second}
	if _, proxy := p.proxies.Load(strings.ToLower(address)); !proxy && !p.policy.trusts(strings.ToLower(address)) {
		d.Control = func(_, resolved string, _ syscall.RawConn) error {
			if to, err := netip.ParseAddrPort(resolved); err != nil || !public(to.Addr()) {
				return inward(address)
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, address)
}
