// What Go's net/http understands of requests, for the comparison of parsers in test_parsers.py.
//
// Reads pieces from standard input, each behind its length (four bytes, big-endian): what one connection brought. Writes a line of
// JSON for each: the requests in it, and whether something was left that is none.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
)

type request struct {
	Method string      `json:"method"`
	Target string      `json:"target"`
	Fields [][2]string `json:"fields"`
	Body   string      `json:"body"`
}

type understood struct {
	Requests []request `json:"requests"`
	Rest     bool      `json:"rest"`
}

// Every byte as the character of that number: JSON has no others.
func text(value string) string {
	runes := make([]rune, len(value))
	for at, octet := range []byte(value) {
		runes[at] = rune(octet)
	}
	return string(runes)
}

func understand(piece []byte) understood {
	found := understood{Requests: []request{}}
	reader := bufio.NewReader(bytes.NewReader(piece))
	for {
		if _, err := reader.Peek(1); err != nil {
			return found
		}
		parsed, err := http.ReadRequest(reader)
		if err != nil {
			found.Rest = true
			return found
		}
		body, err := io.ReadAll(parsed.Body)
		if err != nil {
			found.Rest = true
			return found
		}
		fields := [][2]string{{"host", text(parsed.Host)}}
		for name, values := range parsed.Header {
			for _, value := range values {
				fields = append(fields, [2]string{name, text(value)})
			}
		}
		found.Requests = append(found.Requests, request{parsed.Method, text(parsed.RequestURI), fields, hex.EncodeToString(body)})
	}
}

func main() {
	input := bufio.NewReader(os.Stdin)
	output := bufio.NewWriter(os.Stdout)
	defer output.Flush()
	encoder := json.NewEncoder(output)
	encoder.SetEscapeHTML(false)
	for {
		var length uint32
		if binary.Read(input, binary.BigEndian, &length) != nil {
			return
		}
		piece := make([]byte, length)
		if _, err := io.ReadFull(input, piece); err != nil {
			panic(err)
		}
		if err := encoder.Encode(understand(piece)); err != nil {
			panic(err)
		}
	}
}
