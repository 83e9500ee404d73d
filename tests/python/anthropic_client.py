"""The unmodified `anthropic` package against a control plane.

ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY say where; the first argument is a model that answers
questions, the second one that calls tools.
"""

import os
import sys

import anthropic

MODEL, CALLER = sys.argv[1:3]
# The package has no name for it any more.
COLD = {"temperature": 0}
PARIS = "The capital of France is Paris."
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
WRITE = {
    "name": "write_file",
    "description": "Writes a file",
    "input_schema": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
        "required": ["path", "content"],
    },
}
client = anthropic.Anthropic(max_retries=0, timeout=60)


def the_models_are_listed():
    names = [model.id for model in client.models.list()]
    assert MODEL in names, names
    assert client.models.retrieve(MODEL).id == MODEL


def a_question_is_answered():
    answer = client.messages.create(
        model=MODEL, messages=QUESTION, max_tokens=40, extra_body=COLD
    )
    assert [block.text for block in answer.content] == [PARIS], answer
    assert answer.stop_reason == "end_turn", answer
    assert answer.usage.input_tokens + answer.usage.cache_read_input_tokens > 3, answer
    assert answer.usage.output_tokens > 3, answer


def an_answer_is_streamed_token_by_token():
    with client.messages.stream(
        model=MODEL, messages=QUESTION, max_tokens=40, extra_body=COLD
    ) as stream:
        parts = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(parts) == PARIS == final.content[0].text, parts
    assert len(parts) > 3, parts
    assert final.usage.output_tokens > 3 and final.stop_reason == "end_turn", final


def history_and_system_prompt_are_passed_on():
    answer = client.beta.messages.create(
        model=MODEL,
        system=[
            {
                "type": "text",
                "text": "You are a helpful assistant.",
                "cache_control": {"type": "ephemeral"},
            }
        ],
        messages=[
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello! How can I help you today?"},
            {"role": "user", "content": [{"type": "text", "text": "What is 8 plus 9?"}]},
        ],
        max_tokens=40,
        extra_body=COLD,
    )
    assert answer.content[0].text == "8 plus 9 is 17.", answer


def a_limit_and_a_stop_sequence_are_kept():
    answer = client.messages.create(model=MODEL, messages=QUESTION, max_tokens=2, extra_body=COLD)
    assert answer.stop_reason == "max_tokens", answer
    answer = client.messages.create(
        model=MODEL, messages=QUESTION, max_tokens=40, extra_body=COLD, stop_sequences=[" is"]
    )
    assert answer.content[0].text == "The capital of France", answer


def tokens_are_counted_by_the_engine():
    def count(text):
        messages = [{"role": "user", "content": text}]
        answer = client.messages.with_raw_response.count_tokens(model=MODEL, messages=messages)
        assert answer.headers["x-helix-counted-by"] == "engine", answer.headers
        return answer.parse().input_tokens

    asked = client.messages.create(model=MODEL, messages=QUESTION, max_tokens=1)
    read = asked.usage.input_tokens + asked.usage.cache_read_input_tokens
    assert count(QUESTION[0]["content"]) == read, (count(QUESTION[0]["content"]), read)
    assert count("Hi") < read


def a_tool_is_called_and_its_result_heard():
    turn = [{"role": "user", "content": "Please write file:/tmp/a.txt"}]
    with client.messages.stream(
        model=CALLER, messages=turn, max_tokens=100, tools=[WRITE]
    ) as stream:
        answer = stream.get_final_message()
    assert answer.stop_reason == "tool_use", answer
    (call,) = [block for block in answer.content if block.type == "tool_use"]
    assert call.input["path"] == "/tmp/a.txt", call
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "written"}
    turn += [
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [result]},
    ]
    answer = client.messages.create(model=CALLER, messages=turn, max_tokens=100, tools=[WRITE])
    assert answer.content[0].text == "Done: 1 file written.", answer


def errors_have_the_classes_that_the_package_knows():
    try:
        client.messages.create(model="no-such-model", messages=QUESTION, max_tokens=1)
        raise AssertionError("an unknown model was answered")
    except anthropic.NotFoundError as error:
        assert MODEL in str(error), error
    try:
        client.with_options(api_key="hx_wrong").models.list()
        raise AssertionError("a wrong key was accepted")
    except anthropic.AuthenticationError as error:
        assert error.body["type"] == "error", error.body
    try:
        client.messages.create(model=MODEL, messages=[], max_tokens=1)
        raise AssertionError("nothing was answered")
    except anthropic.BadRequestError:
        pass


def a_key_may_come_as_a_bearer_token():
    bearer = anthropic.Anthropic(
        api_key=None, auth_token=os.environ["ANTHROPIC_API_KEY"], max_retries=0
    )
    answer = bearer.messages.create(model=MODEL, messages=QUESTION, max_tokens=40, extra_body=COLD)
    assert answer.content[0].text == PARIS, answer


for check in [
    the_models_are_listed,
    a_question_is_answered,
    an_answer_is_streamed_token_by_token,
    history_and_system_prompt_are_passed_on,
    a_limit_and_a_stop_sequence_are_kept,
    tokens_are_counted_by_the_engine,
    a_tool_is_called_and_its_result_heard,
    errors_have_the_classes_that_the_package_knows,
    a_key_may_come_as_a_bearer_token,
]:
    check()
    print(check.__name__.replace("_", " "), flush=True)
print("ok")
