"""A scripted model that speaks chat completions. MODEL PORT

What the last thing that a user says holds decides: "please write PATH" is a call of whichever tool
writes or runs, then a word that it is done; "answer slowly" is an answer that takes a minute; "please
look" is a screenshot of the desktop, then a click, then a word of what it was shown. Where it says
"blind" as well, pictures are refused.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = "hello from the model\n"
WRITES = ["write", "write_file", "Write", "exec_command", "shell_command", "shell", "bash", "Bash"]


def arguments(name, schema, path):
    properties = (schema or {}).get("properties", {})
    line = "printf '%s\\n' > %s" % (CONTENT.strip(), path)
    if name in ("write", "write_file", "Write"):
        named = [key for key in ("filePath", "file_path", "path") if key in properties]
        return {named[0]: path, "content": CONTENT}
    if name == "exec_command":
        return {"cmd": line}
    if name == "shell" and properties.get("command", {}).get("type") == "array":
        return {"command": ["bash", "-lc", line]}
    return {"command": line, "description": "write a file"}


def said(message):
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = [part for part in content or [] if isinstance(part, dict)]
    return "\n".join(part.get("text", "") for part in parts if isinstance(part.get("text"), str))


def is_result(message):
    return message.get("role") == "tool"


def wanted(request):
    """What to do: a tool to call with its arguments, or words, and how slowly."""
    messages = request.get("messages") or []
    asked, after = "", False
    for message in messages:
        if is_result(message):
            after = True
        if message.get("role") == "user":
            text = said(message)
            if any(word in text for word in ("please write /", "please look", "answer slowly", "say that")):
                asked, after = text, False
    tools = {}
    for tool in request.get("tools") or []:
        function = tool.get("function", tool)
        tools[function.get("name")] = function.get("parameters") or function.get("input_schema")
    if "write /" in asked and not after:
        path = "/" + asked.rpartition("write /")[2].split()[0].strip("\"'`<>")
        for wanted_name in WRITES:
            for name, schema in tools.items():
                # Tools of a client's have its name in front.
                if name and name.split("__")[-1] == wanted_name:
                    return (name, arguments(wanted_name, schema, path)), None
    if "please look" in asked:
        return looked(messages, tools)
    if "answer slowly" in asked:
        return None, ["word%d " % number for number in range(600)]
    return None, ["Done. ", "It is written."]


def looked(messages, tools):
    """A screenshot, then a click, then what came of them."""
    after = messages[max(at for at, message in enumerate(messages) if "please look" in said(message)):]
    results = [said(message) for message in after if is_result(message)]
    if len(results) < 2:
        name, given = [("desktop_screenshot", {}), ("desktop_click", {"x": 20, "y": 30})][len(results)]
        return ((name, given), None) if name in tools else (None, ["There is no %s." % name])
    shown = [part["image_url"]["url"].split(",")[0] for part in pictures(after)]
    told = [line for message in after for line in said(message).split("\n") if "cannot be shown" in line]
    return None, ["I saw %s, clicked: %s %s" % (shown, results[1], "".join(told))]


def pictures(messages):
    parts = [part for message in messages if isinstance(message.get("content"), list) for part in message["content"]]
    return [part for part in parts if part.get("type") == "image_url"]


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body, status=200):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, events):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        for name, data in events:
            if name:
                self.wfile.write(("event: %s\n" % name).encode())
            text = data if isinstance(data, str) else json.dumps(data)
            self.wfile.write(("data: %s\n\n" % text).encode())
            self.wfile.flush()

    def do_GET(self):
        models = [{"id": "scripted", "object": "model", "created": 1, "owned_by": "test"}]
        self.answer({"object": "list", "data": models})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        path = self.path.split("?")[0]
        messages = request.get("messages") or []
        if pictures(messages) and any("please look blind" in said(message) for message in messages):
            return self.answer({"error": {"message": "this model takes no pictures"}}, 400)
        call, words = wanted(request)
        if path.endswith("/chat/completions"):
            self.chat(request, call, words)
        else:
            self.answer({"error": {"message": "no such route"}}, 404)

    def paced(self, words):
        for word in words:
            yield word
            if len(words) > 10:
                time.sleep(0.1)

    def chat(self, request, call, words):
        base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": request.get("model")}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        if not request.get("stream"):
            message = {"role": "assistant", "content": "".join(words or [])}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return self.answer({**base, "object": "chat.completion", "choices": [choice], "usage": usage})

        def chunk(delta, finish=None):
            return None, {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

        def events():
            yield chunk({"role": "assistant", "content": ""})
            if call:
                function = {"name": call[0], "arguments": json.dumps(call[1])}
                yield chunk({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]})
                yield chunk({}, "tool_calls")
            else:
                for word in self.paced(words):
                    yield chunk({"content": word})
                yield chunk({}, "stop")
            yield None, {**base, "choices": [], "usage": usage}
            yield None, "[DONE]"

        return self.stream(events())


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Model).serve_forever()
