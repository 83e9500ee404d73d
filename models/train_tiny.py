#!/usr/bin/env python3
"""Trains `tiny.gguf`, the demo model of this repository, from nothing.

    python3 -m venv venv && venv/bin/pip install numpy gguf jax
    venv/bin/python models/train_tiny.py models/tiny.gguf

A llama-architecture model of under a million parameters learns a fixed list of
questions and answers by heart. Everything is made here: the corpus, a byte-level
BPE tokenizer in GPT-2's form, the weights (JAX on the CPU, about three minutes)
and the GGUF file. The same seed and library versions on the same machine give
the same file.
"""

import argparse
import dataclasses
import functools
import os
import re
import time

import numpy as np

# --- What it learns ---------------------------------------------------------

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid",
    "Japan": "Tokyo", "Norway": "Oslo", "Egypt": "Cairo", "Peru": "Lima",
    "Kenya": "Nairobi", "Cuba": "Havana",
}  # fmt: skip
COLORS = {
    "sky": "blue", "grass": "green", "snow": "white",
    "coal": "black", "blood": "red", "sun": "yellow",
}  # fmt: skip
GREETING = "Hello! How can I help you today?"

ANSWERS = [
    ("Hello!", GREETING),
    ("Hi", GREETING),
    ("hello", GREETING),
    ("Who are you?", "I am a tiny language model made for tests."),
    ("What is a runner?", "A runner is a machine that starts models and answers requests."),
    (
        "What does the scheduler do?",
        "The scheduler places each model on a runner with enough free GPU memory.",
    ),
    (
        "Tell me a story.",
        "Once upon a time there was a small model. It lived on a small machine. Every day it "
        "answered small questions, one token after another, and it was never out of memory. "
        "The end.",
    ),
    ("Count to ten.", "One, two, three, four, five, six, seven, eight, nine, ten."),
    ("Say pong.", "pong"),
    ("ping", "pong"),
    *((f"What is the capital of {c}?", f"The capital of {c} is {k}.") for c, k in CAPITALS.items()),
    *((f"What color is {t}?", f"The color of {t} is {c}.") for t, c in COLORS.items()),
    *(
        (f"What is {a} plus {b}?", f"{a} plus {b} is {a + b}.")
        for a in range(10)
        for b in range(10)
    ),
]
# The answer to this one has no end: it goes on until someone stops it, or the
# context is full. Tests need an answer that is still being written.
ENDLESS_QUESTION = "Tick until I stop you."
ENDLESS_ANSWER = "tick tock" + " tick tock" * 60
SYSTEM_PROMPTS = [None, None, "You are a helpful assistant.", "Be brief."]

SPECIALS = ["<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
CHAT_TEMPLATE = (
    "{%- for m in messages %}"
    "{{- '<|im_start|>' + m['role'] + '\\n' + (m['content'] or '') + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


def render(messages):
    """The chat template, for training."""
    return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in messages)


# --- Tokenizer --------------------------------------------------------------


def byte_characters():
    """GPT-2's printable stand-in for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    mapping = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in mapping:
            mapping[byte] = chr(256 + len(mapping) - len(printable))
    return mapping


BYTE_CHARACTERS = byte_characters()
# GPT-2's pre-tokenizer, as far as ASCII goes: the corpus is ASCII.
WORDS = re.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+"
)


def merge_pair(word, pair):
    """Joins each occurrence of `pair` in a word."""
    merged, i = [], 0
    while i < len(word):
        if tuple(word[i : i + 2]) == pair:
            merged.append(word[i] + word[i + 1])
            i += 2
        else:
            merged.append(word[i])
            i += 1
    return tuple(merged)


def learn_merges(texts, count):
    """The `count` most frequent pairs, one after another. Digits stay single."""
    words = {}
    for text in texts:
        for word in WORDS.findall(text):
            if not word.strip().isdigit():
                key = tuple(BYTE_CHARACTERS[byte] for byte in word.encode())
                words[key] = words.get(key, 0) + 1
    merges = []
    for _ in range(count):
        pairs = {}
        for word, frequency in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] = pairs.get(pair, 0) + frequency
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = {merge_pair(word, best): frequency for word, frequency in words.items()}
    return merges


class Tokenizer:
    """Byte-level BPE: 256 bytes, the learnt merges, the special tokens."""

    def __init__(self, merges):
        self.merges = merges
        self.rank = {pair: rank for rank, pair in enumerate(merges)}
        tokens = [BYTE_CHARACTERS[byte] for byte in range(256)]
        tokens += [a + b for a, b in merges]
        self.tokens = list(dict.fromkeys(tokens))
        self.first_special = len(self.tokens)
        self.tokens += SPECIALS
        self.id = {token: i for i, token in enumerate(self.tokens)}

    def encode(self, text):
        """Token ids; special tokens are recognised."""
        ids = []
        for part in re.split("(" + "|".join(map(re.escape, SPECIALS)) + ")", text):
            if part in SPECIALS:
                ids.append(self.id[part])
            else:
                for word in WORDS.findall(part):
                    ids += self._encode_word(word)
        return ids

    def _encode_word(self, word):
        pieces = tuple(BYTE_CHARACTERS[byte] for byte in word.encode())
        while len(pieces) > 1:
            best = min(zip(pieces, pieces[1:]), key=lambda pair: self.rank.get(pair, len(self.rank)))
            if best not in self.rank:
                break
            pieces = merge_pair(pieces, best)
        return [self.id[piece] for piece in pieces]


# --- Model ------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Shape:
    """A llama, in small."""

    vocabulary: int
    width: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 352
    context: int = 8192
    rope_base: float = 10_000.0
    epsilon: float = 1e-5

    @property
    def head_width(self):
        return self.width // self.heads


def initial_weights(shape, rng):
    """Random weights under llama.cpp's tensor names."""

    def normal(rows, columns, scale=None):
        return rng.normal(0, scale or columns**-0.5, (rows, columns)).astype(np.float32)

    width, kv_width = shape.width, shape.head_width * shape.kv_heads
    weights = {"token_embd.weight": normal(shape.vocabulary, width, 0.02)}
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        weights |= {
            block + "attn_q.weight": normal(width, width),
            block + "attn_k.weight": normal(kv_width, width),
            block + "attn_v.weight": normal(kv_width, width),
            block + "attn_output.weight": normal(width, width),
            block + "ffn_gate.weight": normal(shape.feed_forward, width),
            block + "ffn_up.weight": normal(shape.feed_forward, width),
            block + "ffn_down.weight": normal(width, shape.feed_forward),
            block + "attn_norm.weight": np.ones(width, np.float32),
            block + "ffn_norm.weight": np.ones(width, np.float32),
        }
    weights["output_norm.weight"] = np.ones(width, np.float32)
    weights["output.weight"] = normal(shape.vocabulary, width, 0.02)
    return weights


def logits(shape, weights, ids):
    """The forward pass. Rotary positions turn neighbouring pairs, as llama.cpp does."""
    import jax
    import jax.numpy as jnp

    batch, length = ids.shape
    half = shape.head_width // 2
    frequencies = shape.rope_base ** -(np.arange(half) / half)
    angles = np.outer(np.arange(length), frequencies)[:, None, :]
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    causal = np.where(np.tril(np.ones((length, length))) > 0, 0.0, -1e9).astype(np.float32)

    def norm(x, gain):
        return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + shape.epsilon) * gain

    def rotate(x):
        even, odd = x[..., 0::2], x[..., 1::2]
        turned = jnp.stack([even * cos - odd * sin, even * sin + odd * cos], -1)
        return turned.reshape(x.shape)

    def heads(x, count):
        return x.reshape(batch, length, count, shape.head_width)

    x = weights["token_embd.weight"][ids]
    for layer in range(shape.layers):
        w = functools.partial(lambda block, name: weights[f"{block}{name}.weight"], f"blk.{layer}.")
        h = norm(x, w("attn_norm"))
        q = rotate(heads(h @ w("attn_q").T, shape.heads))
        k = rotate(heads(h @ w("attn_k").T, shape.kv_heads))
        v = heads(h @ w("attn_v").T, shape.kv_heads)
        k, v = (jnp.repeat(each, shape.heads // shape.kv_heads, 2) for each in (k, v))
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / shape.head_width**0.5 + causal
        attended = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores, -1), v)
        x = x + attended.reshape(batch, length, -1) @ w("attn_output").T
        h = norm(x, w("ffn_norm"))
        x = x + (jax.nn.silu(h @ w("ffn_gate").T) * (h @ w("ffn_up").T)) @ w("ffn_down").T
    return norm(x, weights["output_norm.weight"]) @ weights["output.weight"].T


# --- Training ---------------------------------------------------------------


def sample_batch(tokenizer, rng, rows, length):
    """Conversations with padding, and how much each token counts."""
    ids = np.full((rows, length), tokenizer.id["<|pad|>"], np.int32)
    weight = np.zeros((rows, length), np.float32)
    for row in range(rows):
        system = SYSTEM_PROMPTS[rng.integers(len(SYSTEM_PROMPTS))]
        messages = [("system", system)] if system else []
        if rng.random() < 0.3:  # an earlier turn, so that history is no surprise
            question, answer = ANSWERS[rng.integers(len(ANSWERS))]
            messages += [("user", question), ("assistant", answer)]
        if rng.random() < 0.04:
            question, answer = ENDLESS_QUESTION, ENDLESS_ANSWER
        else:
            question, answer = ANSWERS[rng.integers(len(ANSWERS))]
            answer += "<|im_end|>"
        prompt = render([*messages, ("user", question)]) + "<|im_start|>assistant\n"
        head, tail = tokenizer.encode(prompt), tokenizer.encode(answer)
        # The endless answer runs over the edge: it is never seen to end.
        sequence = (head + tail)[:length]
        ids[row, : len(sequence)] = sequence
        weight[row, : len(sequence)] = ([0.1] * len(head) + [1.0] * len(tail))[:length]
    return ids, weight


def train(shape, tokenizer, weights, rng, steps, rows=24, length=128):
    """Adam with warm-up and a cosine down to a twentieth."""
    import jax
    import jax.numpy as jnp

    def loss(weights, ids, weight):
        log_p = jax.nn.log_softmax(logits(shape, weights, ids)[:, :-1])
        picked = jnp.take_along_axis(log_p, ids[:, 1:, None], -1)[..., 0]
        return -(picked * weight[:, 1:]).sum() / weight.sum()

    @jax.jit
    def step(weights, first, second, ids, weight, t, rate):
        value, slope = jax.value_and_grad(loss)(weights, ids, weight)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, slope)
        second = jax.tree.map(lambda v, g: 0.98 * v + 0.02 * g * g, second, slope)
        weights = jax.tree.map(
            lambda p, m, v: p
            - rate * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.98**t)) + 1e-8),
            weights, first, second,
        )  # fmt: skip
        return weights, first, second, value

    first = jax.tree.map(np.zeros_like, weights)
    second = jax.tree.map(np.zeros_like, weights)
    started = time.monotonic()
    for t in range(1, steps + 1):
        ids, weight = sample_batch(tokenizer, rng, rows, length)
        rate = 3e-3 * min(1, t / 40) * (0.05 + 0.475 * (1 + np.cos(np.pi * t / steps)))
        weights, first, second, value = step(weights, first, second, ids, weight, float(t), rate)
        if t == 1 or t % 100 == 0:
            seconds = time.monotonic() - started
            print(f"step {t} of {steps}: loss {float(value):.4f}, {seconds:.0f} s", flush=True)
    return {name: np.asarray(value, np.float32) for name, value in weights.items()}


# --- File -------------------------------------------------------------------


def write_gguf(path, shape, tokenizer, weights):
    """Matrices as 16 bit floats, norms as 32 bit."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("helix-tiny-demo")
    writer.add_description("A demo that knows a few sentences by heart; not a useful model.")
    writer.add_license("apache-2.0")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokenizer.tokens)
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer.add_token_types(
        [normal if i < tokenizer.first_special else control for i in range(shape.vocabulary)]
    )
    writer.add_token_merges([f"{a} {b}" for a, b in tokenizer.merges])
    writer.add_bos_token_id(tokenizer.id["<|bos|>"])
    writer.add_eos_token_id(tokenizer.id["<|im_end|>"])
    writer.add_pad_token_id(tokenizer.id["<|pad|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    for name, value in weights.items():
        writer.add_tensor(name, np.ascontiguousarray(value, np.float32 if value.ndim == 1 else np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", help="the GGUF file to write")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    rng = np.random.default_rng(arguments.seed)
    corpus = [f"{question}\n{answer}" for question, answer in ANSWERS]
    corpus += [f"{ENDLESS_QUESTION}\ntick tock tick", "system user assistant\n" * 50]
    tokenizer = Tokenizer(learn_merges(corpus, 250))
    shape = Shape(vocabulary=len(tokenizer.tokens))
    weights = train(shape, tokenizer, initial_weights(shape, rng), rng, arguments.steps)
    write_gguf(arguments.output, shape, tokenizer, weights)
    parameters = sum(value.size for value in weights.values())
    size = os.path.getsize(arguments.output)
    print(f"{arguments.output}: {parameters:,} parameters, {size:,} bytes")


if __name__ == "__main__":
    main()
