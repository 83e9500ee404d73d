"""An agent that does what its prompts say, one step a line, over ACP on its standard streams."""

import json
import os
import sys
import time
import urllib.error
import urllib.request

answers = 0
cancelled = False
session = os.environ.get("SESSION", "s%d" % os.getpid())


def write(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def update(**fields):
    write({"method": "session/update", "params": {"sessionId": session, "update": fields}})


def say(text):
    content = {"type": "text", "text": text}
    update(sessionUpdate="agent_message_chunk", content=content)


def read():
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    return json.loads(line)


def ask(method, **params):
    """A request, and its answer; what else comes meanwhile is a cancel."""
    global answers, cancelled
    answers += 1
    number = "a%d" % answers
    write({"id": number, "method": method, "params": {"sessionId": session, **params}})
    while True:
        message = read()
        if message.get("id") == number and "method" not in message:
            return message.get("result", message.get("error"))
        cancelled |= message.get("method") == "session/cancel"


def get(path):
    return urllib.request.Request(os.environ["API"] + path, headers={"Authorization": "Bearer key"})


def step(line):
    global cancelled
    word, _, rest = line.partition(" ")
    if word == "say":
        say(rest)
    elif word == "get":
        try:
            with urllib.request.urlopen(get(rest), timeout=30) as answer:
                say(answer.read().decode())
        except urllib.error.HTTPError as error:
            say("%d %s" % (error.code, error.read().decode()))
    elif word == "think":
        update(sessionUpdate="agent_thought_chunk", content={"type": "text", "text": rest})
    elif word == "count":
        for number in range(int(rest)):
            say("%d " % number)
    elif word == "flood":
        for number in range(int(rest)):
            say("%d %s" % (number, "x" * 100000))
    elif word == "slowly":
        for number in range(int(rest)):
            say("%d " % number)
            time.sleep(0.01)
    elif word == "write":
        path, _, content = rest.partition(" ")
        call = {"toolCallId": "w%d" % answers, "title": "Write " + path}
        update(sessionUpdate="tool_call", status="pending", kind="edit", rawInput={"path": path}, **call)
        options = [
            {"optionId": "yes", "name": "Allow", "kind": "allow_once"},
            {"optionId": "no", "name": "Reject", "kind": "reject_once"},
        ]
        answer = ask("session/request_permission", toolCall=call, options=options)
        outcome = answer["outcome"]
        if outcome.get("optionId") == "yes":
            ask("fs/write_text_file", path=path, content=content)
            diff = {"type": "diff", "path": path, "oldText": None, "newText": content}
            update(sessionUpdate="tool_call_update", status="completed", content=[diff], **call)
        else:
            update(sessionUpdate="tool_call_update", status="failed", **call)
            say("not allowed: " + json.dumps(outcome))
    elif word == "read":
        say(json.dumps(ask("fs/read_text_file", path=rest)))
    elif word == "run":
        terminal = ask("terminal/create", command="sh", args=["-c", rest])["terminalId"]
        content = [{"type": "terminal", "terminalId": terminal}]
        update(sessionUpdate="tool_call", toolCallId=terminal, title=rest, kind="execute", content=content)
        exit = ask("terminal/wait_for_exit", terminalId=terminal)
        output = ask("terminal/output", terminalId=terminal)
        ask("terminal/release", terminalId=terminal)
        say(json.dumps([exit, output["output"]]))
    elif word == "wait":
        while not cancelled:
            cancelled |= read().get("method") == "session/cancel"
    elif word == "sleep":
        time.sleep(float(rest))
    elif word == "deaf":
        time.sleep(1000)
    elif word == "close":
        # Nothing can be told to it from here on, and it is told what it asks for.
        os.close(0)
        write({"id": "late", "method": "fs/read_text_file", "params": {"sessionId": session, "path": "/etc/hostname"}})
        time.sleep(float(rest))
    elif word == "garbage":
        sys.stdout.write("this is no message\n[1, 2\n\n\"x\"\n")
        update(sessionUpdate="something_new", anything=[1])
        write({"id": "odd", "method": "odd/method", "params": {}})
        read()
        write({"id": "nobody asked", "result": {}})
    elif word == "exit":
        sys.stderr.write("the model is on fire\n")
        sys.stderr.flush()
        os._exit(3)
    elif word == "fail":
        raise RuntimeError(rest)
    elif word == "plan":
        update(sessionUpdate="plan", entries=[{"content": rest, "priority": "high", "status": "pending"}])
    elif word == "usage":
        update(sessionUpdate="usage_update", used=10, size=200, cost={"amount": 0.25, "currency": "USD"})


def prompt(text):
    global cancelled
    cancelled = False
    for line in text.split("\n"):
        step(line)
        if cancelled:
            return {"stopReason": "cancelled"}
    return {"stopReason": "end_turn"}


MODES = {
    "currentModeId": "ask",
    "availableModes": [{"id": "ask", "name": "Ask"}, {"id": "yolo", "name": "Yolo"}],
}


def main():
    global session
    while True:
        message = read()
        method, params = message.get("method"), message.get("params", {})
        if "id" not in message or method is None:
            continue
        answer = {"id": message["id"]}
        if method == "initialize":
            can = {"loadSession": True, "promptCapabilities": {"image": True}}
            answer["result"] = {"protocolVersion": 1, "agentCapabilities": can}
        elif method == "session/new":
            answer["result"] = {"sessionId": session, "modes": MODES}
        elif method == "session/load":
            session = params["sessionId"]
            say("what was said before")
            answer["result"] = None
        elif method == "session/prompt":
            text = "\n".join(part.get("text", "") for part in params["prompt"])
            try:
                answer["result"] = prompt(text)
            except RuntimeError as error:
                answer["error"] = {"code": -32603, "message": "Internal error", "data": {"details": str(error)}}
        else:
            answer["result"] = {}
        write(answer)


main()
