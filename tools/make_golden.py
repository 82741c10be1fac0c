#!/usr/bin/env python3
"""Makes the tiny checkpoints in tests/golden/models and what `transformers` computes on them.

Each is a random model of one architecture whose config.json and weights exercise what a real
checkpoint of that family does (both generations of config keys, stored types, shards, windows,
biases, rotary scaling). golden.json holds, computed in float32: for a few prompts the log-softmax
at the last position (20 likeliest), the log-probability of each prompt token, and 32 greedy tokens
with the likeliest 5 at each step. Needs torch, transformers and safetensors; the tests need none.

  tools/make_golden.py [NAME ...]      all of them, or some
"""
import json
import pathlib
import shutil
import sys

import torch
import transformers
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "models"
SMALL = dict(vocab_size=320, hidden_size=64, intermediate_size=96, num_hidden_layers=3,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
             rms_norm_eps=1e-5, pad_token_id=None, bos_token_id=1, eos_token_id=2)

# One layer kind, all kinds of rotary scaling, as (keys as of transformers 4, what they say); the prompts and what follows
# them reach past the original context.
TINY = dict(SMALL, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
            tie_word_embeddings=True)
DIVISORS = dict(short_factor=[1 + 0.1 * i for i in range(8)], long_factor=[1 + i * i / 2 for i in range(8)])
ROPES = {
    "llama_yarn": (True, dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=64)),
    "llama_yarn_mscale": (False, dict(rope_type="yarn", rope_theta=1000000.0, factor=8.0, beta_fast=16.0, beta_slow=2.0,
                                      mscale=1.0, mscale_all_dim=0.8, truncate=False,
                                      original_max_position_embeddings=32)),
    "llama_longrope": (False, dict(rope_type="longrope", rope_theta=10000.0, factor=4.0,
                                   original_max_position_embeddings=40, **DIVISORS)),
    "llama_dynamic": (True, dict(rope_type="dynamic", rope_theta=10000.0, factor=2.0)),  # of DYNAMIC_CONTEXT
}
DYNAMIC_CONTEXT = 64

# name -> (class of config, its arguments, stored dtype, shards, keys to write as transformers 4 did)
MODELS = {
    "llama2": ("LlamaConfig", dict(SMALL, num_key_value_heads=4, rms_norm_eps=1e-5), "float16", 1, True),
    "llama3": ("LlamaConfig", dict(SMALL, tie_word_embeddings=True, attention_bias=True, mlp_bias=True,
                                   rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=8.0,
                                                        low_freq_factor=1.0, high_freq_factor=4.0,
                                                        original_max_position_embeddings=64)),
               "bfloat16", 1, False),
    "llama_linear": ("LlamaConfig", dict(SMALL, rope_parameters=dict(rope_type="linear", rope_theta=10000.0,
                                                                    factor=4.0)), "float32", 1, True),
    "qwen2": ("Qwen2Config", dict(SMALL, tie_word_embeddings=True, use_sliding_window=True, sliding_window=20,
                                  max_window_layers=1), "bfloat16", 3, True),
    "qwen3": ("Qwen3Config", dict(SMALL, head_dim=24, num_attention_heads=6), "bfloat16", 1, False),
    "mistral": ("MistralConfig", dict(SMALL, head_dim=32, sliding_window=20), "bfloat16", 2, False),
}

MODELS.update({name: ("LlamaConfig", dict(TINY, rope_parameters=rope), "bfloat16", 1, old)
               for name, (old, rope) in ROPES.items()})
MODELS["llama_dynamic"][1]["max_position_embeddings"] = DYNAMIC_CONTEXT


def old_keys(config):
    """Writes the rotary and dtype keys as transformers 4 did."""
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope.get("rope_type") == "default" else rope
    if "dtype" in config:
        config["torch_dtype"] = config.pop("dtype")
    return config


def save(model, folder, dtype, shards, old):
    folder.mkdir(parents=True)
    config = model.config.to_dict()
    for key in ("_name_or_path", "chunk_size_feed_forward", "is_encoder_decoder", "output_attentions",
                "output_hidden_states", "return_dict", "problem_type", "id2label", "label2id"):
        config.pop(key, None)
    config["architectures"] = [type(model).__name__]
    config["dtype"] = dtype
    (folder / "config.json").write_text(json.dumps(old_keys(config) if old else config, indent=1) + "\n")
    tensors = {k: v.to(getattr(torch, dtype)).contiguous() for k, v in model.state_dict().items()
               if not (k == "lm_head.weight" and model.config.tie_word_embeddings)}
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names, weight_map = sorted(tensors), {}
    for i in range(shards):
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name] for name in names[i::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map.update({name: file for name in part})
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def top(logprobs, count):
    values, ids = torch.topk(logprobs, count)
    return {"ids": ids.tolist(), "logprobs": [round(v, 6) for v in values.tolist()]}


def rope_kind(model):
    rope = getattr(model.config, "rope_parameters", None) or {}
    return rope.get("rope_type", "default")


def continue_greedily(model, ids, count):
    """The likeliest `count` tokens after `ids`, and the log-softmax that each is drawn from. Frequencies
    that depend on the length follow our rule: dynamic NTK's are those of the prompt, longrope's those of
    the whole text at each step."""
    text, cache = list(ids), None
    if rope_kind(model) == "longrope":
        rows = []
        for _ in range(count):
            rows.append(torch.log_softmax(model(torch.tensor([text]), use_cache=False).logits[0, -1].double(), -1))
            text.append(int(rows[-1].argmax()))
        return text[len(ids):], rows
    for _ in range(count):
        fresh = text if cache is None else text[-1:]
        out = model(torch.tensor([fresh]), past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        text.append(int(out.logits[0, -1].argmax()))
    # All at once, without the cache.
    scores = torch.log_softmax(model(torch.tensor([text[:-1]]), use_cache=False).logits[0].double(), -1)
    rows = list(scores[len(ids) - 1:])
    assert [int(row.argmax()) for row in rows] == text[len(ids):], "the cache changes what is likeliest"
    return text[len(ids):], rows


@torch.no_grad()
def golden(model, seed):
    generator = torch.Generator().manual_seed(seed)
    prompts = []
    for length in (1, 17, 90):
        ids = torch.randint(3, model.config.vocab_size, (length,), generator=generator).tolist()
        scores = torch.log_softmax(model(torch.tensor([ids]), use_cache=False).logits[0].double(), -1)
        if dynamic := rope_kind(model) == "dynamic":
            model.model.rotary_emb.rope_type = "default"  # the prompt's frequencies stay
        greedy, rows = continue_greedily(model, ids, 32)
        if dynamic:
            model.model.rotary_emb.rope_type = "dynamic"
        best = [top(row, 5) for row in rows]
        prompts.append({"ids": ids, "last_top20": top(scores[-1], 20),
                        "prompt_logprobs": [round(scores[i, ids[i + 1]].item(), 6) for i in range(length - 1)],
                        "greedy_ids": greedy,
                        "greedy_gaps": [round(step["logprobs"][0] - step["logprobs"][1], 6) for step in best],
                        "greedy_top5": best})
    return prompts


def make(name):
    config_class, arguments, dtype, shards, old = MODELS[name]
    config = getattr(transformers, config_class)(**arguments)
    for seed in range(1, 200):
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
        with torch.no_grad():
            for key, value in model.named_parameters():
                scale = 1.0 if "norm" in key else 0.0
                value.copy_(scale + torch.randn_like(value) * (0.3 if "norm" in key or "bias" in key else 0.18))
            # Compute from what the file will hold.
            for value in model.parameters():
                value.copy_(value.to(getattr(torch, dtype)).float())
        model = model.float().eval()
        prompts = golden(model, seed)
        if min(gap for prompt in prompts for gap in prompt["greedy_gaps"]) > 0.003:
            break  # no near-ties: a strict comparison is fair
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    save(model, folder, dtype, shards, old)
    about = f"float32 on the stored weights; transformers {transformers.__version__}, seed {seed}"
    (folder / "golden.json").write_text(json.dumps({"how": about, "prompts": prompts}) + "\n")
    print(name, "seed", seed, sum(f.stat().st_size for f in folder.iterdir()) // 1024, "KiB")


torch.set_num_threads(1)
for wanted in sys.argv[1:] or MODELS:
    make(wanted)
