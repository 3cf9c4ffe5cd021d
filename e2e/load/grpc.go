package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// Messages are bytes: nothing has to be generated.
type raw struct{}

func (raw) Name() string                  { return "proto" }
func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}

// Messages that a server sends for one.
const repeated = 5

var echo = grpc.ServiceDesc{
	ServiceName: "load.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Once",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var message []byte
			err := decode(&message)
			return &message, err
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName:    "Often",
		ServerStreams: true,
		Handler: func(_ any, stream grpc.ServerStream) error {
			var message []byte
			if err := stream.RecvMsg(&message); err != nil {
				return err
			}
			for range repeated {
				if err := stream.SendMsg(&message); err != nil {
					return err
				}
			}
			return nil
		},
	}, {
		StreamName:    "Talk",
		ServerStreams: true,
		ClientStreams: true,
		Handler: func(_ any, stream grpc.ServerStream) error {
			for {
				var message []byte
				if err := stream.RecvMsg(&message); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
				if err := stream.SendMsg(&message); err != nil {
					return err
				}
			}
		},
	}},
}

func serveGRPC(port string) error {
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	// Clients that ping often are this program itself.
	enforcement := keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}
	server := grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.KeepaliveEnforcementPolicy(enforcement))
	server.RegisterService(&echo, nil)
	return server.Serve(listener)
}

// One connection, for all callers. Of ten calls eight are unary, one is answered by several messages and
// one is a conversation.
func grpcCaller(address string, trust *tls.Config) (func(int) error, error) {
	ping := keepalive.ClientParameters{Time: 10 * time.Second, PermitWithoutStream: true}
	connection, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(credentials.NewTLS(trust)),
		grpc.WithKeepaliveParams(ping),
		// A failed call is what is looked for.
		grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		return nil, err
	}
	return func(number int) error {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		message := bytes.Repeat([]byte{'m'}, 15+number%91)
		switch number % 10 {
		case 8:
			return often(ctx, connection, message)
		case 9:
			return talk(ctx, connection, message)
		}
		var answer []byte
		if err := connection.Invoke(ctx, "/load.Echo/Once", &message, &answer); err != nil {
			return err
		}
		return same(message, answer)
	}, nil
}

func often(ctx context.Context, connection *grpc.ClientConn, message []byte) error {
	stream, err := connection.NewStream(ctx, &echo.Streams[0], "/load.Echo/Often")
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&message); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for range repeated {
		if err := hear(stream, message); err != nil {
			return err
		}
	}
	return ended(stream)
}

func talk(ctx context.Context, connection *grpc.ClientConn, message []byte) error {
	stream, err := connection.NewStream(ctx, &echo.Streams[1], "/load.Echo/Talk")
	if err != nil {
		return err
	}
	for range repeated {
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
		if err := hear(stream, message); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return ended(stream)
}

func hear(stream grpc.ClientStream, expected []byte) error {
	var answer []byte
	if err := stream.RecvMsg(&answer); err != nil {
		return err
	}
	return same(expected, answer)
}

func ended(stream grpc.ClientStream) error {
	var more []byte
	if err := stream.RecvMsg(&more); err != io.EOF {
		return fmt.Errorf("expected the end of the call, found %d bytes and %v", len(more), err)
	}
	return nil
}

func same(expected, found []byte) error {
	if !bytes.Equal(expected, found) {
		return fmt.Errorf("expected %d bytes back, found %d", len(expected), len(found))
	}
	return nil
}
