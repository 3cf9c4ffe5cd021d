# Everything a newcomer types. Each target installs what it needs first (scripts/setup).
SHELL := /bin/bash
.DEFAULT_GOAL := help

CARGO ?= cargo
VENV := target/venv
TRELLIS := target/release/trellis

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

build: ## Build target/release/trellis
	$(CARGO) build --release -p trellis

demo: ## Two isolated VPCs meet in a service network; about a minute after the build
	@scripts/setup demo
	@$(CARGO) build --release -p trellis
	@PATH="$(CURDIR)/$(VENV)/bin:$(CURDIR)/target/release:$$PATH" scripts/demo

demo-identity: ## Applications sign, and policies say who may call whom; as root, a minute after the build
	@scripts/setup demo
	@$(CARGO) build --release -p trellis
	@PATH="$(CURDIR)/$(VENV)/bin:$(CURDIR)/target/release:$$PATH" scripts/demo-identity

lab-2: ## Two EKS clusters call each other, by name and by who they are; three minutes after the builds
	@scripts/setup labs
	@$(CARGO) build --release -p trellis
	@PATH="$(CURDIR)/$(VENV)/bin:$(CURDIR)/target/release:$$(scripts/kubernetes --helm):$$PATH" labs/lab-2

lab-3: ## A client calls applications in an EKS cluster by the Gateway API; three minutes after the builds
	@scripts/setup labs
	@$(CARGO) build --release -p trellis
	@PATH="$(CURDIR)/$(VENV)/bin:$(CURDIR)/target/release:$$(scripts/kubernetes --helm):$$PATH" labs/lab-3

test: ## Everything the project promises, checked
	@scripts/setup test
	@scripts/test

soak: ## What only time shows, each part for SOAK_SECONDS: an hour in all, or less
	@scripts/setup test
	@scripts/soak

check: ## Formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

bench: ## Side by side with nginx, HAProxy and Envoy; results go to docs/benchmarks
	@scripts/setup bench
	@$(CARGO) build --release -p trellis -p trellis-bench
	@target/release/trellis-bench run $(BENCH)
	@$(if $(BENCH),,target/release/trellis-bench protocols)
	@$(if $(BENCH),,$(MAKE) bench-dns)

bench-protocols: ## The TLS, HTTP/2, gRPC and passthrough part of bench alone
	@scripts/setup bench
	@$(CARGO) build --release -p trellis-bench
	@target/release/trellis-bench protocols $(BENCH)

bench-dns: ## DNS answers beside unbound; part of bench
	@scripts/setup bench
	@$(CARGO) build --release -p trellis
	@TRELLIS_BIN="$(CURDIR)/$(TRELLIS)" $(VENV)/bin/python bench/dns.py $(if $(BENCH),$(BENCH),--write)

bench-control: ## What calls of the control plane cost with 100, 10,000 and 100,000 services, or those of BENCH
	@$(CARGO) build --release --workspace --example bench_control
	@target/release/examples/bench_control $(BENCH)

fuzz: ## Run every fuzz target for FUZZ_SECONDS each (needs nightly Rust and cargo-fuzz)
	@scripts/fuzz

.PHONY: help build demo demo-identity lab-2 lab-3 test soak check bench bench-protocols bench-dns bench-control fuzz
