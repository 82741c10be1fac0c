"""The tokenizers that tools/make_tokenizer_golden.py makes its files with: one per family of models."""
import base64
import collections
import io
import json
import math

import sentencepiece as spm
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
QWEN2 = (CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTIONS + "?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTIONS + "?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+")
DEEPSEEK_V3 = [
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
]
DEEPSEEK_V2 = [
    r"[\r\n]",
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕ"
    r"Ω℮KÅⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+",
    r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
    r"\s+$",
    r"[一-龥ࠀ-一가-퟿]+",
]

# A few sentences in each of many scripts, and code.
SAMPLES = """
Die Königin schloß das große Fenster, während draußen heftiger Regen über die Dächer rauschte.
Où est passée la clé de l'hôtel ? Elle était là, près du café, à côté d'un gâteau glacé.
El niño pequeño corrió hacia la montaña y encontró un pájaro azul que cantaba en español.
Mała żółta łódź płynęła po jeziorze, a księżyc świecił nad brzegiem.
Příliš žluťoučký kůň úpěl ďábelské ódy u staré studny.
İstanbul'da ılık bir rüzgâr esiyordu; çocuklar şarkı söylüyordu.
Старый рыбак вышел к морю и долго смотрел на тихую воду. Завтра будет новый день.
Ο γέρος ψαράς κοίταξε τη θάλασσα και χαμογέλασε. Αύριο θα είναι μια νέα μέρα.
הדייג הזקן הביט בים וחייך. מחר יהיה יום חדש.
نظر الصياد العجوز إلى البحر وابتسم. غدا يوم جديد، ١٢٣ سمكة.
बूढ़े मछुआरे ने समुद्र की ओर देखा और मुस्कुराया। कल एक नया दिन होगा। १२३
বুড়ো জেলে সমুদ্রের দিকে তাকিয়ে হাসল। আগামীকাল নতুন দিন।
முதிய மீனவர் கடலைப் பார்த்து சிரித்தார். நாளை புதிய நாள்.
ชาวประมงชรามองทะเลแล้วยิ้ม พรุ่งนี้เป็นวันใหม่
Ông lão đánh cá nhìn ra biển và mỉm cười. Ngày mai là một ngày mới.
老渔夫看着大海笑了。明天是新的一天，他会再次出海，捕到一百二十三条鱼！
年老いた漁師は海を見て微笑んだ。明日は新しい日です。カタカナとひらがな、ﾊﾝｶｸ。
늙은 어부는 바다를 바라보며 미소를 지었다. 내일은 새로운 날이다.
ძველმა მეთევზემ ზღვას გახედა. Ծեր ձկնորսը նայեց ծովին։
👩‍👩‍👧‍👦 family, 👍🏽 ok, 🇩🇪🇯🇵 flags, ❤️ heart, 😀😀😀 ∑∫√≤≥ → € £ ¥ © ™ № ½ ² ³
def fibonacci(n: int) -> list[int]:
    a, b = 0, 1
    while len(out) < n:  # 1, 1, 2, 3, 5, 8, 13, 21
        out.append(a); a, b = b, a + b
    return out
for (int i = 0; i < 1024; ++i) { sum += values[i] * 0x7fff'ffff; }  // don't overflow
{"name": "quire", "version": [1, 20, 300], "url": "https://example.org/a?b=c&d=%20e"}
It's, we're, I've, I'm, they'll, he'd; IT'S WE'RE; don't can't won't. 3.14159 1,000,000 2024-06-07
"""


# --- The families ---------------------------------------------------------------------------------

def train(tokenizer, specials, vocab_size, text, **options):
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=specials,
                                  show_progress=False, **options)
    tokenizer.train_from_iterator(text, trainer)
    return tokenizer


def byte_level(text, pre_tokenizer, specials, vocab_size=2500, normalizer=None, drop_merges=0,
               post_processor=None, added=()):
    """A byte-level tokenizer: the alphabet and the merges first, the special tokens behind them."""
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    train(tokenizer, [], vocab_size, text,
          initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)
    if drop_merges:  # tokens that only ignore_merges reaches
        spec = json.loads(tokenizer.to_str())
        spec["model"]["ignore_merges"] = True
        spec["model"]["merges"] = [m for i, m in enumerate(spec["model"]["merges"])
                                   if i % drop_merges or i < 300]
        tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in specials])
    tokenizer.add_tokens(list(added))
    tokenizer.post_processor = (post_processor(tokenizer) if post_processor else
                                processors.ByteLevel(trim_offsets=False))
    return tokenizer


def split_then_bytes(*patterns):
    steps = [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
    return steps + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]


def template(*pieces):
    def make(tokenizer):
        names = [p for p in pieces if not p.startswith("$")]
        return processors.TemplateProcessing(
            single=" ".join(pieces), special_tokens=[(n, tokenizer.token_to_id(n)) for n in set(names)])
    return make


def sentencepiece(text, train_split, vocab_size=3000, unk="<unk>", bos="<s>", eos="</s>", legacy_merges=False,
                  **model):
    """Like a converted SentencePiece model: bytes in the vocabulary, spaces as U+2581."""
    specials = [unk, bos, eos]
    byte_tokens = [f"<0x{b:02X}>" for b in range(256)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = train_split
    train(tokenizer, specials + byte_tokens, vocab_size, text, limit_alphabet=600,
          max_token_length=16)
    spec = json.loads(tokenizer.to_str())
    spec["added_tokens"] = [t for t in spec["added_tokens"] if t["content"] in specials]
    spec["model"].update(unk_token=unk, byte_fallback=True, fuse_unk=True, **model)
    spec["normalizer"] = spec["pre_tokenizer"] = None
    if legacy_merges:  # the form "a b" of older files
        spec["model"]["merges"] = [" ".join(m) for m in spec["model"]["merges"]]
    return spec


def with_parts(spec, normalizer, pre_tokenizer, post_processor, decoder):
    """Sets the parts by their JSON, so that the file holds exactly what real files hold."""
    spec["normalizer"] = normalizer
    spec["pre_tokenizer"] = pre_tokenizer
    spec["decoder"] = decoder
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    if post_processor is not None:
        tokenizer.post_processor = post_processor(tokenizer)
    return tokenizer, spec


def spm_decoder(strip):
    steps = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
             {"type": "ByteFallback"}, {"type": "Fuse"}]
    if strip:
        steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": steps}


def finish(tokenizer_and_spec):
    """The text of tokenizer.json: the package's own, but with the legacy merges of `spec`."""
    if isinstance(tokenizer_and_spec, Tokenizer):
        return tokenizer_and_spec.to_str()
    tokenizer, spec = tokenizer_and_spec
    out = json.loads(tokenizer.to_str())
    out["model"]["merges"] = spec["model"]["merges"]
    return json.dumps(out, ensure_ascii=False, separators=(",", ":"))


def families(text):
    words = pre_tokenizers.Split("▁", "merged_with_next")
    lines = pre_tokenizers.Split("\n", "merged_with_previous")
    chat = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    llama3 = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]
    deepseek = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"]
    sequence = pre_tokenizers.Sequence

    yield "gpt2", byte_level(text, pre_tokenizers.ByteLevel(add_prefix_space=False),
                             ["<|endoftext|>"])
    yield "qwen2", byte_level(
        text, sequence(split_then_bytes(QWEN2)), chat, normalizer=normalizers.NFC(),
        added=[AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>", normalized=False)])
    yield "llama3", byte_level(
        text, sequence(split_then_bytes(LLAMA3)), llama3, drop_merges=7,
        post_processor=lambda t: processors.Sequence(
            [processors.ByteLevel(trim_offsets=True), template("<|begin_of_text|>", "$A")(t)]))
    yield "o200k", byte_level(text, sequence(split_then_bytes(O200K)), ["<|endoftext|>", "<|end|>"])
    yield "cl100k", byte_level(text, sequence(split_then_bytes(CL100K)), ["<|endoftext|>"],
                               vocab_size=1000)
    yield "deepseek_v3", byte_level(text, sequence(split_then_bytes(*DEEPSEEK_V3)), deepseek,
                                    post_processor=template(deepseek[0], "$A"))
    v2 = split_then_bytes(*DEEPSEEK_V2)
    yield "deepseek_v2", byte_level(
        text, sequence(v2[:-1] + [pre_tokenizers.Digits(individual_digits=True), v2[-1]]), deepseek,
        normalizer=normalizers.Sequence([]))

    bos, bos_gemma = template("<s>", "$A"), template("<bos>", "$A")
    yield "llama2", with_parts(
        sentencepiece(text, words, legacy_merges=True),
        {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        None, bos, spm_decoder(strip=True))
    yield "mistral", with_parts(
        sentencepiece(text, words), None,
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False},
        template("<s>", "$A", "</s>"), spm_decoder(strip=True))
    # Trained on whole lines: its tokens span words, so that nothing may be cut at U+2581.
    yield "gemma", with_parts(
        sentencepiece(text, lines, bos="<bos>", eos="<eos>"),
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious",
         "invert": False},
        bos_gemma, spm_decoder(strip=False))

    # Not a known model: the other components, and every flag of an added token.
    flags = [AddedToken("<left>", lstrip=True, normalized=False),
             AddedToken("<right>", rstrip=True, normalized=False),
             AddedToken("<both>", lstrip=True, rstrip=True, special=True, normalized=False),
             AddedToken("word", single_word=True, normalized=False),
             AddedToken("Ⅳﬁ", normalized=True),
             AddedToken("normal form", normalized=True, single_word=True, lstrip=True),
             AddedToken("<<", normalized=True), AddedToken("<<<", normalized=False),
             AddedToken("\t\t", normalized=False, rstrip=True)]
    yield "nfkc", byte_level(
        text, pre_tokenizers.ByteLevel(add_prefix_space=True), ["<|endoftext|>"], vocab_size=1500,
        normalizer=normalizers.Sequence([
            normalizers.NFKC(), normalizers.Strip(left=True, right=False),
            normalizers.Replace(Regex(r"[ \t]{3,}|!+(?=\?)"), "  ")]),
        added=flags)
    yield "punctuation", byte_level(
        text, sequence([pre_tokenizers.Punctuation("contiguous"),
                        pre_tokenizers.ByteLevel(add_prefix_space=False),
                        pre_tokenizers.Digits(individual_digits=False),
                        pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "merged_with_next"),
                        pre_tokenizers.Split("Ġ", "merged_with_previous")]),
        [">>TITLE<<"], vocab_size=1000, normalizer=normalizers.NFD())
    yield "metaspace", metaspace(text)


def metaspace(text):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=False))
    tokenizer.normalizer = normalizers.NFKD()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"[\S]+|\S"), "removed", invert=True),
         pre_tokenizers.Metaspace(prepend_scheme="always", split=True)])
    counts = collections.Counter(tokenizer.normalizer.normalize_str("".join(text)))
    common = sorted(counts, key=lambda c: (-counts[c], c))[:119]
    train(tokenizer, ["<unk>"], 1000, text, limit_alphabet=120, initial_alphabet=[*common, "▁"])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Metaspace(prepend_scheme="always", split=True)])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_tokens([AddedToken("<s>", special=True, normalized=True)])
    return tokenizer


# --- WordPiece and Unigram ------------------------------------------------------------------------

BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# Rules of one, two and three characters, some the beginning of others.
OWN_RULES = {"\u0301": "\u0300", "e\u0301": "é", "\u1100\u1161": "가", "ab": "ba", "abc": "x", "ﬁ": "fi", "½": "1/2",
             "\u00a0": " ", "\r": "", "\u200b": " ", "\u200d": "", "™": "TM", "𝐀": "A", "😀": "🙂", "\u0958": "क़",
             "ｶ": "カ", "ｶﾞ": "ガ", "中": "", "\u0915\u094d": "ख", "\u3099": "\u309a", "\u0345": ""}


def field(message, number):
    """The bytes of a field of a serialised protocol buffer, which has it once."""
    def varint(at):
        value = shift = 0
        while True:
            value |= (message[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if message[at - 1] < 128:
                return value, at

    at, found = 0, None
    while at < len(message):
        key, at = varint(at)
        size = {0: None, 1: 8, 2: None, 5: 4}[key & 7]
        if size is None:
            size, at = varint(at)
            if key & 7 == 0:
                continue
        if key >> 3 == number:
            found = message[at:at + size]
        at += size
    return found


def charsmap(text, out, rules=None):
    """What a SentencePiece model holds of its rules: those of nmt_nfkc, or `rules`."""
    options = {"normalization_rule_name": "nmt_nfkc"}
    if rules is not None:
        table = out / "rules.tsv"
        table.write_text("".join(" ".join(f"{ord(c):X}" for c in old) + "\t" +
                                 " ".join(f"{ord(c):X}" for c in new) + "\n" for old, new in rules.items()))
        options = {"normalization_rule_tsv": str(table)}
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(text[:100]), model_writer=model, vocab_size=100,
                                             hard_vocab_limit=False, minloglevel=2, **options)
    if rules is not None:
        table.unlink()
    normalizer_spec, precompiled_charsmap = 3, 2
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(
        field(field(model.getvalue(), normalizer_spec), precompiled_charsmap)).decode()}


def frequent_parts(words, characters, parts, longest=8):
    """The most frequent characters and longer parts of the words, with their counts.

    The package's trainers of these models break ties by chance: their results do not come back.
    """
    counts = collections.Counter(word[i:j] for word in words for i in range(len(word))
                                 for j in range(i + 1, min(i + longest, len(word)) + 1))
    ranked = sorted(counts, key=lambda part: (-counts[part] * len(part)**2, part))
    chosen = ([p for p in ranked if len(p) == 1][:characters] +
              [p for p in ranked if len(p) > 1 and counts[p] > 1][:parts])
    return {part: counts[part] for part in chosen}


def word_piece(text, normalizer, parts, added=()):
    pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words = [word for line in text for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(line))]
    chosen = frequent_parts(words, 300, parts)
    starts = frequent_parts([word[:n] for word in words for n in range(1, 9)], 300, 0)
    vocab = BERT + sorted({p for p in chosen if len(p) > 1 or p in starts} | {"##" + p for p in chosen})
    tokenizer = Tokenizer(models.WordPiece({t: i for i, t in enumerate(vocab)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in BERT])
    tokenizer.add_tokens(list(added))
    return tokenizer


def unigram(text, specials, unk, parts=700, byte_fallback=False):
    """The spec of a Unigram tokenizer whose special tokens come first, as in converted models."""
    words = [word for line in text for word, _ in pre_tokenizers.Metaspace().pre_tokenize_str(line)]
    chosen = frequent_parts(words, 250, parts)
    total = sum(chosen.values())
    vocab = [(t, 0.0) for t in specials]
    if byte_fallback:
        vocab += [(f"<0x{b:02X}>", 0.0) for b in range(256)]
    # Rounded, so that there are ties.
    vocab += [(p, round(math.log(c / total), 1)) for p, c in sorted(chosen.items(), key=lambda e: (-e[1], e[0]))]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=specials.index(unk), byte_fallback=byte_fallback))
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False, lstrip="mask" in t.lower())
                                  for t in specials])
    return json.loads(tokenizer.to_str())


def typed(type, **fields):
    return {"type": type, **fields}


def encoder_families(text, out):
    metaspace = typed("Metaspace", replacement="▁", prepend_scheme="always", split=True)
    words = typed("Sequence", pretokenizers=[typed("WhitespaceSplit"), metaspace])
    flags = [AddedToken("<|im_start|>", special=True, normalized=False),
             AddedToken("normal form", normalized=True, single_word=True, lstrip=True),
             AddedToken("word", single_word=True, normalized=False), AddedToken("Ⅳﬁ", normalized=True)]

    bert = word_piece(text, normalizers.BertNormalizer(), 800, flags)
    bert.post_processor = template("[CLS]", "$A", "[SEP]")(bert)
    bert.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    yield "bert", bert.to_str()

    cased = word_piece(text, normalizers.BertNormalizer(lowercase=False), 600)
    cased.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    cased.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    spec = json.loads(cased.to_str())
    spec["model"]["max_input_chars_per_word"] = 12
    del spec["model"]["type"]  # as older files
    yield "bert_cased", dump(spec)

    spec = unigram(text, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<unk>")
    yield "xlm_r", dump(with_parts(spec, charsmap(text, out), words, template("<s>", "$A", "</s>"), metaspace))

    spec = unigram(text, ["<pad>", "</s>", "<unk>"], "<unk>")
    rules = typed("Sequence", normalizers=[
        charsmap(text, out, OWN_RULES), typed("Strip", strip_left=False, strip_right=True),
        typed("Replace", pattern={"Regex": " {2,}"}, content="▁")])
    yield "t5", dump(with_parts(spec, rules, metaspace, template("$A", "</s>"), metaspace))

    spec = unigram(text, ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], "<unk>", 400)
    quotes = [typed("Replace", pattern={"String": old}, content='"') for old in ("``", "''")]
    steps = [*quotes, typed("NFKD"), typed("StripAccents"), typed("Lowercase"), typed("Nmt")]
    yield "albert", dump(with_parts(spec, typed("Sequence", normalizers=steps), words,
                                    template("[CLS]", "$A", "[SEP]"), metaspace))

    # Not a known model: characters without a token become bytes, and pieces span words.
    spec = unigram(text, ["<unk>", "<s>", "</s>"], "<unk>", 400, byte_fallback=True)
    yield "unigram_bytes", dump(with_parts(
        spec, typed("BertNormalizer", clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=False),
        typed("Metaspace", replacement="▁", prepend_scheme="first", split=False),
        lambda t: processors.RobertaProcessing(("</s>", 2), ("<s>", 1)), spm_decoder(strip=True)))


def dump(tokenizer_or_spec):
    """The text of tokenizer.json."""
    if isinstance(tokenizer_or_spec, tuple):
        return tokenizer_or_spec[0].to_str()
    return json.dumps(tokenizer_or_spec, ensure_ascii=False, separators=(",", ":"))
