"""Checks that the manifests, the Dockerfile and Aval's configuration agree.

Usage: deployment.py BINARY MANIFESTS...
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

import yaml

faults = []


def check(holds, fault):
    if not holds:
        faults.append(fault)


def config(name):
    return tomllib.loads(pathlib.Path("config", name).read_text())


server = config("default.toml")["server"] | config("production.toml")["server"]


def check_shutdown(where, pod):
    """The kubelet must not kill a process that is still within server.shutdown_timeout_ms."""
    pause = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    needed = pause + server["shutdown_timeout_ms"] / 1000
    grace = pod.get("terminationGracePeriodSeconds", 30)
    check(grace > needed, f"{where}: terminationGracePeriodSeconds is {grace} but must exceed {needed:g}")


def check_readiness(where, container):
    """The readiness probe must fail before the drain delay ends (config/production.toml)."""
    probe = container["readinessProbe"]
    takes = probe["periodSeconds"] * probe["failureThreshold"] * 1000
    check(takes < server["drain_delay_ms"], f"{where}: readiness fails after {takes} ms, later than the drain delay")


def check_settings(where, aval, settings, secret_keys):
    """`aval check-config` must accept the ConfigMap when each secret is in the file that its *_FILE setting names."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"AVAL_CONFIG_DIR": folder}
        for key, value in settings.items():
            if key.endswith("_FILE"):
                name = value.rsplit("/", 1)[-1]
                check(name in secret_keys, f"{where}: {key} names a file that the Secret does not have")
                path = pathlib.Path(folder, name)
                path.touch(mode=0o600)
                path.write_text(sample_secrets[name])
                value = str(path)
            environment[key] = value
        run = subprocess.run([aval, "check-config"], env=environment, cwd=folder, capture_output=True, text=True)
        check(run.returncode == 0, f"{where}: aval check-config: {run.stderr.strip()}")


aval, *manifests = sys.argv[1:]
printed = subprocess.run(["scripts/secrets.sh"], check=True, capture_output=True, text=True).stdout
sample_secrets = dict(line.split("=", 1) for line in printed.splitlines())
sample_secrets["DATABASE_URL"] = "postgres://aval_server:password@db.example/aval?sslmode=verify-full"
sample_secrets["REDIS_URL"] = "rediss://cache.example"

template = list(yaml.safe_load_all(pathlib.Path("k8s/base/secret.example.yaml").read_text()))
check(not any(value for secret in template for value in secret["stringData"].values()), "the template contains a secret")
for manifest in manifests:
    for item in yaml.safe_load_all(pathlib.Path(manifest).read_text()):
        where = f"{pathlib.Path(manifest).stem} {item['kind']} {item['metadata']['name']}"
        if item["kind"] == "ConfigMap":
            check_settings(where, aval, item["data"], template[0]["stringData"])
        if item["kind"] == "Deployment" and item["metadata"]["labels"]["app.kubernetes.io/name"] == "aval":
            pod = item["spec"]["template"]["spec"]
            check_shutdown(where, pod)
            check_readiness(where, pod["containers"][0])

channel = tomllib.loads(pathlib.Path("rust-toolchain.toml").read_text())["toolchain"]["channel"]
image = re.search(r"^FROM rust:([0-9.]+)-", pathlib.Path("Dockerfile").read_text(), re.MULTILINE).group(1)
check(image == channel, f"the Dockerfile builds with Rust {image}, rust-toolchain.toml says {channel}")

print("\n".join(faults) or "consistent")
sys.exit(bool(faults))
