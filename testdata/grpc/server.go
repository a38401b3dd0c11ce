package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type text = wrapperspb.StringValue

// service is described by hand, for it has no messages of its own.
var service = grpc.ServiceDesc{
	ServiceName: "test.Echo", HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Say", Handler: say}, {MethodName: "Refuse", Handler: refuse}, {MethodName: "Wait", Handler: wait}},
	Streams: []grpc.StreamDesc{
		{StreamName: "Count", Handler: count, ServerStreams: true},
		{StreamName: "Sum", Handler: sum, ClientStreams: true},
		{StreamName: "Talk", Handler: talk, ServerStreams: true, ClientStreams: true},
		{StreamName: "Stop", Handler: stop, ServerStreams: true, ClientStreams: true},
	},
}

func serve(address, pidFile string) error {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	if err := os.WriteFile(pidFile, fmt.Append(nil, os.Getpid()), 0o600); err != nil {
		return err
	}
	s := grpc.NewServer()
	s.RegisterService(&service, new(any))
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	go func() { <-end; s.GracefulStop() }()
	return s.Serve(ln)
}

// say echoes, with what it was told beside the message.
func say(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(text)
	if err := decode(in); err != nil {
		return nil, err
	}
	md, _ := metadata.FromIncomingContext(ctx)
	grpc.SetHeader(ctx, metadata.Pairs("x-head", strings.Join(md.Get("x-asked"), ","), "x-bin", string([]byte{0, 255, 10})))
	grpc.SetTrailer(ctx, metadata.Pairs("x-tail", strings.Join(md.Get("x-forwarded-for"), ",")))
	return in, nil
}

// refuse has nothing but a status: one block of fields.
func refuse(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	if err := decode(new(text)); err != nil {
		return nil, err
	}
	return nil, status.Error(codes.NotFound, "there is no such thing: 100%\nnone")
}

// wait says how its client left.
func wait(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(text)
	if err := decode(in); err != nil {
		return nil, err
	}
	_, limited := ctx.Deadline()
	fmt.Println("waiting for", in.Value, "with a deadline:", limited)
	select {
	case <-ctx.Done():
		fmt.Println("left", in.Value)
	case <-time.After(time.Minute):
	}
	return in, nil
}

func count(_ any, s grpc.ServerStream) error {
	in := new(text)
	if err := s.RecvMsg(in); err != nil {
		return err
	}
	n := 0
	fmt.Sscan(in.Value, &n)
	for i := range n {
		if err := s.SendMsg(wrapperspb.String(fmt.Sprint(i))); err != nil {
			return err
		}
	}
	return nil
}

func sum(_ any, s grpc.ServerStream) error {
	n := 0
	for {
		in := new(text)
		if err := s.RecvMsg(in); errors.Is(err, io.EOF) {
			return s.SendMsg(wrapperspb.String(fmt.Sprint(n)))
		} else if err != nil {
			return err
		}
		n += len(in.Value)
	}
}

// talk answers each message before the next one comes.
func talk(_ any, s grpc.ServerStream) error {
	for {
		in := new(text)
		if err := s.RecvMsg(in); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			fmt.Println("the talk broke off:", status.Code(err))
			return err
		}
		if err := s.SendMsg(wrapperspb.String("you said " + in.Value)); err != nil {
			return err
		}
	}
}

// stop ends before its client does.
func stop(_ any, s grpc.ServerStream) error {
	if err := s.RecvMsg(new(text)); err != nil {
		return err
	}
	return status.Error(codes.ResourceExhausted, "that is enough")
}
