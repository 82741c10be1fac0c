#!/usr/bin/env python3
"""Makes tests/golden/tokenizer: what the `tokenizers` package (0.23.3) does with 10,000 strings.

For each family it trains a small tokenizer in that family's exact configuration and writes
  <family>.json     the tokenizer.json,
  <family>.digests  two CRC-32 per string (of the ids; of both decoded texts), then one per random
                    id sequence (of both decoded texts): little-endian uint32,
  <family>.ids      the ids of the first strings, a line each, so that a failure can be read,
and once for all
  strings.bin       the strings, as records (see StringWriter).

tests/tokenizer/golden_test.cc reads them. Everything follows from SEED and the package's version.
Two families have normalisation rules that the `sentencepiece` package (0.2) compiles.
"""
import argparse
import json
import pathlib
import random
import struct
import sys
import zlib

import tokenizers
from tokenizers import Tokenizer

from tokenizer_families import SAMPLES, encoder_families, families, finish

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEED = 20240607
NUM_STRINGS = 10_000
NUM_READABLE = 200  # strings whose ids are stored in full
NUM_ID_SEQUENCES = 1_000

EMOJI = ["👩‍👩‍👧‍👦", "👍🏽", "🇩🇪🇯🇵", "❤️", "😀", "🏴\U000E0067\U000E0062\U000E007F"]


# --- The strings ----------------------------------------------------------------------------------

class StringWriter:
    """A string is a list of parts: ("text", bytes, times) or ("range", first, last, before, after),
    the latter each code point from first to last with `before` and `after` around it.

    strings.bin: per string a byte with the number of parts; per part a byte, 0 or 1, then uint32
    times, uint32 size and the bytes; or uint32 first, uint32 last and twice uint32 size and bytes.
    """

    def __init__(self):
        self.out = bytearray()
        self.strings = []

    def add(self, *parts):
        value = bytearray()
        self.out.append(len(parts))
        for part in parts:
            if part[0] == "text":
                _, text, times = part
                self.out += struct.pack("<BII", 0, times, len(text)) + text
                value += text * times
            else:
                _, first, last, before, after = part
                self.out += struct.pack("<BII", 1, first, last)
                self.out += struct.pack("<I", len(before)) + before
                self.out += struct.pack("<I", len(after)) + after
                for c in range(first, last + 1):
                    if not 0xD800 <= c < 0xE000:
                        value += before + chr(c).encode() + after
        self.strings.append(bytes(value))

    def text(self, text, times=1):
        self.add(("text", text if isinstance(text, bytes) else text.encode(), times))


def random_code_point(rng):
    kind = rng.random()
    if kind < 0.35:
        return chr(rng.randrange(0x20, 0x7F))
    if kind < 0.55:
        return chr(rng.randrange(0x80, 0x600))
    if kind < 0.65:
        return chr(rng.randrange(0x300, 0x370))
    if kind < 0.70:
        return chr(rng.choice([0x1100, 0x1161, 0x11A8, 0xAC00]) + rng.randrange(0, 19))
    if kind < 0.75:
        return rng.choice("\n\r\t\v\f\u0085\u00a0\u1680\u180e\u2003\u2028\u2029\u200b\u200d\u3000\ufeff\0")
    if kind < 0.88:
        c = rng.randrange(0x600, 0xFFFF)
        return chr(c) if not 0xD800 <= c < 0xE000 else "\ufffd"
    return chr(rng.randrange(0x10000, 0x110000 if kind > 0.96 else 0x20000))


def make_strings(literals):
    rng = random.Random(SEED)
    prose = (ROOT / "models/fairytale/heldout.txt").read_text()
    samples = [line for line in SAMPLES.split("\n") if line]
    blanks = [" ", "  ", "\n", "\n\n", "\r\n", "\t", "\u3000", "\u00a0", "\r", " \n", "\u2028"]
    bits = ["a", "Hello", "1", "23", "456", "x", "é", "e\u0301", "中", "▁", "Ġ", "'s", "'LL", "...", "!?"]

    def pick(choices, most):
        return "".join(rng.choice(choices) for _ in range(rng.randrange(1, most)))

    def invalid():
        good = bytearray(rng.choice(samples + EMOJI).encode()[:60])
        for _ in range(rng.randrange(1, 8)):
            at = rng.randrange(len(good) + 1)
            good[at:at + rng.randrange(3)] = rng.choice(
                [b"\x80", b"\xC0\xAF", b"\xE2\x96", b"\xF0\x9F\x98", b"\xED\xA0\x80", b"\xF4\x90\x80\x80",
                 b"\xFF", b"\xC3", b"\xE0\x80", bytes([rng.randrange(256)])])
        return bytes(good)

    kinds = [
        lambda: rng.choice(samples),
        lambda: (lambda at: prose[at:at + rng.randrange(1, 200)])(rng.randrange(len(prose) - 200)),
        lambda: "".join(random_code_point(rng) for _ in range(rng.randrange(1, 40))),
        lambda: pick(blanks + bits, 40),
        lambda: pick(literals + [" ", "  ", "a", "\n", "1", "word", "<", "é"], 12),
        lambda: pick(list("0123456789") + [" ", ".", ",", "-", "٣", "²", "½", "Ⅳ"], 40),
        lambda: rng.choice("aeiouAnsw가か\u0915\u05D0") + "".join(
            chr(rng.choice([0x300, 0x316, 0x334, 0x345, 0x5B0, 0x64B, 0x93C, 0x94D, 0x3099, 0x309A, 0x1DCE]))
            for _ in range(rng.randrange(1, 30))),
        lambda: pick(EMOJI + [" ", "a"], 10),
        invalid,
        lambda: pick(["'", "s", "T", "re", "VE", "m", "ll", "D", "ſ", "\u212a", "’", " "], 20),
    ]

    writer = StringWriter()
    writer.text("")
    while len(writer.strings) < NUM_READABLE:
        writer.text(kinds[len(writer.strings) % len(kinds)]())
    # Long runs and 100 KB words.
    for unit in [" ", "\n", "\t", "\r\n", " \n", "a", "ab", "é", "中", "e\u0301", "\u0301\u0316", "1", "!",
                 "▁", "Ġ", "\U0001F600", "'s", "\u3000", "\t\t ", "aA", "の", "x1"]:
        for times in [3, 50, 1000]:
            for end in ["", "x", " 1", "\n"]:
                writer.add(("text", unit.encode(), times), ("text", end.encode(), 1))
    for unit in ["a", "abc", "é", "한", "0", " ", "\n", "supercalifragilistic"]:
        size = len(unit.encode())
        writer.add(("text", unit.encode(), 100_000 // size), ("text", b"!", 1))
    # Every code point: those of the first planes in many surroundings.
    for before, after in [("", ""), (" ", ""), ("x'", ""), ("a", "\u0301\u0316"), ("1\u0345", "."), ("\n", " ")]:
        for first in range(0, 0x20000, 256):
            writer.add(("range", first, first + 255, before.encode(), after.encode()))
    for first in range(0x20000, 0x110000, 4096):
        writer.add(("range", first, first + 4095, b"", b""))
    while len(writer.strings) < NUM_STRINGS:
        writer.text(rng.choice(kinds)())
    assert len(writer.strings) == NUM_STRINGS
    return writer


# --- The results ----------------------------------------------------------------------------------

def decoded_digest(tokenizer, ids):
    with_specials = tokenizer.decode(ids, skip_special_tokens=False).encode()
    return zlib.crc32(tokenizer.decode(ids, skip_special_tokens=True).encode(),
                      zlib.crc32(with_specials))


def random_ids(index, vocab_size):
    """Ids of a linear congruential generator; a few of them have no token."""
    state = index + 1
    ids = []
    for _ in range(index % 40 + 1):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        ids.append((state >> 33) % (vocab_size + 3))
    return ids


def check_law(name, tokenizer, strings, out):
    digests = bytearray()
    readable = []
    for index, value in enumerate(strings):
        text = value.decode("utf-8", "replace")
        ids = tokenizer.encode(text, add_special_tokens=index % 2 == 0).ids
        packed = struct.pack(f"<{len(ids)}I", *ids)
        digests += struct.pack("<II", zlib.crc32(packed), decoded_digest(tokenizer, ids))
        if index < NUM_READABLE:
            readable.append(" ".join(map(str, ids)))
    vocab_size = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    for index in range(NUM_ID_SEQUENCES):
        digests += struct.pack("<I", decoded_digest(tokenizer, random_ids(index, vocab_size)))
    (out / f"{name}.digests").write_bytes(digests)
    (out / f"{name}.ids").write_text("\n".join(readable) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "tests/golden/tokenizer")
    args = parser.parse_args()
    if tokenizers.__version__ != "0.23.3":
        print(f"made with tokenizers {tokenizers.__version__}; the tree's set is of 0.23.3", file=sys.stderr)
    args.out.mkdir(parents=True, exist_ok=True)
    text = (ROOT / "models/fairytale/heldout.txt").read_text().split("\n\n") + 20 * SAMPLES.split("\n")

    made = {}
    for name, family in families(text):
        made[name] = finish(family)
        (args.out / f"{name}.json").write_text(made[name])
    literals = sorted({t["content"] for spec in made.values() for t in json.loads(spec)["added_tokens"]})
    writer = make_strings(literals)
    (args.out / "strings.bin").write_bytes(writer.out)
    for name, spec in encoder_families(text, args.out):
        made[name] = spec
        (args.out / f"{name}.json").write_text(spec)
    for name in made:
        check_law(name, Tokenizer.from_file(str(args.out / f"{name}.json")), writer.strings, args.out)
        print(name, flush=True)


if __name__ == "__main__":
    main()
