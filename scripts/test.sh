#!/usr/bin/env bash
# Runs every test and ends with one line, "N passed, N failed", summed over all runs. nextest does not run the examples in
# the documentation, so cargo does.
set -euo pipefail

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0

run() {
    "$@" 2>&1 | tee -a "$log" || status=1
}

# A process for each test: a whole Aval that one test left running must not take another's connections.
if ! cargo nextest --version > /dev/null 2>&1; then
    echo 'installing cargo-nextest, which runs each test in a process of its own: cargo install --locked cargo-nextest'
    env -u CARGO_TARGET_DIR cargo install --locked cargo-nextest
fi
run cargo nextest run --locked --no-fail-fast
run cargo test --locked --doc --no-fail-fast
run scripts/schemathesis.sh
run scripts/clients.sh

# nextest:    Summary [  13.0s] 27 tests run: 25 passed (1 slow), 1 failed, 1 timed out, 3 skipped
# cargo test: test result: ok. 27 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.02s
# What ran and did not pass has failed, by whatever name.
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
    echo 'something failed or did not run; see above'
fi
echo "$counts"
exit "$status"
