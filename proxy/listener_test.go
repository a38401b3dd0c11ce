package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"edgepen/proxy/backend"
)

func TestSplitListen(t *testing.T) {
	for in, want := range map[string]string{
		"8080": "tcp4 0.0.0.0:8080", ":8080": "tcp4 0.0.0.0:8080", "127.0.0.1:8080": "tcp4 127.0.0.1:8080",
		"localhost:http": "tcp4 localhost:80", "https": "tcp4 0.0.0.0:443",
		":::443": "tcp6 [::]:443", "[::]:443": "tcp6 [::]:443", "[::1]:443": "tcp6 [::1]:443", "::1:443": "tcp6 [::1]:443",
		"/run/pen.sock": "unix /run/pen.sock", "./pen": "unix ./pen",
	} {
		network, addr, err := SplitListen(in)
		if got := network + " " + addr; got != want || err != nil {
			t.Errorf("%q is %q (%v), expected %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "host:", "no-such-service", "1.2.3.4:99999", "-1"} {
		if network, addr, err := SplitListen(in); err == nil {
			t.Errorf("%q is %s %s, expected an error", in, network, addr)
		} else if !strings.Contains(err.Error(), in) {
			t.Errorf("%q: the error does not name it: %v", in, err)
		}
	}
}

func TestUpdateIsAllOrNothing(t *testing.T) {
	a := newServer(t, "a")
	p, _ := start(t, func(c *Config) { c.Servers = []backend.Spec{a.spec(t, "")} })
	taken, err := net.Listen("tcp", "127.0.0.1:0") // by somebody who does not share
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	fresh := filepath.Join(dir, "fresh")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*Config){
		"no such certificate": func(c *Config) { c.Certificates.Certs = []string{filepath.Join(dir, "none.pem")} },
		"key alone":           func(c *Config) { c.Certificates.Keys = []string{file} },
		"TLS without certificate": func(c *Config) {
			c.Listeners = append(c.Listeners, Listener{fresh, TLSAlways})
		},
		"port taken": func(c *Config) {
			c.Listeners = []Listener{{Address: fresh}, {Address: taken.Addr().String()}}
		},
		"no port": func(c *Config) {
			c.Listeners = append(c.Listeners, Listener{Address: fresh}, Listener{Address: "x:y:z"})
		},
		"no socket": func(c *Config) { c.Listeners = append(c.Listeners, Listener{Address: fresh}, Listener{Address: file}) },
		"twice": func(c *Config) {
			c.Listeners = append(c.Listeners, Listener{Address: fresh}, Listener{fresh, TLSNever})
		},
		"no database": func(c *Config) { c.GeoIP = []string{filepath.Join(dir, "none.mmdb")} },
		"bad address": func(c *Config) { c.Servers = append(c.Servers, backend.Spec{Address: "no such name", Port: 1}) },
	} {
		t.Run(name, func(t *testing.T) {
			config, snap, listeners := p.Config(), p.now.Load(), p.listeners
			err := p.Update(func(d *Draft) error {
				d.Blacklist++
				d.After(func() { t.Error("what was to follow the update was done") })
				edit(&d.Config)
				return nil
			})
			if err == nil {
				t.Fatal("no error")
			}
			if !reflect.DeepEqual(config, p.Config()) || snap != p.now.Load() || !slices.Equal(listeners, p.listeners) {
				t.Errorf("after %q the configuration is not what it was", err)
			}
			if _, err := os.Lstat(fresh); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a new listener stays open: %v", err)
			}
			if got := greeted(t, p); got != "a" {
				t.Errorf("the client came to %s", got)
			}
		})
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("a file that is no socket was removed: %v", err)
	}
}

func TestListenersChange(t *testing.T) {
	a := newServer(t, "a")
	p, _ := start(t, func(c *Config) { c.Servers = []backend.Spec{a.spec(t, "")} })
	old := address(p, 0)
	established := dial(t, old)
	greeting(t, established)
	path := filepath.Join(t.TempDir(), "s")
	update(t, p, func(c *Config) { c.Listeners = append(c.Listeners, Listener{Address: path}) })
	if got := greeting(t, dial(t, path)); got != "a" {
		t.Errorf("the client came to %s", got)
	}
	if address(p, 0) != old {
		t.Error("a listener that stays was opened anew")
	}
	update(t, p, func(c *Config) { c.Listeners = c.Listeners[1:] })
	if c, err := net.Dial("tcp", old); err == nil {
		c.Close()
		t.Error("a listener that went still listens")
	}
	if got := greeting(t, dial(t, path)); got != "a" {
		t.Errorf("the client came to %s", got)
	}
	io.WriteString(established, "still here\n") //nolint:errcheck // what follows fails
	if got := greeting(t, established); got != "still here" {
		t.Errorf("an established connection says %q", got)
	}
	closes(t, p)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays behind: %v", err)
	}
}

// TestListenerChangesTLS: the address stays, what is spoken there changes, and nobody finds the door shut.
func TestListenerChangesTLS(t *testing.T) {
	for _, kind := range []string{"tcp", "unix"} {
		t.Run(kind, func(t *testing.T) {
			a := newServer(t, "a")
			addr := refusing(t)
			if kind == "unix" {
				addr = filepath.Join(t.TempDir(), "s")
			}
			p, _ := start(t, func(c *Config) {
				c.Listeners = []Listener{{Address: addr}}
				c.Servers = []backend.Spec{a.spec(t, "")}
				c.Certificates.SelfSigned = "localhost"
			})
			if got := greeting(t, secure(t, addr, nil)); got != "a" {
				t.Errorf("the client came to %s", got)
			}
			var stop atomic.Bool
			knocking := make(chan struct{})
			go func() {
				defer close(knocking)
				for !stop.Load() {
					c, err := net.Dial(kind, addr)
					if err != nil {
						t.Errorf("nobody listens: %v", err)
						return
					}
					c.SetDeadline(time.Now().Add(patience))         //nolint:errcheck // it keeps a broken test from hanging
					io.WriteString(c, "neither TLS nor a secret\n") //nolint:errcheck // the answer is what counts
					if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
						t.Error("nobody answers")
					}
					c.Close()
				}
			}()
			update(t, p, func(c *Config) { c.Listeners = []Listener{{addr, TLSNever}} })
			if got := greeting(t, dial(t, addr)); got != "a" {
				t.Errorf("the client came to %s", got)
			}
			update(t, p, func(c *Config) { c.Listeners = []Listener{{addr, TLSAlways}} })
			if got := greeting(t, secure(t, addr, nil)); got != "a" {
				t.Errorf("the client came to %s", got)
			}
			stop.Store(true)
			wait(t, "the knocking to end", knocking)
		})
	}
}

func TestUnixSocketLeftBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	a := newServer(t, "a")
	start(t, func(c *Config) {
		c.Listeners = []Listener{{Address: path}}
		c.Servers = []backend.Spec{a.spec(t, "")}
	})
	if got := greeting(t, dial(t, path)); got != "a" {
		t.Errorf("the client came to %s", got)
	}
}

// blackhole is an address that answers no connection: its queue is full and nobody accepts.
// TestOutOfDescriptors leaves the process a few descriptors, then none, then all again.

// A socket for datagrams that is in use is not taken for one that was left behind.
func TestDatagramSocketInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	used, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	if err := removeSocket(path); err == nil {
		t.Error("the socket was removed under its owner")
	}
	used.Close()
	if err := removeSocket(path); err != nil {
		t.Errorf("the socket that was left behind: %v", err)
	}
}

// Services that only UDP has are ports too.
func TestListenServiceOfUDP(t *testing.T) {
	if _, err := net.LookupPort("udp", "tftp"); err != nil {
		t.Skip("the system knows no port for tftp")
	}
	if _, addr, err := SplitListen("tftp"); err != nil || addr != "0.0.0.0:69" {
		t.Errorf("SplitListen(tftp): %q, %v", addr, err)
	}
}
