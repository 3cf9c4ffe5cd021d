// Calls a service of VPC Lattice as the AWS SDK for Go signs: with its SigV4 signer and an unsigned payload.
//
//	go_signer METHOD URL REGION [BODY]
//
// Credentials are those of AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. Prints the body, and the
// status on a line of its own.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const unsigned = "UNSIGNED-PAYLOAD"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(words []string) error {
	if len(words) < 3 {
		return fmt.Errorf("usage: go_signer METHOD URL REGION [BODY]")
	}
	body := strings.Join(words[3:], " ")
	request, err := http.NewRequest(words[0], words[1], strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("X-Amz-Content-Sha256", unsigned)
	credentials := aws.Credentials{
		AccessKeyID:     os.Getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
	}
	err = v4.NewSigner().SignHTTP(context.Background(), credentials, request, unsigned, "vpc-lattice-svcs", words[2], time.Now())
	if err != nil {
		return err
	}
	client := http.Client{Timeout: 20 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%d\n", answer, response.StatusCode)
	return nil
}
