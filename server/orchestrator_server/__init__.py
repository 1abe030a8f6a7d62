"""The language server and the command line: the engine's front ends."""
