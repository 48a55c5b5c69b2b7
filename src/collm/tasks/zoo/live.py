"""Environments that are alive between turns, although a task's ``step`` is a pure function.

What an environment does is a function of its seed and of the answers so far, so these name the state. An environment that
stands at a state is kept under that name; a step takes it out, moves it on and puts it back under the next name. Where
none stands at the state that is asked for (another branch, the same step again), a fresh one is played there.
"""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils.conversions import (
    aec_to_parallel,
    turn_based_aec_to_parallel,
    turn_based_aec_to_parallel_wrapper,
)

from collm.errors import ConfigError
from collm.tasks.zoo.seat import NO_MOVE, Seat

Answers = tuple[str, ...]
"""What all agents wrote at one turn."""
Place = tuple[int, tuple[Answers, ...]]
"""The seed and the answers so far: the name of a state."""


def parallel(made: Any) -> ParallelEnv[Any, Any, Any]:
    """What a user's function made, as a ``ParallelEnv``. Raises ConfigError for what is no PettingZoo environment."""
    if isinstance(made, ParallelEnv):
        return made
    if isinstance(made, AECEnv):
        return aec_to_parallel(made) if made.metadata.get("is_parallelizable") else turn_based_aec_to_parallel(made)
    raise ConfigError(
        f"make_env returned {type(made).__name__}; let it return a PettingZoo ParallelEnv or AECEnv, as with "
        "make_env=lambda: my_game.parallel_env()."
    )


@dataclasses.dataclass(frozen=True)
class Turn:
    """What one joint action led to."""

    rewards: tuple[float, ...]
    """One per agent; 0 for agents that are not in the game."""
    asked: int
    """How many answers were read."""
    valid: int
    """How many of them were legal actions."""
    over: bool
    cut: bool
    """Over because the environment stopped an agent, not because one came to its end."""

    def then(self, later: Turn) -> Turn:
        """This one and what followed from the same answers, which are counted once."""
        paid = tuple(one + other for one, other in zip(self.rewards, later.rewards, strict=True))
        return dataclasses.replace(later, rewards=paid, asked=self.asked, valid=self.valid)


class Live:
    """One environment with what its agents last saw."""

    def __init__(self, env: ParallelEnv[Any, Any, Any], seats: Sequence[Seat], seed: int) -> None:
        self.env, self.seats = env, seats
        self.observations, self.infos = env.reset(seed=seed)

    def shown(self) -> list[str]:
        """What every agent is shown at this turn."""
        over = not self.env.agents
        return [
            seat.shown(*self._seen(seat), over or self._moves(seat)) if seat.agent in self.observations else NO_MOVE
            for seat in self.seats
        ]

    def play(self, answers: Answers, repeat: int) -> Turn:
        """One turn: the same answers for ``repeat`` steps of the environment, or until it is over.

        Raises ValueError where a reward is no finite number.
        """
        turn = self._step(answers)
        for _ in range(repeat - 1):
            if not turn.over:
                turn = turn.then(self._step(answers))
        return turn

    def _step(self, answers: Answers) -> Turn:
        actions, asked, valid = {}, 0, 0
        for seat, text in zip(self.seats, answers, strict=True):
            if seat.agent in self.env.agents:
                moves = self._moves(seat)
                action, legal = seat.read(text, *self._seen(seat)) if moves else (seat.idle(*self._seen(seat)), False)
                actions[seat.agent] = action
                asked, valid = asked + moves, valid + legal
        self.observations, rewards, _, truncations, self.infos = self.env.step(actions)
        earned = tuple(_finite(rewards.get(seat.agent, 0.0), seat.agent) for seat in self.seats)
        over = not self.env.agents
        return Turn(earned, asked, valid, over, over and any(truncations.values()))

    def close(self) -> None:
        self.env.close()

    def _seen(self, seat: Seat) -> tuple[Any, Any]:
        return self.observations[seat.agent], self.infos.get(seat.agent, {})

    def _moves(self, seat: Seat) -> bool:
        """Whether this agent's answer counts at this turn."""
        if seat.agent not in self.env.agents:
            return False
        if isinstance(self.env, turn_based_aec_to_parallel_wrapper) and self.env.aec_env.agent_selection != seat.agent:
            return False
        return seat.can_move(*self._seen(seat))


def _finite(reward: Any, agent: str) -> float:
    number = float(reward)
    if not math.isfinite(number):
        raise ValueError(f"the reward of {agent} is {number}; expected finite numbers")
    return number


class Stable:
    """The environments of all episodes that are under way, each under the name of its state."""

    def __init__(self, make_env: Callable[[], Any], seats: Sequence[Seat], repeat: int, most: int) -> None:
        self.make_env, self.seats, self.repeat, self.most = make_env, seats, repeat, most
        # Several episodes may stand at one state, such as all of a group at their beginning.
        self._kept: OrderedDict[Place, list[Live]] = OrderedDict()
        self._count = 0

    def fresh(self, seed: int) -> Live:
        return Live(parallel(self.make_env()), self.seats, seed)

    def at(self, place: Place, rewards: Sequence[tuple[float, ...]]) -> Live:
        """An environment at this state; the caller owns it now.

        Raises ValueError if playing there does not give the rewards that it gave before.
        """
        if place in self._kept:
            live = self._kept[place].pop()
            self._count -= 1
            if not self._kept[place]:
                del self._kept[place]
            return live
        seed, past = place
        live = self.fresh(seed)
        for turn, (answers, earned) in enumerate(zip(past, rewards, strict=True)):
            again = live.play(answers, self.repeat).rewards
            if again != earned:
                raise ValueError(
                    f"the environment paid {earned} at turn {turn} and {again} when the same was played again; let all its "
                    "chance come from reset(seed)"
                )
        return live

    def keep(self, place: Place, live: Live) -> None:
        """Give an environment back that now stands at this state."""
        self._kept.setdefault(place, []).append(live)
        self._kept.move_to_end(place)
        self._count += 1
        if self._count > self.most:
            _, oldest = self._kept.popitem(last=False)
            self._count -= len(oldest)
            for one in oldest:
                one.close()

    def clear(self) -> None:
        """Close everything, so that the next step plays its way again."""
        for lives in self._kept.values():
            for live in lives:
                live.close()
        self._kept.clear()
        self._count = 0
