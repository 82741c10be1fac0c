#!/usr/bin/env python3
"""Times the tokenizer beside the Python package `tokenizers`: same text, same machine, one thread.

Runs build/release/bench/tokenizer/tokenizer_bench, then the package, and prints a line per
tokenizer.json: those of tests/golden/tokenizer and any given as arguments.
"""
import argparse
import json
import os
import pathlib
import subprocess
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

from tokenizers import Tokenizer  # noqa: E402  (it reads the environment)

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXT_BYTES = 16 * 1024  # kTextBytes of the benchmark


def best_seconds(run, seconds=0.5):
    """The best of the runs that fit into `seconds`."""
    run()
    best = float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def time_package(path, text):
    """(encode MB/s, decode million tokens/s). encode_batch_fast of one text leaves out the offsets."""
    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = tokenizer.encode(text).ids
    encode = best_seconds(lambda: tokenizer.encode_batch_fast([text]))
    decode = best_seconds(lambda: tokenizer.decode(ids, skip_special_tokens=False))
    return len(text.encode()) / encode / 1e6, len(ids) / decode / 1e6


def time_quire(binary, paths):
    """{name: (encode MB/s, decode million tokens/s)}, the best of five repetitions."""
    command = [binary, "--benchmark_format=json", "--benchmark_repetitions=5",
               "--benchmark_min_time=0.1", "--benchmark_filter=^(encode|decode)/", *paths]
    out = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    best = {}
    for run in out["benchmarks"]:
        if run["run_type"] != "iteration":
            continue
        encode, decode = best.get(run["label"], (0, 0))
        best[run["label"]] = (max(encode, run.get("bytes_per_second", 0) / 1e6),
                              max(decode, run.get("items_per_second", 0) / 1e6))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("files", nargs="*", help="further tokenizer.json files")
    args = parser.parse_args()

    rates = time_quire(args.build / "bench/tokenizer/tokenizer_bench", args.files)
    text = (ROOT / "models/fairytale/heldout.txt").read_bytes()[:TEXT_BYTES].decode("utf-8", "replace")
    print(f"{'':24} {'encode MB/s':^24}   {'decode million tokens/s':^24}")
    columns = f"{'quire':>8} {'package':>8} {'ratio':>6}"
    print(f"{'':24} {columns}   {columns}")
    for name, quire in rates.items():
        path = name if name in args.files else ROOT / f"tests/golden/tokenizer/{name}.json"
        package = time_package(str(path), text)
        cells = [f"{ours:8.1f} {theirs:8.2f} {ours / theirs:6.1f}"
                 for ours, theirs in zip(quire, package)]
        print(f"{name[-24:]:24} {'   '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
