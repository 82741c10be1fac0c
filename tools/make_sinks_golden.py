#!/usr/bin/env python3
"""What models give that see the first N tokens and the last W alone, and learned sink tokens.

The oracle is `transformers` with an attention of its own, written as the StreamingLLM paper has it
(Xiao et al. 2023): each row takes the keys it sees out of the sequence, numbers them 0, 1, ... in
their order, and turns them and itself by these numbers. Learned sink tokens are rows that a layer
projects to keys and values 0 .. n-1 in front of the sequence. All in float32 on stored weights.

Writes tests/golden/models/llama_sinks (a tiny checkpoint with learned ones) and
tests/golden/sinks.json: on it and on other tiny checkpoints, for a few prompts, the log-probability
of each prompt token and greedy tokens with the five likeliest at each step, past the model's context
where nothing grows with it. Needs torch, transformers and safetensors; the tests need none.
"""
import importlib
import json
import pathlib
import shutil

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"
LEARNED = 3  # sink tokens of llama_sinks
# name, checkpoint, N, W, lengths of the prompts, greedy tokens. All W: the model's own attention.
ALL = 1 << 30
CASES = [("llama3_4_20", "llama3", 4, 20, (3, 17, 90), 40),
         ("llama3_17_16", "llama3", 17, 16, (20, 50), 40),
         ("llama3_window_alone", "llama3", 0, 24, (60,), 40),
         ("qwen3_4_12", "qwen3", 4, 12, (40,), 40),
         ("gemma3_with_own_windows", "gemma3", 4, 24, (70,), 40),
         ("longrope_within_its_context", "llama_longrope", 4, 20, (30, 60), 40),
         ("longrope_beyond_its_context", "llama_longrope", 4, 40, (30, 60), 20),
         ("llama_past_its_context", "llama_sinks", 0, 20, (80,), 30),
         ("learned", "llama_sinks", 0, ALL, (1, 20, 30), 12)]
seen = {}  # the case that runs, and what the layer at hand left for its attention


def keep_unturned(q, k, cos, sin, *rest, **named):
    seen["rope"] = seen["numbered"] or (cos[0], sin[0])
    return q, k


def turn(x, numbers):
    cos, sin = (part[numbers] for part in seen["rope"])
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


def attention(module, query, key, value, mask, scaling=None, **named):
    groups = query.shape[1] // key.shape[1]
    key, value = (part[0].repeat_interleave(groups, 0) for part in (key, value))  # [H, T, D]
    learned = 0
    if hasattr(module, "sink_tokens"):
        learned = module.sink_tokens.shape[0]
        for name, part in (("k_proj", key), ("v_proj", value)):
            rows = getattr(module, name)(module.sink_tokens).reshape(learned, -1, query.shape[-1])
            rows = rows.transpose(0, 1).repeat_interleave(groups, 0)
            if name == "k_proj":
                key = torch.cat((rows, key), 1)
            else:
                value = torch.cat((rows, value), 1)
    own = getattr(module, "sliding_window", None)
    out = []
    for p in range(query.shape[2]):
        if own is not None and own <= seen["window"]:
            see = list(range(max(0, p - own + 1), p + 1))
        else:
            first = range(min(seen["sinks"], p + 1))
            see = list(first) + list(range(max(seen["sinks"], p - seen["window"] + 1), p + 1))
        rows = list(range(learned)) + [learned + s for s in see]
        numbers = torch.arange(len(rows))
        scores = (turn(query[0, :, p:p + 1], numbers[-1:]) @ turn(key[:, rows], numbers).transpose(1, 2)) * scaling
        out.append(torch.softmax(scores, -1) @ value[:, rows])
    return torch.cat(out, 1).transpose(0, 1)[None], None


ALL_ATTENTION_FUNCTIONS.register("sinks", attention)


def load(name):
    model = transformers.AutoModelForCausalLM.from_pretrained(GOLDEN / "models" / name, dtype=torch.float32,
                                                              attn_implementation="sinks").eval()
    module = importlib.import_module(type(model).__module__)
    module.apply_rotary_pos_emb = keep_unturned
    if name == "llama_sinks":
        stored = load_file(GOLDEN / "models" / name / "model.safetensors")
        for index, layer in enumerate(model.model.layers):
            layer.self_attn.sink_tokens = stored[f"model.layers.{index}.self_attn.sink_tokens.weight"].float()
    return model


def scores_of(model, ids):
    # The angles of as many numbers as a row can see, so that a length that the frequencies follow is that one.
    numbers = torch.arange(min(len(ids), seen["sinks"] + seen["window"]) + seen["learned"])
    kinds = model.config.model_type == "gemma3_text"  # of layers, each with angles of its own
    rope = None if kinds else model.model.rotary_emb(torch.zeros(1), numbers[None])
    seen["numbered"] = rope and (rope[0][0], rope[1][0])
    return torch.log_softmax(model(torch.tensor([ids]), use_cache=False).logits[0].double(), -1)


def top(row, count):
    values, ids = torch.topk(row, count)
    return {"ids": ids.tolist(), "logprobs": [round(v, 6) for v in values.tolist()]}


@torch.no_grad()
def golden(model, ids, count):
    text, rows = list(ids), []
    for _ in range(count):
        scores = scores_of(model, text)
        rows.append(scores[-1])
        text.append(int(scores[-1].argmax()))
    scores = scores_of(model, ids)
    best = [top(row, 5) for row in rows]
    return {"ids": ids, "greedy_ids": text[len(ids):], "greedy_top5": best,
            "prompt_logprobs": [round(scores[i, ids[i + 1]].item(), 6) for i in range(len(ids) - 1)],
            "gap": min(step["logprobs"][0] - step["logprobs"][1] for step in best)}


def run_case(name, checkpoint, sinks, window, lengths, count):
    model = load(checkpoint)
    seen.update(sinks=sinks, window=window, learned=LEARNED if checkpoint == "llama_sinks" else 0)
    prompts = []
    for length in lengths:
        for seed in range(1, 100):
            generator = torch.Generator().manual_seed(seed * 1000 + length)
            ids = torch.randint(3, model.config.vocab_size, (length,), generator=generator).tolist()
            made = golden(model, ids, count)
            if made.pop("gap") > 0.003:
                break  # no near-ties: a strict comparison is fair
        prompts.append(made)
    print(name, flush=True)
    return {"name": name, "model": checkpoint, "sinks": sinks, "window": 0 if window == ALL else window,
            "prompts": prompts}


@torch.no_grad()
def make_checkpoint():
    config = transformers.LlamaConfig(vocab_size=160, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                                      num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
                                      attention_bias=True, bos_token_id=1, eos_token_id=2, pad_token_id=None)
    torch.manual_seed(7)
    model = transformers.LlamaForCausalLM(config)
    tensors = {}
    for name, value in model.state_dict().items():
        centre = 1.0 if name.endswith("norm.weight") else 0.0
        tensors[name] = (centre + torch.randn_like(value) * 0.2).to(torch.bfloat16)
    for layer in range(2):
        tensors[f"model.layers.{layer}.self_attn.sink_tokens.weight"] = torch.randn(LEARNED, 32).to(torch.bfloat16)
    folder = GOLDEN / "models" / "llama_sinks"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    written = dict(config.to_dict(), architectures=["LlamaForCausalLM"], dtype="bfloat16", num_sink_tokens=LEARNED)
    (folder / "config.json").write_text(json.dumps(written, indent=1) + "\n")


torch.set_num_threads(1)
make_checkpoint()
about = f"float32 on the stored weights; transformers {transformers.__version__}"
cases = [run_case(*case) for case in CASES]
(GOLDEN / "sinks.json").write_text(json.dumps({"how": about, "cases": cases}) + "\n")
