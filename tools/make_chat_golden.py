#!/usr/bin/env python3
"""Writes the golden files of tests/golden/chat with the chat template renderer of transformers.

conversations.json: 200 conversations, from a seeded generator.
golden.json: of each *.jinja there, what it makes of each conversation: the FNV-1a hash of the text,
  or "!" and the words of raise_exception, or "?" for any other error; and the first texts whole.
expressions.json: what each line of expressions.txt renders to, or the kind of error it meets.

Run from anywhere; takes a few seconds.
"""
import datetime
import json
import pathlib
import random

import jinja2
from transformers.utils import chat_template_utils

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "chat"
NUM_CONVERSATIONS = 200
NUM_WHOLE = 3
NOW = (2025, 3, 14, 15, 9, 26)
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
WORDS = [
    "hello", "a", "World", "  two", "blanks  ", "\n", "\n\nline", "{{ x }}", "{% if %}", "{#", "<|im_end|>",
    "<think>why</think>", "</think>", "<think>", "déjà", "日本語", "🙂", '"quoted"', "it's", "tab\t", "back\\slash",
    "[INST]", "/no_think", "/think", "<tool_response>", "</tool_response>", "x\r\ny", "straße", "\u00a0", "</s>", "1<2&3>2",
    "<|channel|>final<|message|>",
]
ROLES = ["user", "assistant", "system", "tool", "developer"]


def make_content(rng):
    if rng.random() < 0.06:
        return rng.choice(["", " ", "\n"])
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 7)))


def make_conversation(rng):
    messages = []
    if rng.random() < 0.5:
        messages.append({"role": "system" if rng.random() < 0.9 else "developer", "content": make_content(rng)})
    in_turns = rng.random() < 0.75
    for turn in range(rng.randint(1, 6)):
        role = ROLES[turn % 2] if in_turns else rng.choice(ROLES)
        messages.append({"role": role, "content": make_content(rng)})
    return {"messages": messages, "add_generation_prompt": rng.random() < 0.6}


class FrozenTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(*NOW)


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def render(source, conversation):
    """The text, or "!words" of raise_exception, or "?" for another error."""
    try:
        return True, chat_template_utils.render_jinja_template(
            [conversation["messages"]], chat_template=source,
            add_generation_prompt=conversation["add_generation_prompt"], **TOKENS)[0][0]
    except (jinja2.exceptions.TemplateSyntaxError, SyntaxError):
        return False, "syntax"
    except jinja2.exceptions.TemplateError as error:
        return False, f"!{error}" if type(error) is jinja2.exceptions.TemplateError else "?"
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError):
        return False, "?"


def dump(name, value, indent=None):
    (GOLDEN / name).write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n")


def main():
    chat_template_utils.datetime = FrozenTime
    rng = random.Random(20250314)
    conversations = [make_conversation(rng) for _ in range(NUM_CONVERSATIONS)]
    golden = {}
    for path in sorted(GOLDEN.glob("*.jinja")):
        source = path.read_text()
        results = [render(source, conversation) for conversation in conversations]
        golden[path.stem] = {
            "texts": [text for good, text in results if good][:NUM_WHOLE],
            "results": [fnv1a(text) if good else text for good, text in results],
        }
    lines = (GOLDEN / "expressions.txt").read_text().splitlines()
    expressions = []
    for line in lines:
        good, text = render(line, conversations[0])
        expressions.append({"template": line, "text" if good else "error": text})
    dump("conversations.json", {"tokens": TOKENS, "now": NOW, "conversations": conversations})
    dump("golden.json", golden, indent=0)
    dump("expressions.json", expressions, indent=0)


main()
