#!/usr/bin/env bash
# Runs a command with the variables of .env (see .env.example). Variables that are already set take precedence.
set -euo pipefail

if [ -f .env ]; then
    while IFS= read -r line || [ -n "$line" ]; do
        [[ $line =~ ^[[:space:]]*([A-Za-z_][A-Za-z0-9_]*)=(.*)$ ]] || continue
        name=${BASH_REMATCH[1]}
        value=${BASH_REMATCH[2]}
        if [[ $value =~ ^\"(.*)\"$ || $value =~ ^\'(.*)\'$ ]]; then
            value=${BASH_REMATCH[1]}
        fi
        [[ -v $name ]] || export "$name=$value"
    done < .env
fi

exec "$@"
