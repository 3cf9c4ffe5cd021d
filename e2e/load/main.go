// Load with real HTTP/2: grpc-go and net/http as clients of a service, and as its targets.
//
//	load serve grpc|http PORT
//	load call grpc|http HOST:PORT CA.pem SECONDS PARALLEL
//	load calls HOST:PORT NAME CA.pem METHOD CALLS CONNECTIONS PARALLEL
//
// A client makes calls of every kind until its time is over, each at once when the one before has been
// answered, and prints how many it made and what went wrong. `calls` makes so many small gRPC calls of one
// method of the server called NAME, on so many connections and so many at once on each, and prints the seconds.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// What a client has seen.
type outcome struct {
	Calls    int      `json:"calls"`
	Failed   int      `json:"failed"`
	Failures []string `json:"failures"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(words []string) error {
	if len(words) == 3 && words[0] == "serve" {
		switch words[1] {
		case "grpc":
			return serveGRPC(words[2])
		case "http":
			return serveHTTP(words[2])
		}
	}
	if len(words) == 8 && words[0] == "calls" {
		seconds, err := callsOf(words[1:])
		if err == nil {
			fmt.Println(seconds)
		}
		return err
	}
	if len(words) == 6 && words[0] == "call" {
		trust, err := trusting(words[3])
		if err != nil {
			return err
		}
		seconds, err := strconv.ParseFloat(words[4], 64)
		if err != nil {
			return err
		}
		parallel, err := strconv.Atoi(words[5])
		if err != nil {
			return err
		}
		var call func(number int) error
		switch words[1] {
		case "grpc":
			call, err = grpcCaller(words[2], trust)
		case "http":
			call, err = httpCaller(words[2], trust)
		default:
			return fmt.Errorf("nothing speaks %q: grpc or http", words[1])
		}
		if err != nil {
			return err
		}
		done := repeat(call, time.Duration(seconds*float64(time.Second)), parallel)
		return json.NewEncoder(os.Stdout).Encode(done)
	}
	return errors.New("usage: load serve grpc|http PORT | load call grpc|http HOST:PORT CA.pem SECONDS PARALLEL | " +
		"load calls HOST:PORT NAME CA.pem METHOD CALLS CONNECTIONS PARALLEL")
}

func trusting(file string) (*tls.Config, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", file)
	}
	return &tls.Config{RootCAs: roots}, nil
}

// Has so many callers at once make calls until the time is over.
func repeat(call func(number int) error, length time.Duration, parallel int) outcome {
	var (
		all     = outcome{Failures: []string{}}
		lock    sync.Mutex
		callers sync.WaitGroup
	)
	end := time.Now().Add(length)
	for caller := range parallel {
		callers.Go(func() {
			calls, failures := 0, []string{}
			for number := caller; time.Now().Before(end); number++ {
				calls++
				if err := call(number); err != nil {
					failures = append(failures, err.Error())
				}
			}
			lock.Lock()
			defer lock.Unlock()
			all.Calls += calls
			all.Failed += len(failures)
			all.Failures = append(all.Failures, failures[:min(len(failures), 3)]...)
		})
	}
	callers.Wait()
	all.Failures = all.Failures[:min(len(all.Failures), 20)]
	return all
}
