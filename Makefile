# The commands for everyday work. `make` without a target lists them.

.DEFAULT_GOAL := help
.PHONY: help run demo test faults lint deployment bench dev migrate console

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

bench: ## run the micro-benchmarks
	cargo bench --locked --bench rules
	cargo bench --locked --bench claims

dev: ## serve, and restart when the source changes
	@scripts/install-missing.sh
	@cargo watch --version > /dev/null 2>&1 || { \
		echo 'make dev needs cargo-watch: cargo install --locked cargo-watch' >&2; exit 1; }
	@scripts/with-env.sh cargo watch --watch src --watch config --watch migrations --exec 'run --locked -- serve'

migrate: ## run pending migrations on the database of DATABASE_URL (or the private one)
	@scripts/install-missing.sh
	@scripts/with-env.sh cargo run --locked --quiet -- migrate
