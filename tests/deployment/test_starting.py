"""Every entry point starts as it is written in docker-compose.yml, with its secrets in files and nowhere else."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stack.ports import free_ports
from stack.postgres import OWNER_ROLE, Postgres, binaries
from stack.processes import Process
from stack.temporal import Temporal, answers
from tests.databases import ROOT, Database
from tests.deployment.written import Json, command, manifest, mounted_secrets, ours, pod, variables

SECRET = "whsec_" + "c2VjcmV0" * 4


@pytest.fixture
def secrets(tmp_path: Path, database: Database) -> Path:
    """What `make secrets` would have made, for the test's own database."""
    key = base64.b64encode(bytes(32)).decode()
    keys = {
        "field_keys": {"k1": "a2V5" * 8 + "a2V5a2V5a2s="},
        "current_field_key": "k1",
        "code_key": "a2V5" * 10 + "a2U=",
    }
    made = {
        "database_url": database.app_url,
        "migration_database_url": database.owner_url,
        "bank_webhook_secrets": SECRET,
        "events_secrets": SECRET,
        "keys": json.dumps(keys),
        "payload_keys": json.dumps({"payload_keys": {"k1": key}, "current_payload_key": "k1"}),
        "console_secret": key,
        **_audit_keys(),
    }
    folder = tmp_path / "made"
    folder.mkdir()
    for name, secret in made.items():
        (folder / name).write_text(secret)
    return folder


def _audit_keys() -> dict[str, str]:
    key, pem = Ed25519PrivateKey.generate(), serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {"audit_signing_key": private.decode(), "audit_public_key": public.decode()}


def mounted(service: Json, secrets: Path, folder: Path) -> Path:
    """The service's own /run/secrets, laid out as Kubernetes does it: names that lead to files beside them."""
    (folder / "..data").mkdir(parents=True)
    for target, source in mounted_secrets(service).items():
        shutil.copy(secrets / source, folder / "..data" / target)
        (folder / target).symlink_to(Path("..data") / target)
    return folder


def environment(service: Json, run_secrets: Path, **changed: str) -> dict[str, str]:
    """The service's variables; what is at another place on this machine is changed."""
    written = {key: str(value) for key, value in service["environment"].items()}
    moved = {key: value.replace("/run/secrets", str(run_secrets)) for key, value in written.items()}
    passed = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG")}
    return passed | moved | {"WITHDRAWALS_SECRETS_DIR": str(run_secrets), "TEMPORAL_CONFIG_FILE": os.devnull} | changed


@contextlib.contextmanager
def started_as_in_kubernetes(name: str, files: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """A server's command with the variables of its manifest and these files where they are mounted; its address."""
    [container] = pod(manifest("Deployment", name))["containers"]
    [mount] = container["volumeMounts"]
    folder = tmp_path / name
    folder.mkdir()
    for file, content in files.items():
        (folder / file).write_text(content)
    [port] = free_ports(1)
    words = list(container["command"])
    words[words.index("--port") + 1] = str(port)
    moved = {
        key: value.replace(mount["mountPath"], str(folder))
        for key, value in variables(manifest("Deployment", name)).items()
    }
    process = Process.start(
        name,
        [sys.executable, *words[1:]],
        log=tmp_path / f"{name}.log",
        environment={key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ} | moved,
        directory=ROOT,
    )
    try:
        process.wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), seconds=60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()


@contextlib.contextmanager
def started(name: str, secrets: Path, tmp_path: Path, *, port: int | None = None, **changed: str) -> Iterator[Process]:
    """The service's command on another port, until the block is left."""
    service = ours()[name]
    words = command(service)
    if port is not None:
        words[words.index("--port") + 1] = str(port)
    assert words[0] == "python"
    process = Process.start(
        name,
        [sys.executable, *words[1:]],
        log=tmp_path / f"{name}.log",
        environment=environment(service, mounted(service, secrets, tmp_path / name), **changed),
        directory=ROOT,
    )
    try:
        yield process
    finally:
        process.stop()


def test_the_api_starts(secrets: Path, tmp_path: Path) -> None:
    """It is alive before anything else is there; the second one differs from it in its port outside alone."""
    assert ours()["api"] | {"ports": []} == ours()["api-2"] | {"ports": []}
    [port] = free_ports(1)
    with started("api", secrets, tmp_path, port=port) as process:
        process.wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), seconds=60)


def test_the_worker_starts(secrets: Path, tmp_path: Path, temporal: Temporal) -> None:
    """Connected to Temporal and to its database, on a task queue of its own."""
    [port] = free_ports(1)
    queue: dict[str, str] = {
        "WITHDRAWALS_TASK_QUEUE": "deployment",
        "WITHDRAWALS_AUDIT_ANCHOR_FILE": str(tmp_path / "anchors.jsonl"),
        "WITHDRAWALS_WORKER_METRICS_ADDRESS": f"127.0.0.1:{port}",
        "TEMPORAL_ADDRESS": temporal.address,
    }
    with started("worker", secrets, tmp_path, port=None, **queue) as process:
        log = tmp_path / "worker.log"
        process.wait_until(lambda: "worker.started" in log.read_text(), seconds=60)


def test_operators_verify_in_a_worker_as_the_runbook_says(secrets: Path, tmp_path: Path) -> None:
    """The audit chain is read with what a worker is given, and nothing has to be set by hand."""
    worker = ours()["worker"]
    anchors = {"WITHDRAWALS_AUDIT_ANCHOR_FILE": str(tmp_path / "anchors.jsonl")}
    done = subprocess.run(
        [sys.executable, "-m", "operations", "--json", "verify"],
        cwd=ROOT,
        env=environment(worker, mounted(worker, secrets, tmp_path / "worker"), **anchors),
        capture_output=True,
        text=True,
        check=False,
    )
    chain = json.loads(done.stdout)["checks"]["the audit chain"]
    assert chain["wrong"] == [], done.stderr
    assert chain["said"].startswith("The audit chain is whole")


def test_the_codec_server_starts(secrets: Path, tmp_path: Path) -> None:
    """It is given the payload keys and nothing else."""
    [port] = free_ports(1)
    with started("codec", secrets, tmp_path, port=port) as process:
        process.wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), seconds=60)


def test_the_console_starts(secrets: Path, tmp_path: Path) -> None:
    """Before the API is there: it says on its pages what is away."""
    [port] = free_ports(1)
    with started("console", secrets, tmp_path, port=port) as process:
        process.wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), seconds=60)


def test_the_console_of_kubernetes_starts_as_production(secrets: Path, tmp_path: Path) -> None:
    """With its own secret and nothing else; there is no log-in and no corner of a sandbox."""
    with started_as_in_kubernetes("console", {"console-secret": "s" * 44}, tmp_path) as address:
        assert httpx.get(f"{address}/log-in", trust_env=False).status_code == 404


def test_the_codec_server_of_kubernetes_starts_as_production(secrets: Path, tmp_path: Path) -> None:
    """With the payload keys and nothing else; whoever has no token gets nothing opened."""
    files = {"payload-keys.json": (secrets / "payload_keys").read_text()}
    with started_as_in_kubernetes("codec", files, tmp_path) as address:
        refused = httpx.post(f"{address}/decode", json={"payloads": []}, trust_env=False)
        assert refused.status_code == 401


def test_the_sandbox_starts(secrets: Path, tmp_path: Path) -> None:
    """With its book in the folder it is given."""
    [port] = free_ports(1)
    state = {
        "SANDBOX_BOOK": str(tmp_path / "book.sqlite"),
        "SANDBOX_SIGNING_KEY": str(tmp_path / "key.pem"),
        "SANDBOX_SECRETS_DIR": str(tmp_path / "sandbox"),
    }
    with started("sandbox", secrets, tmp_path, port=port, **state) as process:
        process.wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), seconds=60)


def test_the_migrations_run_and_a_second_time_change_nothing(secrets: Path, tmp_path: Path) -> None:
    """As the owner of the schema, whose URL nobody else is given."""
    service = ours()["migrate"]
    shell, option, line = command(service)
    assert (shell, option) == ("sh", "-c")
    done = subprocess.run(
        [shell, option, line.replace("python", shlex.quote(sys.executable))],
        cwd=ROOT,
        env=environment(service, mounted(service, secrets, tmp_path / "migrate")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    others = [name for name, one in ours().items() if "migration_database_url" in mounted_secrets(one).values()]
    assert others == ["migrate"]


def test_the_roles_script_makes_roles_and_databases(tmp_path: Path) -> None:
    """On an empty server, with the passwords of the secrets, whatever characters are in them."""
    passwords = {"owner": "o'w\"n$er", "app": "app", "temporal": "temp\\oral"}
    for role, password in passwords.items():
        (tmp_path / f"{role}_password").write_text(password)
    with Postgres.running(tmp_path / "postgres", durable=False) as server:
        with server.connect("postgres") as connection:
            connection.execute("DROP DATABASE withdrawals")
            connection.execute("REASSIGN OWNED BY withdrawals_owner, withdrawals_app TO postgres")
            connection.execute("DROP OWNED BY withdrawals_owner, withdrawals_app")
            connection.execute("DROP ROLE withdrawals_owner, withdrawals_app")
        login = psycopg.conninfo.conninfo_to_dict(server.url("postgres", "postgres").replace("+psycopg", ""))
        done = subprocess.run(
            ["/bin/sh", str(ROOT / "deploy" / "postgres" / "roles.sh")],
            env={
                "PATH": f"{binaries()}:/usr/bin:/bin",
                "SECRETS_DIR": str(tmp_path),
                "PGHOST": "127.0.0.1",
                "PGPORT": str(login["port"]),
                "PGPASSWORD": str(login["password"]),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        for role, database in (
            (OWNER_ROLE, "withdrawals"),
            ("temporal", "temporal"),
            ("temporal", "temporal_visibility"),
        ):
            password = passwords["temporal" if role == "temporal" else "owner"]
            with psycopg.connect(
                host="127.0.0.1", port=login["port"], user=role, password=password, dbname=database
            ) as connection:
                connection.execute("CREATE TABLE mine ()")
