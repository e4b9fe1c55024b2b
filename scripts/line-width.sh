#!/usr/bin/env bash
# Checks that comments and Markdown have at most 130 characters in a line. rustfmt wraps neither.
# Tables, diagrams and code blocks are exempt.
set -euo pipefail
export LC_ALL=C.UTF-8

lines=$(mktemp)
trap 'rm -f "$lines"' EXIT

git ls-files -z '*.rs' | xargs -0 grep -nE '^ *//' /dev/null | grep -vE '^[^:]*:[0-9]+: *//[!/]? *(\||[^ -~])' > "$lines"
git ls-files -z '*.md' | xargs -0 awk '/^ *```/ { code = !code } !code && !/^ *\|/ { print FILENAME ":" FNR ":" $0 }' >> "$lines"
if grep -E '^[^:]*:[0-9]+:.{131,}' "$lines"; then
    echo 'the lines above have more than 130 characters'
    exit 1
fi
