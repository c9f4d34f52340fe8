"""Looking for traces: every form in which a text may lie about, and every place where this system leaves something."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
from psycopg.conninfo import make_conninfo

from stack.local import LocalStack
from stack.postgres import DATABASE, SUPERUSER, _installation

RAW = ("the tables' files", "the log of changes")

Json = dict[str, Any]
Place = tuple[str, bytes]


@dataclass(frozen=True)
class Marker:
    """What must not be found. A short number counts only where nothing of its kind stands beside it."""

    what: str
    text: str

    @cached_property
    def forms(self) -> Mapping[str, bytes]:
        """UTF-8 and UTF-16, hex, base64 at each of its three offsets, JSON's and URLs' escapes, digits in groups."""
        plain = self.text.encode()
        found = {
            "UTF-8": plain,
            "UTF-16, little end first": self.text.encode("utf-16-le"),
            "UTF-16, big end first": self.text.encode("utf-16-be"),
            "hex": plain.hex().encode(),
            "HEX": plain.hex().upper().encode(),
            "URL": quote(self.text, safe="").encode(),
            "JSON": json.dumps(self.text)[1:-1].encode(),
            "JSON, capitals": re.sub(r"\\u.{4}", lambda u: "\\u" + u[0][2:].upper(), json.dumps(self.text))[
                1:-1
            ].encode(),
            "in groups": " ".join(re.findall(".{1,4}", self.text)).encode(),
        }
        for offset in range(3):
            core = _in_base64(plain, offset)
            found[f"base64 + {offset}"] = core
            found[f"base64 for URLs + {offset}"] = core.translate(bytes.maketrans(b"+/", b"-_"))
        # Digits look alike in many of them: each is looked for once.
        first_of = {text: form for form, text in reversed(found.items())}
        return {form: text for text, form in first_of.items()}

    def seen_in(self, content: bytes) -> list[str]:
        """The forms in which it is there."""
        plain = self.text.encode()
        return [
            form
            for form, text in self.forms.items()
            if text in content and (text != plain or self._stands_alone(plain, content))
        ]

    def _stands_alone(self, text: bytes, content: bytes) -> bool:
        if len(self.text) > len("123456"):
            return True
        # Six digits are also a part of many a number, and of a second in microseconds.
        return re.search(rb"(?<![0-9A-Za-z.])" + re.escape(text) + rb"(?![0-9A-Za-z])", content) is not None


def _in_base64(plain: bytes, offset: int) -> bytes:
    """The characters that the text alone decides when so many bytes stand before it in its group of three."""
    encoded = base64.b64encode(b"\0" * offset + plain).rstrip(b"=")
    undecided = (offset + len(plain)) % 3 != 0
    return encoded[(0, 2, 3)[offset] : -1 if undecided else None]


def traces(markers: Iterable[Marker], places: Iterable[Place]) -> list[str]:
    """Where which marker was found, in which form, in words."""
    wanted = list(markers)
    return [
        f"{marker.what} in {place} as {form}"
        for place, content in places
        for marker in wanted
        # PostgreSQL's own files hold what the dump shows: only what is rare enough is looked for in their megabytes.
        if len(marker.text) > len("123456") or not place.startswith(RAW)
        for form in marker.seen_in(content)
    ]


class Places:
    """Everything a running stack has written or shows, the sandbox's own book and inbox aside."""

    def __init__(self, stack: LocalStack, operator: Mapping[str, str]) -> None:
        self._stack = stack
        self._operator = operator

    def everywhere(self, runs: Iterable[str]) -> Iterator[Place]:
        """All of it; of Temporal's API the runs that are named."""
        yield from self.files()
        yield "the database's dump", self.dump()
        yield from self.logs()
        yield from self.metrics()
        for run in runs:
            yield from self.shown_by_temporal(run)
        yield "the list of runs", self._get("/api/v1/namespaces/default/workflows", pageSize="1000")
        yield "the schedules", self._get("/api/v1/namespaces/default/schedules")

    def dump(self) -> bytes:
        """`pg_dump` of the whole database: text as it is, bytes in hex."""
        command = [
            str(_installation() / "bin/pg_dump"),
            "--host=127.0.0.1",
            f"--port={self._stack.postgres.logins.port}",
        ]
        command += [f"--username={SUPERUSER}", DATABASE]
        environment = os.environ | {"PGPASSWORD": self._stack.postgres.logins.passwords[SUPERUSER]}
        return subprocess.run(command, env=environment, capture_output=True, check=True).stdout

    def files(self) -> Iterator[Place]:
        """PostgreSQL's tables and log of changes, and Temporal's database with its own."""
        with self.superuser() as connection:
            connection.execute("CHECKPOINT")
            (oid,) = connection.execute("SELECT oid FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() or ()
        data = self._stack.state.postgres / "data"
        for file in (*(data / "base" / str(oid)).iterdir(), *(data / "pg_wal").iterdir()):
            if file.is_file():
                kind = RAW[file.parent.name == "pg_wal"]
                yield f"{kind} ({file.name})", file.read_bytes().rstrip(b"\0")
        for file in self._stack.state.temporal_database.parent.iterdir():
            yield f"Temporal's database ({file.name})", file.read_bytes()

    def logs(self) -> Iterator[Place]:
        """Every process's."""
        for file in self._stack.state.logs.iterdir():
            yield f"the log {file.name}", file.read_bytes()

    def metrics(self) -> Iterator[Place]:
        """The API's, the worker's, the codec server's and Temporal's own."""
        worker = f"http://{self._stack.environment['WITHDRAWALS_WORKER_METRICS_ADDRESS']}"
        for url in (self._stack.api_url, self._stack.codec_url, worker, self._stack.temporal.metrics_url):
            answer = httpx.get(f"{url}/metrics", trust_env=False, timeout=20).raise_for_status()
            yield f"the metrics at {url}", answer.content

    def shown_by_temporal(self, run: str) -> Iterator[Place]:
        """What the UI's API tells of a run, as it is stored and as the codec server opens it."""
        path = f"/api/v1/namespaces/default/workflows/{run}"
        history = self._get(f"{path}/history", maximumPageSize="1000")
        described = self._get(path)
        answers = [history, described, self._get(f"{path}/history-reverse", maximumPageSize="1000")]
        if b"WORKFLOW_EXECUTION_STATUS_RUNNING" not in described and b"planted" not in described:
            for query in ("status", "__temporal_workflow_metadata", "__stack_trace"):
                url = f"{self._stack.temporal_ui_url}{path}/query/{query}"
                body = {"query": {"queryType": query}}
                answer = httpx.post(url, json=body, headers=_CSRF, trust_env=False, timeout=20)
                answers.append(answer.raise_for_status().content)
        for content in answers:
            yield f"Temporal's API for {run}", content
            yield f"Temporal's API for {run}, opened", self.opened(content)

    def opened(self, content: bytes) -> bytes:
        """Every payload in an answer of Temporal's, as the codec server shows it to an operator."""
        payloads = list(_payloads(json.loads(content)))
        if not payloads:
            return b""
        headers = {**self._operator, "X-Namespace": "default"}
        url = f"{self._stack.codec_url}/decode"
        answer = httpx.post(url, json={"payloads": payloads}, headers=headers, trust_env=False, timeout=20)
        opened = answer.raise_for_status().json()["payloads"]
        return b"\n".join(base64.b64decode(one.get("data", "")) for one in opened)

    def superuser(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection that may see and do everything."""
        logins = self._stack.postgres.logins
        return psycopg.connect(
            make_conninfo(
                host="127.0.0.1",
                port=logins.port,
                dbname=DATABASE,
                user=SUPERUSER,
                password=logins.passwords[SUPERUSER],
            ),
            autocommit=True,
        )

    def _get(self, path: str, **query: str) -> bytes:
        url = f"{self._stack.temporal_ui_url}{path}"
        return httpx.get(url, params=query, trust_env=False, timeout=20).raise_for_status().content


# What the UI's server wants of whoever changes something, a query included: its own cookie repeated.
_CSRF = {"X-CSRF-TOKEN": "same", "Cookie": "_csrf=same"}


def _payloads(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        if isinstance(value.get("metadata"), dict) and "encoding" in value["metadata"]:
            yield {"metadata": value["metadata"], "data": value.get("data", "")}
        else:
            for name, part in value.items():
                if name != "workflowExecutionSignaledEventAttributes":  # What somebody has typed there: encrypted.
                    yield from _payloads(part)
    elif isinstance(value, list):
        for part in value:
            yield from _payloads(part)
