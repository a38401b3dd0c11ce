package control

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"edgepen/acl"
	"edgepen/proxy"
)

// lineMax is the longest command line, in bytes.
const lineMax = 64 << 10

// patience is how long a control client may take to send its line, and to read the reply.
const patience = 10 * time.Second

// refusalPatience is how long a client that is refused may take to speak.
const refusalPatience = time.Second

// portClients is how many control connections are served at a time; more wait.
const portClients = 64

// portRefusals is how many clients at a time are told that they may not use the port; more are hung up on.
const portRefusals = 8

// Port is an open control port.
type Port struct {
	ln  net.Listener
	in  *Interpreter
	log *slog.Logger
	wg  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	done  bool
}

// Listen opens the control port: a port number, host:port, or the path of a Unix socket, which only its owner may use.
func Listen(address string, in *Interpreter, log *slog.Logger) (*Port, error) {
	network, addr, err := proxy.SplitListen(address)
	if err != nil {
		return nil, fmt.Errorf("control port: %v", err)
	}
	ln, err := proxy.OpenControl(network, addr)
	if err != nil {
		return nil, fmt.Errorf("control port: can't bind %s: %v", address, err)
	}
	return &Port{ln: ln, in: in, log: log, conns: map[net.Conn]bool{}}, nil
}

// Serve takes commands until Close. It returns at once.
func (p *Port) Serve() {
	places, refusals := make(chan bool, portClients), make(chan bool, portRefusals)
	p.wg.Go(func() {
		for {
			places <- true
			c, err := p.ln.Accept()
			if err != nil {
				if errors.Is(err, net.ErrClosed) {
					return
				}
				p.log.Error("control port", "why", err)
				time.Sleep(patience / 100)
				<-places
				continue
			}
			if p.admit(c) != nil {
				<-places // those are for others
				p.refuse(c, refusals)
				continue
			}
			p.wg.Go(func() {
				p.serve(c)
				<-places
			})
		}
	})
}

// Close ends the port and what is being said on it.
func (p *Port) Close() {
	p.ln.Close()
	p.mu.Lock()
	p.done = true
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// serve reads one command, answers, and hangs up.
func (p *Port) serve(c net.Conn) {
	defer c.Close()
	if !p.enter(c) {
		return
	}
	defer p.leave(c)
	c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a connection that is gone fails the read
	line, err := readLine(c)
	if err == nil {
		p.log.Debug("do_cmd: " + line)
		var reply string
		reply, err = p.in.Run(line)
		c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // as above
		io.WriteString(c, reply)                //nolint:errcheck // whoever asked has left
	}
	if err != nil {
		fmt.Fprintf(c, "error: %v\n", err)
	}
}

// refuse tells a client that it may not use the port, once it has spoken: an answer given before that may be lost.
func (p *Port) refuse(c net.Conn, refusals chan bool) {
	p.log.Warn("control client refused", "client", c.RemoteAddr().String())
	select {
	case refusals <- true:
	default:
		c.Close()
		return
	}
	p.wg.Go(func() {
		defer func() { <-refusals }()
		defer c.Close()
		if p.enter(c) {
			defer p.leave(c)
			c.SetDeadline(time.Now().Add(refusalPatience)) //nolint:errcheck // a connection that is gone fails the read
			if _, err := readLine(c); err == nil {
				fmt.Fprintf(c, "error: %v\n", p.admit(c))
			}
		}
	})
}

// readLine reads up to the first CR or LF, or the end.
func readLine(c io.Reader) (string, error) {
	r := bufio.NewReader(io.LimitReader(c, lineMax+1))
	var b strings.Builder
	for b.Len() <= lineMax {
		ch, err := r.ReadByte()
		if err == io.EOF || ch == '\n' || ch == '\r' {
			return b.String(), nil
		}
		if err != nil {
			return "", fmt.Errorf("no command came within %v", patience)
		}
		b.WriteByte(ch)
	}
	return "", fmt.Errorf("the command line is too long; expected at most %d bytes", lineMax)
}

// admit asks control_acl about a client, and the system who is at the other end of a Unix socket.
func (p *Port) admit(c net.Conn) error {
	var who acl.Client
	if t, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		who.Addr = t.AddrPort().Addr().Unmap()
	} else {
		uid, gid, err := proxy.PeerIDs(c)
		if err == nil {
			err = ownUser(uid)
		}
		if err != nil {
			return err
		}
		who.Unix, who.UID, who.GID = true, uid, gid
	}
	if !p.in.Proxy.ControlPermits(&who) {
		return fmt.Errorf("control_acl does not permit %s", proxy.ShowAddr(who.Addr))
	}
	return nil
}

// ownUser reports whether a user may use our Unix socket.
func ownUser(uid uint32) error {
	if uid == 0 || uid == uint32(os.Geteuid()) {
		return nil
	}
	return fmt.Errorf("user id %d is neither ours nor root", uid)
}

func (p *Port) enter(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return !p.done
}

func (p *Port) leave(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}
