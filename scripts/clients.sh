#!/usr/bin/env bash
# Lints the OpenAPI document (Redocly, Spectral), validates the AsyncAPI document, generates a TypeScript and a Python client
# from the OpenAPI document, type-checks both strictly and runs them against a server. Runs the code of docs/quick-start.md
# too, verifies webhooks with the code of docs/webhook-endpoints.md, and reads event streams with the examples in
# docs/examples. tests/clients pins the version of every tool. The last line has the format of `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."

sources=$PWD/tests/clients
cache=${XDG_CACHE_HOME:-$HOME/.cache}/aval
pinned=$(cat "$sources/package-lock.json" "$sources/requirements.txt" | cksum | cut -d ' ' -f 1)
tools=$cache/clients-$pinned
if [ ! -e "$tools/complete" ]; then
    echo "installing the tools of tests/clients into $tools"
    rm -rf "$tools"
    mkdir -p "$tools"
    cp "$sources/package.json" "$sources/package-lock.json" "$tools"
    (cd "$tools" && npm ci --silent --ignore-scripts --no-audit --no-fund)
    python3 -m venv "$tools/venv"
    "$tools/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$sources/requirements.txt"
    touch "$tools/complete"
fi
bin=$tools/node_modules/.bin

# The clients receive webhooks on this machine.
export AVAL__WEBHOOK_DELIVERY__ALLOWED_NETWORKS=127.0.0.0/8
# The examples in docs/examples read event streams.
redis_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
redis-server --bind 127.0.0.1 --port "$redis_port" --save '' --appendonly no > /dev/null &
redis=$!
trap 'kill "$redis"' EXIT
export REDIS_URL=redis://127.0.0.1:$redis_port/0
# shellcheck source=scripts/scratch-server.sh
. scripts/scratch-server.sh
trap 'stop; kill "$redis"' EXIT
work=$scratch/clients
mkdir "$work"
# Disables the telemetry of linters and generators.
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true npm_config_update_notifier=false
curl --silent --fail "$AVAL_URL/openapi.json" > "$work/served.json"
curl --silent --fail "$AVAL_URL/asyncapi.json" > "$work/asyncapi.json"
"$aval" openapi > "$work/printed.json"

passed=0 failed=0
# One check: passes if the command succeeds, and shows its output otherwise.
check() {
    local name=$1
    shift
    if "$@" > "$work/output" 2>&1; then
        passed=$((passed + 1))
    else
        echo "FAILED: $name"
        head -c 6000 "$work/output"
        failed=$((failed + 1))
    fi
}

for document in served printed; do
    check "redocly ($document)" "$bin/redocly" lint --config "$sources/redocly.yaml" "$work/$document.json"
    check "spectral ($document)" "$bin/spectral" lint --fail-severity hint --ruleset "$sources/spectral.yaml" "$work/$document.json"
done

# Modules are resolved relative to the script.
cp "$sources/asyncapi.mjs" "$tools"
check asyncapi node "$tools/asyncapi.mjs" "$work/asyncapi.json"

# The clients use their own account, because the server prints the password of the first account only once.
export AVAL_USER=clients AVAL_PASSWORD='a password of the clients for tests'
printf '%s\n' "$AVAL_PASSWORD" | "$aval" user add "$AVAL_USER" --role admin --password-stdin > /dev/null
# The clients sign out at the end, which revokes all tokens of their account. The quick start uses another account.
printf '%s\n' "$AVAL_PASSWORD" | "$aval" user add quick-start --role admin --password-stdin > /dev/null
AVAL_TOKEN=$("$aval" token --user quick-start --minutes 60)
export AVAL_TOKEN

# Prints the code blocks of one language in a document.
blocks() {
    awk -v fence='^```'"$1"'$' '$0 ~ fence { inside = 1; next } /^```$/ { inside = 0 } inside' "docs/$2"
}

# These functions run in a new shell, because `set -e` has no effect in a function that is called in a condition.
typescript() {
    mkdir -p "$work/typescript" && cd "$work/typescript"
    cp "$sources"/*.ts "$sources/tsconfig.json" .
    echo '{"type": "module"}' > package.json
    ln -s "$tools/node_modules" node_modules
    cp "$work/quick-start.ts" "$work/verify-webhooks.ts" "$examples"/*.ts .
    "$bin/openapi-typescript" "$work/served.json" --output schema.d.ts
    "$bin/tsc" --project tsconfig.json
    node built/readme.js
    node built/quick-start.js
    node built/webhooks.js
    "$tools/venv/bin/python" "$sources/streams.py" mailer node built/redis_streams.js
}
python() {
    mkdir -p "$work/python" && cd "$work/python"
    cp "$sources"/*.py "$work/quick_start.py" "$work/verify_webhooks.py" "$examples"/*.py .
    # The generator does not support bodies with one JSON value per line. The client sends such events as JSON.
    "$tools/venv/bin/python" "$sources/without_ndjson.py" < "$work/served.json" > "$work/generated.json"
    PATH="$tools/venv/bin:$PATH" "$tools/venv/bin/openapi-python-client" generate --fail-on-warning --meta none \
        --path "$work/generated.json" --output-path aval_client
    touch aval_client/py.typed
    "$tools/venv/bin/mypy" --config-file "$sources/mypy.ini" --cache-dir "$tools/mypy" ./*.py
    "$tools/venv/bin/python" readme.py
    "$tools/venv/bin/python" quick_start.py
    "$tools/venv/bin/python" webhooks.py
    "$tools/venv/bin/python" streams.py warehouse "$tools/venv/bin/python" redis_streams.py
}
shell() {
    mkdir -p "$work/shell" && cd "$work/shell"
    bash -euo pipefail "$work/quick-start.sh"
}
blocks ts quick-start.md > "$work/quick-start.ts"
blocks python quick-start.md > "$work/quick_start.py"
blocks sh quick-start.md > "$work/quick-start.sh"
blocks ts webhook-endpoints.md > "$work/verify-webhooks.ts"
blocks python webhook-endpoints.md > "$work/verify_webhooks.py"
examples=$PWD/docs/examples
export work sources tools bin examples
export -f typescript python shell
for client in typescript python shell; do
    check "$client" bash -euo pipefail -c "$client"
done

if grep -E '"level":"(ERRO|CRIT|ERROR|CRITICAL)"' "$scratch/log"; then
    echo 'the server logged errors while the clients used it'
    failed=$((failed + 1))
fi
echo "test result: $([ "$failed" -eq 0 ] && echo ok || echo FAILED). $passed passed; $failed failed; 0 ignored; 0 measured; 0 filtered out; clients"
[ "$failed" -eq 0 ]
