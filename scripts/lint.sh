#!/usr/bin/env bash
# Runs all static checks. Stops at the first failure.
set -euo pipefail

step() { echo "== $*"; }

step components
cargo fmt --version > /dev/null 2>&1 && cargo clippy --version > /dev/null 2>&1 || rustup component add rustfmt clippy

step format
cargo fmt --all --check

step clippy
cargo clippy --locked --all-targets -- -D warnings

# The compiler reports dependencies that the library never names. A dependency that is present only to enable its features
# is named in the code as `use name as _;`, with the reason.
step unused dependencies
cargo clippy --locked --lib -- -D warnings -D unused_crate_dependencies
unused=0
for name in $(awk '/^\[/ { inside = ($0 == "[dev-dependencies]") } inside && /^[a-z]/ { print $1 }' Cargo.toml); do
    if ! grep -rqw --include='*.rs' "${name//-/_}" src tests benches 2> /dev/null; then
        echo "unused development dependency: $name"
        unused=1
    fi
done
[ "$unused" -eq 0 ]

# CONTRIBUTING.md gives the reason for each dependency.
step explained dependencies
unexplained=0
for name in $(awk '/^\[/ { inside = /dependencies\]$/ } inside && /^[a-z]/ { print $1 }' Cargo.toml); do
    if ! grep -q "^| \`$name\` |" CONTRIBUTING.md; then
        echo "CONTRIBUTING.md gives no reason for $name"
        unexplained=1
    fi
done
for name in $(sed -n 's/^| `\([a-z0-9_-]*\)` |.*/\1/p' CONTRIBUTING.md); do
    if ! grep -q "^$name = " Cargo.toml; then
        echo "CONTRIBUTING.md lists $name, which is not a dependency"
        unexplained=1
    fi
done
[ "$unexplained" -eq 0 ]

step documentation
# Includes private items and links to them, because the generated pages are for contributors.
RUSTDOCFLAGS="-Dwarnings -Arustdoc::private_intra_doc_links" cargo doc --locked --no-deps --document-private-items --quiet

step line width
scripts/line-width.sh

step migrations
scripts/migrations.sh

step scripts
for script in scripts/*.sh scripts/hooks/* .ci/run; do
    bash -n "$script"
    [ -x "$script" ] || { echo "$script is not executable"; exit 1; }
done

if cargo deny --version > /dev/null 2>&1; then
    step 'licences and advisories'
    cargo deny --locked check
fi
