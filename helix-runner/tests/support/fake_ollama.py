#!/usr/bin/env python3
"""A stand-in for `ollama serve`, written from Ollama's public API
documentation (docs/api.md, docs/openai.md), for machines without the real
program. It knows one model, `tiny`, and one that cannot be loaded, `broken`;
it keeps pulled models as empty files in OLLAMA_MODELS, as the real one keeps
theirs there."""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODELS = os.environ["OLLAMA_MODELS"]
KNOWN = {"tiny:latest", "broken:latest"}
loaded = set()
working = 0
lock = threading.Lock()


def full(name):
    return name if ":" in name else name + ":latest"


def pulled(name):
    return os.path.exists(os.path.join(MODELS, full(name)))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        print(format % args, file=sys.stderr, flush=True)

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin(self, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def piece(self, text):
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def do_GET(self):
        if self.path == "/api/version":
            self.answer(200, {"version": "0.0.0-fake"})
        elif self.path == "/api/tags":
            self.answer(200, {"models": [{"name": name} for name in sorted(os.listdir(MODELS))]})
        elif self.path == "/api/ps":
            models = [{"name": name, "size": 2048, "size_vram": 1024} for name in sorted(loaded)]
            self.answer(200, {"models": models})
        elif self.path == "/working":
            self.answer(200, {"working": working})
        else:
            self.answer(404, {"error": "not found"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = full(body.get("model", ""))
        if self.path == "/api/show":
            self.answer(200 if pulled(name) else 404, {} if pulled(name) else {"error": "not found"})
        elif self.path == "/api/pull":
            self.pull(name)
        elif self.path == "/api/generate":
            self.load(name)
        elif self.path == "/v1/chat/completions":
            self.chat(name, body)
        else:
            self.answer(404, {"error": "not found"})

    def pull(self, name):
        self.begin("application/x-ndjson")
        self.piece(json.dumps({"status": "pulling manifest"}) + "\n")
        if name not in KNOWN:
            self.piece(json.dumps({"error": "pull model manifest: file does not exist"}) + "\n")
        else:
            for done in (0, 500, 1000):
                line = {"status": "pulling 1234", "digest": "sha256:1234", "total": 1000, "completed": done}
                self.piece(json.dumps(line) + "\n")
            os.makedirs(MODELS, exist_ok=True)
            open(os.path.join(MODELS, name), "w").close()
            self.piece(json.dumps({"status": "success"}) + "\n")
        self.piece("")

    def load(self, name):
        if not pulled(name):
            self.answer(404, {"error": f"model '{name}' not found"})
        elif name == "broken:latest":
            self.answer(500, {"error": "model requires more system memory (8.0 GiB) than is available (2.0 GiB)"})
        else:
            loaded.add(name)
            self.answer(200, {"model": name, "response": "", "done": True, "done_reason": "load"})

    def chat(self, name, body):
        global working
        if name not in loaded:
            self.answer(404, {"error": {"message": f"model '{name}' not found", "type": "api_error"}})
            return
        if not body.get("stream"):
            message = {"role": "assistant", "content": "pong"}
            self.answer(200, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
            return
        with lock:
            working += 1
        try:
            self.begin("text/event-stream")
            while True:
                self.piece("data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": "x"}}]}) + "\n\n")
                time.sleep(0.01)
        except OSError:
            pass
        finally:
            with lock:
                working -= 1


if sys.argv[1:] != ["serve"]:
    sys.exit("usage: ollama serve")
host, port = os.environ["OLLAMA_HOST"].rsplit(":", 1)
ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
