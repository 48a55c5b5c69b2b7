"""The tokenizer of `tiny`: frequent phrases as single tokens, with bytes to fall back on for everything else.

Instructions repeat word for word, so whole phrases become one token each and prompts stay short; numbers, block-grid
rows and capital letters of words in capitals stay tokens of their own, because that is what actions are about. A zero
before a block name is one token with it: the third coordinate of flat builds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import Unigram
from transformers import PreTrainedTokenizerFast

END, START_OF_TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_CHUNKS = (
    r"\n?[#.]{7}|\n?[#.]{5}",
    r" 0 [a-z_]+",
    r" ?\d{1,2}",
    r"#|[A-Z](?![a-z])",
    r"\n?/[a-z]+",
    r"\n?(?:[^\d\n#A-Z ]| (?!\d)|[A-Z](?=[a-z]))+",
    r"\n",
)


def build(corpus: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """A tokenizer of at most ``size`` tokens: marks, bytes, characters, then the corpus's most frequent chunks."""
    splitter = pre_tokenizers.Split(Regex("|".join(_CHUNKS)), behavior="isolated")
    counts = Counter(chunk for text in corpus for chunk, _ in splitter.pre_tokenize_str(text))
    characters = sorted({*map(chr, range(32, 127)), "\n"})
    base = [END, START_OF_TURN, END_OF_TURN, *(f"<0x{byte:02X}>" for byte in range(256)), *characters]
    room = size - len(base)
    frequent = sorted((c for c in counts if len(c) > 1), key=lambda chunk: (-counts[chunk], chunk))[:room]
    total = sum(counts.values())
    scores = {chunk: math.log(counts[chunk] / total) for chunk in frequent}
    # Any chunk must beat its own spelling, so that a phrase that is in the vocabulary is always one token.
    spelled = min(scores.values(), default=-1.0) - 1.0
    vocabulary = [(token, scores.get(token, spelled)) for token in [*base, *frequent]]
    tokenizer = Tokenizer(Unigram(vocabulary, unk_id=0, byte_fallback=True))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(mark, normalized=False) for mark in (END, START_OF_TURN, END_OF_TURN)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TURN,
        pad_token=END,
        chat_template=CHAT_TEMPLATE,
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )
