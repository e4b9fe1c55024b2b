#!/usr/bin/env bash
# Builds and tests the web console in frontend/.
#
#   scripts/console.sh build   installs its packages if they have changed, and builds it into frontend/dist
#   scripts/console.sh         also checks types, lints, format and the generated client, and runs the tests
#
# The browser tests need Chromium. They run against the binary of Aval, which contains the built console.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v npm > /dev/null || { echo 'the console needs Node 20 or newer with npm' >&2; exit 1; }

pinned=$(cksum < frontend/package-lock.json)
if [ "$(cat frontend/node_modules/.pinned 2> /dev/null)" != "$pinned" ]; then
    # `npm ci` would fail: it requires an optional package of Vite for Windows, which the registry does not have.
    (cd frontend && npm install --no-save --no-audit --no-fund --loglevel=error --ignore-scripts)
    echo "$pinned" > frontend/node_modules/.pinned
fi

# Builds only if the sources changed. An unchanged build keeps its time stamps, so cargo does not compile the crate again.
build() {
    local sources
    sources=$(cd frontend && cat package-lock.json vite.config.ts index.html scripts/compress.mjs $(find src -type f | sort) | cksum)
    [ "$(cat frontend/node_modules/.built 2> /dev/null)" = "$sources" ] && [ -e frontend/dist/index.html ] && return
    (cd frontend && npm run --silent build)
    echo "$sources" > frontend/node_modules/.built
}

build
[ "${1:-}" = build ] && exit 0

cargo build --locked --quiet
AVAL_BIN=$(realpath "${CARGO_TARGET_DIR:-target}/debug/aval")
export AVAL_BIN
cd frontend
export AVAL_PASSWORD=orbit-lantern-velvet-93
# Applications are decided again soon after an outage of a test.
export AVAL__REDECISION__MIN_INTERVAL_MS=1000
# The first failed attempt at an event makes it a dead letter.
export AVAL__EVENTS__MAX_ATTEMPTS=1

# Runs test files one after another against a server of their own.
run() (
    cd ..
    # shellcheck source=scripts/scratch-server.sh
    . scripts/scratch-server.sh
    cd frontend
    for account in admin.console:admin ana.lopez:analyst bruno.silva:user; do
        "$AVAL_BIN" user add "${account%:*}" --role "${account#*:}" --password-stdin <<< "$AVAL_PASSWORD" > /dev/null
    done
    node --test --test-concurrency=1 --test-reporter=spec "$@"
)

# Runs test files, and runs all of them again on a new server if a test fails. Like the retries of nextest, this reports a
# flaky test without hiding it: both results are in the output.
run_twice() {
    run "$@" && return
    echo "FLAKY or failed: running the tests again on a new server"
    run "$@"
}

# The client, types, lints, format and unit tests.
check_sources() {
    "$AVAL_BIN" openapi | npm run --silent client -- --check && npm run --silent lint && npm run --silent test
}

# The checks and two groups of browser tests run at the same time. The load runs by itself, because it measures times.
outputs=$(mktemp -d)
trap 'rm -rf "$outputs"' EXIT
groups=(check_sources 'run_twice tests/browser/*.test.mjs' 'run_twice tests/browser/scenarios/*.test.mjs')
processes=()
for number in "${!groups[@]}"; do
    # shellcheck disable=SC2086
    ${groups[number]} > "$outputs/$number" 2>&1 &
    processes+=($!)
done
status=0
for process in "${processes[@]}"; do
    wait "$process" || status=1
done
cat "$outputs"/*
echo "checks and tests without load: $SECONDS s"
[ "$status" = 0 ] || exit 1
run_twice tests/browser/load/*.test.mjs
echo "console: $SECONDS s"
