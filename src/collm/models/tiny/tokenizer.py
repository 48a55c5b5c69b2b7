"""The tokenizer of `tiny`: frequent phrases as single tokens, with bytes to fall back on for everything else.

Instructions repeat word for word, so whole phrases become one token each and prompts stay short; numbers, block-grid
rows and capital letters of words in capitals stay tokens of their own, because that is what actions are about. A zero
before a block name is one token with it: the third coordinate of flat builds. Elsewhere tokens are phrases and words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import Unigram
from transformers import PreTrainedTokenizerFast

from collm.models.tiny.pieces import choose_pieces

END, START_OF_TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_CHUNKS = (
    # An answer is spelled alike behind its prompt and in a conversation that is written out again.
    r"(?<=\Aassistant)\n",
    r"\n?[#.]{7}|\n?[#.]{5}",
    r" 0 [a-z_]+",
    r" ?\d{1,2}",
    r"#|[A-Z](?![a-z])",
    r"\n?/[a-z]+",
    r"\n?(?:[^\d\n#A-Z ]| (?!\d)|[A-Z](?=[a-z]))+",
    r"\n",
)
_SPELLED = -100.0


def build(corpus: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """A tokenizer of at most ``size`` tokens: marks, bytes, characters, then the pieces that spell the corpus shortest."""
    splitter = pre_tokenizers.Split(Regex("|".join(_CHUNKS)), behavior="isolated")
    counts = Counter(chunk for text in corpus for chunk, _ in splitter.pre_tokenize_str(text))
    characters = sorted({*map(chr, range(32, 127)), "\n"})
    base = [END, START_OF_TURN, END_OF_TURN, *(f"<0x{byte:02X}>" for byte in range(256)), *characters]
    pieces = choose_pieces(counts, size - len(base))
    # The spelling with the fewest tokens wins; among equal ones the more frequent piece; characters are the last resort.
    rank = {piece: -1.0 - place * 1e-6 for place, piece in enumerate(pieces)}
    vocabulary = [*((token, _SPELLED) for token in base), *rank.items()]
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
