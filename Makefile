# The only commands a newcomer needs. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help run demo test faults lint bench dev migrate

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## install what is missing, build, and serve at http://localhost:8000
	@scripts/install-missing.sh
	@scripts/with-env.sh cargo run --locked -- serve

demo: ## send applications of every country to the running server and follow their decisions
	@scripts/with-env.sh cargo run --locked --quiet -- demo

test: ## run every test and print one closing count
	@scripts/install-missing.sh for-tests
	@scripts/test.sh

faults: ## break every part several times and write docs/reliability.md's table
	@scripts/install-missing.sh for-tests
	@scripts/faults.sh

lint: ## check format, lints, docs, unused dependencies and scripts
	@scripts/lint.sh

bench: ## run the micro-benchmarks
	cargo bench --locked --bench rules

dev: ## serve, and start again at each change of the source
	@scripts/install-missing.sh
	@cargo watch --version > /dev/null 2>&1 || { \
		echo 'make dev needs cargo-watch: cargo install --locked cargo-watch' >&2; exit 1; }
	@scripts/with-env.sh cargo watch --watch src --watch config --watch migrations --exec 'run --locked -- serve'

migrate: ## bring the database of DATABASE_URL (or the private one) up to date
	@scripts/install-missing.sh
	@scripts/with-env.sh cargo run --locked --quiet -- migrate
