"""The probes on the hardened protocol layer."""

import logging
import sys

from probes import mark, register

from orchestrator_server.lifecycle import leave, run
from orchestrator_server.server import HardenedServer


async def on_shutdown(reason: str) -> None:
    print(f"printed, and yet not on the wire: {reason}")
    mark("released")


logging.basicConfig(stream=sys.stderr, level=logging.INFO)
server = HardenedServer("probe", "1")
register(server, owned_children=True)
leave(run(server, on_shutdown=on_shutdown))
