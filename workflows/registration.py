"""The command ``python -m workflows.registration``: makes the search attributes known to the namespace.

A run that sets an attribute its namespace does not know fails its workflow task again and again until somebody
registers it, so no worker starts without them.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError, RPCStatusCode

from workflows.search_attributes import REGISTRY


class NotRegistered(Exception):
    """The namespace lacks search attributes, and this client may not add them; the message says how to."""

    def __init__(self, missing: dict[str, str], reason: str) -> None:
        command = " ".join(f"--name {name} --type {kind}" for name, kind in missing.items())
        super().__init__(
            f"the namespace lacks search attributes ({reason}). Register them first:\n"
            f"  temporal operator search-attribute create {command}\n"
            "On Temporal Cloud: the namespace's page, or `temporal cloud namespace search-attribute add`"
        )
        self.missing = missing


class OfAnotherType(Exception):
    """The namespace has a search attribute of ours under another type: nothing of ours can be shown in it."""

    def __init__(self, name: str, wanted: str, found: str) -> None:
        super().__init__(f"the search attribute {name} is {found} in this namespace, and has to be {wanted}")


async def register(client: Client) -> list[str]:
    """Adds what is missing and returns its names; safe to repeat, and from several workers at once.

    Raises NotRegistered where the client may not, OfAnotherType where a name is taken.
    """
    known = await _known(client)
    wanted = {key.name: key.indexed_value_type for key in REGISTRY}
    for name in wanted.keys() & known.keys():
        if known[name] != wanted[name]:
            raise OfAnotherType(name, _title(wanted[name]), _title(known[name]))
    missing = {name: kind for name, kind in wanted.items() if name not in known}
    if not missing:
        return []
    request = AddSearchAttributesRequest(
        namespace=client.namespace,
        search_attributes={name: IndexedValueType.ValueType(int(kind)) for name, kind in missing.items()},
    )
    try:
        await client.operator_service.add_search_attributes(request)
    except RPCError as refused:
        if refused.status is RPCStatusCode.ALREADY_EXISTS or not (wanted.keys() - (await _known(client)).keys()):
            return []  # Another worker was quicker.
        if refused.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED):
            raise NotRegistered({name: _title(kind) for name, kind in missing.items()}, refused.status.name) from None
        raise
    return sorted(missing)


async def _known(client: Client) -> dict[str, int]:
    request = ListSearchAttributesRequest(namespace=client.namespace)
    return dict((await client.operator_service.list_search_attributes(request)).custom_attributes)


def _title(kind: int) -> str:
    """As the command line of Temporal writes it: Keyword, Int, Bool, Datetime."""
    return IndexedValueType.Name(IndexedValueType.ValueType(int(kind))).removeprefix("INDEXED_VALUE_TYPE_").title()


async def _command() -> str:
    connection: dict[str, Any] = {"target_host": "localhost:7233", **ClientConfig.load_client_connect_config()}
    client = await Client.connect(**connection)
    added = await register(client)
    return f"registered {', '.join(added)}" if added else "every search attribute is registered"


def main() -> None:
    """0 once all are registered; 1 with the reason where they cannot be."""
    code = 0
    try:
        sys.stdout.write(f"{asyncio.run(_command())}\n")
    except (NotRegistered, OfAnotherType) as refused:
        sys.stderr.write(f"{refused}\n")
        code = 1
    sys.stdout.flush()
    # Not sys.exit: the SDK's threads may still let go of a call while the interpreter is taken down, which aborts it.
    os._exit(code)


if __name__ == "__main__":
    main()
