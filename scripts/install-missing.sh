#!/usr/bin/env bash
# Installs what building and running Aval need and this machine lacks: a C compiler and linker, and PostgreSQL's server
# programs (unless DATABASE_URL names a server and no tests are to run); for tests also Redis, PgBouncer, curl, Python and Node. It asks
# nothing.
# Where it may not install, it prints the command that does and ends with 1.
set -euo pipefail

say() { echo "aval: $*" >&2; }

has_postgres_in() { [ -x "$1/postgres" ] && [ -x "$1/initdb" ]; }

# The places that src/embedded/installation.rs searches; there the version is checked too.
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

# Debian's package makes and starts a system-wide cluster when it is installed, unless it is told not to. Aval has no
# use for one, so it is told not to while the package is being installed.
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

# Debian's packages start a system-wide server and enable it. Tests start their own.
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

missing=()
command -v cc > /dev/null || missing+=(gcc libc6-dev)
if [ -z "${DATABASE_URL:-}" ] || [ "${1:-}" = for-tests ]; then
    has_postgres || missing+=(postgresql)
fi
# schemathesis, which tests the API from outside, is a Python program.
if [ "${1:-}" = for-tests ]; then
    command -v redis-server > /dev/null || missing+=(redis-server)
    command -v pgbouncer > /dev/null || [ -x /usr/sbin/pgbouncer ] || missing+=(pgbouncer)
    command -v curl > /dev/null || missing+=(curl)
    python3 -c 'import ensurepip, venv' 2> /dev/null || missing+=(python3 python3-venv)
    # The generated TypeScript client, and the linters of the API's document, run on Node 18 or newer.
    command -v node > /dev/null || missing+=(nodejs)
    command -v npm > /dev/null || missing+=(npm)
fi
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi

if ! command -v apt-get > /dev/null; then
    say "missing: a C compiler, PostgreSQL 14 or newer (server programs) or, for tests, Redis 7, PgBouncer, curl, Python 3 and Node 18. Install with"
    say '  Fedora:  sudo dnf install gcc postgresql-server redis pgbouncer curl python3 nodejs npm'
    say '  macOS:   xcode-select --install; brew install postgresql@17 redis pgbouncer python node'
    exit 1
fi

# env comes in between because sudo drops the environment.
if [ "$(id -u)" = 0 ]; then
    as_root=(env DEBIAN_FRONTEND=noninteractive)
elif sudo -n true 2> /dev/null; then
    as_root=(sudo -n env DEBIAN_FRONTEND=noninteractive)
else
    say 'these packages are missing, and installing them needs root; run this, then again what you ran:'
    say "  sudo apt-get update && sudo apt-get install -y ${missing[*]}"
    exit 1
fi

say "installing with apt-get: ${missing[*]}"
exec < /dev/null
"${as_root[@]}" apt-get update -qq
# Each in a shell of its own, so that what one has to undo at its end is undone.
for package in "${missing[@]}"; do
    case $package in
        postgresql) (install_debian_postgres) ;;
        redis-server | pgbouncer) (install_debian_server "$package") ;;
        *) "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$package" ;;
    esac
done
