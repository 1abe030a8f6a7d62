"""The probes on stock pygls."""

import atexit
import sys

from probes import mark, register
from pygls.cli import start_server
from pygls.lsp.server import LanguageServer

server = LanguageServer("stock", "1")
register(server, owned_children=False)
atexit.register(mark, "released")
start_server(server, sys.argv[1:])
