"""llama.cpp's own server, from the xllamacpp package, behind the few arguments
of `llama-server` that the runner uses. The secret comes as LLAMA_API_KEY."""

import argparse
import os
import signal

import xllamacpp as llama

parser = argparse.ArgumentParser(prog="managed llama.cpp server", allow_abbrev=False)
parser.add_argument("--model", required=True)
parser.add_argument("--alias", required=True)
parser.add_argument("--host", required=True)
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--ctx-size", type=int, required=True)
parser.add_argument("--parallel", type=int, required=True)
parser.add_argument("--n-gpu-layers", type=int, required=True)
parser.add_argument("--jinja", action="store_true")
parser.add_argument("--metrics", action="store_true")
parser.add_argument("--embeddings", action="store_true")
parser.add_argument("--pooling", choices=["mean", "cls", "last"])
parser.add_argument("--threads", type=int)
parser.add_argument("--batch-size", type=int)
parser.add_argument("--ubatch-size", type=int)
parser.add_argument("--chat-template")
parser.add_argument("--mmproj")
# Goes on when the context is full, without what was said first.
parser.add_argument("--context-shift", action="store_true")
args = parser.parse_args()

params = llama.CommonParams()
params.model.path = args.model
params.model_alias = {args.alias}
params.hostnames = [args.host]
params.port = args.port
params.n_ctx = args.ctx_size
params.n_parallel = args.parallel
params.n_gpu_layers = args.n_gpu_layers
params.use_jinja = args.jinja
params.endpoint_metrics = args.metrics
params.ui = False
params.ctx_shift = args.context_shift
if os.environ.get("LLAMA_API_KEY"):
    params.api_keys = [os.environ["LLAMA_API_KEY"]]
if args.embeddings:
    params.embedding = True
if args.pooling:
    name = f"LLAMA_POOLING_TYPE_{args.pooling.upper()}"
    params.pooling_type = getattr(llama.llama_pooling_type, name)
if args.threads:
    params.cpuparams.n_threads = args.threads
if args.batch_size:
    params.n_batch = args.batch_size
if args.ubatch_size:
    params.n_ubatch = args.ubatch_size
if args.chat_template:
    params.chat_template = args.chat_template
if args.mmproj:
    params.mmproj.path = args.mmproj

server = llama.Server(params)
print("listening on", server.listening_address, flush=True)
while True:
    signal.pause()
