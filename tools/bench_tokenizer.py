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
    """Best of five repetitions: {"encode/gpt2": {...}}."""
    command = [binary, "--benchmark_format=json", "--benchmark_repetitions=5",
               "--benchmark_min_time=0.1", "--benchmark_filter=^(encode|decode)/", *paths]
    out = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    best = {}
    for run in out["benchmarks"]:
        if run["run_type"] != "iteration":
            continue
        rate = run.get("bytes_per_second", run.get("items_per_second")) / 1e6
        best[run["run_name"]] = max(best.get(run["run_name"], 0), rate)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("files", nargs="*", help="further tokenizer.json files")
    args = parser.parse_args()

    rates = time_quire(args.build / "bench/tokenizer/tokenizer_bench", args.files)
    text = (ROOT / "models/fairytale/heldout.txt").read_bytes()[:TEXT_BYTES].decode("utf-8", "replace")
    print(f"{'':12} {'encode MB/s':^24}   {'decode million tokens/s':^24}")
    print(f"{'':12} {'quire':>8} {'package':>8} {'ratio':>6}   {'quire':>8} {'package':>8} {'ratio':>6}")
    for name in sorted(n.split("/", 1)[1] for n in rates if n.startswith("encode/")):
        path = name if name in args.files else str(ROOT / f"tests/golden/tokenizer/{name}.json")
        encode, decode = time_package(path, text)
        label = pathlib.Path(name).parent.name + "/" + pathlib.Path(name).name if "/" in name else name
        print(f"{label[-12:]:12} {rates['encode/' + name]:8.1f} {encode:8.2f} "
              f"{rates['encode/' + name] / encode:6.1f}   {rates['decode/' + name]:8.1f} "
              f"{decode:8.2f} {rates['decode/' + name] / decode:6.1f}", flush=True)


if __name__ == "__main__":
    main()
