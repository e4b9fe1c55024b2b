#!/usr/bin/env bash
# Builds a PgBouncer for the tests, on Debian releases whose package is older than 1.21, the first version that supports
# prepared statements in transaction mode. The source is Debian 13's package, from the mirror of this machine; apt
# checks its signature. The result is kept in the cache folder of Aval, where tests/it/support/pgbouncer.rs looks for
# it. Does nothing if such a version is already installed. `build-pgbouncer.sh check` builds nothing. It exits with 0 if
# such a version is installed, and with 1 otherwise.
set -euo pipefail

if [ "$(id -u)" = 0 ]; then
    # PgBouncer refuses to run as root, and other users cannot read root's home.
    cache=/var/cache/aval
else
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/aval
fi

is_new_enough() {
    local version
    version=$("$1" --version 2> /dev/null | sed -n 's/^PgBouncer //p')
    [ -n "$version" ] && [ "$(printf '1.21\n%s\n' "$version" | sort -V | head -n 1)" = 1.21 ]
}

for program in pgbouncer /usr/sbin/pgbouncer "$cache/bin/pgbouncer"; do
    if is_new_enough "$program"; then
        exit 0
    fi
done
if [ "${1:-}" = check ]; then
    exit 1
fi

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Created-By: Packages' | grep -v security | head -n 1)
if [ -z "$mirror" ]; then
    echo 'aval: no Debian mirror is configured for apt' >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/source"
cat > "$work/trixie.sources" << SOURCES
Types: deb-src
URIs: $mirror
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
# Uses separate package lists, so that the configuration of apt on this machine does not change.
apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/trixie.sources" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
    -o "Dir::Cache=$work" -o "APT::Sandbox::User=$(id -un)")
"${apt[@]}" update
(cd "$work/source" && "${apt[@]}" source --download-only pgbouncer > /dev/null 2>&1)
tar --extract --gzip --file "$work"/source/pgbouncer_*.orig.tar.gz --directory "$work" --one-top-level=pgbouncer --strip-components=1
cd "$work/pgbouncer"
./configure --without-cares --without-systemd > "$work/log" 2>&1 && make -j"$(nproc)" > "$work/log" 2>&1 || {
    tail -n 20 "$work/log" >&2
    exit 1
}
mkdir -p "$cache/bin"
install pgbouncer "$cache/bin/.pgbouncer.$$"
mv "$cache/bin/.pgbouncer.$$" "$cache/bin/pgbouncer"
"$cache/bin/pgbouncer" --version | head -n 1
