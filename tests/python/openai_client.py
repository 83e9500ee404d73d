"""The unmodified `openai` package against a control plane.

OPENAI_BASE_URL and OPENAI_API_KEY say where; the first argument is the model.
"""

import sys

import openai

MODEL = sys.argv[1]
PARIS = "The capital of France is Paris."
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
client = openai.OpenAI(max_retries=0, timeout=60)


def the_models_are_listed():
    names = [model.id for model in client.models.list()]
    assert MODEL in names, names


def a_question_is_answered():
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0)
    assert answer.choices[0].message.content == PARIS, answer
    assert answer.choices[0].finish_reason == "stop", answer
    assert answer.usage.completion_tokens > 0, answer


def an_answer_is_streamed_token_by_token():
    stream = client.chat.completions.create(
        model=MODEL,
        messages=QUESTION,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    parts, usage = [], None
    for chunk in stream:
        usage = chunk.usage or usage
        if chunk.choices and chunk.choices[0].delta.content:
            parts.append(chunk.choices[0].delta.content)
    assert "".join(parts) == PARIS, parts
    assert len(parts) > 3, parts
    assert usage and usage.completion_tokens >= len(parts), usage


def history_and_system_prompt_are_passed_on():
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello! How can I help you today?"},
        {"role": "user", "content": "What is 8 plus 9?"},
    ]
    answer = client.chat.completions.create(model=MODEL, messages=messages, temperature=0)
    assert answer.choices[0].message.content == "8 plus 9 is 17.", answer


def a_response_format_is_kept_to():
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "integer"}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        model=MODEL,
        messages=QUESTION,
        temperature=0,
        max_tokens=40,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "number", "schema": schema, "strict": True},
        },
    )
    assert answer.choices[0].message.content.lstrip().startswith("{"), answer


def text_is_completed():
    prompt = "<|im_start|>user\nping<|im_end|>\n<|im_start|>assistant\n"
    answer = client.completions.create(model=MODEL, prompt=prompt, temperature=0, max_tokens=8)
    assert answer.choices[0].text == "pong", answer


def text_is_embedded():
    answer = client.embeddings.create(model=MODEL, input=["ping", "Hello!"])
    first, second = (item.embedding for item in answer.data)
    assert len(first) == len(second) == 128, (len(first), len(second))
    assert first != second


def leaving_in_the_middle_is_fine():
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Tick until I stop you."}],
        temperature=0,
        stream=True,
    )
    for count, _ in enumerate(stream):
        if count == 10:
            break
    stream.close()
    a_question_is_answered()


def errors_have_the_classes_that_the_package_knows():
    try:
        client.chat.completions.create(model="no-such-model", messages=QUESTION)
        raise AssertionError("an unknown model was answered")
    except openai.NotFoundError as error:
        assert "no-such-model" in error.message and MODEL in error.message, error.message
    try:
        client.with_options(api_key="hx_wrong").models.list()
        raise AssertionError("a wrong key was accepted")
    except openai.AuthenticationError:
        pass


for check in [
    the_models_are_listed,
    a_question_is_answered,
    an_answer_is_streamed_token_by_token,
    history_and_system_prompt_are_passed_on,
    a_response_format_is_kept_to,
    text_is_completed,
    text_is_embedded,
    leaving_in_the_middle_is_fine,
    errors_have_the_classes_that_the_package_knows,
]:
    check()
    print(check.__name__.replace("_", " "), flush=True)
print("ok")
