# Everything that is done to this project, one target each.
SHELL := /bin/bash
CARGO_TARGET_DIR ?= target
BIN := $(CARGO_TARGET_DIR)/debug/calltrail
DEMO_LAKE ?= $(CARGO_TARGET_DIR)/demo-lake

.DEFAULT_GOAL := help
.PHONY: help demo test check fmt lint bench eval crash fuzz clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  \1\t/' | expand -t 12

demo: ## Build, read sample-logs/ into a lake, show the alerts (first build: some minutes)
	cargo build --bin calltrail
	@CALLTRAIL=$(BIN) LAKE=$(DEMO_LAKE) bash tests/demo.sh

test: ## Install what the tests need and run them all
	@bash tests/install.sh
	cargo test --all-targets

fmt: ## Format the code
	cargo fmt

lint: ## Format check and clippy, warnings as errors; the fuzz targets compile
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo check --locked --quiet --manifest-path fuzz/Cargo.toml

check: lint test ## What CI runs: lint, then test

bench: ## Measure ingest and queries on generated captures (release build; SIZES="100 1000" in MB)
	@bash tests/install.sh
	cargo build --release --bin calltrail
	@CALLTRAIL=$(CARGO_TARGET_DIR)/release/calltrail $(CARGO_TARGET_DIR)/test-venv/bin/python benches/run.py $(SIZES)

eval: ## Measure rules and model on labelled sessions (release build; LABELLED=folder, else ../shared/datasets/labelled; VARIANTS="unframed")
	@bash tests/install.sh
	cargo build --release --bin calltrail
	@CALLTRAIL=$(CARGO_TARGET_DIR)/release/calltrail LABELLED="$(LABELLED)" VARIANTS="$(or $(VARIANTS),as-is unframed prompts)" $(CARGO_TARGET_DIR)/test-venv/bin/python eval/rules.py
	@CALLTRAIL=$(CARGO_TARGET_DIR)/release/calltrail LABELLED="$(LABELLED)" $(CARGO_TARGET_DIR)/test-venv/bin/python eval/model.py

crash: ## Kill ingest, then ship, at random instants (ROUNDS=200; ALERTS=10000) and compare with undisturbed runs
	CALLTRAIL_CRASH_ROUNDS=$(or $(ROUNDS),200) cargo test --test it crash -- --nocapture
	cargo build --release --bin calltrail
	CALLTRAIL_TEST_BINARY=$(abspath $(CARGO_TARGET_DIR))/release/calltrail CALLTRAIL_CRASH_ROUNDS=$(or $(ROUNDS),200) CALLTRAIL_CRASH_ALERTS=$(or $(ALERTS),10000) \
		cargo test --test it killed_at_any_instant_of_shipping -- --nocapture

fuzz: ## Fuzz what reads hostile bytes (MINUTES=10 or SECONDS= for each target; TARGETS="json input")
	@SECONDS_EACH=$(or $(SECONDS),$$(($(or $(MINUTES),10) * 60))) bash fuzz/run.sh $(TARGETS)

clean: ## Remove build outputs and the demo's lake
	cargo clean
