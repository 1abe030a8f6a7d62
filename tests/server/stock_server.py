"""Ten lines of stock pygls: what the defects are shown on, and the benchmark's peer."""

from pygls.lsp.server import LanguageServer

server = LanguageServer("stock", "1")


@server.command("/echo")
def echo(ls: LanguageServer, *args):
    return list(args)


if __name__ == "__main__":
    server.start_io()
