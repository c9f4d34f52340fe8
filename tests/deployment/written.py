"""What the deployment files say, read as their readers read them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import yaml

from tests.databases import ROOT

Json = dict[str, Any]

COMPOSE_FILE = ROOT / "docker-compose.yml"
MANIFESTS = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def compose(**environment: str) -> Json:
    """The Compose file with its variables filled in."""
    text = _VARIABLE.sub(lambda match: environment.get(match[1], match[2] or ""), COMPOSE_FILE.read_text("utf-8"))
    read: Json = yaml.safe_load(text)
    return {key: value for key, value in read.items() if not key.startswith("x-")}


def ours() -> dict[str, Json]:
    """The services that run our own image."""
    return {name: one for name, one in compose()["services"].items() if one["image"].startswith("balance-withdrawal")}


def command(service: Json) -> list[str]:
    """What is executed."""
    written = service["command"]
    return shlex.split(written) if isinstance(written, str) else list(written)


def mounted_secrets(service: Json) -> dict[str, str]:
    """The name of each secret under which it is mounted in /run/secrets, and which it is."""
    return {
        one["target"] if isinstance(one, dict) else one: one["source"] if isinstance(one, dict) else one
        for one in service.get("secrets", ())
    }


def manifests() -> Iterator[Json]:
    """Every object of the Kubernetes manifests."""
    for file in MANIFESTS:
        if file.name != "kustomization.yaml":
            yield from (one for one in yaml.safe_load_all(file.read_text("utf-8")) if one)


def manifest(kind: str, name: str) -> Json:
    """One of them."""
    [found] = [one for one in manifests() if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def variables(workload: Json) -> dict[str, str]:
    """What the one container of a workload finds in its environment, with what is looked up in ConfigMaps."""
    [container] = pod(workload)["containers"]
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= manifest("ConfigMap", source["configMapRef"]["name"])["data"]
    for one in container.get("env", ()):
        looked_up = one.get("valueFrom", {}).get("configMapKeyRef")
        found[one["name"]] = (
            manifest("ConfigMap", looked_up["name"])["data"][looked_up["key"]] if looked_up else one["value"]
        )
    return found


def given_secrets(workload: Json) -> set[tuple[str, str]]:
    """Which secrets a workload is given, each with the file of it that is mounted; ``*`` is all of it."""
    volumes = pod(workload).get("volumes", ())
    sources = [one for volume in volumes for one in volume.get("projected", {}).get("sources", [volume])]
    secrets = [one["secret"] for one in sources if "secret" in one]
    return {
        (secret.get("secretName") or secret["name"], item["path"])
        for secret in secrets
        for item in secret.get("items", [{"path": "*"}])
    }


def pod(workload: Json) -> Json:
    """The specification of a workload's pods."""
    spec: Json = workload["spec"]["template"]["spec"]
    return spec
