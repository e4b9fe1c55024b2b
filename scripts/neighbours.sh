#!/usr/bin/env bash
# Runs tests with a connection pooler or a PostgreSQL version that the other tests do not use:
#   scripts/neighbours.sh pooler             all tests, connected through PgBouncer in transaction mode
#   scripts/neighbours.sh postgres VERSION   the tests that depend most on PostgreSQL, on another major version
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
        # Without this test, because PostgreSQL 18 fails it: planned on a table whose first index column has a single value,
        # a look-up by the second column costs as much as one by the key (skip scan), and either index may be used.
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
