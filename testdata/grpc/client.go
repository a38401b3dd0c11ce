package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// cases is what a client may try; each returns what is wrong.
var cases = map[string]func(ctx context.Context, c *grpc.ClientConn) error{
	"unary": unary, "large": large, "error": refused, "deadline": deadline, "cancel": cancelled,
	"server-streaming": download, "client-streaming": upload, "bidi": bidi, "early-end": early, "many": many, "steady": steady,
}

func ask(address, ca string, names []string) error {
	creds, err := credentials.NewClientTLSFromFile(ca, "localhost")
	if err != nil {
		return err
	}
	c, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(creds))
	if err != nil {
		return err
	}
	defer c.Close()
	for _, name := range names {
		try := cases[name]
		if try == nil {
			return fmt.Errorf("no case %s", name)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		err := try(ctx, c)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Println(name, "is good")
	}
	return nil
}

func unary(ctx context.Context, c *grpc.ClientConn) error {
	var head, tail metadata.MD
	out := new(text)
	ctx = metadata.AppendToOutgoingContext(ctx, "x-asked", "a", "x-asked", "b")
	if err := c.Invoke(ctx, "/test.Echo/Say", wrapperspb.String("hello"), out, grpc.Header(&head), grpc.Trailer(&tail)); err != nil {
		return err
	}
	if got := fmt.Sprintf("%s %q %q %q", out.Value, head.Get("x-head"), head.Get("x-bin"), tail.Get("x-tail")); got != `hello ["a,b"] ["\x00\xff\n"] ["127.0.0.1"]` {
		return fmt.Errorf("got %s", got)
	}
	return nil
}

func large(ctx context.Context, c *grpc.ClientConn) error {
	said, out := strings.Repeat("0123456789", 300000), new(text)
	if err := c.Invoke(ctx, "/test.Echo/Say", wrapperspb.String(said), out); err != nil {
		return err
	}
	if out.Value != said {
		return fmt.Errorf("%d bytes came back", len(out.Value))
	}
	return nil
}

func refused(ctx context.Context, c *grpc.ClientConn) error {
	err := c.Invoke(ctx, "/test.Echo/Refuse", wrapperspb.String("x"), new(text))
	if status.Code(err) != codes.NotFound || status.Convert(err).Message() != "there is no such thing: 100%\nnone" {
		return fmt.Errorf("got %w", err)
	}
	if err := c.Invoke(ctx, "/test.Echo/Nothing", wrapperspb.String("x"), new(text)); status.Code(err) != codes.Unimplemented {
		return fmt.Errorf("got %w", err)
	}
	return nil
}

func deadline(ctx context.Context, c *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if err := c.Invoke(ctx, "/test.Echo/Wait", wrapperspb.String("deadline"), new(text)); status.Code(err) != codes.DeadlineExceeded {
		return fmt.Errorf("got %w", err)
	}
	return nil
}

// cancelled gives two calls up: one that waits for its answer, and one in the middle of a talk.
func cancelled(ctx context.Context, c *grpc.ClientConn) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // without a deadline, which the server would see to by itself
	defer cancel()
	s, err := open(ctx, c, "Talk")
	if err != nil {
		return err
	}
	if err := exchange(s, "hello"); err != nil {
		return err
	}
	time.AfterFunc(300*time.Millisecond, cancel)
	if err := c.Invoke(ctx, "/test.Echo/Wait", wrapperspb.String("cancel"), new(text)); status.Code(err) != codes.Canceled {
		return fmt.Errorf("got %w", err)
	}
	if err := s.RecvMsg(new(text)); status.Code(err) != codes.Canceled {
		return fmt.Errorf("the talk got %w", err)
	}
	return nil
}

func open(ctx context.Context, c *grpc.ClientConn, method string) (grpc.ClientStream, error) {
	return c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/test.Echo/"+method)
}

// exchange says something and waits for the answer to it.
func exchange(s grpc.ClientStream, said string) error {
	if err := s.SendMsg(wrapperspb.String(said)); err != nil {
		return err
	}
	out := new(text)
	if err := s.RecvMsg(out); err != nil || out.Value != "you said "+said {
		return fmt.Errorf("got %q, %w", out.Value, err)
	}
	return nil
}

// finish ends our side, and waits for the server's end.
func finish(s grpc.ClientStream) error {
	s.CloseSend()
	if err := s.RecvMsg(new(text)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the end is %w", err)
	}
	return nil
}

func download(ctx context.Context, c *grpc.ClientConn) error {
	s, err := open(ctx, c, "Count")
	if err != nil {
		return err
	}
	s.SendMsg(wrapperspb.String("2000"))
	s.CloseSend()
	for i := range 2000 {
		out := new(text)
		if err := s.RecvMsg(out); err != nil || out.Value != fmt.Sprint(i) {
			return fmt.Errorf("message %d is %q, %w", i, out.Value, err)
		}
	}
	return finish(s)
}

func upload(ctx context.Context, c *grpc.ClientConn) error {
	s, err := open(ctx, c, "Sum")
	if err != nil {
		return err
	}
	for range 2000 {
		if err := s.SendMsg(wrapperspb.String(strings.Repeat("x", 500))); err != nil {
			return err
		}
	}
	s.CloseSend()
	out := new(text)
	if err := s.RecvMsg(out); err != nil || out.Value != "1000000" {
		return fmt.Errorf("got %q, %w", out.Value, err)
	}
	return finish(s)
}

// bidi takes turns: neither side may wait for the other's end.
func bidi(ctx context.Context, c *grpc.ClientConn) error {
	s, err := open(ctx, c, "Talk")
	if err != nil {
		return err
	}
	for i := range 200 {
		if err := exchange(s, fmt.Sprint(i)); err != nil {
			return err
		}
	}
	return finish(s)
}

// early is a call that the server ends while its client still wants to say something.
func early(ctx context.Context, c *grpc.ClientConn) error {
	s, err := open(ctx, c, "Stop")
	if err != nil {
		return err
	}
	for err == nil {
		err = s.SendMsg(wrapperspb.String("more"))
	}
	if err := s.RecvMsg(new(text)); status.Code(err) != codes.ResourceExhausted {
		return fmt.Errorf("got %w", err)
	}
	return nil
}

// steady calls for a while, and says when half of that is over. One call may be UNAVAILABLE: its server had taken its connection, and was gone before the call
// was on it.
func steady(ctx context.Context, c *grpc.ClientConn) error {
	lost := 0
	talk, err := open(ctx, c, "Talk")
	if err != nil {
		return err
	}
	for i := range 1000 {
		if i == 500 {
			fmt.Println("half of it is done")
		}
		if err := unary(ctx, c); err != nil {
			if lost++; lost > 1 || status.Code(err) != codes.Unavailable {
				return fmt.Errorf("call %d: %w", i, err)
			}
		}
		if i == 900 { // long after its server was told to end
			if err := exchange(talk, "still there"); err != nil {
				return err
			}
			if err := finish(talk); err != nil {
				return err
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}

func many(ctx context.Context, c *grpc.ClientConn) error {
	var all sync.WaitGroup
	failed := make(chan error, 90)
	for range cap(failed) {
		all.Go(func() { failed <- bidi(ctx, c) })
	}
	all.Wait()
	close(failed)
	for err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}
