package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// datagramMax is the largest datagram that the servers of scripts take, in bytes: more than IPv4 can carry.
const datagramMax = 1 << 16

// datagramServers starts servers for datagrams: datagram-servers NAME=[v2:]PORT|/path/to/socket… Each answers every datagram with
// its name, a blank and what it was sent, or, if that is long, how much; "whence" with the address that it came from behind it. With v2: each datagram has
// to begin with a PROXY header of that version, and in the answer stands what describeHead makes of it.
func datagramServers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: datagram-servers NAME=[v2:]PORT|/path/to/socket…")
	}
	for _, arg := range args {
		name, address, _ := strings.Cut(arg, "=")
		address, introduced := strings.CutPrefix(address, "v2:")
		network := "udp"
		switch {
		case strings.Contains(address, "/"):
			network = "unixgram"
		case !strings.Contains(address, ":"):
			address = "127.0.0.1:" + address
		}
		pc, err := net.ListenPacket(network, address)
		ts.Check(err)
		ts.Defer(func() { pc.Close() })
		go answerDatagrams(name, pc, introduced)
	}
}

func answerDatagrams(name string, pc net.PacketConn, introduced bool) {
	buf := make([]byte, datagramMax)
	for {
		n, from, err := pc.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || from == nil {
			continue
		}
		text := string(buf[:n])
		if introduced {
			head, payload, err := describeHead(buf[:n])
			text = fmt.Sprintf("%s %v\n%s", payload, err, head)
		} else if n > 1000 {
			text = fmt.Sprintf("%d bytes", n)
		}
		if addr, ok := from.(*net.UDPAddr); ok && text == "whence" {
			text += " " + addr.IP.String()
		}
		pc.WriteTo([]byte(name+" "+text), from) //nolint:errcheck // whoever asked has left
	}
}

// datagrams sends a datagram from each of several sockets and prints the answers, or "nothing" where none came within half a
// second: datagrams HOST:PORT|/path [SOURCE[:PORT]=]TEXT|@FILE… A source and port that came before is that socket again.
func datagrams(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: datagrams HOST:PORT|/path [SOURCE[:PORT]=]TEXT|@FILE…")
	}
	open := map[string]net.Conn{}
	for i, arg := range args[1:] {
		source, text, ok := strings.Cut(arg, "=")
		if !ok {
			source, text = "", arg
		}
		c := open[source]
		if c == nil {
			var err error
			c, err = datagramSocket(args[0], source, ts.MkAbs(fmt.Sprintf("client-%d-%d", i, time.Now().UnixNano())))
			ts.Check(err)
			defer c.Close()
			open[source] = c
		}
		if name, ok := strings.CutPrefix(text, "@"); ok {
			text = ts.ReadFile(name)
		}
		fmt.Fprintf(ts.Stdout(), "%s\n", askByDatagram(c, source, text))
	}
}

// datagramSocket is connected to an address; own is the path that a Unix one gets, without which it could not be answered.
func datagramSocket(address, source, own string) (net.Conn, error) {
	if strings.HasPrefix(address, "/") {
		return net.DialUnix("unixgram", &net.UnixAddr{Name: own, Net: "unixgram"}, &net.UnixAddr{Name: address, Net: "unixgram"})
	}
	to, err := net.ResolveUDPAddr("udp", address)
	if err != nil || source == "" {
		return net.DialUDP("udp", nil, to)
	}
	if !strings.Contains(source, ":") {
		source += ":0"
	}
	from, err := net.ResolveUDPAddr("udp", source)
	if err != nil {
		return nil, err
	}
	return net.DialUDP("udp", from, to)
}

func askByDatagram(c net.Conn, source, text string) string {
	host, _, _ := strings.Cut(source, ":")
	if _, err := c.Write([]byte(text)); err != nil && !isRefused(err) {
		return err.Error()
	}
	buf := make([]byte, datagramMax)
	c.SetReadDeadline(time.Now().Add(1500 * time.Millisecond)) //nolint:errcheck // a closed socket fails the read
	n, err := c.Read(buf)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), err != nil && isRefused(err):
		return strings.TrimSpace(host + " nothing")
	case err != nil:
		return err.Error()
	}
	return strings.TrimSpace(host + " " + string(buf[:n]))
}

// isRefused reports whether the other side's port is closed, which a connected socket hears of later.
func isRefused(err error) bool { return strings.Contains(err.Error(), "connection refused") }

// hearDatagrams writes what datagrams come to an address into a file, a line each: hear-datagrams FILE HOST:PORT.
func hearDatagrams(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hear-datagrams FILE HOST:PORT")
	}
	pc, err := net.ListenPacket("udp", args[1])
	ts.Check(err)
	out, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Defer(func() { pc.Close(); out.Close() })
	go func() {
		buf := make([]byte, datagramMax)
		for {
			n, _, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			fmt.Fprintf(out, "%s\n", strings.TrimSuffix(string(buf[:n]), "\n"))
		}
	}()
}
