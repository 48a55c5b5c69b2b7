"""Small text games whose answers are known exactly, and the model that plays them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from collm.learning.readings import Script
from collm.models.base import Base
from collm.models.chat import ChatFormat
from collm.models.policy import Policy
from collm.rollout.sampling import Sampling
from collm.tasks import Message, Problem, Start, Step, Task

WORDS = ("<pad>", "<end>", "a", "b", "start", "next", "1", "2", "[Agent", "]")
ONE_TOKEN = Sampling(max_new_tokens=1)


def game_chat() -> ChatFormat:
    """A chat format of ten words."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken("<pad>"), AddedToken("<end>")])
    template = "{% for m in messages %}{{ m.content }} {% if m.role == 'assistant' %}<end> {% endif %}{% endfor %}"
    return ChatFormat(
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, eos_token="<end>", pad_token="<pad>", chat_template=template
        )
    )


def game_policy(chat: ChatFormat, seed: int) -> Policy:
    """A one-layer Qwen3 that has learned nothing."""
    config = Qwen3Config(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        intermediate_size=64,
        max_position_embeddings=64,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Policy(Base(Qwen3ForCausalLM(config).eval(), chat))


def choice(answer: str) -> int:
    """The choice that an answer is."""
    return WORDS.index(answer) % 2 if answer in WORDS else 0


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """These games have no options."""


class Game(Task):
    """A two-agent game of choices: an answer is choice 1 if it is one of every second word, else choice 0."""

    name: ClassVar[str] = "game"
    summary: ClassVar[str] = "a test"
    Options: ClassVar[type] = NoOptions
    agents = 2
    gamma = 1.0

    def __init__(self, turns: int) -> None:
        self.options, self.turns = NoOptions(), turns

    def reward(self, history: Sequence[tuple[int, int]]) -> float:
        """The reward of the last of these joint choices."""
        raise NotImplementedError

    def problems(self, split: str) -> list[Problem]:
        return [Problem("only")]

    def problem(self, text: str) -> Problem:
        return Problem("only")

    def reset(self, problem: Problem, seed: int = 0) -> Start:
        return Start((), tuple((Message("user", f"start {agent + 1}"),) for agent in range(2)))

    def step(self, problem: Problem, state: Any, actions: Sequence[str]) -> Step:
        history = (*state, tuple(choice(action) for action in actions))
        ended = len(history) == self.turns
        seen = None if ended else ((Message("user", "next"),),) * 2
        return Step(history, seen, self.reward(history), {}, ended)

    def final(self, problem: Problem, state: Any) -> float:
        return sum(self.reward(state[: turn + 1]) for turn in range(len(state)))

    def floor(self, problem: Problem) -> float:
        return 0.0

    def ceiling(self, problem: Problem) -> float:
        return 1.0

    def paper_score(self, problem: Problem, state: Any) -> float:
        return self.final(problem, state)

    def components(self, problem: Problem, state: Any) -> Mapping[str, float]:
        return {}


class Coordination(Game):
    """One turn; 1 if both choose 1, ½ if both choose 0, else 0. The optimum is 1."""

    def __init__(self) -> None:
        super().__init__(turns=1)

    def reward(self, history: Sequence[tuple[int, int]]) -> float:
        one, other = history[-1]
        return 0.0 if one != other else (1.0 if one else 0.5)


class Memory(Game):
    """Two turns; what the first turn's choices were decides what the second turn's are worth."""

    def __init__(self) -> None:
        super().__init__(turns=2)

    def reward(self, history: Sequence[tuple[int, int]]) -> float:
        if len(history) == 1:
            return 1.0 * history[0][0] - 0.5 * history[0][1]
        (one, other), (then, beside) = history
        return 3.0 * (one & other) + 1.0 * (then & beside) - 1.0 * one


def numbered(team: Sequence[Policy]) -> Script:
    """A script in which agent i's parts begin with the token −1 − i."""
    script = Script(team[0], team, marked=True)
    script.marks = [[-1 - agent] for agent in range(len(team))]
    return script
