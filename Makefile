# tlsurge: everything a person or a machine does with this repository. `make` alone prints this help.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := bin/tlsurge
GO ?= go
SRC := $(shell find cmd harness faults profiles results -name '*.go' -o -name '*.toml' -o -name '*.conf' 2>/dev/null) go.mod go.sum

help: ## print this help
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'

build: $(BIN) ## build bin/tlsurge

$(BIN): $(SRC)
	$(GO) build -trimpath -o $@ ./cmd/tlsurge

demo: $(BIN) ## reproduce January 2015 on the bundled fleet (under 90 s, no root, loopback only)
	$(BIN) run january-2015

test: ## the whole suite: unit, law, golden, fuzz seeds, command line, interop (absent peers skip unless TLSURGE_REQUIRE names them)
	$(GO) test -parallel 4 ./...

race: ## the suite under the race detector
	$(GO) test -race -short ./...

FUZZTIME ?= 60s
fuzz: ## every fuzz target for FUZZTIME (60s) each
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; done; done

interop: ## handshakes with OpenSSL, GnuTLS, NSS, nginx, HAProxy, curl (Debian packages)
	TLSURGE_REQUIRE=$${TLSURGE_REQUIRE:-openssl,nginx,haproxy,gnutls,nss,curl} $(GO) test ./harness/interop/...

test-browsers: $(BIN) ## real Chromium and Firefox ESR (Debian packages) against the profiles
	TLSURGE_REQUIRE=$${TLSURGE_REQUIRE:-chromium,firefox,tcpdump} $(GO) test ./profiles -run TestRealBrowsers -browsers -timeout 300s
	TLSURGE_REQUIRE=$${TLSURGE_REQUIRE:-chromium,firefox,tcpdump} $(GO) test ./harness/interop -run TestBrowsers -browsers -timeout 300s

capacity: ## capacity searches find the limits that were planted (wants the machine to itself)
	$(GO) test ./cmd/tlsurge -run TestCapacityFinds -searches -count=1 -v

bench: ## speed and memory beside the peers that are installed (nginx, wrk, h2load, openssl, curl), as ratios
	$(GO) test ./harness/browser -run '^$$' -bench Peers -benchtime 1x -timeout 20m
	$(GO) test ./harness/browser -run '^$$' -bench 'IdleConnections|KeepaliveRequests|Stall' -benchtime 3x
	$(GO) test ./harness/engine ./harness/record ./profiles -run '^$$' -bench . -benchtime 200ms

peak: $(BIN) ## the thread's peak: 3 edges x 13,000 established connections
	$(BIN) run peak-39k

a11y: ## the report's page in headless Chromium: axe, console, requests, three widths, light and dark (needs node and npm)
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && npm install --silent --no-fund --no-audit --prefix "$$dir" axe-core playwright-core && \
	  TLSURGE_AXE="$$dir" TLSURGE_REQUIRE=axe $(GO) test ./results/report -run TestThePageInABrowser -count=1 -timeout 20m -v

selftest: $(BIN) ## does the bench catch what it should on this machine? A/A, a slower handshake, memory, a broken browser
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && $(BIN) bench --selftest --parts memory,full --max-rounds 60 --max-time 60s --out "$$dir/selftest"

golden: ## rewrite golden files; read the diff
	@# results first: the reports are made from its golden run
	$(GO) test ./results -rewrite
	$(GO) test $$(grep -rl '"rewrite"' --include=*_test.go . | xargs -n1 dirname | sort -u) -rewrite

check: ## gofmt and vet
	@test -z "$$(gofmt -l cmd harness faults profiles results)" || { gofmt -l cmd harness faults profiles results; exit 1; }
	$(GO) vet ./...

.PHONY: capacity help build demo test race fuzz interop test-browsers bench peak a11y selftest golden check
