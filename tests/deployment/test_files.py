"""Each deployment file is valid by its format's own schema, and names only what is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from typing import Any

import kubernetes_validate
import pytest
import yaml
from compose_spec.models import ComposeSpecification
from temporalio.envconfig import ClientConfig

from console.settings import Settings as ConsoleSettings
from sandbox.settings import Settings as SandboxSettings
from settings import AuditSettings, CodecSettings, MigrationSettings, Settings
from stack.secrets import make_secrets
from tests.databases import ROOT
from tests.deployment.written import (
    COMPOSE_FILE,
    Json,
    command,
    compose,
    given_secrets,
    manifest,
    manifests,
    mounted_secrets,
    ours,
    pod,
    variables,
)

KUBERNETES = "1.33"
NAMED_BY_A_SETTING = {
    *("keys.json", "payload-keys.json", "audit-signing-key.pem", "audit-public-key.pem", "console-secret"),
}

SERVERS = ("api", "console", "codec")
WORKLOADS = (*(("Deployment", name) for name in (*SERVERS, "worker")), ("Job", "migrate"))

OUR_VARIABLES = {
    *(
        f"WITHDRAWALS_{name}".upper()
        for one in (Settings, MigrationSettings, AuditSettings, CodecSettings)
        for name in one.model_fields
    ),
    *(f"SANDBOX_{name}".upper() for name in SandboxSettings.model_fields),
    *(f"CONSOLE_{name}".upper() for name in ConsoleSettings.model_fields),
    "WITHDRAWALS_SECRETS_DIR",
    # Temporal's own (temporalio.envconfig).
    *("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_CONFIG_FILE", "TEMPORAL_PROFILE"),
}


def test_the_compose_file_is_valid_by_the_specification() -> None:
    """Every key of it: an unknown one would be left out without a word."""
    ComposeSpecification.model_validate(compose(), extra="forbid")
    broken = compose()
    broken["services"]["api"]["ressources"] = {}
    with pytest.raises(ValueError, match="ressources"):
        ComposeSpecification.model_validate(broken, extra="forbid")


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="Debian's docker-compose is not installed")
def test_docker_compose_takes_the_file(tmp_path: Any) -> None:
    """With every profile."""
    done = subprocess.run(
        [
            shutil.which("docker-compose") or "",
            "--file",
            str(COMPOSE_FILE),
            "--project-directory",
            str(ROOT),
            "config",
            "--quiet",
        ],
        env={"PATH": "/usr/bin:/bin", "COMPOSE_PROFILES": "sandbox,monitoring", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_variable_of_ours_is_a_setting() -> None:
    """A misspelt one would be a default without anybody's noticing."""
    for name, service in ours().items():
        assert set(service["environment"]) <= OUR_VARIABLES, name
        for target in mounted_secrets(service):
            assert target in NAMED_BY_A_SETTING or target.upper() in OUR_VARIABLES, (name, target)
    assert set(manifest("ConfigMap", "settings")["data"]) <= OUR_VARIABLES


def test_every_needed_setting_is_given() -> None:
    """To each process of ours, as a variable or as a secret."""
    needed = {f"WITHDRAWALS_{name}".upper() for name, field in Settings.model_fields.items() if field.is_required()}
    for name in ("api", "api-2", "worker", "migrate"):
        service = ours()[name]
        given = {*service["environment"], *(target.upper() for target in mounted_secrets(service))}
        assert needed <= given, name
    secret = {"WITHDRAWALS_DATABASE_URL", "WITHDRAWALS_BANK_WEBHOOK_SECRETS"}
    assert needed - secret <= set(manifest("ConfigMap", "settings")["data"])


def test_no_secret_stands_in_a_file() -> None:
    """Passwords and keys are mounted; a URL with a password in it is one as well."""
    for file in (COMPOSE_FILE, *(ROOT / "deploy").rglob("*.*")):
        if file.is_file():
            text = file.read_text("utf-8")
            assert not re.search(r"whsec_|://[^/\s]+:[^/\s$]+@|PASSWORD: *[^/\s]", text.replace("__FILE", "")), file


def test_every_path_is_there_and_every_secret_is_made(tmp_path: Any) -> None:
    """What is mounted from the checkout, and what `make secrets` makes; a second time it changes nothing."""
    written = compose(SECRETS=str(tmp_path / "secrets"))
    for name, service in written["services"].items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in written["volumes"] or (ROOT / source).exists(), (name, source)
        for secret in mounted_secrets(service).values():
            assert secret in written["secrets"], (name, secret)
    made = make_secrets(tmp_path / "secrets")
    before = {name: (tmp_path / "secrets" / name).read_text() for name in made}
    assert {(ROOT / one["file"]).name for one in written["secrets"].values()} <= set(made)
    make_secrets(tmp_path / "secrets")
    assert before == {name: (tmp_path / "secrets" / name).read_text() for name in made}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


def test_every_image_has_a_version() -> None:
    """`latest` is another one tomorrow."""
    for name, service in compose()["services"].items():
        assert re.search(r":v?[0-9]+\.[0-9]+|:local$", service["image"]), name


def test_every_long_running_service_comes_back_and_says_how_it_is() -> None:
    """A restart policy for each, and a health check where something listens."""
    once = {"temporal-schema", "temporal-namespace", "migrate"}
    silent = {"worker", "temporal-ui", "grafana"}
    services = compose()["services"]
    for name, service in services.items():
        assert service["restart"] == ("on-failure" if name in once else "unless-stopped"), name
        assert ("healthcheck" in service) == (name not in once | silent), name
        for other in service.get("depends_on", {}):
            assert services[other].get("profiles") in (None, service.get("profiles")), (name, other)


def test_ports_are_published_on_this_machine_alone_and_once() -> None:
    """Nothing of a stack for trying out is reached from elsewhere."""
    published = [port for service in compose()["services"].values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len({port.split(":")[1] for port in published}) == len(published)


def test_the_port_of_each_server_is_the_one_it_is_asked_at() -> None:
    """In the health check, in what is published, and in Kubernetes."""
    for name, service in ours().items():
        if "--port" not in command(service):
            continue
        port = command(service)[command(service).index("--port") + 1]
        assert f":{port}/healthz" in str(service["healthcheck"]["test"]), name
        assert all(published.endswith(f":{port}") for published in service["ports"]), name
    for name in SERVERS:
        [container] = pod(manifest("Deployment", name))["containers"]
        inside = int(container["command"][container["command"].index("--port") + 1])
        assert [one["containerPort"] for one in container["ports"]] == [inside], name
        [ingress] = manifest("NetworkPolicy", name)["spec"]["ingress"]
        assert [one["port"] for one in ingress["ports"]] == [inside], name
        assert [one["port"] for one in manifest("Service", name)["spec"]["ports"]] == [inside], name
    assert variables(manifest("Deployment", "console"))["CONSOLE_API_URL"] == "http://api:8000"


def test_the_manifests_are_valid_by_kubernetes_own_schemas() -> None:
    """Strictly: an unknown field is a mistake."""
    kinds = []
    for one in manifests():
        kubernetes_validate.validate(one, KUBERNETES, strict=True)
        kinds.append(one["kind"])
    assert {"Namespace", "ConfigMap", "Job", "Deployment", "Service", "PodDisruptionBudget"} <= set(kinds)
    broken = manifest("Deployment", "worker")
    broken["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_the_kustomization_names_every_manifest() -> None:
    """And nothing else."""
    folder = ROOT / "deploy" / "kubernetes"
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    assert {*kustomization["resources"], "kustomization.yaml"} == {file.name for file in folder.iterdir()}


def test_kubernetes_starts_what_compose_starts() -> None:
    """The same commands; as nobody in particular, with nothing to write to."""
    for kind, name in WORKLOADS:
        [container] = pod(manifest(kind, name))["containers"]
        assert container["command"] == command(ours()[name]), name
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert pod(manifest(kind, name))["securityContext"]["runAsNonRoot"] is True
        assert pod(manifest(kind, name))["automountServiceAccountToken"] is False
        assert ("env" in container) != ({"configMapRef": {"name": "settings"}} in container.get("envFrom", ())), name
    assert {(one["kind"], one["metadata"]["name"]) for one in manifests() if "template" in one.get("spec", {})} == {
        *WORKLOADS
    }


def test_a_disruption_leaves_one_of_each() -> None:
    """A node that is emptied takes no second one with it."""
    for name in (*SERVERS, "worker"):
        assert manifest("Deployment", name)["spec"]["replicas"] > 1
        budget = manifest("PodDisruptionBudget", name)["spec"]
        assert (budget["minAvailable"], budget["selector"]["matchLabels"]) == (1, {"app": name})


def test_console_and_codec_server_are_given_their_own_secret_and_setting_and_no_other() -> None:
    """The one speaks to the API like any client, the other opens payloads: neither gets to know the database."""
    console, codec = manifest("Deployment", "console"), manifest("Deployment", "codec")
    assert given_secrets(console) == {("withdrawals-console", "*")}
    assert given_secrets(codec) == {("withdrawals", "payload-keys.json")}
    assert set(variables(console)) <= {f"CONSOLE_{name}".upper() for name in ConsoleSettings.model_fields}
    ours = {f"WITHDRAWALS_{name}".upper() for name in CodecSettings.model_fields}
    assert set(variables(codec)) <= {*ours, "TEMPORAL_NAMESPACE"}
    example = (ROOT / "deploy" / "temporal" / "profiles.example.toml").read_text("utf-8")
    profile = tomllib.loads(example)["profile"][variables(manifest("Deployment", "worker"))["TEMPORAL_PROFILE"]]
    assert variables(codec)["TEMPORAL_NAMESPACE"] == profile["namespace"]


def test_every_secret_of_the_manifests_is_made_in_the_runbook() -> None:
    """By a line that names each of its files that a setting names."""
    runbook = (ROOT / "docs" / "operations.md").read_text("utf-8").replace("\\\n", " ")
    made = {
        name: set(re.findall(r"--from-file=(\S+)", files))
        for name, files in re.findall(r"create secret generic (\S+) (.*)", runbook)
    }
    given = {one for kind, name in WORKLOADS for one in given_secrets(manifest(kind, name))}
    assert {name for name, _ in given} == made.keys()
    assert all(file == "*" or file in made[name] for name, file in given)
    values = [value for kind, name in WORKLOADS for value in variables(manifest(kind, name)).values()]
    named = {value.rpartition("/")[2] for value in values if value.startswith("/run/secrets/") and "." in value}
    assert named | {"console-secret"} <= {file for files in made.values() for file in files}


def test_graces_are_longer_than_what_they_wait_for() -> None:
    """A worker is given the time it gives its activities, an API the time of its calls."""
    assert ours()["worker"]["stop_grace_period"] == "30s"
    assert pod(manifest("Deployment", "worker"))["terminationGracePeriodSeconds"] > 20
    for name in SERVERS:
        assert pod(manifest("Deployment", name))["terminationGracePeriodSeconds"] > 10 + 5


def test_every_profile_of_the_example_is_one_that_temporal_reads(tmp_path: Any) -> None:
    """As the worker and the API load it, with TLS where there is a key."""
    example = (ROOT / "deploy" / "temporal" / "profiles.example.toml").read_text("utf-8")
    for name in ("temporal-client.pem", "temporal-client.key", "temporal-ca.pem"):
        (tmp_path / name).write_text("-----BEGIN CERTIFICATE-----\n")
    file = tmp_path / "temporal.toml"
    file.write_text(example.replace("/run/secrets", str(tmp_path)))
    loaded: dict[str, Json] = {}
    for profile in ("cloud", "cloud-mtls", "cluster"):
        environment = {"TEMPORAL_CONFIG_FILE": str(file), "TEMPORAL_PROFILE": profile}
        loaded[profile] = dict(ClientConfig.load_client_connect_config(override_env_vars=environment))
    assert loaded["cloud"]["api_key"] == "put-the-key-here"
    assert loaded["cloud-mtls"]["tls"].client_cert
    assert loaded["cluster"]["tls"].server_root_ca_cert
    assert loaded["cluster"]["namespace"] == "withdrawals"
    assert manifest("ConfigMap", "settings")["data"]["TEMPORAL_PROFILE"] in loaded
