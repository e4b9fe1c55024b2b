#!/usr/bin/env bash
# Runs every fault of tests/it/faults several times and writes the results into the table of docs/reliability.md. Exits
# with 1 if a guarantee was violated. AVAL_FAULT_ROUNDS sets the number of runs per fault (default 3). AVAL_FAULT_SEED
# sets the seed, to repeat a run.
set -euo pipefail
cd "$(dirname "$0")/.."

export AVAL_FAULT_ROUNDS=${AVAL_FAULT_ROUNDS:-3}
AVAL_FAULT_REPORT=$(mktemp)
export AVAL_FAULT_REPORT
page=docs/reliability.md
table=$(mktemp)
trap 'rm -f "$AVAL_FAULT_REPORT" "$table"' EXIT

status=0
cargo nextest run --locked --no-fail-fast --test it -E 'test(/^faults::/)' || status=1

# One line per run: name, accepted, failed requests, deliveries, violations.
awk -F '\t' '
    !($1 in runs) { order[++kinds] = $1 }
    { runs[$1]++; accepted[$1] += $2; failed[$1] += $3; delivered[$1] += $4; broken[$1] += $5 }
    END {
        print "| fault | runs | applications accepted | requests that failed and were sent again | events delivered | violations |"
        print "|---|---|---|---|---|---|"
        for (i = 1; i <= kinds; i++) {
            name = order[i]
            printf "| %s | %d | %d | %d | %d | %d |\n", name, runs[name], accepted[name], failed[name], delivered[name], broken[name]
        }
    }' "$AVAL_FAULT_REPORT" > "$table"
awk -v table="$table" '
    /<!-- faults begin -->/ { print; while ((getline line < table) > 0) print line; skipping = 1 }
    /<!-- faults end -->/ { skipping = 0 }
    !skipping || /<!-- faults end -->/ { if ($0 !~ /<!-- faults begin -->/) print }
' "$page" > "$page.new"
mv "$page.new" "$page"
cat "$table"
exit "$status"
