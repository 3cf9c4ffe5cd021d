//go:build tools

// Package tools names the program of Helm that scripts/kubernetes builds.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
