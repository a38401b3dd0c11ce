package dsr

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"edgepen/proxy/backend"
)

// A lab is five network namespaces:
//
//	client 10.9.0.64-79 ──┐      ┌── s1 10.9.0.1, and 10.9.0.100 on lo
//	                      switch
//	pen 10.9.0.3 ─────────┘      └── s2 10.9.0.2, and 10.9.0.100 on lo
type lab struct{ prefix string }

const patience = 10 * time.Second

func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("network namespaces need ip(8), from iproute2")
	}
	l := &lab{fmt.Sprintf("edgepen-dsr-%d-", os.Getpid())}
	if out, err := exec.Command("ip", "netns", "add", l.prefix+"switch").CombinedOutput(); err != nil {
		t.Skipf("network namespaces cannot be made here: %s", bytes.TrimSpace(out))
	}
	l.removeAtEnd(t, "switch")
	l.ip(t, "switch", "link add br0 type bridge")
	l.ip(t, "switch", "link set br0 up")
	l.join(t, "client", "10.9.0.77/24")
	for i := 64; i < 80; i++ {
		if i != 77 {
			l.ip(t, "client", fmt.Sprintf("addr add 10.9.0.%d/24 dev eth0", i))
		}
	}
	l.join(t, "pen", "10.9.0.3/24")
	l.sysctl(t, "pen", "ip_forward", "0")
	for i, name := range []string{"s1", "s2"} {
		l.join(t, name, fmt.Sprintf("10.9.0.%d/24", i+1))
		l.sysctl(t, name, "conf/all/arp_ignore", "1")
		l.sysctl(t, name, "conf/all/arp_announce", "2")
		l.ip(t, name, "addr add 10.9.0.100/32 dev lo")
	}
	return l
}

// join adds a namespace to the network.
func (l *lab) join(t *testing.T, name, addr string) {
	t.Helper()
	if out, err := exec.Command("ip", "netns", "add", l.prefix+name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l.removeAtEnd(t, name)
	l.ip(t, "switch", fmt.Sprintf("link add to-%s type veth peer name eth0 netns %s", name, l.prefix+name))
	l.ip(t, "switch", "link set to-"+name+" master br0 up")
	l.ip(t, name, "link set lo up")
	l.ip(t, name, "link set eth0 up")
	l.ip(t, name, "addr add "+addr+" dev eth0")
}

func (l *lab) removeAtEnd(t *testing.T, name string) {
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", l.prefix+name).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
}

func (l *lab) ip(t *testing.T, name, command string) {
	t.Helper()
	args := append([]string{"-n", l.prefix + name}, strings.Fields(command)...)
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func (l *lab) sysctl(t *testing.T, name, key, value string) {
	t.Helper()
	if err := l.in(name, func() error { return os.WriteFile("/proc/sys/net/ipv4/"+key, []byte(value), 0) }); err != nil {
		t.Fatal(err)
	}
}

// in runs f on a thread inside a namespace. Sockets that f opens stay there.
func (l *lab) in(name string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		ns, err := os.Open(filepath.Join("/run/netns", l.prefix+name))
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// balance opens a balancer and waits until it has found the servers.
func (l *lab) balance(t *testing.T, c Config) *Balancer {
	t.Helper()
	var b *Balancer
	if err := l.in("pen", func() (err error) {
		b, err = Open(c, slog.New(slog.NewTextHandler(t.Output(), nil)))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	for end := time.Now().Add(patience); ; runtime.Gosched() {
		if s := b.Status().Servers; s[0].Up && s[1].Up {
			return b
		}
		if time.Now().After(end) {
			t.Fatalf("servers not found: %+v", b.Status())
		}
	}
}

// labConfig is the service on the lab's two servers.
func labConfig() Config {
	c := testConfig()
	c.Servers[0].State, c.Servers[1].State = new(backend.State), new(backend.State)
	return c
}

// serveTCP answers every connection to the service address on this server: reads
// to the end, then says the server's name, how much it read, and as much again.
func (l *lab) serveTCP(t *testing.T, name string) {
	t.Helper()
	var ln net.Listener
	if err := l.in(name, func() (err error) { ln, err = net.Listen("tcp4", "10.9.0.100:80"); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(patience))
				n, _ := io.Copy(io.Discard, conn)
				fmt.Fprintf(conn, "%s %d\n%s", name, n, make([]byte, n))
			}()
		}
	}()
}

// dial makes a TCP connection from an address of the client.
func (l *lab) dial(from netip.Addr, to string, timeout time.Duration) (net.Conn, error) {
	return l.dialFrom(net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), to, timeout)
}

func (l *lab) dialFrom(local net.Addr, to string, timeout time.Duration) (conn net.Conn, err error) {
	d := net.Dialer{Timeout: timeout, LocalAddr: local}
	network := local.Network() + "4"
	err = l.in("client", func() (err error) { conn, err = d.Dial(network, to); return err })
	if err == nil {
		conn.SetDeadline(time.Now().Add(patience))
	}
	return conn, err
}

// ask uploads size bytes to the service and downloads as many, and returns the
// server's name.
func (l *lab) ask(t *testing.T, from netip.Addr, size int) string {
	t.Helper()
	conn, err := l.dial(from, "10.9.0.100:80", patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	name, count, _ := strings.Cut(strings.TrimSpace(line), " ")
	n, err := io.Copy(io.Discard, r)
	if err != nil || n != int64(size) || count != fmt.Sprint(size) {
		t.Fatalf("server %s received %s bytes and sent %d, want %d: %v", name, count, n, size, err)
	}
	return name
}

// traffic is the bytes that have come to and gone from pen's interface.
func (l *lab) traffic(t *testing.T) (received, sent int) {
	t.Helper()
	err := l.in("pen", func() error {
		b, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		_, line, _ := strings.Cut(string(b), "eth0:")
		var skip int
		_, err = fmt.Sscan(line, &received, &skip, &skip, &skip, &skip, &skip, &skip, &skip, &sent)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return received, sent
}

func TestNamespacesTCP(t *testing.T) {
	l := newLab(t)
	l.serveTCP(t, "s1")
	l.serveTCP(t, "s2")
	c := labConfig()
	b := l.balance(t, c)

	table := newTable(t, c)
	used := map[string]int{}
	for i := 64; i < 80; i++ {
		from := netip.AddrFrom4([4]byte{10, 9, 0, byte(i)})
		got := l.ask(t, from, 10)
		used[got]++
		if want := fmt.Sprintf("s%d", 1+table.slots[table.slot(from.As4(), 0)].index); got != want {
			t.Errorf("client %s: server %s, want %s", from, got, want)
		}
	}
	if len(used) != 2 {
		t.Errorf("servers used: %v", used)
	}

	// The upload passes pen, the download does not.
	const size = 8 << 20
	received, sent := l.traffic(t)
	l.ask(t, clientAddr, size)
	received2, sent2 := l.traffic(t)
	if n := received2 - received; n < size || n > size*3/2 {
		t.Errorf("%d bytes came to pen, uploaded were %d", n, size)
	}
	if n := sent2 - sent; n < size || n > size*3/2 {
		t.Errorf("%d bytes left pen, uploaded were %d", n, size)
	}
	if n := c.Servers[0].State.Sent() + c.Servers[1].State.Sent(); n < size {
		t.Errorf("%d bytes counted, uploaded were %d", n, size)
	}

	// The blacklist holds at once.
	name := l.ask(t, clientAddr, 1)
	c.Servers[name[1]-'1'].State.Shun(time.Now().Add(time.Hour))
	if other := l.ask(t, clientAddr, 1); other == name {
		t.Errorf("server %s was asked although it is on the blacklist", name)
	}
	if s := b.Status(); s.Dropped != 0 || s.Failed != 0 || s.Tarpitted != 0 {
		t.Errorf("status %+v", s)
	}
}

// serveUDP echoes datagrams with the server's name before them.
func (l *lab) serveUDP(t *testing.T, name string) {
	t.Helper()
	var conn net.PacketConn
	if err := l.in(name, func() (err error) { conn, err = net.ListenPacket("udp4", "10.9.0.100:53"); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			conn.WriteTo(append([]byte(name+" "), buf[:n]...), from) // failing, the client waits in vain
		}
	}()
}

func TestNamespacesUDP(t *testing.T) {
	l := newLab(t)
	l.serveUDP(t, "s1")
	l.serveUDP(t, "s2")
	c := labConfig()
	c.Port, c.UDP, c.RoundRobin = 53, true, true
	l.balance(t, c)
	used := map[string]int{}
	for i := range 20 {
		size := 10
		if i%2 == 1 {
			size = 5000 // in four fragments
		}
		data := strings.Repeat("x", size)
		conn, err := l.dialFrom(net.UDPAddrFromAddrPort(netip.AddrPortFrom(clientAddr, uint16(20000+i))), "10.9.0.100:53", patience)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1<<16)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("datagram of %d bytes: %v", size, err)
		}
		conn.Close()
		name, echo, _ := strings.Cut(string(buf[:n]), " ")
		if echo != data {
			t.Errorf("datagram of %d bytes: %d came back", size, len(echo))
		}
		used[name]++
	}
	if len(used) != 2 {
		t.Errorf("servers used: %v", used)
	}
}

func TestNamespacesTarpit(t *testing.T) {
	l := newLab(t)
	l.serveTCP(t, "s1")
	l.serveTCP(t, "s2")
	c := labConfig()
	c.Tarpit = tarpitted
	b := l.balance(t, c)
	conn, err := l.dial(clientAddr, "10.9.0.201:22", patience)
	if err != nil {
		t.Fatalf("the tarpit does not accept: %v", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Error(err)
	}
	conn.SetDeadline(time.Now().Add(300 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Errorf("the tarpit is not silent: %d bytes, %v", n, err)
	}
	if s := b.Status(); s.Tarpitted != 1 || s.Forwarded != 0 {
		t.Errorf("status %+v", s)
	}
	l.ask(t, clientAddr, 100) // the service goes on

	if conn, err := l.dial(clientAddr, "10.9.0.210:22", 300*time.Millisecond); err == nil {
		conn.Close()
		t.Error("an address outside the list accepts connections")
	}
}

func TestNamespacesOtherTraffic(t *testing.T) {
	l := newLab(t)
	b := l.balance(t, labConfig())
	var ln net.Listener
	if err := l.in("pen", func() (err error) { ln, err = net.Listen("tcp4", "10.9.0.3:80"); return err }); err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := l.dial(clientAddr, "10.9.0.3:80", patience)
	if err != nil {
		t.Fatalf("pen's own host: %v", err)
	}
	conn.Close()
	if conn, err := l.dial(clientAddr, "10.9.0.100:81", 300*time.Millisecond); err == nil || !os.IsTimeout(err) {
		if conn != nil {
			conn.Close()
		}
		t.Errorf("another port of the service address: %v, want a timeout", err)
	}
	if s := b.Status(); s.Forwarded != 0 || s.Failed != 0 {
		t.Errorf("status %+v", s)
	}
}

func TestOpenRefuses(t *testing.T) {
	l := newLab(t)
	for _, tt := range []struct {
		edit func(*Config)
		want string
	}{
		{func(c *Config) { c.Interface = "eth7" }, "dsr_if eth7: no such network interface"},
		{func(c *Config) { c.Interface = "lo" }, "dsr_if lo: not an Ethernet interface"},
		{func(c *Config) { c.Servers[0].Addr = ourAddr.Addr() }, "dsr_if eth0: server 0, 10.9.0.3, is this host: direct server return needs other hosts"},
	} {
		c := labConfig()
		tt.edit(&c)
		err := l.in("pen", func() error {
			b, err := Open(c, nil)
			if err == nil {
				b.Close()
			}
			return err
		})
		if err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}
