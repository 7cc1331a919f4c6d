"""Serves one small language model on this machine, in OpenAI's and Anthropic's formats, until SIGTERM or SIGINT.

    local_model.py MODEL.gguf PORT
"""

import pathlib
import signal
import sys

import xllamacpp


def main(model, port):
    params = xllamacpp.CommonParams()
    params.model.path = model
    # Responses contain this name. Without it they would contain the whole path.
    params.model_alias = {pathlib.Path(model).stem}
    params.hostnames = ["127.0.0.1"]
    params.port = int(port)
    # Two concurrent conversations share the context.
    params.n_parallel = 2
    params.n_ctx = 4096
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
    # The server answers from its own threads until this object is dropped.
    server = xllamacpp.Server(params)
    print(f"serving on {server.listening_address}", flush=True)
    signal.pause()


if __name__ == "__main__":
    # Makes Ctrl-C end the process without a traceback, as SIGTERM does.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    main(*sys.argv[1:])
