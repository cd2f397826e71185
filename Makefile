# What can be done here. `make` alone lists it; every target may be run again at any time.
# One line a step, with how long it took; a step's whole output is in target/log and shown when it fails.
# CARGO=… takes another cargo, ARGS=… are passed on by `make demo`.

CARGO ?= cargo
export CARGO
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup plugins build demo check test soak fuzz bench bench-peers fmt deny

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## install what is missing to build: a compiler for WebAssembly
	@scripts/step setup scripts/setup

plugins: setup ## build the example plugins to WebAssembly
	@scripts/step plugins scripts/build-plugins

build: plugins ## build the `rolecall` binary
	@scripts/step build $(CARGO) build --locked --package rolecall

demo: build ## play two identity providers' traffic and show what becomes of it (ARGS=--exit ends afterwards)
	@scripts/run demo $(ARGS)

check: ## the quick part: formatting, lints, house rules, unit tests on SQLite
	@scripts/step formatting $(CARGO) fmt --all --check
	@scripts/step lints $(CARGO) clippy --locked --workspace --all-targets -- --deny warnings
	@scripts/step tidy $(CARGO) test --locked --package rolecall-tests --test tidy
	@scripts/step protocol $(CARGO) test --locked --package rolecall-scim
	@scripts/step units $(CARGO) test --locked --package rolecall --lib -- --skip postgres

test: ## everything, on SQLite and on a PostgreSQL of its own: what has to pass before a change lands
	@scripts/test

soak: build ## what takes longer: more kills, more races, more generated traffic (about half an hour)
	@ROLECALL_TEST_SOAK=1 STEP_LIMIT=7200 scripts/step soak-sandbox $(CARGO) test --locked --package rolecall --lib plugins::tests
	@ROLECALL_TEST_SOAK=1 STEP_LIMIT=7200 scripts/step soak scripts/with-postgres $(CARGO) test --locked --package rolecall-tests --test all

fuzz: ## run each fuzz target for FUZZ_SECONDS (600); what is found becomes a failing test
	@STEP_LIMIT=14400 scripts/step fuzz scripts/fuzz

bench: plugins ## measure; prints a table and writes target/bench.json (about ten minutes, optimised build included)
	@scripts/bench

bench-peers: plugins ## measure beside two other SCIM servers, from npm and PyPI (installed if missing)
	@scripts/bench-peers

fmt: ## format all Rust code, the guests' included
	@$(CARGO) fmt --all
	@scripts/guests fmt

# The tidy tests hold deny.toml's licences, bans and sources from `cargo metadata` on every run. cargo-deny itself
# reads the same file, and knows of advisories; it takes longer to build than all our tests, so it stands apart.
deny: ## licences, bans and sources once more, by cargo-deny (installed if missing)
	@$(CARGO) deny --version >/dev/null 2>&1 || scripts/step cargo-deny $(CARGO) install --locked cargo-deny
	@scripts/step deny $(CARGO) deny --locked check licenses bans sources
