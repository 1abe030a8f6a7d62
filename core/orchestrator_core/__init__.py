"""The orchestrator's engine: everything but the language server. Never imports pygls."""

__version__ = "0.1.0"
