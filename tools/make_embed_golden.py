#!/usr/bin/env python3
"""Makes the tiny embedding checkpoints in tests/golden/models and what `transformers` computes on them.

Each is a random model of one architecture, laid out as published checkpoints of that family are.
golden.json holds, for a few texts as token ids, the last hidden states pooled in float32: their mean,
the first token's and the last token's, none of them normalised. Needs torch, transformers, tokenizers
and safetensors; the tests need none.

  tools/make_embed_golden.py [NAME ...]      all of them, or some
"""
import json
import pathlib
import shutil
import string
import sys
import tempfile

import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import decoders, models, normalizers, pre_tokenizers

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "models"
LENGTHS = (1, 7, 33, 90)
BERT = dict(vocab_size=160, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
            max_position_embeddings=128)

# name -> (class of config, its arguments, architecture, stored dtype, 1_Pooling/config.json or None)
MODELS = {
    "bert": ("BertConfig", dict(BERT, type_vocab_size=2), "BertModel", "float32",
             dict(word_embedding_dimension=32, pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)),
    "xlm_roberta": ("XLMRobertaConfig", dict(BERT, max_position_embeddings=130, type_vocab_size=1, pad_token_id=1,
                                             layer_norm_eps=1e-5), "XLMRobertaModel", "float32", None),
    "modernbert": ("ModernBertConfig", dict(BERT, local_attention=16, global_attn_every_n_layers=3,
                                            num_hidden_layers=4, pad_token_id=0, bos_token_id=1, eos_token_id=2,
                                            cls_token_id=1, sep_token_id=2), "ModernBertModel", "bfloat16",
                   dict(word_embedding_dimension=32, pooling_mode_cls_token=False, pooling_mode_mean_tokens=True)),
    "qwen3_embedding": ("Qwen3Config", dict(BERT, num_key_value_heads=2, head_dim=16, tie_word_embeddings=True,
                                            bos_token_id=1, eos_token_id=2), "Qwen3ForCausalLM", "bfloat16",
                        dict(word_embedding_dimension=32, pooling_mode_cls_token=False,
                             pooling_mode_mean_tokens=False, pooling_mode_lasttoken=True)),
}


def randomise(model, dtype):
    with torch.no_grad():
        for key, value in model.named_parameters():
            is_norm = "norm" in key.lower()
            centre = 1.0 if is_norm and key.endswith("weight") else 0.0
            value.copy_(centre + torch.randn_like(value) * (0.3 if is_norm or key.endswith("bias") else 0.18))
            value.copy_(value.to(getattr(torch, dtype)).float())  # compute from what the file will hold


@torch.no_grad()
def golden(model, seed):
    generator = torch.Generator().manual_seed(seed)
    texts = []
    for length in LENGTHS:
        ids = torch.randint(3, model.config.vocab_size, (length,), generator=generator).tolist()
        hidden = model(torch.tensor([ids])).last_hidden_state[0]
        pooled = {"mean": hidden.mean(0), "cls": hidden[0], "last": hidden[-1]}
        texts.append({"ids": ids, **{k: [round(x, 7) for x in v.tolist()] for k, v in pooled.items()}})
    return texts


def save(model, folder, architecture, dtype, pooling):
    with tempfile.TemporaryDirectory() as at:
        model.save_pretrained(at)
        tensors = load_file(pathlib.Path(at) / "model.safetensors")
    folder.mkdir(parents=True)
    tensors = {k: v.to(getattr(torch, dtype)).contiguous() for k, v in tensors.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = model.config.to_dict()
    for key in ("_name_or_path", "chunk_size_feed_forward", "is_encoder_decoder", "output_attentions",
                "output_hidden_states", "return_dict", "problem_type", "id2label", "label2id"):
        config.pop(key, None)
    config.update(architectures=[architecture], dtype=dtype)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    if pooling:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling, indent=1) + "\n")


def byte_level_tokenizer():
    """Printable ASCII, a byte a token, between [CLS] and [SEP]."""
    special = ["[PAD]", "[CLS]", "[SEP]"]
    alphabet = ["\u0120"] + [chr(code) for code in range(33, 127)]
    vocab = {token: i for i, token in enumerate(special + alphabet)}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return surround(tokenizer, special, "[CLS]", "[SEP]")


def word_piece_tokenizer():
    """BERT's parts with the letters and a few words."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = ["the", "fox", "jump", "##s", "##ed", "##ing", "over", "dog"]
    vocab = special + words + [prefix + c for c in string.ascii_lowercase for prefix in ("", "##")
                               if prefix + c not in words] + list(string.digits + ".,!?'-")
    tokenizer = tokenizers.Tokenizer(models.WordPiece({t: i for i, t in enumerate(vocab)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return surround(tokenizer, special, "[CLS]", "[SEP]")


def unigram_tokenizer():
    """XLM-R's parts, without its normaliser, with the letters and a few words."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    words = ["▁the", "▁fox", "▁jump", "s", "ed", "▁over", "▁dog", "▁"]
    letters = [c for c in string.ascii_letters + string.digits + ".,!?'-" if c not in words]
    vocab = [(t, 0.0) for t in special] + [(t, -3.0 - i / 4) for i, t in enumerate(words)]
    tokenizer = tokenizers.Tokenizer(models.Unigram(vocab + [(c, -8.0) for c in letters], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    return surround(tokenizer, special, "<s>", "</s>")


def surround(tokenizer, special, first, last):
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(t, tokenizer.token_to_id(t)) for t in (first, last)])
    return tokenizer


TOKENIZERS = {"bert": word_piece_tokenizer, "xlm_roberta": unigram_tokenizer, "modernbert": byte_level_tokenizer}


def make(name):
    config_class, arguments, architecture, dtype, pooling = MODELS[name]
    config = getattr(transformers, config_class)(**arguments)
    torch.manual_seed(11)
    model = transformers.AutoModel.from_config(config, attn_implementation="eager").float().eval()
    randomise(model, dtype)
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    save(model, folder, architecture, dtype, pooling)
    if name in TOKENIZERS:
        TOKENIZERS[name]().save(str(folder / "tokenizer.json"))
    about = f"float32 on the stored weights; transformers {transformers.__version__}"
    (folder / "golden.json").write_text(json.dumps({"how": about, "texts": golden(model, 11)}) + "\n")
    print(name, sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) // 1024, "KiB", flush=True)


torch.set_num_threads(1)
for wanted in sys.argv[1:] or MODELS:
    make(wanted)
