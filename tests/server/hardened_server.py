"""The same ten lines on the hardened protocol layer."""

from orchestrator_server.lifecycle import leave, run
from orchestrator_server.server import HardenedServer

server = HardenedServer("hardened", "1")


@server.command("/echo")
def echo(*arguments):
    return list(arguments)


async def on_shutdown(_):
    """Nothing was constructed."""


if __name__ == "__main__":
    leave(run(server, on_shutdown=on_shutdown))
