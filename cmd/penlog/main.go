// Command penlog sends the lines of a web server's log by UDP to penlogd: penlog(1).
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

const usage = "usage: penlog server_ip server_port [my_ip]\n       penlog server_ip:server_port\n"

// maxLine is the longest datagram, in bytes: FreeBSD and macOS send none above 9216, and penlogd takes no longer ones.
const maxLine = 8192

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run sends what it reads until the end of the input and returns the exit status: 1 where the addresses or the input are
// no good, 2 where the arguments are wrong.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 1 && args[0] == "--help" {
		fmt.Fprint(stdout, usage+"Sends each line of standard input by UDP to the penlogd there, from the address my_ip.\n")
		return 0
	}
	host, port, from, err := addresses(args)
	if err != nil {
		fmt.Fprintf(stderr, "penlog: %v\n%s", err, usage)
		return 2
	}
	c, to, err := open(host, port, from)
	if err != nil {
		fmt.Fprintf(stderr, "penlog: %v\n", err)
		return 1
	}
	defer c.Close()
	if err := forward(stdin, func(line []byte) error {
		_, err := c.WriteToUDP(line, to)
		return err
	}, stderr); err != nil {
		fmt.Fprintf(stderr, "penlog: standard input: %v\n", err)
		return 1
	}
	return 0
}

// addresses are the words of the command line.
func addresses(args []string) (host, port, from string, err error) {
	for _, a := range args {
		if len(a) > 1 && a[0] == '-' {
			return "", "", "", fmt.Errorf("unknown flag %s", a)
		}
	}
	switch len(args) {
	case 1:
		host, port, err = net.SplitHostPort(args[0])
	case 2:
		host, port = args[0], args[1]
	case 3:
		host, port, from = args[0], args[1], args[2]
	default:
		err = fmt.Errorf("the address and the port of penlogd are wanted, and perhaps one of our own; these are %d words", len(args))
	}
	if err == nil && (host == "" || port == "") {
		err = errors.New("the address and the port of penlogd must not be empty")
	}
	return host, port, from, err
}

// open makes a socket that sends from an address of ours, or from any with "". It is not connected: while no penlogd
// runs, each line would otherwise come back as an error of the next.
func open(host, port, from string) (*net.UDPConn, *net.UDPAddr, error) {
	to, err := net.ResolveUDPAddr("udp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, nil, fmt.Errorf("penlogd at %s port %s: %v", host, port, err)
	}
	if to.Port == 0 {
		return nil, nil, errors.New("penlogd at port 0: a port from 1 to 65535 is wanted")
	}
	network := "udp6"
	if to.IP.To4() != nil {
		network = "udp4"
	}
	var local *net.UDPAddr
	if from != "" {
		if local, err = net.ResolveUDPAddr(network, net.JoinHostPort(from, "0")); err != nil {
			return nil, nil, fmt.Errorf("our address %s: %v", from, err)
		}
	}
	c, err := net.ListenUDP(network, local)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot send from %s: %v", from, err)
	}
	return c, to, nil
}

// forward hands each line to send, with its newline, cut to maxLine bytes. What cannot be sent is lost, as UDP loses it,
// and the web server goes on; the first failure of a row is reported.
func forward(in io.Reader, send func([]byte) error, stderr io.Writer) error {
	r := bufio.NewReaderSize(in, maxLine)
	failing := false
	for {
		line, err := readLine(r)
		if len(line) > 0 {
			sent := send(line)
			if sent != nil && !failing {
				fmt.Fprintf(stderr, "penlog: lines are lost: %v\n", sent)
			}
			failing = sent != nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readLine is the next line, always with a newline; the reader's buffer limits its length and the rest is dropped. It is
// empty only at the end of the input.
func readLine(r *bufio.Reader) ([]byte, error) {
	part, err := r.ReadSlice('\n')
	if err == nil || len(part) == 0 {
		return part, err
	}
	line := make([]byte, 0, len(part)+1)
	line = append(line, part[:min(len(part), maxLine-1)]...)
	line = append(line, '\n')
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.ReadSlice('\n')
	}
	return line, err
}
