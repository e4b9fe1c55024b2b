#!/usr/bin/env bash
# Tests the content of the image without a container engine: unpacks the Debian packages of the final stage, adds a
# binary, and runs it as process 1 of user 10001 on a read-only root, without capabilities, with the ConfigMap of the
# production overlay and the secrets in files as Kubernetes mounts them. Each role must become ready and exit with 0 after
# SIGTERM within its grace period. Needs root, mmdebstrap and an empty database at a TCP address. Migrates the database as the
# user of DATABASE_MIGRATION_URL if that is set:
#
#   DATABASE_URL=postgres://aval@localhost/aval scripts/image.sh target/release/aval
set -euo pipefail
cd "$(dirname "$0")/.."

binary=$(realpath "${1:?usage: DATABASE_URL=… scripts/image.sh BINARY}")
: "${DATABASE_URL:?must be set}"

# gcr.io/distroless/cc-debian13 contains these packages, unpacked without running their installation scripts.
release=trixie
packages=base-files,netbase,tzdata,media-types,libc6,libssl3t64,libgcc-s1,libgomp1,libstdc++6,ca-certificates

root=$(mktemp -d)
log=$(mktemp)
server=
stop() {
    if [ -n "$server" ]; then
        kill -KILL "$server" 2> /dev/null || true
    fi
    rm -rf --one-file-system "$root" "$log"
}
trap stop EXIT
fail() { echo "image.sh: $*" >&2; cat "$log" >&2; exit 1; }

echo "== packages of $release"
mmdebstrap --quiet --variant=extract --include="$packages" "$release" - | tar --extract --directory "$root" --exclude='./dev/*'
mkdir -p "$root/usr/local/bin" "$root/etc/aval/secrets"
objcopy --only-keep-debug "$binary" "$log"
objcopy --strip-all --add-gnu-debuglink="$log" "$binary" "$root/usr/local/bin/aval"
: > "$log"
du -sh "$root" | sed 's/\t.*/ in total/'
stat --format '%s bytes: aval, stripped' "$root/usr/local/bin/aval"

# Permissions as in a secret volume with defaultMode 0400 and fsGroup 10001.
while IFS= read -r line; do
    printf '%s' "${line#*=}" > "$root/etc/aval/secrets/${line%%=*}"
done <<END
$(scripts/secrets.sh)
DATABASE_URL=$DATABASE_URL
REDIS_URL=${REDIS_URL:-}
OWNER=${DATABASE_MIGRATION_URL:-$DATABASE_URL}
END
chown -R 0:10001 "$root/etc/aval/secrets"
chmod 440 "$root"/etc/aval/secrets/*

# The settings of the production ConfigMap, adapted to this machine: other ports, and Redis only if there is one.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
mapfile -t settings < <(cat k8s/base/aval.env k8s/overlays/production/aval.env | grep -E '^[A-Z]')
if [ -z "${REDIS_URL:-}" ]; then
    mapfile -t settings < <(printf '%s\n' "${settings[@]}" | grep -v '^REDIS_URL_FILE=')
fi

# Replaces this shell (start it in the background) with aval as process 1 of a new process namespace. /tmp is writable, as in
# the pods. chroot needs the three capabilities; none of them remains when user 10001 starts aval.
contained() {
    # shellcheck disable=SC2016
    exec unshare --mount --pid --fork --kill-child=KILL -- bash -c '
        set -e
        mount --bind "$0" "$0"
        mount -t tmpfs tmpfs "$0/tmp"
        mount -t proc proc "$0/proc"
        mount -o remount,bind,ro "$0"
        exec env -i PATH="$PATH" "${@:2:$1}" \
            setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+sys_chroot,+setuid,+setgid \
            chroot --userspec=10001:10001 --groups=10001 "$0" /usr/local/bin/aval "${@:$1+2}"
    ' "$root" "$@"
}

echo "== aval migrate"
job=(AVAL_ENV=production DATABASE_URL_FILE=/etc/aval/secrets/OWNER)
contained ${#job[@]} "${job[@]}" migrate > "$log" 2>&1 &
wait $! || fail 'the migration failed'

for role in api worker relay; do
    echo "== aval serve --roles $role"
    port=$(free_port)
    pod=("${settings[@]}" "PORT=$port" "METRICS_PORT=$(free_port)" AVAL__SERVER__HOST=127.0.0.1)
    contained ${#pod[@]} "${pod[@]}" serve --roles "$role" > "$log" 2>&1 &
    server=$!
    ready=
    for _ in $(seq 300); do
        if ready=$(curl --silent --fail "http://127.0.0.1:$port/health/ready"); then
            break
        fi
        kill -0 "$server" 2> /dev/null || fail 'the server stopped'
        sleep 0.2
    done
    [ -n "$ready" ] || fail 'the server did not become ready'
    echo "ready: $ready"
    process=$(cut -d ' ' -f 1 "/proc/$server/task/$server/children")
    grep -E '^(Name|Uid|Groups|NSpid|CapEff|CapBnd|NoNewPrivs):' "/proc/$process/status"
    [ "$(awk '/^Uid:/ { print $2 $3 $4 $5 }' "/proc/$process/status")" = 10001100011000110001 ] || fail 'not user 10001'
    [ "$(awk '/^CapEff:/ { print $2 }' "/proc/$process/status")" = 0000000000000000 ] || fail 'has capabilities'
    [ "$(awk '/^NSpid:/ { print $NF }' "/proc/$process/status")" = 1 ] || fail 'not process 1'
    awk '$5 == "/" { print $6 }' "/proc/$process/mountinfo" | grep -qE '^ro(,|$)' || fail 'the root is writable'
    written=$(find "/proc/$process/root/tmp" -mindepth 1)
    [ -z "$written" ] || fail "wrote to /tmp: $written"
    before=$(date +%s%N)
    kill -TERM "$process"
    wait "$server" || fail 'the server did not exit with 0 after SIGTERM'
    server=
    took=$((($(date +%s%N) - before) / 1000000))
    echo "stopped after $took ms"
    [ "$took" -lt 25000 ] || fail 'the shutdown took too long'
done
