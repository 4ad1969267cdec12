# `make` lists the targets. Everything fetched or built outside Go lands in .deps, one stamp per finished step,
# so a second run does nothing and an interrupted one resumes. Downloads are kept in ~/.cache/hyprstream.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export PATH := $(CURDIR)/.deps/go/bin:$(PATH)
export GOTOOLCHAIN := auto

PYTHON := .deps/venv/bin/python
STAMPS := .deps/stamps
MODEL  := .deps/models/gemma-3-270m-q4_k_m.gguf
MINILM := .deps/models/all-MiniLM-L6-v2
VSS    := .deps/vss/vss.duckdb_extension
JDBC   := .deps/jdbc/flight-sql-jdbc-driver-18.3.0.jar
LINT   := .deps/bin/golangci-lint-2.15.0

# Pinned sources. llama.cpp 0c1e57098 and DuckDB's internal headers travel in Python source packages.
LLAMA_SOURCE  := llama_cpp_python 0.3.36 832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e vendor/llama.cpp
DUCKDB_SOURCE := duckdb 1.5.5 72f33ee57ca7595b23957671a2cc7f7fe2be0ecc2d68f63abedcfcaa3a5c1238 external/duckdb/src/include
LLAMA_STAMP   := $(STAMPS)/llama-source-0.3.36
DUCKDB_STAMP  := $(STAMPS)/duckdb-headers-1.5.5
PATCHES       := runtime/llama/patches $(wildcard runtime/llama/patches/*.patch)

# More cmake flags for llama.cpp, such as -DGGML_CUDA=ON (see CONTRIBUTING.md).
LLAMA_CMAKE_FLAGS ?=

# --- What people type ---

.PHONY: help deps test-deps build portable demo test check lint bench-deps bench conformance clean distclean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

deps: ## Fetch and build what bin/hyprstream links (llama.cpp, DuckDB headers), Python packages and the real model
	@bash scripts/tools.sh build
	@$(MAKE) -s --no-print-directory -j3 $(STAMPS)/llama $(DUCKDB_STAMP) $(STAMPS)/python $(MODEL) $(STAMPS)/go-modules

test-deps: deps ## deps, and what only tests need: stock clients, Java with the JDBC driver, an encoder, DuckDB's vss, the llama.cpp reference programs
	@bash scripts/tools.sh test
	@$(MAKE) -s --no-print-directory $(JDBC) $(MINILM)/config.json $(STAMPS)/vss $(STAMPS)/clients .deps/bin/greedyref .deps/bin/embedref

build: deps ## Build bin/hyprstream
	@echo "[go] building bin/hyprstream"
	@go build -o bin/hyprstream ./cmd/hyprstream

portable: deps ## Build bin/portable/hyprstream, which picks its CPU code at run time and runs on other machines
	@$(MAKE) -s --no-print-directory $(STAMPS)/llama-portable
	@bash scripts/portable.sh

demo: build ## Start a server on the real model and print SELECT id, generate('gemma', prompt) FROM prompts
	@$(PYTHON) -u demo/demo.py

test: test-deps build ## Run every test: Go, Python clients, JDBC
	go test -timeout 20m ./...
	go test -race -timeout 10m ./runtime/decode/... ./inference
	$(PYTHON) -m pytest -q tests

check: deps ## Formatting, vet, lint, layering, module files, generated files: what CI runs beside the tests
	@bash scripts/check.sh
	@$(MAKE) -s --no-print-directory lint

lint: $(LINT) ## golangci-lint with .golangci.yml
	$(LINT) run ./...

bench-deps: deps ## deps, and what benchmarks need: llama-server, llama-batched-bench, llama-cpp-python of the same source, DuckDB's Python, JDBC
	@bash scripts/tools.sh test
	@$(MAKE) -s --no-print-directory $(STAMPS)/llama-bench $(STAMPS)/bench-python $(STAMPS)/vss $(JDBC)

# Flags of bench/throughput.py; with --quick among them the others are short too.
BENCH ?= --runs 3
QUICK  = $(filter --quick,$(BENCH))

bench: bench-deps build ## Benchmarks beside llama-server and others (BENCH=--quick to try): rows/s, growth, latency, fairness, Go
	$(PYTHON) bench/throughput.py $(BENCH)
	$(PYTHON) bench/growth.py $(or $(QUICK),--short)
	$(PYTHON) bench/latency.py $(QUICK)
	$(PYTHON) bench/fairness.py $(QUICK)
	$(PYTHON) bench/flight.py $(QUICK)
	$(PYTHON) bench/semantic_join.py $(QUICK)
	$(PYTHON) bench/cascade.py $(QUICK)
	$(PYTHON) bench/vectors.py $(QUICK)
	go test -run '^$$' -bench . -benchmem $(if $(QUICK),-benchtime 1x) -timeout 30m ./...

RESULTS := .deps/conformance

conformance: test-deps build ## Suites that others wrote and the stock clients; their table in docs/compatibility.md is made anew
	@rm -rf $(RESULTS) && mkdir -p $(RESULTS)
	-go test -json -count=1 -timeout 20m -run TestGreedyEqualsLlamaCpp ./runtime/worker >$(RESULTS)/greedy.json
	-go test -json -count=1 -timeout 20m ./tests/adbc ./flightsql >$(RESULTS)/go.json
	-go test -json -count=1 -timeout 20m -run TestLogic ./tests/sql >$(RESULTS)/logic.json
	-$(PYTHON) -m pytest -q -o junit_logging=system-out --junitxml $(RESULTS)/python.xml $(wildcard tests/python tests/models tests/clients tests/jdbc tests/rest)
	$(PYTHON) scripts/compatibility.py $(RESULTS)

clean: ## Remove bin; .deps stays
	rm -rf bin

distclean: clean ## Remove .deps as well; downloads stay in the cache
	rm -rf .deps

# --- The steps ---

$(STAMPS)/venv:
	@echo "[python] virtual environment"
	@python3 -m venv .deps/venv
	@mkdir -p $(@D) && touch $@

$(STAMPS)/python: tests/requirements.txt | $(STAMPS)/venv
	@echo "[python] packages of tests/requirements.txt"
	@$(PYTHON) -m pip install --quiet --no-compile --disable-pip-version-check -r $<
	@touch $@

$(STAMPS)/clients: tests/clients/requirements.txt | $(STAMPS)/python
	@echo "[python] packages of tests/clients/requirements.txt"
	@$(PYTHON) -m pip install --quiet --no-compile --disable-pip-version-check -r $<
	@touch $@

$(LLAMA_STAMP): | $(STAMPS)/venv
	@bash scripts/source.sh $(LLAMA_SOURCE) .deps/src/llama.cpp
	@touch $@

# Rewritten only when the flags changed, so that llama.cpp is then configured anew.
.PHONY: always
$(STAMPS)/llama-flags: always
	@mkdir -p $(@D)
	@echo "$(LLAMA_CMAKE_FLAGS)" | cmp -s - $@ || echo "$(LLAMA_CMAKE_FLAGS)" >$@

# The folder is listed too: it is newer when a patch went away.
$(STAMPS)/llama-patched: $(LLAMA_STAMP) $(PATCHES) scripts/patch.sh
	@bash scripts/patch.sh
	@touch $@

$(STAMPS)/llama: $(STAMPS)/llama-patched $(STAMPS)/llama-flags scripts/llama.sh
	@bash scripts/llama.sh static $(LLAMA_CMAKE_FLAGS)
	@touch $@

$(STAMPS)/llama-bench: $(LLAMA_STAMP) $(STAMPS)/llama-flags scripts/bench.sh
	@bash scripts/bench.sh $(LLAMA_CMAKE_FLAGS)
	@touch $@

$(STAMPS)/bench-python: bench/requirements.txt $(STAMPS)/llama-flags scripts/bench-python.sh | $(STAMPS)/venv
	@bash scripts/bench-python.sh $(wordlist 1,3,$(LLAMA_SOURCE)) $(LLAMA_CMAKE_FLAGS)
	@touch $@

$(STAMPS)/llama-portable: $(STAMPS)/llama-patched $(STAMPS)/llama-flags scripts/llama.sh
	@bash scripts/llama.sh portable $(LLAMA_CMAKE_FLAGS)
	@touch $@

$(DUCKDB_STAMP): | $(STAMPS)/venv
	@bash scripts/source.sh $(DUCKDB_SOURCE) .deps/duckdb/include
	@touch $@

$(MODEL): | $(STAMPS)/venv
	@bash scripts/model.sh $@

$(MINILM)/config.json: scripts/minilm.sh | $(STAMPS)/venv
	@bash scripts/minilm.sh $(MINILM)
	@touch $@

# A stamp, as there is no file on platforms that have no such package.
$(STAMPS)/vss: scripts/vss.sh | $(STAMPS)/venv
	@bash scripts/vss.sh $(VSS)
	@touch $@

# Only the packages that this platform compiles: `go mod download` would fetch every platform's DuckDB.
$(STAMPS)/go-modules: go.mod go.sum
	@echo "[go] modules"
	@go list -deps ./... >/dev/null
	@mkdir -p $(@D) && touch $@

$(JDBC):
	@echo "[jdbc] Flight SQL JDBC driver"
	@bash scripts/jdbc.sh $@

.deps/bin/greedyref: $(wildcard tools/greedyref/*)
.deps/bin/embedref: $(wildcard tools/embedref/*)
.deps/bin/%ref: tools/build.sh $(STAMPS)/llama
	@echo "[$(@F)] llama.cpp's own output, for comparison"
	@tools/build.sh $(@F) $@

$(LINT):
	@echo "[lint] compiling golangci-lint 2.15.0 (once)"
	@mkdir -p $(@D)
	@GOBIN=$(CURDIR)/.deps/bin/part GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	@mv .deps/bin/part/golangci-lint $@
