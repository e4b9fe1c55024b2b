#!/usr/bin/env bash
# Runs every test. The last line is "N passed, N failed", summed over all runs. cargo runs the documentation examples,
# because nextest does not.
set -euo pipefail

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0

run() {
    "$@" 2>&1 | tee -a "$log" || status=1
}

# nextest runs each test in its own process, so an instance that a test left running cannot take connections from others.
if ! cargo nextest --version > /dev/null 2>&1; then
    echo 'installing cargo-nextest, which runs each test in its own process: cargo install --locked cargo-nextest'
    env -u CARGO_TARGET_DIR cargo install --locked cargo-nextest
fi
run cargo nextest run --locked --no-fail-fast
run cargo test --locked --doc --no-fail-fast
run scripts/compatibility.sh pooler short
run scripts/compatibility.sh postgres 18 short
run scripts/schemathesis.sh
run scripts/clients.sh

# nextest:    Summary [  13.0s] 27 tests run: 25 passed (1 slow), 1 failed, 1 timed out, 3 skipped
# cargo test: test result: ok. 27 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.02s
# Everything that ran and did not pass counts as failed.
counts=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | awk '
    /^ *Summary \[.*tests? run:/ {
        for (i = 1; i < NF; i++) {
            if ($(i + 1) ~ /^tests?$/) { sub(/\/.*/, "", $i); ran = $i }
            if ($(i + 1) ~ /^passed/) { ok = $i }
        }
        passed += ok; failed += ran - ok; ran = ok = 0
    }
    /^test result:/ {
        for (i = 1; i < NF; i++) {
            if ($(i + 1) == "passed;") passed += $i
            if ($(i + 1) == "failed;") failed += $i
        }
    }
    END { printf "%d passed, %d failed\n", passed, failed }')

case $counts in
    "0 passed"*) status=1 ;;
    *", 0 failed") ;;
    *) status=1 ;;
esac
if [ "$status" -ne 0 ]; then
    echo 'some tests failed or did not run; see above'
fi
echo "$counts"
exit "$status"
