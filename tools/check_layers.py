#!/usr/bin/env python3
"""Holds the layers of docs/architecture.md: who may include whom, and where outside headers may go.

Prints each breach as file:line and exits 1 if there is one. Run from anywhere.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# folder -> folders that it may include (itself always). Nothing points up.
EDGES = {
    "core": set(),
    "kvcache": {"core"},
    "ops": {"core"},
    "attention": {"core", "kvcache"},
    "scheduler": {"core", "kvcache"},
    "model": {"core", "kvcache", "ops", "attention"},
    "tokenizer": {"core"},
    "jinja": {"core"},
    "engine": {"core", "kvcache", "ops", "attention", "scheduler", "model"},
    # Of scheduler and model, the nouns that the engine's face is made of.
    "proto": {"quire"},
    "server": {"core", "scheduler", "model", "engine", "tokenizer", "jinja", "proto", "quire"},
    "client": {"proto", "quire"},
}
# The host half of the cache and the scheduler know counts and ids: no tensor, no device.
HOST_ONLY = re.compile(
    r"^(scheduler/.*|kvcache/(block_hash|block_pool|block_table|prefix_index|kv_manager)\.(h|cc))$")
HOST_ONLY_MAY_NOT = {"core/device_memory.h", "kvcache/kv_layout.h", "kvcache/kv_storage.h"}
# Kernels compiled once per instruction set may include nothing with inline code of its own, or the
# linker might keep a copy that needs a newer CPU.
ISA_SOURCE = re.compile(r"(^|/)(kernels/|core/cpu/simd/)")
ISA_MAY_STD = {"cstddef", "cstdint", "immintrin.h"}
# The source of a CUDA kernel: compiled for the device and for the host (core/cuda/emulation), so it
# knows the primitives alone.
KERNEL_SOURCE = re.compile(r"^(?!core/).*/cuda/.*\.cuh$")
KERNEL_MAY = re.compile(r"^(core/cuda/primitives/.*|core/cuda/launch_shape\.h|core/(number_types|device_matrix)\.h"
                        r"|core/ceil_div\.h|kvcache/kv_layout\.h|ops/op_kinds\.h|[a-z]+/cuda/.*)$")
KERNEL_MAY_STD = {"bit", "cstddef", "cstdint", "type_traits"}
PRIMITIVES = "core/cuda/primitives/"
EMULATION = "core/cuda/emulation/"
QUEUE_LAUNCHER = "core/cuda/queue_launcher.cuh"  # the device's or the emulation's
DEVICE_ASSEMBLY = re.compile(r"\basm\b")
DEVICE_WORD = re.compile(r"(?<!\.)\b(__global__|__device__|__shared__|__launch_bounds__|__CUDA\w+|threadIdx"
                         r"|blockIdx|blockDim|gridDim|__sync\w+|__shfl\w+|__ballot\w*|__ldg|atomic[A-Z]\w+)\b")

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')
DEVICE_HEADER = re.compile(r"^(cuda|cublas|cudnn|cub/|cutlass)")
RPC_HEADER = re.compile(r"^(grpc|grpcpp|google/protobuf)/|\.pb\.h$")
BACKEND_CHOICE = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif).*QUIRE_WITH_CUDA")


def breaches(path, text):
    rel = path.relative_to(ROOT).as_posix()
    folder = rel.split("/", 1)[0]
    is_cuda = rel.endswith((".cu", ".cuh")) or "/cuda/" in rel
    is_emulated = KERNEL_SOURCE.match(rel) or rel.startswith(EMULATION)
    for number, line in enumerate(text.splitlines(), 1):
        if BACKEND_CHOICE.match(line) and rel != "engine/make_backend.cc":
            yield number, "the backend is chosen in engine/make_backend.cc alone"
        if "getenv(" in line and folder in EDGES and folder not in ("server", "client"):
            yield number, "the environment is read by the programs' flags alone"
        code = line.split("//", 1)[0]
        if is_cuda and not rel.startswith(PRIMITIVES):
            if DEVICE_ASSEMBLY.search(code):
                yield number, f"PTX belongs in {PRIMITIVES}"
            if DEVICE_WORD.search(code):
                yield number, f"CUDA's own words belong in {PRIMITIVES}"
        match = INCLUDE.match(line)
        if not match:
            continue
        quoted, name = match.group(1) == '"', match.group(2)
        target = name.split("/", 1)[0]
        if quoted and target in EDGES.keys() | {"quire"}:
            if folder in EDGES and target != folder and target not in EDGES[folder]:
                yield number, f"{folder} may not include {target} ({name})"
        if RPC_HEADER.search(name) and folder in EDGES and folder not in ("proto", "server", "client"):
            yield number, f"gRPC and protobuf stop at server and client ({name})"
        if DEVICE_HEADER.match(name) and not is_cuda:
            yield number, f"device headers belong in */cuda/ ({name})"
        if DEVICE_HEADER.match(name) and is_emulated:
            yield number, f"what runs on the host too includes no device header ({name})"
        if name.endswith(".cuh") and not (
                rel.endswith((".cu", ".cuh")) or rel.startswith(("tests/", EMULATION))):
            yield number, f"a kernel's source is for *.cu, *.cuh and tests ({name})"
        if name.startswith(EMULATION) and rel != QUEUE_LAUNCHER and not rel.startswith(
                ("tests/", EMULATION, PRIMITIVES)):
            yield number, f"the emulation is for tests ({name})"
        if KERNEL_SOURCE.match(rel):
            if not (KERNEL_MAY.match(name) if quoted else name in KERNEL_MAY_STD):
                yield number, f"a kernel's source includes the primitives alone ({name})"
        if HOST_ONLY.match(rel) and name in HOST_ONLY_MAY_NOT:
            yield number, f"host-only code includes no tensor or device header ({name})"
        if ISA_SOURCE.search(rel) and folder in EDGES:
            if not quoted and name not in ISA_MAY_STD:
                yield number, f"a kernel compiled per instruction set includes only {sorted(ISA_MAY_STD)} ({name})"


def main():
    found = 0
    for path in sorted(ROOT.rglob("*")):
        if path.suffix not in (".h", ".cc", ".cu", ".cuh") or "build" in path.relative_to(ROOT).parts:
            continue
        for number, what in breaches(path, path.read_text()):
            print(f"{path.relative_to(ROOT)}:{number}: {what}")
            found += 1
    print(f"check_layers: {found} breaches" if found else "check_layers: the layers hold")
    return 1 if found else 0


sys.exit(main())
