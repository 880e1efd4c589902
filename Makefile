# Every target works from a clean clone with Go and a C compiler; see README.md.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

# NVML's bindings call functions its own headers mark as deprecated: noise that a reader cannot act on.
export CGO_CFLAGS += -O2 -g -Wno-deprecated-declarations
# The bindings find NVML's functions when they are first called; binding them at start would end the
# program where no driver is installed.
export CGO_LDFLAGS += -Wl,-z,lazy

BIN := bin/bench
OUT := results

.PHONY: build
build: ## build bin/bench
	go build -trimpath -ldflags='-s -w' -o $(BIN) ./cmd/bench

.PHONY: demo
demo: build ## the whole job on the embedded simulator, ends with the report to open
	$(BIN) run --base-url sim: --out $(OUT)

.PHONY: test
test: ## all tests that need nothing but Go (and cc, where there is one)
	go test ./...

.PHONY: race
race: ## the same under the race detector, but for the tests of the commands, which run a binary of their own
	go test -race $$(go list ./... | grep -v internal/cli)

.PHONY: cgo0
cgo0: ## build and test without cgo: no NVML, nvidia-smi instead
	CGO_ENABLED=0 go build -trimpath -o /dev/null ./cmd/bench
	CGO_ENABLED=0 go test ./internal/gpu
	CGO_ENABLED=0 go test -run 'TestScripts/(simulated|faults|identity|wrong)' ./internal/cli

.PHONY: lint
lint: ## gofmt, vet, staticcheck
	@unformatted=$$(gofmt -l cmd internal docs); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	go vet ./...
	go tool staticcheck ./...

.PHONY: bench
bench: ## what the program itself costs: microbenchmarks, then the tables of docs/performance.md
	go test -run '^$$' -bench . -benchmem ./internal/vllm ./internal/load ./internal/sim ./internal/gpu ./internal/sizing ./internal/capacity ./internal/report ./internal/cli
	@mkdir -p bin; rm -f bin/performance.md
	BENCH_COST=1 BENCH_TABLES=$(CURDIR)/bin/performance.md go test -count=1 -timeout 30m -run '^(TestCost|TestScale|TestStart|TestRest)$$' ./internal/vllm
	@cat bin/performance.md

.PHONY: accuracy
accuracy: ## hold the model of memory and speed against published rows; rewrites docs/accuracy.md
	go run ./internal/accuracy

.PHONY: stamps
stamps: ## errors of the stamps beside a bare C client's, printed and held to their limits
	BENCH_STAMPS=1 go test -count=1 -run TestStamps -v ./internal/vllm

.PHONY: truth
truth: ## errors of the figures while processors, collector, disk or screen are disturbed: each within its limit, or with a finding
	BENCH_TRUTH=1 go test -count=1 -run '^TestTruth$$' -v ./internal/vllm

.PHONY: pages
pages: ## the report in a real Chromium: network, widths, print, sorting, axe's rules; says so where there is none
	./testdata/pages.sh

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME
	./testdata/fuzz.sh $(or $(FUZZTIME),10s)

.PHONY: hostile
hostile: ## servers that send 1 GB of anything, KILLS (1000) kills at random instants, full and read-only folders, loads from many machines
	BENCH_LONG=1 BENCH_KILLS=$(or $(KILLS),1000) go test -count=1 -timeout 60m -run 'TestHostile|TestKill|TestFullDisk|TestFileSize|TestReadOnly|TestNothingLeaks|TestTooFewFiles|TestManyMachines|TestClosedShards' -v ./internal/cli

.PHONY: vuln
vuln: ## known vulnerabilities that the program's code reaches; says so where no database can be reached
	./testdata/vuln.sh

.PHONY: e2e
e2e: build hostile truth vuln ## all that takes long: hostile servers, kills, disturbances, fuzzing, and T1–T9 against a real vLLM on CPU (2.5 GB of Python packages in .vllm)
	./testdata/fuzz.sh $(or $(FUZZTIME),60s)
	./testdata/realvllm/e2e.sh $(BIN)

.PHONY: servers
servers: build ## servers that are not vLLM, on CPU: llama.cpp, and transformers' where make e2e was run (0.2 GB of Python packages in .servers)
	./testdata/servers/servers.sh $(BIN)

.PHONY: clean
clean: ## remove what was built and measured here
	rm -rf bin $(OUT)

.PHONY: help
help: ## this list
