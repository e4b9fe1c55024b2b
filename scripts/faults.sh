#!/usr/bin/env bash
# Runs every fault of tests/it/faults several times and writes the results into the tables of docs/reliability.md. Exits
# with 1 if a guarantee was violated. AVAL_FAULT_ROUNDS sets the number of runs per fault (default 3). AVAL_FAULT_SEED
# sets the seed, to repeat a run.
set -euo pipefail
cd "$(dirname "$0")/.."

export AVAL_FAULT_ROUNDS=${AVAL_FAULT_ROUNDS:-3}
export AVAL_FAULT_LONG=1
AVAL_FAULT_REPORT=$(mktemp)
AVAL_CONSUMER_FAULT_REPORT=$(mktemp)
export AVAL_FAULT_REPORT AVAL_CONSUMER_FAULT_REPORT
page=docs/reliability.md
table=$(mktemp)
trap 'rm -f "$AVAL_FAULT_REPORT" "$AVAL_CONSUMER_FAULT_REPORT" "$table"' EXIT

# Prints a table with one line per fault: the runs, and the sums of the other columns of the report.
# Usage: sums REPORT HEADER...
sums() {
    awk -F '\t' -v header="$(printf '| %s ' "${@:2}")|" -v columns="$(($# - 1))" '
        !($1 in runs) { order[++kinds] = $1 }
        { runs[$1]++; for (i = 2; i < columns; i++) sum[$1, i] += $i }
        END {
            print header
            for (i = 1; i <= columns; i++) printf "|---"
            print "|"
            for (k = 1; k <= kinds; k++) {
                printf "| %s | %d |", order[k], runs[order[k]]
                for (i = 2; i < columns; i++) printf " %d |", sum[order[k], i]
                print ""
            }
        }' "$1"
}

# Replaces the lines between two markers of the page with the table. Usage: replace NAME
replace() {
    awk -v table="$table" -v name="$1" '
        $0 == "<!-- " name " end -->" { skipping = 0 }
        !skipping { print }
        $0 == "<!-- " name " begin -->" { while ((getline line < table) > 0) print line; skipping = 1 }
    ' "$page" > "$page.new"
    mv "$page.new" "$page"
    cat "$table"
}

status=0
cargo nextest run --locked --no-fail-fast --test it -E 'test(/^faults::/)' || status=1
# Prints how much a hanging endpoint delays 500 others.
cargo nextest run --locked --test it --success-output immediate -E 'test(/^deliveries::hanging::/)' || status=1

sums "$AVAL_FAULT_REPORT" fault runs 'applications accepted' 'requests that failed and were sent again' \
    'events delivered' violations > "$table"
replace faults
sums "$AVAL_CONSUMER_FAULT_REPORT" fault runs events effects 'dead letters' violations > "$table"
replace 'consumer faults'
exit "$status"
