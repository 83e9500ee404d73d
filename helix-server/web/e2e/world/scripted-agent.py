"""A small agent that speaks ACP and does the same to every prompt: it asks, then writes hello.txt."""
import json, pathlib, sys

asked = 0


def send(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def update(session, what, **fields):
    send({"method": "session/update", "params": {
        "sessionId": session, "update": {"sessionUpdate": what, **fields}}})


def say(session, text):
    update(session, "agent_message_chunk", content={"type": "text", "text": text})


def allowed(session, call):
    """Asks, and waits for the answer; a cancel comes as an answer, too."""
    global asked
    asked += 1
    send({"id": f"ask-{asked}", "method": "session/request_permission", "params": {
        "sessionId": session, "toolCall": call, "options": [
            {"optionId": "yes", "name": "Allow", "kind": "allow_once"},
            {"optionId": "no", "name": "Reject", "kind": "reject_once"}]}})
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("id") == f"ask-{asked}" and "method" not in message:
            return message["result"]["outcome"].get("optionId") == "yes"
    sys.exit(0)


def prompt(session, text):
    path = pathlib.Path.home() / "hello.txt"
    diff = {"type": "diff", "path": str(path), "oldText": None, "newText": text + "\n"}
    call = {"toolCallId": f"call-{asked}", "title": "Write hello.txt", "kind": "edit",
            "status": "pending", "content": [diff]}
    say(session, "I write it to **hello.txt**.")
    update(session, "plan", entries=[
        {"content": "Write hello.txt", "priority": "high", "status": "in_progress"}])
    update(session, "tool_call", **call)
    if not allowed(session, call):
        update(session, "tool_call_update", toolCallId=call["toolCallId"], status="failed")
        say(session, "Then I do not.")
        return
    path.write_text(text + "\n")
    update(session, "tool_call_update", toolCallId=call["toolCallId"], status="completed")
    update(session, "plan", entries=[
        {"content": "Write hello.txt", "priority": "high", "status": "completed"}])
    say(session, f"Written: {text}")


for line in sys.stdin:
    message = json.loads(line)
    method, params = message.get("method"), message.get("params", {})
    if method == "initialize":
        result = {"protocolVersion": 1, "agentCapabilities": {}, "authMethods": []}
    elif method == "session/new":
        result = {"sessionId": "scripted"}
    elif method == "session/prompt":
        text = "".join(part.get("text", "") for part in params["prompt"])
        prompt(params["sessionId"], text)
        result = {"stopReason": "end_turn"}
    elif "id" in message and method:
        send({"id": message["id"], "error": {"code": -32601, "message": "not known"}})
        continue
    else:
        continue
    send({"id": message["id"], "result": result})
