#!/usr/bin/env bash
# Runs tests with a connection pooler or a PostgreSQL version that the other tests do not use:
#   scripts/compatibility.sh pooler             all tests, connected through PgBouncer in transaction mode
#   scripts/compatibility.sh postgres VERSION   the tests that depend most on PostgreSQL, on another major version
# With `short` as the last argument, it runs only the most relevant of these tests. `make test` uses `short`.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:?pooler or postgres}
case $what in
    pooler)
        export AVAL_TEST_POOLER=1
        tests='all()'
        if [ "${2:-}" = short ]; then
            tests='test(/^(pipeline|queue|accounts::operators)::/) or test(/^lifecycle::export::an_operator/)'
        fi
        ;;
    postgres)
        major=${2:?the major version is missing, such as 18}
        AVAL_PG_BIN=$(scripts/postgres.sh "$major")
        export AVAL_PG_BIN
        echo "testing with $("$AVAL_PG_BIN/postgres" --version)"
        tests='test(/^(pipeline|plans|status_machine|architecture|database|sessions|roles|embedded|lifecycle|reencrypt)::/)'
        # Excludes one test, which fails with PostgreSQL 18. If the first column of an index has a single value when a
        # statement is planned, a lookup by the second column (skip scan) costs as much as a lookup by the key, so
        # either index may be used.
        if [ "${3:-}" = short ]; then
            tests='(test(/^(pipeline|plans|status_machine|roles|embedded)::/) or test(/^lifecycle::archive/))
                and not test(every_query_uses_its_index_even_when_planned_on_small_tables)'
        fi
        ;;
    *)
        echo "unknown: $what" >&2
        exit 2
        ;;
esac
exec cargo nextest run --locked --no-fail-fast --test it -E "$tests"
