#!/usr/bin/env python3
"""Makes the tiny checkpoints in tests/golden/models and what `transformers` computes on them.

Each is a random model of one architecture whose config.json and weights exercise what a real
checkpoint of that family does (both generations of config keys, stored types, shards, windows,
biases, rotary scaling). golden.json holds, computed in float32: for a few prompts the log-softmax
at the last position (20 likeliest), the log-probability of each prompt token, and 32 greedy tokens
with the likeliest 5 at each step. Needs torch, transformers and safetensors; the tests need none.

  tools/make_golden.py [NAME ...]      all of them, or some
"""
import inspect
import json
import pathlib
import shutil
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "models"
SMALL = dict(vocab_size=320, hidden_size=64, intermediate_size=96, num_hidden_layers=3,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
             rms_norm_eps=1e-5, pad_token_id=None, bos_token_id=1, eos_token_id=2)
TINY = dict(SMALL, vocab_size=160, hidden_size=32, intermediate_size=48, head_dim=16)
MOE = dict(TINY, num_experts_per_tok=2, moe_intermediate_size=16)
MLA = dict(TINY, q_lora_rank=24, kv_lora_rank=16, qk_nope_head_dim=12, qk_rope_head_dim=8, v_head_dim=10,
           num_key_value_heads=4, n_routed_experts=8, num_experts_per_tok=3, moe_intermediate_size=16,
           n_shared_experts=2, first_k_dense_replace=1, routed_scaling_factor=1.7)
MLA.pop("head_dim")
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=64)


def without(arguments, *keys):
    return {key: value for key, value in arguments.items() if key not in keys}


# One layer kind, all kinds of rotary scaling, as (keys as of transformers 4, what they say); the prompts and what follows
# them reach past the original context.
ROPE = dict(SMALL, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
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
    "mixtral": ("MixtralConfig", dict(TINY, num_local_experts=4, sliding_window=None), "bfloat16", 1, True),
    "qwen2_moe": ("Qwen2MoeConfig", dict(without(MOE, "head_dim"), num_experts=6, num_experts_per_tok=3,
                                         shared_expert_intermediate_size=24, norm_topk_prob=False,
                                         mlp_only_layers=[1]), "bfloat16", 1, True),
    "qwen3_moe": ("Qwen3MoeConfig", dict(MOE, num_experts=8, norm_topk_prob=True, decoder_sparse_step=1),
                  "bfloat16", 2, False),
    "gemma": ("GemmaConfig", dict(TINY, num_key_value_heads=1, hidden_act="gelu_pytorch_tanh"), "bfloat16", 1, True),
    "gemma2": ("Gemma2Config", dict(TINY, sliding_window=20, query_pre_attn_scalar=24, final_logit_softcapping=5.0,
                                    attn_logit_softcapping=3.0), "bfloat16", 1, True),
    "gemma3": ("Gemma3TextConfig", dict(TINY, sliding_window=20, query_pre_attn_scalar=24, sliding_window_pattern=2,
                                        rope_parameters=dict(
                                            full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e6),
                                            sliding_attention=dict(rope_type="default", rope_theta=1e4))),
               "bfloat16", 1, False),
    "olmo2": ("Olmo2Config", without(TINY, "head_dim"), "float32", 1, True),
    "granite": ("GraniteConfig", dict(without(TINY, "head_dim"), embedding_multiplier=6.0, logits_scaling=2.5,
                                      residual_multiplier=0.4, attention_multiplier=0.2,
                                      tie_word_embeddings=True), "bfloat16", 1, True),
    "granite_moe": ("GraniteMoeConfig", dict(without(TINY, "head_dim"), embedding_multiplier=6.0, logits_scaling=2.5,
                                             residual_multiplier=0.4, attention_multiplier=0.2, num_local_experts=4,
                                             num_experts_per_tok=2, tie_word_embeddings=True), "bfloat16", 1, False),
    "glm4": ("Glm4Config", dict(TINY, attention_bias=True), "bfloat16", 1, True),
    "glm4_moe": ("Glm4MoeConfig", dict(MOE, attention_bias=True, use_qk_norm=True, n_routed_experts=8, n_group=2,
                                       topk_group=1, n_shared_experts=1, first_k_dense_replace=1,
                                       routed_scaling_factor=1.5), "bfloat16", 1, True),
    "stablelm": ("StableLmConfig", dict(without(TINY, "head_dim", "rms_norm_eps"), use_qkv_bias=True,
                                        partial_rotary_factor=0.5), "bfloat16", 1, True),
    "stablelm2": ("StableLmConfig", dict(without(TINY, "head_dim", "rms_norm_eps"), use_parallel_residual=True,
                                         qk_layernorm=True, partial_rotary_factor=0.25), "bfloat16", 1, True),
    "starcoder2": ("Starcoder2Config", dict(without(TINY, "head_dim", "rms_norm_eps"), sliding_window=20, use_bias=True,
                                            tie_word_embeddings=True), "bfloat16", 1, True),
    "gpt2": ("GPT2Config", dict(vocab_size=160, n_embd=32, n_layer=3, n_head=4, n_positions=256, bos_token_id=1,
                                eos_token_id=2), "float32", 1, False),
    "deepseek_v2": ("DeepseekV2Config", dict(MLA, topk_method="group_limited_greedy", n_group=4, topk_group=2,
                                             rope_parameters=dict(YARN, mscale=0.7, mscale_all_dim=0.9)),
                    "bfloat16", 1, True),
    "deepseek_v2_lite": ("DeepseekV2Config", dict(MLA, q_lora_rank=None, topk_method="greedy", n_group=1, topk_group=1),
                         "bfloat16", 1, True),
    "deepseek_v3": ("DeepseekV3Config", dict(MLA, n_group=4, topk_group=2, norm_topk_prob=True,
                                             rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=1.0)),
                    "bfloat16", 2, True),
    "phi3": ("Phi3Config", dict(without(TINY, "head_dim"), sliding_window=20), "bfloat16", 1, True),
    "phi3_longrope": ("Phi3Config", dict(without(TINY, "head_dim"), original_max_position_embeddings=64,
                                         partial_rotary_factor=0.5,
                                         rope_parameters=dict(rope_type="longrope", rope_theta=10000.0,
                                                              partial_rotary_factor=0.5,
                                                              short_factor=[1.0, 1.1], long_factor=[1.5, 4.0])),
                      "bfloat16", 1, False),
    "gpt_oss": ("GptOssConfig", dict(TINY, sliding_window=20, num_local_experts=4, num_experts_per_tok=2,
                                     rope_parameters=dict(YARN, beta_fast=32.0, beta_slow=1.0, truncate=False)),
                "bfloat16", 1, False),
    "gpt_oss_mxfp4": ("GptOssConfig", dict(TINY, intermediate_size=32, sliding_window=20, num_local_experts=4,
                                           num_experts_per_tok=2, rope_parameters=dict(YARN, truncate=False)),
                      "bfloat16", 1, True),
    "gemma3_nested": ("Gemma3TextConfig", dict(TINY, num_hidden_layers=2, sliding_window=20, query_pre_attn_scalar=24,
                                               sliding_window_pattern=2), "bfloat16", 1, True),
    "mistral3_nested": ("MistralConfig", dict(TINY, num_hidden_layers=2), "bfloat16", 1, False),
}
# Quire's own form: keys of config.json beside Llama's.
LATENT = dict(kv_lora_rank=16, qk_nope_head_dim=12, qk_rope_head_dim=8, v_head_dim=10)
OWN = {
    "quire_qk_norm": dict(qk_norm="per_head", qk_norm_weights=False, rope_interleave=True),
    "quire_qk_norm_full": dict(qk_norm="full_width", qk_norm_weights=False),
    "quire_mla": dict(LATENT, rope_per_head=True, rope_interleave=True),
    "quire_mla_low_rank": dict(LATENT, rope_per_head=True, q_lora_rank=24),
}
MODELS.update({name: ("LlamaConfig", dict(TINY, head_dim=keys.get("qk_rope_head_dim", 16), num_hidden_layers=2), "bfloat16",
                      1, False) for name, keys in OWN.items()})
# What wraps a text model: the architecture of the whole, and the prefix of the text part's names.
NESTED = {"gemma3_nested": ("Gemma3ForConditionalGeneration", "gemma3", "language_model."),
          "mistral3_nested": ("Mistral3ForConditionalGeneration", "mistral3", "language_model.")}

MODELS.update({name: ("LlamaConfig", dict(ROPE, rope_parameters=rope), "bfloat16", 1, old)
               for name, (old, rope) in ROPES.items()})
MODELS["llama_dynamic"][1]["max_position_embeddings"] = DYNAMIC_CONTEXT


def turned(x, cos, sin, interleaved):
    """x [B, T, heads, D]; the angles of its dims in cos and sin [B, T, D] are those of half-split pairs."""
    cos, sin = (part[:, :, None, :part.shape[-1] // 2] for part in (cos, sin))
    first, second = (x[..., 0::2], x[..., 1::2]) if interleaved else x.chunk(2, -1)
    first, second = first * cos - second * sin, second * cos + first * sin
    return torch.stack((first, second), -1).flatten(-2) if interleaved else torch.cat((first, second), -1)


class OwnAttention(torch.nn.Module):
    """Attention of QuireForCausalLM, naively: keys and values of all heads are made and kept."""

    def __init__(self, config, layer, keys):
        super().__init__()
        self.layer, self.keys, self.heads = layer, keys, config.num_attention_heads
        linear = lambda n, m: torch.nn.Linear(n, m, bias=False)
        norm = lambda n: transformers.models.llama.modeling_llama.LlamaRMSNorm(n, eps=1e-6)
        hidden, rank = config.hidden_size, keys.get("kv_lora_rank")
        if rank:
            self.dim, self.value_dim = keys["qk_nope_head_dim"] + keys["qk_rope_head_dim"], keys["v_head_dim"]
            if "q_lora_rank" in keys:
                self.q_a_proj = linear(hidden, keys["q_lora_rank"])
                self.q_a_layernorm = norm(keys["q_lora_rank"])
                self.q_b_proj = linear(keys["q_lora_rank"], self.heads * self.dim)
            else:
                self.q_proj = linear(hidden, self.heads * self.dim)
            self.kv_a_proj = linear(hidden, rank)
            self.kv_b_proj = linear(rank, self.heads * (self.dim + self.value_dim))
        else:
            self.dim = self.value_dim = config.head_dim
            self.q_proj = linear(hidden, self.heads * self.dim)
            self.k_proj = linear(hidden, config.num_key_value_heads * self.dim)
            self.v_proj = linear(hidden, config.num_key_value_heads * self.dim)
        self.o_proj = linear(self.heads * self.value_dim, hidden)
        self.eps = config.rms_norm_eps

    def normalised(self, x):
        scale = lambda rows: rows * torch.rsqrt((rows * rows).mean(-1, keepdim=True) + self.eps)
        kind = self.keys.get("qk_norm", "none")
        if kind == "full_width":
            return scale(x.flatten(-2)).reshape(x.shape)
        return scale(x) if kind == "per_head" else x

    def forward(self, hidden_states, position_embeddings, attention_mask=None, past_key_values=None, **named):
        batch, length, _ = hidden_states.shape
        split = lambda rows, dim: rows.reshape(batch, length, -1, dim)
        if "kv_lora_rank" in self.keys:
            low = self.q_a_layernorm(self.q_a_proj(hidden_states)) if "q_lora_rank" in self.keys else None
            q = split(self.q_proj(hidden_states) if low is None else self.q_b_proj(low), self.dim)
            k, v = split(self.kv_b_proj(self.kv_a_proj(hidden_states)), self.dim + self.value_dim).split(
                (self.dim, self.value_dim), -1)
        else:
            q, k, v = (split(proj(hidden_states), self.dim) for proj in (self.q_proj, self.k_proj, self.v_proj))
        q, k = self.normalised(q), self.normalised(k)
        rotated = position_embeddings[0].shape[-1]
        turn = lambda x: torch.cat((turned(x[..., :rotated], *position_embeddings, self.keys.get("rope_interleave", False)),
                                    x[..., rotated:]), -1)
        q, k, v = turn(q).transpose(1, 2), turn(k).transpose(1, 2), v.transpose(1, 2)
        if past_key_values is not None:
            k, v = past_key_values.update(k, v, self.layer)
        k, v = (part.repeat_interleave(self.heads // part.shape[1], 1) for part in (k, v))
        scores = q @ k.transpose(2, 3) / self.dim**0.5
        if attention_mask is not None:
            scores = scores + attention_mask[..., :k.shape[2]]
        out = (torch.softmax(scores, -1) @ v).transpose(1, 2).flatten(2)
        return self.o_proj(out), None


def old_keys(config):
    """Writes the rotary and dtype keys as transformers 4 did."""
    rope = config.pop("rope_parameters", None)
    if rope and "full_attention" in rope:
        config["rope_theta"] = rope["full_attention"].pop("rope_theta")
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    elif rope:
        config["rope_theta"] = rope.pop("rope_theta")
        if "partial_rotary_factor" in rope:
            config["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
    config["rope_scaling"] = None if not rope or rope.get("rope_type") == "default" else rope
    if "dtype" in config:
        config["torch_dtype"] = config.pop("dtype")
    return config


E2M1 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])


def to_mxfp4(value):
    """[X, K, N] -> blocks [X, N, K / 32, 16], scales [X, N, K / 32], and the value that they stand for."""
    rows = value.transpose(1, 2).float()
    groups = rows.reshape(*rows.shape[:2], -1, 32)
    exponent = torch.floor(torch.log2(groups.abs().amax(-1).clamp(min=2.0**-100))) - 2
    scaled = groups / torch.exp2(exponent)[..., None]
    codes = (scaled.abs()[..., None] - E2M1).abs().argmin(-1)
    read = E2M1[codes] * torch.where(scaled < 0, -1.0, 1.0) * torch.exp2(exponent)[..., None]
    codes = codes + 8 * (scaled < 0)
    blocks = (codes[..., 0::2] | codes[..., 1::2] << 4).to(torch.uint8)
    return blocks, (exponent + 127).to(torch.uint8), read.reshape(rows.shape).transpose(1, 2)


def save(name, model, folder, dtype, shards, old):
    with tempfile.TemporaryDirectory() as at:  # with the names of the hub's checkpoints
        model.save_pretrained(at)
        tensors = {}
        for file in pathlib.Path(at).glob("*.safetensors"):
            tensors.update(load_file(file))
    keep = {key for key in tensors if key.endswith("e_score_correction_bias")}
    tensors = {k: v.to(torch.float32 if k in keep else getattr(torch, dtype)).contiguous()
               for k, v in tensors.items()}
    if name == "gpt2":  # as the hub has it: no prefix, and the causal masks among the weights
        tensors = {k.removeprefix("transformer."): v for k, v in tensors.items()}
        tensors["h.0.attn.bias"] = torch.ones(1, 1, 4, 4)
    if name == "gpt_oss_mxfp4":
        for key in [k for k in tensors if k.endswith(("gate_up_proj", "down_proj"))]:
            tensors[key + "_blocks"], tensors[key + "_scales"], _ = to_mxfp4(tensors.pop(key))
    if name in NESTED:
        tensors = {NESTED[name][2] + k: v for k, v in tensors.items()}
        tensors["vision_tower.patch.weight"] = torch.ones(2, 2)
    folder.mkdir(parents=True)
    config = model.config.to_dict()
    for key in ("_name_or_path", "chunk_size_feed_forward", "is_encoder_decoder", "output_attentions",
                "output_hidden_states", "return_dict", "problem_type", "id2label", "label2id"):
        config.pop(key, None)
    config["architectures"] = [type(model).__name__]
    config["dtype"] = dtype
    config = old_keys(config) if old else config
    if name in OWN:
        config.update(OWN[name], architectures=["QuireForCausalLM"], model_type="quire")
    if name == "gpt_oss_mxfp4":
        config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}
    if name in NESTED:
        config = {"architectures": [NESTED[name][0]], "model_type": NESTED[name][1],
                  "eos_token_id": config.pop("eos_token_id"), "text_config": without(config, "architectures"),
                  "vision_config": {"hidden_size": 8}}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
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
    return text[len(ids):], list(scores[len(ids) - 1:])


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
        # Below 0 where the cache's rounding chose another token than the whole text does.
        gaps = [step["logprobs"][0] - step["logprobs"][1] if step["ids"][0] == token else -1.0
                for step, token in zip(best, greedy)]
        prompts.append({"ids": ids, "last_top20": top(scores[-1], 20),
                        "prompt_logprobs": [round(scores[i, ids[i + 1]].item(), 6) for i in range(length - 1)],
                        "greedy_ids": greedy,
                        "greedy_gaps": [round(gap, 6) for gap in gaps],
                        "greedy_top5": best})
    return prompts


def randomise(name, model, dtype):
    with torch.no_grad():
        tensors = list(model.named_parameters()) + [(k, v) for k, v in model.named_buffers()
                                                    if k.endswith("e_score_correction_bias")]
        for key, value in tensors:
            is_norm = "norm" in key or ".ln_" in key
            centre = 1.0 if is_norm and key.endswith("weight") and "gemma" not in name else 0.0
            spread = 0.3 if is_norm or "bias" in key else 1.5 if key.endswith(("sinks", "gate.weight", "router.weight")) else 0.18
            value.copy_(centre + torch.randn_like(value) * spread)
            # Compute from what the file will hold.
            if name == "gpt_oss_mxfp4" and key.endswith(("gate_up_proj", "down_proj")):
                value.copy_(to_mxfp4(value)[2])
            if not key.endswith("e_score_correction_bias"):
                value.copy_(value.to(getattr(torch, dtype)).float())


def make(name):
    config_class, arguments, dtype, shards, old = MODELS[name]
    config = getattr(transformers, config_class)(**arguments)
    for seed in range(1, 200):
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
        if name in OWN:
            for index, layer in enumerate(model.model.layers):
                layer.self_attn = OwnAttention(config, index, OWN[name])
        randomise(name, model, dtype)
        prompts = golden(model, seed)
        if min(gap for prompt in prompts for gap in prompt["greedy_gaps"]) > 0.003:
            break  # no near-ties: a strict comparison is fair
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    save(name, model, folder, dtype, shards, old)
    about = f"float32 on the stored weights; transformers {transformers.__version__}, seed {seed}"
    (folder / "golden.json").write_text(json.dumps({"how": about, "prompts": prompts}) + "\n")
    print(name, "seed", seed, sum(f.stat().st_size for f in folder.iterdir()) // 1024, "KiB", flush=True)


# DeepSeek-V2's softmax scale has YaRN's factor in it since this release's attention.
assert "yarn_apply_mscale" in inspect.getsource(transformers.models.deepseek_v2.modeling_deepseek_v2)
torch.set_num_threads(1)
for wanted in sys.argv[1:] or MODELS:
    make(wanted)
