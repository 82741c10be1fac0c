#!/usr/bin/env python3
"""Makes tests/golden/rope.json: what `transformers` computes from the rotary keys of config.json.

Each case is a config.json's rotary part as some family's files have it (both generations of keys),
what the family adds where it is silent, and the frequencies, the factor of cos and sin and some
rows of the tables. Needs torch and transformers; the tests need neither.
"""
import json
import pathlib

import torch
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

FILE = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "rope.json"
HEADS = dict(hidden_size=128, num_attention_heads=4, max_position_embeddings=4096)  # D = 32
LONG = dict(short_factor=[1.0 + 0.05 * i for i in range(12)], long_factor=[1.0 + i * i * 0.4 for i in range(12)])
KINDS = ("full_attention", "sliding_attention")
LAYERS = dict(num_hidden_layers=2, layer_types=list(KINDS))
GEMMA = dict(theta=1e6), dict(theta=1e4, theta_key="rope_local_base_freq", takes_common_scaling=False)
BERT = dict(theta=160000.0, theta_key="global_rope_theta"), dict(theta=1e4, theta_key="local_rope_theta")
OLMO = dict(theta=5e5), dict(theta=5e5, takes_common_scaling=False)


def yarn(**more):
    return dict(rope_type="yarn", original_max_position_embeddings=1024, **more)


# name: (model_type, keys, defaults of each kind of layers that differs, lengths of sequences)
CASES = {
    "default": ("llama", dict(rope_theta=500000.0), [{}], [1]),
    "linear": ("llama", dict(rope_scaling=dict(type="linear", factor=4.0)), [{}], [1]),
    "llama3": ("llama", dict(rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
                                                  high_freq_factor=4.0, original_max_position_embeddings=1024)), [{}], [1]),
    "dynamic": ("llama", dict(rope_theta=10000.0, rope_scaling=dict(type="dynamic", factor=2.0)), [{}], [1, 4096, 4097, 20000]),
    "dynamic_v5": ("llama", dict(rope_parameters=dict(rope_type="dynamic", rope_theta=5e5, factor=1.0)), [{}], [9000]),
    "ntk": ("llama", dict(rope_parameters=dict(rope_type="ntk", rope_theta=10000.0, factor=8.0)), [{}], [1]),
    "yarn": ("qwen2", dict(rope_theta=1e6, rope_scaling=dict(type="yarn", factor=4.0, original_max_position_embeddings=1024)), [{}], [1]),
    "yarn_bounds": ("qwen3", dict(head_dim=64, rope_parameters=yarn(rope_theta=1e6, factor=8.0, beta_fast=16.0, beta_slow=2.0,
                                                                  truncate=False)), [{}], [1]),
    "yarn_attention_factor": ("qwen3", dict(head_dim=64, rope_parameters=yarn(rope_theta=1e6, factor=8.0, attention_factor=0.9)), [{}], [1]),
    "yarn_ratio": ("llama", dict(rope_parameters=yarn(rope_theta=1e4, factor=None)), [{}], [1]),
    "deepseek_v2": ("deepseek_v2", dict(qk_rope_head_dim=64, rope_theta=10000, rope_scaling=dict(
        type="yarn", factor=40, beta_fast=32, beta_slow=1, mscale=0.707, mscale_all_dim=0.707,
        original_max_position_embeddings=1024)), [{}], [1]),
    "deepseek_v3": ("deepseek_v3", dict(qk_rope_head_dim=64, rope_theta=10000, rope_scaling=dict(
        type="yarn", factor=40, beta_fast=32, beta_slow=1, mscale=1.0, mscale_all_dim=0.8,
        original_max_position_embeddings=1024)), [{}], [1]),
    "phi3": ("phi3", dict(original_max_position_embeddings=1024, partial_rotary_factor=0.75, rope_theta=10000.0,
                          rope_scaling=dict(type="longrope", **LONG)), [{}], [1, 1024, 1025]),
    "longrope": ("llama", dict(rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.75, factor=2.5,
                                                   original_max_position_embeddings=1024, **LONG)), [{}], [1, 2000]),
    "gemma3": ("gemma3_text", dict(LAYERS, head_dim=64, rope_theta=1000000.0, rope_local_base_freq=10000.0,
                                   rope_scaling=dict(rope_type="linear", factor=8.0)), GEMMA, [1]),
    "gemma3_silent": ("gemma3_text", dict(LAYERS, head_dim=64), GEMMA, [1]),
    "gemma3_v5": ("gemma3_text", dict(LAYERS, head_dim=64, rope_parameters=dict(
        full_attention=dict(rope_type="linear", factor=8.0, rope_theta=2e6),
        sliding_attention=dict(rope_type="default", rope_theta=20000.0))), GEMMA, [1]),
    "gemma4": ("gemma4_text", dict(num_hidden_layers=2, layer_types=list(KINDS[::-1]), head_dim=64, global_head_dim=64,
                                   rope_parameters=dict(
        full_attention=dict(rope_type="proportional", partial_rotary_factor=0.25, rope_theta=1e6),
        sliding_attention=dict(rope_type="default", rope_theta=10000.0))), [{}, {}], [1]),
    "modernbert": ("modernbert-decoder", dict(LAYERS, global_rope_theta=80000.0, local_rope_theta=20000.0), BERT, [1]),
    "olmo3": ("olmo3", dict(LAYERS, rope_theta=500000, rope_scaling=yarn(factor=4.0, beta_fast=32, beta_slow=1)), OLMO, [1]),
    "gpt_oss": ("gpt_oss", dict(head_dim=64, rope_theta=150000, rope_scaling=yarn(factor=32.0, truncate=False)), [{}], [1]),
    "gpt_neox": ("gpt_neox", dict(rotary_pct=0.5, rotary_emb_base=20000), [dict(
        rotated_part=0.25, theta_key="rotary_emb_base", part_key="rotary_pct")], [1]),
    "stablelm": ("stablelm", {}, [dict(rotated_part=0.25)], [1]),
    "glm4": ("glm4", dict(head_dim=64, partial_rotary_factor=0.5), [{}], [1]),
    "minimax_m2": ("minimax_m2", dict(head_dim=64, rotary_dim=48, rope_theta=5000000), [dict(theta=5e6)], [1]),
}


def frequencies(config, kind, length):
    """What transformers computes for the layers of one kind and a sequence of `length` tokens."""
    nested = kind in config.rope_parameters
    rope = config.rope_parameters[kind] if nested else config.rope_parameters
    if rope["rope_type"] in ROPE_INIT_FUNCTIONS:
        return ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, None, seq_len=length, layer_type=kind if nested else None)
    part = rope.get("partial_rotary_factor", 1.0)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    dim, theta = int(head_dim * part), rope["rope_theta"]
    if rope["rope_type"] == "ntk":  # ours alone
        theta = theta * rope["factor"] ** (dim / (dim - 2))
    else:
        assert rope["rope_type"] == "default"
    return 1.0 / (theta ** (torch.arange(0, dim, 2).float() / dim)), 1.0


def numbers(tensor):
    return [float(f"{value:.9g}") for value in tensor.tolist()]


def case(name, model_type, keys, defaults, kind, length):
    keys = dict(HEADS, **keys)
    config = transformers.CONFIG_MAPPING[model_type](**json.loads(json.dumps(keys)))
    inverse, factor = frequencies(config, kind, length)
    softmax = 1.0
    if model_type.startswith("deepseek"):
        from transformers.models.deepseek_v3.modeling_deepseek_v3 import yarn_apply_mscale
        softmax = yarn_apply_mscale(config.rope_parameters, 1.0)
    angles = [position * inverse for position in (1, 1030, 50000)]
    head_dim = keys.get("head_dim", config.hidden_size // config.num_attention_heads)
    return dict(name=name, config=keys, layer_kind=kind, length=length, defaults=dict(defaults, head_dim=head_dim),
                inverse_frequencies=numbers(inverse), attention_factor=factor, softmax_scale_factor=softmax,
                rows=[dict(position=p, cos=numbers(a.cos() * factor), sin=numbers(a.sin() * factor))
                      for p, a in zip((1, 1030, 50000), angles)])


torch.set_num_threads(1)
cases = [case(name, model, keys, own, kind, length) for name, (model, keys, defaults, lengths) in CASES.items()
         for kind, own in zip(KINDS, defaults) for length in lengths]
lines = ",\n".join(json.dumps(entry) for entry in cases)
FILE.write_text(f'{{"how": "transformers {transformers.__version__}", "cases": [\n{lines}\n]}}\n')
print(len(cases), "cases,", FILE.stat().st_size // 1024, "KiB")
