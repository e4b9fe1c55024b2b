#!/usr/bin/env bash
# Builds and tests the web console in frontend/.
#
#   scripts/console.sh build       installs its packages if they have changed, and builds it into frontend/dist
#   scripts/console.sh             also checks types, lints, format and the generated client, and runs the tests
#   scripts/console.sh scenarios   runs the long scenarios in a browser: a working day, an outage, a restart, load
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

# Shortens the time until applications are decided again after an outage in a test.
export AVAL__REDECISION__MIN_INTERVAL_MS=1000
# shellcheck source=scripts/scratch-server.sh
. scripts/scratch-server.sh
cd frontend
tests=(tests/browser/scenarios/*.test.mjs)
if [ "${1:-}" != scenarios ]; then
    tests=(tests/browser/*.test.mjs)
    "$aval" openapi | npm run --silent client -- --check
    npm run --silent lint
    npm run --silent test
fi
printf '%s\n' 'orbit-lantern-velvet-93' > "$scratch/password"
for account in admin.console:admin ana.lopez:analyst bruno.silva:user; do
    "$aval" user add "${account%:*}" --role "${account#*:}" --password-stdin < "$scratch/password" > /dev/null
done
export AVAL_BIN="$aval" AVAL_PASSWORD
AVAL_PASSWORD=$(cat "$scratch/password")
# Runs one file after another, because the load tests measure times.
node --test --test-concurrency=1 --test-reporter=spec "${tests[@]}"
