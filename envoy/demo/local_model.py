"""Serves one small language model on this machine, in OpenAI's and Anthropic's formats, until it is told to stop.

    local_model.py MODEL.gguf PORT
"""

import pathlib
import signal
import sys

import xllamacpp


def main(model, port):
    params = xllamacpp.CommonParams()
    params.model.path = model
    # Answers name the model, else by its whole path.
    params.model_alias = {pathlib.Path(model).stem}
    params.hostnames = ["127.0.0.1"]
    params.port = int(port)
    # Two conversations at a time share the context.
    params.n_parallel = 2
    params.n_ctx = 4096
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
    # The server answers from threads of its own for as long as this name holds it.
    server = xllamacpp.Server(params)
    print(f"serving on {server.listening_address}", flush=True)
    signal.pause()


if __name__ == "__main__":
    # Ctrl-C ends it as SIGTERM does, without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    main(*sys.argv[1:])
