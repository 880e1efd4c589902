"""Run llama.cpp's own HTTP server, from a prebuilt wheel: llamacpp.py MODEL PORT SLOTS CONTEXT (of all slots together)."""
import signal
import sys

import xllamacpp

model, port, slots, context = sys.argv[1], *map(int, sys.argv[2:5])
p = xllamacpp.CommonParams()
p.model.path, p.port, p.hostnames, p.n_parallel, p.n_ctx = model, port, ["127.0.0.1"], slots, context
p.endpoint_metrics = p.endpoint_props = True
p.cpuparams.n_threads = 1  # a second one only waits on a machine that is busy, and the model is tiny
server = xllamacpp.Server(p)
signal.pause()
