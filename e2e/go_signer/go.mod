module trellis/e2e/go_signer

go 1.24

require github.com/aws/aws-sdk-go-v2 v1.41.0

require github.com/aws/smithy-go v1.24.0 // indirect
