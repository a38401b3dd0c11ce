package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"edgepen/proxy/backend"
)

// SplitListen turns a listening address in pen's notation into what net.Listen takes: "/path/to/socket" is a Unix socket,
// "port" is 0.0.0.0:port, and elsewhere the last colon separates the port, so that ":::443" is IPv6 like "[::]:443". The
// port may be a service name.
func SplitListen(address string) (network, addr string, err error) {
	if strings.Contains(address, "/") {
		return "unix", address, nil
	}
	host, port := "0.0.0.0", address
	if i := strings.LastIndexByte(address, ':'); i >= 0 {
		host, port = address[:i], address[i+1:]
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	n, err := net.LookupPort("ip", port) // TCP's, or, as for tftp, UDP's
	if err != nil || port == "" {
		return "", "", fmt.Errorf("listening address %q: %q is no port; expected [host:]port or /path/to/socket", address, port)
	}
	network = "tcp4"
	if strings.Contains(host, ":") {
		network = "tcp6"
	}
	if host == "" {
		host = "0.0.0.0"
	}
	return network, net.JoinHostPort(host, strconv.Itoa(n)), nil
}

// ListenPort is the port of a listening address, which servers given without one have too; 0 for a Unix socket.
func ListenPort(address string) uint16 {
	network, addr, err := SplitListen(address)
	if err != nil || network == "unix" {
		return 0
	}
	_, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.ParseUint(port, 10, 16)
	return uint16(n)
}

// resolveTimeout bounds the look-up of one server's name.
const resolveTimeout = 10 * time.Second

// resolve finds a server's addresses. A Unix path and an empty slot have none.
func resolve(ctx context.Context, spec backend.Spec) ([]netip.AddrPort, error) {
	if spec.Address == "" || spec.IsUnix() {
		return nil, nil
	}
	if a, err := netip.ParseAddr(spec.Address); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(a.Unmap(), spec.Port)}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", spec.Address)
	if err != nil {
		if strings.Trim(spec.Address, "0123456789") == "" {
			err = fmt.Errorf("%v; a port alone is no server: host:%s", err, spec.Address)
		}
		return nil, fmt.Errorf("unknown or invalid address [%s]: %v", spec.Address, err)
	}
	addrs := make([]netip.AddrPort, len(found))
	for i, a := range found {
		addrs[i] = netip.AddrPortFrom(a.Unmap(), spec.Port)
	}
	return addrs, nil
}
