#!/usr/bin/env bash
# Prints new random secrets, one VARIABLE=value per line, for .env, k8s/overlays/dev/secrets.env or a secret store.
set -euo pipefail

key() { openssl rand -base64 "$1" | tr -d '\n'; }

echo "JWT_SECRET=$(key 48)"
echo "ENCRYPTION_KEY=$(key 32)"
echo "INDEX_KEY=$(key 32)"
echo "WEBHOOK_SECRET=whsec_$(key 32)"
