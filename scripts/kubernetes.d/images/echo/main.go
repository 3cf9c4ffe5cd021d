// Echo answers every request with what it was asked and who it is, for tests and demos.
//
//	PORT    where it listens; 8080
//	ANSWER  what it says instead, where it is set
package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	host, _ := os.Hostname()
	server := &http.Server{Addr: ":" + port, ReadHeaderTimeout: 10 * time.Second}
	server.Handler = http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		if words := os.Getenv("ANSWER"); words != "" {
			_, _ = answer.Write([]byte(words + "\n"))
			return
		}
		answer.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(answer).Encode(map[string]any{
			"host":    host,
			"client":  request.RemoteAddr,
			"method":  request.Method,
			"path":    request.URL.RequestURI(),
			"name":    request.Host,
			"headers": request.Header,
		})
	})
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		println(err.Error())
		os.Exit(1)
	}
}
