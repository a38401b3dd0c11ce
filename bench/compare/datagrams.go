package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

const (
	datagramSize = 64
	// datagramsAtOnce is how many datagrams a client has under way: who asks for one name often asks for another.
	datagramsAtOnce = 4
)

// datagram is what clients send, and the backend sends back.
func datagram() []byte { return bytes.Repeat([]byte("q"), datagramSize) }

// exchange sends datagrams and waits for their answers, on a socket of its own, a few at a time. Loopback loses none unless a buffer
// is full, for which these are too few.
func exchange(ctx context.Context, cl *client, _ []byte, n *tally) error {
	conn, err := net.Dial("udp", cl.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	buf := make([]byte, 2*datagramSize)
	conn.SetDeadline(time.Now().Add(exchangeTime))
	defer interruptible(ctx, conn)()
	for ctx.Err() == nil {
		for range datagramsAtOnce {
			if _, err := conn.Write(datagram()); err != nil {
				return err
			}
		}
		for range datagramsAtOnce {
			if err := answered(conn, buf); err != nil {
				return err
			}
			n.units.Add(1)
		}
	}
	return nil
}

// answered demands an answer.
func answered(conn net.Conn, buf []byte) error {
	got, err := conn.Read(buf)
	if err == nil && !bytes.Equal(buf[:got], datagram()) {
		err = fmt.Errorf("wrong answer to a datagram: %.60q", buf[:got])
	}
	return err
}

// awaitDatagrams returns when the contender passes datagrams on.
func (in *instance) awaitDatagrams(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	conn, err := net.Dial("udp", in.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	buf := make([]byte, 2*datagramSize)
	for ctx.Err() == nil {
		select {
		case <-in.ended:
			return errors.New("it ended at once")
		default:
		}
		conn.Write(datagram()) //nolint:errcheck // nobody may be there yet
		conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if answered(conn, buf) == nil {
			return nil
		}
	}
	return fmt.Errorf("no datagram comes through %s: %w", in.address, context.Cause(ctx))
}

// echoDatagrams sends back what comes.
func echoDatagrams(pc net.PacketConn) {
	buf := make([]byte, 1<<16)
	conn := pc.(*net.UDPConn) // whose methods need no memory for addresses
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			fmt.Fprintln(os.Stderr, "backend:", err)
			return
		}
		conn.WriteToUDPAddrPort(buf[:n], from) //nolint:errcheck // whoever asked says what is missing
	}
}
