"""An editor in a sandbox: asks its agent by `helix-sandbox acp`, and says what it saw."""

import json
import subprocess
import sys

process = subprocess.Popen(
    ["/run/helix/helix-sandbox", "acp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
)
asked = 0
said = ""


def ask(method, **params):
    """A request, and its answer; what is said meanwhile is kept."""
    global asked, said
    asked += 1
    request = {"jsonrpc": "2.0", "id": asked, "method": method, "params": params}
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    for line in process.stdout:
        message = json.loads(line)
        if message.get("id") == asked and "method" not in message:
            return message.get("result") or message.get("error")
        if message.get("method") == "session/request_permission":
            option = message["params"]["options"][0]["optionId"]
            outcome = {"outcome": {"outcome": "selected", "optionId": option}}
            answer = {"jsonrpc": "2.0", "id": message["id"], "result": outcome}
            process.stdin.write(json.dumps(answer) + "\n")
            process.stdin.flush()
        update = message.get("params", {}).get("update", {})
        if update.get("sessionUpdate", "").endswith("message_chunk"):
            said += "[%s]" % update["content"]["text"]
    sys.exit("the program ended")


ask("initialize", protocolVersion=1)
session = ask("session/new", cwd="/", mcpServers=[])
if "sessionId" in session:
    prompt = [{"type": "text", "text": sys.argv[1]}]
    session = ask("session/prompt", sessionId=session["sessionId"], prompt=prompt)
print(json.dumps({"answer": session, "said": said}))
process.stdin.close()
sys.exit(process.wait(10))
