package udp

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"edgepen/proxy/backend"
)

// TestABurstToADeadServerIsNotLost: the datagrams of a client that come at once all go to the next server.
func TestABurstToADeadServerIsNotLost(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine starter) {
		p := newObserved(gone(t, "X"), echo(t, "A", "udp4", "127.0.0.1:0"))
		front := listen(t, "udp4", "127.0.0.1:0")
		c, err := net.Dial("udp4", front.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		for i := range 10 { // before anybody reads: they are one batch
			fmt.Fprint(c, i)
		}
		start(t, engine, front, p, Config{FlowsMax: 10})
		for i := range 10 {
			expect(t, c, fmt.Sprint("A", i))
		}
	})
}

// TestABurstIsNoSilence: more than udp_unanswered at once, before any server could say a word.
func TestABurstIsNoSilence(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine starter) {
		p := newObserved(echo(t, "A", "udp4", "127.0.0.1:0"), echo(t, "A", "udp4", "127.0.0.1:0"))
		front := listen(t, "udp4", "127.0.0.1:0")
		clients := make([]net.Conn, 30)
		for i := range clients {
			c, err := net.Dial("udp4", front.LocalAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(10 * time.Second))
			fmt.Fprint(c, i)
			clients[i] = c
		}
		s := start(t, engine, front, p, Config{FlowsMax: 100, Unanswered: 5})
		for i, c := range clients {
			expect(t, c, fmt.Sprint("A", i))
		}
		s.Close()
		if len(p.failed) > 0 {
			t.Errorf("failed: %v", p.failed)
		}
	})
}

// stopped is a Server whose reader waits, once it is told to, until it may go on: what happens meanwhile it finds all at once.
func stopped(t *testing.T, srv *backend.Server, trouble func(error)) (s *Server, stop, goOn func()) {
	inside, gate := make(chan bool), make(chan bool)
	tap := func(_ netip.AddrPort, _ *backend.Server, _ netip.AddrPort, up bool, d []byte) {
		if up && string(d) == "wait" {
			inside <- true
			<-gate
		}
	}
	s = start(t, newEngine, listen(t, "udp4", "127.0.0.1:0"), newObserved(srv), Config{FlowsMax: 10, Tap: tap, Trouble: trouble})
	other := dialClient(t, s)
	return s, func() { other.Write([]byte("wait")); <-inside }, func() { gate <- true }
}

// TestTheLastWordsOfAServer: it has answered, and ended; the next datagram is refused before the answer was read.
func TestTheLastWordsOfAServer(t *testing.T) {
	pc := listen(t, "udp4", "127.0.0.1:0")
	s, stop, goOn := stopped(t, serverAt("X", pc.LocalAddr()), nil)
	c := dialClient(t, s)
	c.Write([]byte("question"))
	buf := make([]byte, 100)
	_, from, err := pc.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	c.Write([]byte("second"))
	pc.WriteTo([]byte("answer"), from)
	pc.Close()
	goOn()
	expect(t, c, "answer")
}

// TestAnAnswerBehindAnErrorOfOurs: that the path takes no datagrams of some length is told before what has come, and ends nothing.
func TestAnAnswerBehindAnErrorOfOurs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making up an ICMP message takes root")
	}
	pc := listen(t, "udp4", odd.String()+":0")
	defer pc.Close()
	troubled := make(chan error, 10)
	s, stop, goOn := stopped(t, serverAt("X", pc.LocalAddr()), func(err error) { troubled <- err })
	c := dialClient(t, s)
	c.Write([]byte("question"))
	_, from, err := pc.ReadFrom(make([]byte, 100))
	if err != nil {
		t.Fatal(err)
	}
	stop()
	pc.WriteTo([]byte("answer"), from)
	tooLong(t, from.(*net.UDPAddr).Port, pc.LocalAddr().(*net.UDPAddr).Port)
	goOn()
	expect(t, c, "answer")
	select {
	case err := <-troubled:
		if !strings.Contains(err.Error(), "message too long") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the error of ours was not told: it may not have come at all")
	}
}

// odd is an address on loopback that nobody else uses: the kernel believes for minutes what ICMP says of the path to it.
var odd = netip.AddrFrom4([4]byte{127, 77, 0, 1})

// tooLong sends an ICMP message about a datagram to odd: fragmentation needed (RFC 792), for the path there takes 1000 bytes.
func tooLong(t *testing.T, from, to int) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP)
	if err != nil {
		t.Skip(err)
	}
	defer syscall.Close(fd)
	ip := append([]byte{0x45, 0, 0, 36, 0, 0, 0x40, 0, 64, syscall.IPPROTO_UDP, 0, 0, 127, 0, 0, 1}, odd.AsSlice()...)
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	b := append([]byte{3, 4, 0, 0, 0, 0, 1000 >> 8, 1000 & 0xff}, ip...)
	for _, n := range []int{from, to, 16, 0} {
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	}
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	if err := syscall.Sendto(fd, b, 0, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
}

// checksum is that of the internet (RFC 1071).
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
