"""An agent over ACP that says when it says what: `{"count": 3, "every_ms": 50}` as a prompt makes
three messages, 50 ms apart, each the time at which it is written, in nanoseconds. Before them it
says when it read the prompt."""

import json
import sys
import time


def write(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def say(text):
    content = {"type": "text", "text": text}
    update = {"sessionUpdate": "agent_message_chunk", "content": content}
    write({"method": "session/update", "params": {"sessionId": "bench", "update": update}})


def prompt(params, read_ns):
    plan = json.loads("".join(part.get("text", "") for part in params["prompt"]))
    say("read %d " % read_ns)
    due = time.monotonic()
    for _ in range(plan["count"]):
        due += plan["every_ms"] / 1000
        time.sleep(max(0, due - time.monotonic()))
        say("%d " % time.time_ns())
    return {"stopReason": "end_turn"}


for line in sys.stdin:
    read_ns = time.time_ns()
    message = json.loads(line)
    method, params = message.get("method"), message.get("params", {})
    if "id" not in message or method is None:
        continue
    result = {}
    if method == "initialize":
        result = {"protocolVersion": 1, "agentCapabilities": {}}
    elif method == "session/new":
        result = {"sessionId": "bench"}
    elif method == "session/prompt":
        result = prompt(params, read_ns)
    write({"id": message["id"], "result": result})
