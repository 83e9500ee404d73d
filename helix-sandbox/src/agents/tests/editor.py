"""An editor: the official Python client of ACP on its standard streams. What it is to do comes as
lines of JSON from the socket at the port given, and what it saw and heard goes back there."""

import asyncio
import json
import sys

import acp
from acp.schema import AllowedOutcome, DeniedOutcome, RequestPermissionResponse


class Editor(acp.Client):
    def __init__(self, say):
        self.say = say
        self.answers = asyncio.Queue()

    async def session_update(self, session_id, update, **_):
        self.say(update=update.model_dump(mode="json", by_alias=True, exclude_none=True))

    async def request_permission(self, session_id, tool_call, options, **_):
        self.say(asked=tool_call.tool_call_id, options=[option.option_id for option in options])
        try:
            option = await self.answers.get()
        except asyncio.CancelledError:
            self.say(withdrawn=tool_call.tool_call_id)
            raise
        if option is None:
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=option))

    async def ext_notification(self, method, params):
        self.say(notified=method)


async def main():
    orders, told = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]), limit=8 << 20)

    def say(**fields):
        told.write((json.dumps(fields) + "\n").encode())

    output, input = await acp.stdio_streams()
    editor = Editor(say)
    agent = acp.connect_to_agent(editor, input, output)

    async def do(order):
        word = order["do"]
        try:
            if word == "initialize":
                answer = await agent.initialize(protocol_version=acp.PROTOCOL_VERSION)
            elif word == "new":
                answer = await agent.new_session(cwd="/", mcp_servers=[])
            elif word == "load":
                answer = await agent.load_session(cwd="/", session_id=order["session"], mcp_servers=[])
            elif word == "list":
                answer = await agent.list_sessions()
            elif word == "prompt":
                answer = await agent.prompt(session_id=order["session"], prompt=[acp.text_block(order["text"])])
            elif word == "mode":
                answer = await agent.set_session_mode(session_id=order["session"], mode_id=order["mode"])
            elif word == "cancel":
                await agent.cancel(session_id=order["session"])
                answer = None
            result = answer and answer.model_dump(mode="json", by_alias=True, exclude_none=True)
            say(done=order["id"], result=result)
        except acp.RequestError as error:
            say(done=order["id"], error=str(error))

    tasks = set()
    while line := await orders.readline():
        order = json.loads(line)
        if order["do"] == "answer":
            editor.answers.put_nowait(order["option"])
            continue
        task = asyncio.create_task(do(order))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


asyncio.run(main())
