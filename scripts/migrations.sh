#!/usr/bin/env bash
# Checks the migrations that are new since the last release (the newest tag v*, or the argument): instances of the released
# version keep serving during and after a migration, so a migration must neither remove what they use nor block them.
# Released migrations must not change at all. A line `-- allowed: <reason>` before a statement exempts it. docs/migrations.md
# explains the rules. Statements that are built at run time (EXECUTE) are not checked.
set -euo pipefail

base=${1:-$(git describe --tags --match 'v*' --abbrev=0 2> /dev/null || true)}
if [ -z "$base" ]; then
    echo 'there is no release yet: every migration may still change'
    exit 0
fi

status=0
complain() {
    echo "$1: $2"
    status=1
}

# Prints each statement on one line in upper case, without comments. Leaves out allowed statements. CREATE FUNCTION is
# one statement with its body. The patterns below are anchored at the beginning of a statement, so they do not match
# statements in a body.
statements() {
    awk '
        /^[[:space:]]*-- allowed: ./ { allowed = 1; next }
        { sub(/--.*/, "") }
        {
            rest = $0
            while (match(rest, /\$[A-Za-z_]*\$|;/)) {
                mark = substr(rest, RSTART, RLENGTH)
                text = text " " substr(rest, 1, RSTART - 1)
                rest = substr(rest, RSTART + RLENGTH)
                if (mark == ";" && body == "") {
                    gsub(/[[:space:]]+/, " ", text); sub(/^ /, "", text)
                    if (text != "" && !allowed) print toupper(text)
                    text = ""; allowed = 0
                } else if (mark != ";" && body == "") {
                    body = mark
                } else if (mark == body) {
                    body = ""
                }
            }
            text = text " " rest
        }' "$1"
}

rules=(
    '^DROP (TABLE|VIEW|MATERIALIZED VIEW|TYPE|FUNCTION|SCHEMA|SEQUENCE|TRIGGER)|removes what the released version may use'
    '^ALTER TABLE .*[ ,(]DROP (COLUMN|CONSTRAINT)|removes what the released version may use'
    '^ALTER (TABLE|TYPE|FUNCTION|VIEW) .* RENAME |renames what the released version may use'
    '^ALTER TABLE .* ALTER (COLUMN )?[A-Z0-9_"]+ (SET DATA )?TYPE |may rewrite the table under an exclusive lock'
    '^ALTER TABLE .* SET NOT NULL|scans the table under an exclusive lock'
    '^(LOCK TABLE|LOCK |TRUNCATE|CLUSTER|VACUUM FULL|REINDEX)|blocks the released version'
    '^(UPDATE|DELETE FROM) |changes rows in a migration; convert them in batches in code'
)

check() {
    local file=$1 statement rule pattern reason created table
    created=$(statements "$file" | sed -nE 's/^CREATE (UNLOGGED )?TABLE (IF NOT EXISTS )?([A-Z0-9_."]+).*/\3/p')
    while IFS= read -r statement; do
        for rule in "${rules[@]}"; do
            pattern=${rule%|*} reason=${rule##*|}
            if [[ $statement =~ $pattern ]]; then
                complain "$file" "$reason: $statement"
            fi
        done
        if [[ $statement =~ ^ALTER\ TABLE\ .*ADD\ CONSTRAINT ]] && [[ ! $statement =~ NOT\ VALID|USING\ INDEX ]]; then
            complain "$file" "validates every row under a lock; add NOT VALID: $statement"
        fi
        if [[ $statement =~ ^ALTER\ TABLE\ .*ADD\ .*\ NOT\ NULL ]] && [[ ! $statement =~ \ DEFAULT\ |ADD\ CONSTRAINT ]]; then
            complain "$file" "makes inserts of the released version fail; add a default: $statement"
        fi
        if [[ $statement =~ ^CREATE\ (UNIQUE\ )?INDEX\ .*ON\ (ONLY\ )?([A-Z0-9_.\"]+) ]]; then
            table=${BASH_REMATCH[3]}
            if [[ ! $statement =~ \ CONCURRENTLY\ |\ ON\ ONLY\  ]] && ! grep -qxF "$table" <<< "$created"; then
                complain "$file" "blocks writes; create it CONCURRENTLY: $statement"
            fi
        fi
    done < <(statements "$file")
    # Without a transaction, SET LOCAL has no effect.
    if ! grep -qs 'run_in_transaction = false' "$(dirname "$file")/metadata.toml" && ! grep -q 'lock_timeout' "$file" &&
        grep -qiE '^ *(ALTER|DROP|LOCK|CREATE (UNIQUE )?INDEX|CREATE TRIGGER)' "$file"; then
        complain "$file" "waits for locks without a limit; begin with SET LOCAL lock_timeout = '2s'"
    fi
}

while IFS= read -r changed; do
    [ -n "$changed" ] && complain "$changed" "was released in $base and must not change; add a migration"
done < <(git diff --name-only --diff-filter=MDR "$base" -- migrations)

for folder in migrations/*/; do
    if ! git cat-file -e "$base:${folder%/}" 2> /dev/null; then
        [ -f "${folder}down.sql" ] || complain "$folder" 'has no down.sql'
        check "${folder}up.sql"
    fi
done
[ "$status" -eq 0 ] && echo "the migrations since $base are safe for running instances"
exit "$status"
