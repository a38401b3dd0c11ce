package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// warmIdle connections come and go before memory is first read, so that what is allocated once is not counted.
const warmIdle = 50

// holdIdle opens n connections with one request each. They stay open until release is called, which must be done in any case.
func holdIdle(ctx context.Context, cl *client, w workload, n int) (release func(), err error) {
	conns, errs := make([]net.Conn, n), make([]error, n)
	slots := make(chan struct{}, w.conns)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			conns[i], errs[i] = openIdle(ctx, cl, w.request())
			<-slots
		})
	}
	wg.Wait()
	release = func() {
		for _, conn := range conns {
			if conn != nil {
				conn.Close()
			}
		}
	}
	for i, err := range errs {
		if err != nil {
			return release, fmt.Errorf("idle connection %d of %d: %w", i+1, n, err)
		}
	}
	return release, nil
}

// openIdle opens a connection, makes one request and leaves the connection open. It returns nil with an error.
func openIdle(ctx context.Context, cl *client, request []byte) (net.Conn, error) {
	conn, err := cl.connect(ctx)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(exchangeTime))
	if err := cl.getPage(conn, make([]byte, 4096), request); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, conn.SetDeadline(time.Time{})
}

// measureIdle returns a sample of the memory that opts.idle connections take, in KiB.
func (b *bench) measureIdle(ctx context.Context, in *instance, cl *client, w workload) (sample, error) {
	release, err := holdIdle(ctx, cl, w, warmIdle)
	release()
	if err != nil {
		return sample{}, err
	}
	if err := pause(ctx, b.opts.settle/8); err != nil {
		return sample{}, err
	}
	before, err := memory(in.group)
	if err != nil {
		return sample{}, err
	}
	release, err = holdIdle(ctx, cl, w, b.opts.idle)
	defer release()
	if err != nil {
		return sample{}, err
	}
	if err := pause(ctx, b.opts.settle); err != nil { // collectors and idle timers act
		return sample{}, err
	}
	after, err := memory(in.group)
	if err != nil {
		return sample{}, err
	}
	grown := after - before
	if grown <= 0 {
		return sample{}, errors.New("memory did not grow: too few connections for a figure")
	}
	return sample{Units: int64(b.opts.idle), Figure: float64(grown) / float64(b.opts.idle)}, nil
}
