"""Ten lines of stock pygls: the benchmark's peer, and what the defects are shown on."""

import sys

from pygls.cli import start_server
from pygls.lsp.server import LanguageServer

server = LanguageServer("stock", "1")


@server.command("/echo")
def echo(*arguments):
    return list(arguments)


if __name__ == "__main__":
    start_server(server, sys.argv[1:])
