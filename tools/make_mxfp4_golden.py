#!/usr/bin/env python3
"""Makes tests/golden/mxfp4.json: experts in MXFP4 and what `transformers` makes of them in bfloat16.

Every byte occurs, and the scales reach from the least to the greatest. Needs torch and transformers;
the tests need neither.
"""
import json
import pathlib

import torch
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

EXPERTS, ROWS, BLOCKS = 2, 10, 3  # blocks of 32 numbers along the input features
OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "mxfp4.json"

torch.manual_seed(1)
blocks = torch.arange(EXPERTS * ROWS * BLOCKS * 16) % 256
blocks = blocks[torch.randperm(len(blocks))].to(torch.uint8).reshape(EXPERTS, ROWS, BLOCKS, 16)
scales = torch.randint(100, 150, (EXPERTS, ROWS, BLOCKS))
scales.view(-1)[:10] = torch.tensor([0, 1, 2, 3, 127, 250, 251, 252, 253, 254])
numbers = convert_moe_packed_tensors(blocks, scales.to(torch.uint8), dtype=torch.bfloat16)
assert numbers.shape == (EXPERTS, BLOCKS * 32, ROWS)
OUT.write_text(json.dumps({
    "experts": EXPERTS, "rows": ROWS, "in_features": BLOCKS * 32,
    "blocks": blocks.flatten().tolist(),
    "scales": scales.flatten().tolist(),
    # [experts, in_features, rows]
    "bfloat16_bits": (numbers.view(torch.int16).to(torch.int32) & 0xffff).flatten().tolist(),
}, separators=(",", ":")) + "\n")
