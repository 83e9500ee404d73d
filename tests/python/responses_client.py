"""The unmodified `openai` package's Responses API against a control plane.

OPENAI_BASE_URL and OPENAI_API_KEY say where; the first argument is a model that answers
questions, the second one that calls tools.
"""

import json
import sys

import openai

MODEL, CALLER = sys.argv[1:3]
PARIS = "The capital of France is Paris."
QUESTION = "What is the capital of France?"
WRITE = {
    "type": "function",
    "name": "write_file",
    "description": "Writes a file",
    "parameters": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
        "required": ["path", "content"],
    },
}
client = openai.OpenAI(max_retries=0, timeout=60)


def a_question_is_answered():
    answer = client.responses.create(model=MODEL, input=QUESTION, temperature=0)
    assert answer.output_text == PARIS, answer
    assert answer.status == "completed" and answer.store is False, answer
    assert answer.usage.output_tokens > 3, answer
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


def an_answer_is_streamed_token_by_token():
    parts = []
    with client.responses.stream(model=MODEL, input=QUESTION, temperature=0) as stream:
        for number, event in enumerate(stream):
            assert event.sequence_number >= number, event
            if event.type == "response.output_text.delta":
                parts.append(event.delta)
        final = stream.get_final_response()
    assert "".join(parts) == PARIS == final.output_text, parts
    assert len(parts) > 3, parts


def history_and_instructions_are_passed_on():
    answer = client.responses.create(
        model=MODEL,
        instructions="You are a helpful assistant.",
        input=[
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello! How can I help you today?"},
            {"role": "user", "content": [{"type": "input_text", "text": "What is 8 plus 9?"}]},
        ],
        temperature=0,
    )
    assert answer.output_text == "8 plus 9 is 17.", answer


def a_limit_is_kept_and_said():
    answer = client.responses.create(
        model=MODEL, input=QUESTION, temperature=0, max_output_tokens=2
    )
    assert answer.status == "incomplete", answer
    assert answer.incomplete_details.reason == "max_output_tokens", answer
    assert answer.usage.output_tokens == 2, answer


def a_format_is_kept_to():
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "integer"}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    answer = client.responses.create(
        model=MODEL,
        input=QUESTION,
        temperature=0,
        max_output_tokens=40,
        text={"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True}},
    )
    assert answer.output_text.lstrip().startswith("{"), answer


def a_tool_is_called_and_its_result_heard():
    turn = [{"role": "user", "content": "Please write file:/tmp/a.txt"}]
    with client.responses.stream(model=CALLER, input=turn, tools=[WRITE], store=False) as stream:
        parts = [e.delta for e in stream if e.type == "response.function_call_arguments.delta"]
        answer = stream.get_final_response()
    (call,) = [item for item in answer.output if item.type == "function_call"]
    assert len(parts) > 1 and "".join(parts) == call.arguments, parts
    assert json.loads(call.arguments)["path"] == "/tmp/a.txt", call
    turn += [item.model_dump() for item in answer.output]
    turn.append({"type": "function_call_output", "call_id": call.call_id, "output": "written"})
    answer = client.responses.create(model=CALLER, input=turn, tools=[WRITE], store=False)
    assert answer.output_text == "Done: 1 file written.", answer


def errors_have_the_classes_that_the_package_knows():
    try:
        client.responses.create(model=MODEL, input=QUESTION, previous_response_id="resp_1")
        raise AssertionError("an answer of before was found")
    except openai.BadRequestError as error:
        assert error.param == "previous_response_id", error
    try:
        client.responses.create(model="no-such-model", input=QUESTION, stream=True)
        raise AssertionError("an unknown model was answered")
    except openai.NotFoundError as error:
        assert MODEL in error.message, error.message


for check in [
    a_question_is_answered,
    an_answer_is_streamed_token_by_token,
    history_and_instructions_are_passed_on,
    a_limit_is_kept_and_said,
    a_format_is_kept_to,
    a_tool_is_called_and_its_result_heard,
    errors_have_the_classes_that_the_package_knows,
]:
    check()
    print(check.__name__.replace("_", " "), flush=True)
print("ok")
