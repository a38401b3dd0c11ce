package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"edgepen/proxy/backend"
)

// TestTheLastServerOfDatagrams is not blacklisted: whoever is down, or is never asked, could not take its place.
func TestTheLastServerOfDatagrams(t *testing.T) {
	server := func(index int) *backend.Server {
		return &backend.Server{Index: index, Spec: backend.Spec{Address: "192.0.2.1", Port: 1}, State: new(backend.State)}
	}
	down := server(1)
	down.SetDown(true)
	shunned := server(1)
	shunned.Shun(time.Now().Add(time.Hour))
	for _, c := range []struct {
		name      string
		others    []*backend.Server
		emergency *backend.Server
		stubborn  bool
		last      bool
	}{
		{"alone", nil, nil, false, true},
		{"with another", []*backend.Server{server(1)}, nil, false, false},
		{"with one that is down", []*backend.Server{down}, nil, false, true},
		{"with one on the blacklist", []*backend.Server{shunned}, nil, false, true},
		{"with an emergency server", nil, server(-1), false, false},
		{"with one that is never asked", nil, server(-1), true, true},
	} {
		p, failing := New(slog.New(slog.DiscardHandler), new(slog.LevelVar)), server(0)
		s := &snapshot{set: backend.NewSet(backend.SetConfig{Servers: append([]*backend.Server{failing}, c.others...), Emergency: c.emergency, Mode: backend.Mode{Stubborn: c.stubborn}})}
		s.Blacklist = time.Minute
		p.now.Store(s)
		failing.Acquire(false)
		datagrams{p}.Failed(failing, syscall.ECONNREFUSED)
		if failing.Shunned(time.Now()) == c.last || failing.Conns() != 0 {
			t.Errorf("%s: blacklisted %v", c.name, failing.Shunned(time.Now()))
		}
	}
}

// TestAnErrorOfTheServerCounts more than that we have no address towards another one of its.
func TestAnErrorOfTheServerCounts(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := ln.Addr().(*net.TCPAddr).AddrPort()
	ln.Close()
	nowhere := netip.MustParseAddrPort("[::1]:9") // bound to an address that is not ours
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, c := range []struct {
		addrs []netip.AddrPort
		want  error
	}{
		{[]netip.AddrPort{dead, nowhere}, syscall.ECONNREFUSED}, {[]netip.AddrPort{nowhere, dead}, syscall.ECONNREFUSED}, {[]netip.AddrPort{nowhere}, syscall.EADDRNOTAVAIL},
	} {
		srv := &backend.Server{Spec: backend.Spec{Address: "name", Port: 1}, Addrs: c.addrs, State: new(backend.State)}
		if _, err := dialAny(ctx, srv, dialFrom{source: netip.MustParseAddr("2001:db8::77")}); !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.addrs, err, c.want)
		}
	}
}
