package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Sends back what it gets, over HTTP/2 without TLS and over HTTP/1.1.
func serveHTTP(port string) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := http.Server{
		Addr:      ":" + port,
		Protocols: &protocols,
		Handler: http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
			answer.Header().Set("x-protocol", request.Proto)
			body, err := io.ReadAll(request.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			answer.Write(body)
		}),
	}
	return server.ListenAndServe()
}

// One connection, for all callers. Bodies are small, but for one in fifty.
func httpCaller(address string, trust *tls.Config) (func(int) error, error) {
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	client := http.Client{
		Transport: &http.Transport{TLSClientConfig: trust, Protocols: &protocols},
		Timeout:   20 * time.Second,
	}
	return func(number int) error {
		body := bytes.Repeat([]byte{'b'}, 15+number%91)
		if number%50 == 49 {
			body = bytes.Repeat([]byte{'b'}, 200_000)
		}
		var upload io.Reader = bytes.NewReader(body)
		if number%3 == 2 {
			// Of a length nobody knows, which ends with an empty frame.
			upload = io.NopCloser(upload)
		}
		answer, err := client.Post("https://"+address+"/", "application/octet-stream", upload)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		found, err := io.ReadAll(answer.Body)
		if err != nil {
			return err
		}
		if answer.StatusCode != 200 || answer.ProtoMajor != 2 {
			return fmt.Errorf("expected 200 over HTTP/2, found %s over %s", answer.Status, answer.Proto)
		}
		return same(body, found)
	}, nil
}
