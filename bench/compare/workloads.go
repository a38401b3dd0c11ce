package main

import (
	"context"
	stdtls "crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// mode is the way in which a contender is set up.
type mode string

const (
	modeTLS   mode = "tls"   // terminates TLS, relays bytes
	modeHTTPS mode = "https" // terminates TLS, adds X-Forwarded-For
	modeHTTP2 mode = "http2" // as https, in HTTP/2
	modeHTTP  mode = "http"  // plain HTTP, adds X-Forwarded-For
	modeTCP   mode = "tcp"   // relays bytes
	modeUDP   mode = "udp"   // passes datagrams on
)

// encrypted says whether clients speak TLS to the contender.
func (m mode) encrypted() bool { return m == modeTLS || m == modeHTTPS || m == modeHTTP2 }

// forwards says whether the contender has to add X-Forwarded-For.
func (m mode) forwards() bool { return m == modeHTTPS || m == modeHTTP2 || m == modeHTTP }

// unit is what a workload's figure is per, and how the figure is expressed.
type unit struct {
	name   string  // of one unit, for the tables
	figure string  // what the figure measures
	scale  float64 // CPU seconds per counted thing, times scale, is the figure
}

// perSecond is how many counted things make one of what rates are given in: bytes come in GB, all else as it is.
func (u unit) perSecond() float64 {
	if u.name == "GB" {
		return 1e9
	}
	return 1
}

// driver does a workload's work on one client goroutine until ctx ends or something fails.
type driver func(ctx context.Context, c *client, request []byte, n *tally) error

// workload is one kind of work. Its names agree with those in common use for this project's benchmarks.
type workload struct {
	id     string
	title  string
	mode   mode
	unit   unit
	path   string           // what is asked of the server
	conns  int              // client goroutines
	groups []stdtls.CurveID // offered by the client
	drive  driver           // nil: connections are opened and held, memory is measured
}

// allWorkloads lists the workloads in the order of the report.
func allWorkloads() []workload {
	var (
		connection = unit{"connection", "CPU µs", 1e6}
		request    = unit{"request", "CPU µs", 1e6}
		gigabyte   = unit{"GB", "CPU s", 1e9}
		idle       = unit{"idle connection", "KiB", 1}
		exchanges  = unit{"exchange", "CPU µs", 1e6}
		classic    = []stdtls.CurveID{stdtls.X25519, stdtls.CurveP256}
		hybrid     = []stdtls.CurveID{stdtls.X25519MLKEM768, stdtls.X25519, stdtls.CurveP256}
	)
	return []workload{
		{"W1", "new TLS 1.3 connection, ECDSA P-256, X25519 offered, full handshake + 1 request", modeTLS, connection, pathPage, 16, classic, newConnections},
		{"W1m", "as W1, X25519MLKEM768 offered", modeTLS, connection, pathPage, 16, hybrid, newConnections},
		{"W5", "HTTPS keep-alive request with X-Forwarded-For", modeHTTPS, request, pathForwarded, 64, classic, keepAlive},
		{"W5h2", "the same in HTTP/2, 10 streams of a connection at once", modeHTTP2, request, pathForwarded, 8, classic, multiplexed},
		{"W6", "HTTP keep-alive request with X-Forwarded-For", modeHTTP, request, pathForwarded, 64, nil, keepAlive},
		{"W7", "the same request through plain TCP", modeTCP, request, pathPage, 64, nil, keepAlive},
		{"W8", "bulk download over TLS", modeTLS, gigabyte, pathBulk, 4, classic, download},
		{"W8h", "bulk download over HTTPS with X-Forwarded-For", modeHTTPS, gigabyte, pathBulk, 4, classic, download},
		{"W9", "bulk download over plain TCP", modeTCP, gigabyte, pathBulk, 4, nil, download},
		{"W11", "new plain TCP connection + 1 request", modeTCP, connection, pathPage, 32, nil, newConnections},
		{"W12", "memory of an idle HTTPS connection after 1 request", modeHTTPS, idle, pathForwarded, 8, classic, nil},
		{"W13", "a datagram and its answer", modeUDP, exchanges, "", 16, nil, exchange},
	}
}

// selectWorkloads returns the workloads named in a comma-separated list, in the order of the report; an empty list names all.
func selectWorkloads(names string) ([]workload, error) {
	all := allWorkloads()
	var wanted []string
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		if !slices.ContainsFunc(all, func(w workload) bool { return w.id == name }) {
			return nil, fmt.Errorf("no workload %q", name)
		}
		wanted = append(wanted, name)
	}
	if wanted == nil {
		return all, nil
	}
	return slices.DeleteFunc(all, func(w workload) bool { return !slices.Contains(wanted, w.id) }), nil
}

// workloadHelp lists the workloads for the usage.
func workloadHelp() string {
	var b strings.Builder
	for _, w := range allWorkloads() {
		fmt.Fprintf(&b, "  %-4s %s\n", w.id, w.title)
	}
	return b.String()
}

// request is the head that the workload's clients send. Requests for pages are 200 bytes long.
func (w workload) request() []byte {
	if w.path == pathBulk {
		return []byte("GET " + pathBulk + " HTTP/1.1\r\nHost: bench.test\r\n\r\n")
	}
	const size, end = 200, "\r\n\r\n"
	head := "GET " + w.path + " HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: compare/1.0 (load generator)\r\n" +
		"Accept: text/html,application/json;q=0.9\r\nAccept-Language: en-GB\r\nCookie: session="
	return []byte(head + strings.Repeat("c", size-len(head)-len(end)) + end)
}

// body is what the server answers to request.
func (w workload) body() []byte {
	if w.path == pathBulk {
		return bulkBody()
	}
	return pageBody()
}
