"""Chat messages to tokens, one turn at a time, so that histories only grow (DESIGN, contract 2).

Chat templates may rewrite earlier turns when they render a whole conversation. Here a history is never rendered
again: the opening is rendered once, and each later observation is rendered as what follows an assistant message.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from collm.errors import ModelError
from collm.tasks.protocol import Message, Observation

_ANSWER = "\u241eanswer\u241e"
_PLAIN = (
    "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}"
    "{{ eos_token if message.role == 'assistant' else '' }}\n\n{% endfor %}"
    "{{ 'Assistant:' if add_generation_prompt else '' }}"
)
_BEFORE = ({"role": "user", "content": "."}, {"role": "assistant", "content": _ANSWER})


class ChatFormat:
    """The chat template of one tokenizer, as token segments. A tokenizer without one gets a plain one, with a note.

    Raises ModelError if nothing says where a response ends.
    """

    def __init__(self, tokenizer: Any, name: str = "") -> None:
        """``name`` is the model's, for messages."""
        self.name = f"the model '{name}'" if name else "the model"
        self.notes: list[str] = []
        """What its user should know."""
        if tokenizer.chat_template is None:
            tokenizer.chat_template = _PLAIN
            self.notes.append(
                f"{self.name} has no chat template: messages are written as 'User: …' and 'Assistant: …'. It may answer "
                "better with a template of its own (tokenizer.chat_template)."
            )
        self.tokenizer = tokenizer
        marks = {
            *tokenizer.all_special_tokens,
            *(t.content for t in tokenizer.added_tokens_decoder.values() if t.special),
        }
        self._marks = re.compile("|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True) if mark))
        self._openings: dict[Observation, tuple[int, ...]] = {}
        self._followings: dict[Observation, tuple[int, ...]] = {}
        first = self._following((Message("user", "."),))[0]
        special = first in tokenizer.all_special_ids or first in tokenizer.added_tokens_decoder
        if not special and tokenizer.eos_token_id is None:
            raise ModelError(
                f"{self.name} has no end-of-sequence token, and its chat template ends a message with none either: nothing "
                "says where a response ends. Set tokenizer.eos_token and save the tokenizer."
            )
        self.end_of_turn: int = first if special else tokenizer.eos_token_id
        """The mark that ends an assistant message in this template."""
        ends = {self.end_of_turn, tokenizer.eos_token_id} - {None}
        self.stop_ids: tuple[int, ...] = tuple(sorted(ends))
        """Tokens that end a response; the one that was sampled is part of it."""
        self.pad_id: int = self.end_of_turn if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    def opening(self, observation: Observation) -> tuple[int, ...]:
        """The tokens of a history's first observation, up to where the agent's response begins."""
        if observation not in self._openings:
            text = self._render(self._plain(observation))
            self._openings[observation] = tuple(self.tokenizer.encode(text, add_special_tokens=False))
        return self._openings[observation]

    def following(self, observation: Observation, last_token: int | None) -> tuple[int, ...]:
        """The tokens of a later observation, given the response's last token (None for an empty response).

        If the response was not ended by the template's own mark, the mark comes first, as an unscored token.
        """
        tokens = self._following(observation)
        return tokens[1:] if last_token == self.end_of_turn and tokens[0] == self.end_of_turn else tokens

    def text(self, response: Sequence[int]) -> str:
        """A response as the task reads it: decoded, without its end-of-turn mark."""
        tokens = list(response)
        if tokens and tokens[-1] in self.stop_ids:
            tokens.pop()
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _following(self, observation: Observation) -> tuple[int, ...]:
        if observation not in self._followings:
            text = self._render([*_BEFORE, *self._plain(observation)])
            _, found, rest = text.partition(_ANSWER)
            if not found:
                raise ModelError(
                    "the chat template drops or changes assistant messages; give the tokenizer another one."
                )
            self._followings[observation] = tuple(self.tokenizer.encode(rest, add_special_tokens=False))
        return self._followings[observation]

    def _plain(self, observation: Observation) -> list[dict[str, str]]:
        """The messages with texts that are only texts.

        What a task shows may come from a data set or from another agent's program: a control mark in it is broken by a
        space, so that nobody can end a turn or speak in another role, and what is no Unicode is escaped.
        """
        return [{"role": message.role, "content": self.harmless(message.content)} for message in observation]

    def harmless(self, text: str) -> str:
        """A text in which no control mark of the template stands."""
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
        return self._marks.sub(lambda mark: f"{mark[0][0]} {mark[0][1:]}", text)

    def _render(self, messages: Sequence[dict[str, str]]) -> str:
        try:
            return str(self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))
        except TemplateError as error:
            raise ModelError(
                f"the chat template refuses these messages: {error}. Give the tokenizer another one."
            ) from error
