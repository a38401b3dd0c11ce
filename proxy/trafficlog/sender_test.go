package trafficlog

import (
	"net"
	"testing"
	"time"

	"edgepen/proxy/logfile"
)

// collector is where datagrams arrive.
func collector(t *testing.T, at string) net.PacketConn {
	t.Helper()
	pc, err := net.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	pc.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // it is open
	return pc
}

// received checks what arrives, and says where it came from.
func received(t *testing.T, pc net.PacketConn, want string) string {
	t.Helper()
	b := make([]byte, 1000)
	n, from, err := pc.ReadFrom(b)
	if err != nil || string(b[:n]) != want {
		t.Fatalf("%q, %v", b[:n], err)
	}
	return from.String()
}

func sendingTo(t *testing.T, pc net.PacketConn, report func(logfile.Loss)) *Log {
	t.Helper()
	l, err := Open(pc.LocalAddr().String(), report)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *Log) say(word string) { l.Record(moment, "192.0.2.1", "10.0.0.1", []byte(word)) }

func said(word string) string { return "+ 192.0.2.1 10.0.0.1 " + word + "\n" }

// TestDatagrams: Reopen is a new connection, for the name may lead elsewhere by now; where there is none the old one goes on.
func TestDatagrams(t *testing.T) {
	pc := collector(t, "127.0.0.1:0")
	l := sendingTo(t, pc, none(t))
	l.Record(moment, "192.0.2.1", "10.0.0.1", []byte("GET / HTTP/1.1\r\n"))
	first := received(t, pc, said("GET / HTTP/1.1"))
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.say("two")
	second := received(t, pc, said("two"))
	if first == second {
		t.Errorf("the connection is the same, from %s", first)
	}
	l.far.name = "127.0.0.1:nonsense"
	if err := l.Reopen(); err == nil {
		t.Error("127.0.0.1:nonsense was connected to")
	}
	l.say("three")
	if third := received(t, pc, said("three")); third != second {
		t.Errorf("now from %s instead of %s", third, second)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	l.say("too late")
}

// lose sends until somebody has said that nobody listens, and a little more.
func lose(l *Log) {
	for range 20 {
		l.say("lost")
		time.Sleep(time.Millisecond)
	}
}

// TestLostDatagrams: losses are reported with how many they were, but not each; after a while, and after Reopen, they are news again.
func TestLostDatagrams(t *testing.T) {
	pc := collector(t, "127.0.0.1:0")
	lost := make(losses, 100)
	l := sendingTo(t, pc, lost.report)
	pc.Close()
	reported := func(when string) {
		t.Helper()
		lose(l)
		if len(lost) != 1 {
			t.Fatalf("%d reports %s", len(lost), when)
		}
		if loss := <-lost; loss.Lines == 0 || loss.Err == nil {
			t.Errorf("%s: %+v", when, loss)
		}
	}
	reported("of many losses")
	lose(l)
	if len(lost) > 0 {
		t.Errorf("a report too many: %+v", <-lost)
	}
	again := collector(t, pc.LocalAddr().String())
	l.say("back") // or what tells that the last one was lost
	l.say("back")
	received(t, again, said("back"))
	again.Close()
	l.far.told = time.Now().Add(-logfile.ReportEvery)
	reported("after a while")
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	reported("after Reopen")
	lose(l)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if len(lost) != 1 {
		t.Errorf("%d reports at the end", len(lost))
	}
}
