package main

import (
	"bytes"
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// Bytes of a message.
const small = 32

// Makes a number of unary calls as fast as they are answered; the seconds they took, connecting included.
func callsOf(words []string) (float64, error) {
	address, name, method := words[0], words[1], words[3]
	trust, err := trusting(words[2])
	if err != nil {
		return 0, err
	}
	var numbers [3]int
	for index, word := range words[4:] {
		if numbers[index], err = strconv.Atoi(word); err != nil {
			return 0, err
		}
	}
	calls, connections, parallel := int64(numbers[0]), numbers[1], numbers[2]
	began := time.Now()
	var (
		made    atomic.Int64
		failure error
		once    sync.Once
		callers sync.WaitGroup
	)
	for range connections {
		connection, err := grpc.NewClient("passthrough:///"+address,
			grpc.WithTransportCredentials(credentials.NewTLS(trust)),
			grpc.WithAuthority(name),
			grpc.WithDisableRetry(),
			grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
		if err != nil {
			return 0, err
		}
		defer connection.Close()
		for range parallel {
			callers.Go(func() {
				message := bytes.Repeat([]byte{'m'}, small)
				for made.Add(1) <= calls {
					if err := unary(connection, method, message); err != nil {
						once.Do(func() { failure = err })
						// Nobody else needs to go on.
						made.Store(calls)
						return
					}
				}
			})
		}
	}
	callers.Wait()
	return time.Since(began).Seconds(), failure
}

func unary(connection *grpc.ClientConn, method string, message []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var answer []byte
	if err := connection.Invoke(ctx, method, &message, &answer); err != nil {
		return err
	}
	return same(message, answer)
}
