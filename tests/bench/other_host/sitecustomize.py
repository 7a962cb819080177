"""A host of another name, BENCH_HOST, as far as this process can tell."""

import os
import socket

if "BENCH_HOST" in os.environ:
    socket.gethostname = lambda: os.environ["BENCH_HOST"]
