# The commands for everyday work. `make` without a target lists them.

.DEFAULT_GOAL := help
.PHONY: help run demo test test-pooler test-postgres faults lint deployment bench dev migrate console hooks coverage

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## install what is missing, build, and serve http://localhost:8000
	@scripts/install-missing.sh
	@if command -v npm > /dev/null; then scripts/console.sh build; \
		else echo 'npm is missing: serving without the web console'; fi
	@scripts/with-env.sh cargo run --locked -- serve

demo: ## send applications of every country to the running server and follow the decisions
	@scripts/with-env.sh cargo run --locked --quiet -- demo

test: ## run every test and print the totals
	@scripts/install-missing.sh for-tests
	@scripts/test.sh

test-pooler: ## run every test through PgBouncer in transaction mode
	@scripts/install-missing.sh for-tests
	@scripts/compatibility.sh pooler

VERSION ?= 18
test-postgres: ## run the tests that depend most on PostgreSQL on another version (VERSION=18)
	@scripts/install-missing.sh for-tests
	@scripts/compatibility.sh postgres $(VERSION)

faults: ## run every fault several times and update the table in docs/reliability.md
	@scripts/install-missing.sh for-tests
	@scripts/faults.sh

lint: ## check format, lints, documentation, dependencies and scripts
	@scripts/lint.sh

console: ## check and test the web console in a browser
	@scripts/install-missing.sh for-tests
	@scripts/console.sh

deployment: ## check the Kubernetes manifests, the Dockerfile and docker-compose.yml
	cargo build --locked --quiet
	@scripts/deployment.sh "$${CARGO_TARGET_DIR:-target}/debug/aval"

bench: ## run the micro-benchmarks, and measure events per second
	cargo bench --locked --bench rules
	cargo bench --locked --bench claims
	cargo bench --locked --bench traces
	cargo bench --locked --bench events

dev: ## serve, and restart when the source changes
	@scripts/install-missing.sh
	@cargo watch --version > /dev/null 2>&1 || { \
		echo 'make dev needs cargo-watch: cargo install --locked cargo-watch' >&2; exit 1; }
	@scripts/with-env.sh cargo watch --watch src --watch config --watch migrations --exec 'run --locked -- serve'

migrate: ## run pending migrations on the database of DATABASE_URL (or the private one)
	@scripts/install-missing.sh
	@scripts/with-env.sh cargo run --locked --quiet -- migrate

hooks: ## install the pre-commit hook, which checks format, line width and migrations
	@git config core.hooksPath scripts/hooks
	@echo 'commits are checked by scripts/hooks/pre-commit; git config --unset core.hooksPath removes it'

coverage: ## run the tests and print the share of covered lines; fails below 85 %
	@cargo llvm-cov --version > /dev/null 2>&1 || env -u CARGO_TARGET_DIR cargo install --locked cargo-llvm-cov
	@scripts/install-missing.sh for-tests
	cargo llvm-cov nextest --locked --no-fail-fast --ignore-filename-regex 'storage/schema\.rs' --fail-under-lines 85
