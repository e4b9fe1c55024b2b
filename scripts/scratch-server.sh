#!/usr/bin/env bash
# For scripts that test a running Aval from outside: builds it, starts it with a new database and stops it at the end.
# Source it; it sets $aval (the binary), $scratch (a directory) and AVAL_URL. The server logs to $scratch/log. If AVAL_BIN is
# set, it is the binary, and nothing is built.

if [ -n "${AVAL_BIN:-}" ]; then
    aval=$AVAL_BIN
else
    cargo build --locked --quiet
    aval=$(realpath "${CARGO_TARGET_DIR:-target}/debug/aval")
fi

scratch=$(mktemp -d)
# If root runs this, the private PostgreSQL runs as another user, who needs access to the directory.
chmod 711 "$scratch"
server=
# shellcheck disable=SC2329
stop() {
    if [ -n "$server" ]; then
        kill "$server" 2> /dev/null || true
        wait "$server" 2> /dev/null || true
    fi
    rm -rf "$scratch"
}
trap stop EXIT

export AVAL_DATA_DIR="$scratch/data" AVAL__LIMITS__ENABLED=false AVAL__EMBEDDED__DURABLE=false
export AVAL__DATABASE__PARTITIONS_AHEAD_MONTHS=1 AVAL__LOG__FORMAT=json
unset DATABASE_URL
PORT=0 "$aval" serve > "$scratch/log" 2>&1 &
server=$!
address=
for _ in $(seq 300); do
    address=$(sed -n 's/.*"message":"listening".*"address":"\([^"]*\)".*/\1/p;s/.*"address":"\([^"]*\)".*"message":"listening".*/\1/p' "$scratch/log" | head -n 1)
    if [ -n "$address" ] && curl --silent --fail --output /dev/null "http://$address/health/ready"; then
        break
    fi
    kill -0 "$server" 2> /dev/null || { cat "$scratch/log"; exit 1; }
    sleep 0.2
done
export AVAL_URL="http://$address"
