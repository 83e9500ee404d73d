"""Asks one question with a known answer by the unmodified `openai` package."""

import sys

import openai

client = openai.OpenAI(max_retries=0, timeout=60)
answer = client.chat.completions.create(
    model=sys.argv[1],
    messages=[{"role": "user", "content": "What is the capital of France?"}],
    temperature=0,
)
assert answer.choices[0].message.content == "The capital of France is Paris.", answer
print("ok")
