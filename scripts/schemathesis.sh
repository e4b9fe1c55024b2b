#!/usr/bin/env bash
# Checks a running Aval against its OpenAPI document with schemathesis, once per role: no 5xx, no undocumented status, no
# response that violates its schema. AVAL_SCHEMATHESIS_SECONDS limits the time per role. The script prints its seed, and
# AVAL_SCHEMATHESIS_SEED repeats a run with it. The last line has the format of `cargo test`.
set -euo pipefail

version=4.32.5
seconds_each=${AVAL_SCHEMATHESIS_SECONDS:-20}
seed=${AVAL_SCHEMATHESIS_SEED:-$RANDOM}
venv="${XDG_CACHE_HOME:-$HOME/.cache}/aval/schemathesis-$version"

if [ ! -x "$venv/bin/schemathesis" ]; then
    echo "installing schemathesis $version into $venv"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
fi
# shellcheck source=scripts/scratch-server.sh
. "$(dirname "$0")/scratch-server.sh"
SCHEMATHESIS_HOOKS=$(realpath "$(dirname "$0")/../tests/schemathesis/hooks.py")
export SCHEMATHESIS_HOOKS

# Excludes checks of rules that a schema cannot express: documents have check characters (positive_data_acceptance), a
# decision exists only after it was made (ensure_resource_availability), country codes are case-insensitive and empty
# query parameters count as absent (negative_data_rejection). One worker: with more, Python's parser fails occasionally
# ("AST constructor recursion depth mismatch"). /api/v1/test/ is excluded because an injected fault that uses up the
# restart budget of a permanent actor stops the server, as designed.
check_against_document() {
    (cd "$scratch" && exec "$venv/bin/schemathesis" run "$AVAL_URL/openapi.json" --url "$AVAL_URL" \
        --header "Authorization: Bearer $1" --phases examples,coverage,fuzzing --mode all \
        --exclude-checks positive_data_acceptance,negative_data_rejection,ensure_resource_availability,ignored_auth \
        --exclude-path-regex '^(/docs|/api/v1/ws$|/api/v1/auth/logout|/api/v1/auth/browser-session|/api/v1/auth/password|/api/v1/auth/me/sessions|/api/v1/test/)' --warnings off \
        --max-time "$seconds_each" --max-examples 30 --seed "$seed" --workers 1 --request-timeout 20 \
        --output-truncate true --no-shrink) > "$scratch/report" 2>&1 && tail -n 12 "$scratch/report" && return
    # The output of schemathesis may contain the complete source of its modules.
    cut -c 1-400 "$scratch/report" | head -n 400
    return 1
}

passed=0 failed=0
for role in user analyst admin; do
    # A run must not sign out or disable its own account.
    printf '%s\n' "a password of the $role for tests" |
        "$aval" user add "schemathesis.$role" --role "$role" --password-stdin > /dev/null
    token=$("$aval" token --user "schemathesis.$role" --minutes 60)
    echo "schemathesis as $role, seed $seed"
    if check_against_document "$token"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
done
if grep -E '"level":"(ERRO|CRIT|ERROR|CRITICAL)"' "$scratch/log"; then
    echo 'the server logged errors while it was tested'
    failed=$((failed + 1))
fi
echo "test result: $([ "$failed" -eq 0 ] && echo ok || echo FAILED). $passed passed; $failed failed; 0 ignored; 0 measured; 0 filtered out; schemathesis seed $seed"
[ "$failed" -eq 0 ]
