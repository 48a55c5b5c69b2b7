"""Small PettingZoo games for the tests: what they pay is known by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import AgentSelector

MOVES = ("wait", "left", "right")


class Meeting(ParallelEnv):
    """Two walkers on a line of 7 fields, and every field between them costs each 1 per step; it ends where they meet.

    The seed draws where they begin. ``steps`` counts the steps of all games of this class.
    """

    steps = 0
    made = 0

    def __init__(self, limit: int = 100) -> None:
        self.metadata = {"name": "meeting_v0"}
        self.possible_agents = ["west", "east"]
        self.limit = limit
        self.render_mode = None
        type(self).made += 1

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.MultiDiscrete([7, 7])

    def action_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Discrete(3)

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        random = np.random.default_rng(seed)
        self.places = {"west": int(random.integers(0, 3)), "east": int(random.integers(4, 7))}
        self.agents = list(self.possible_agents)
        self.time = 0
        return self._seen(), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, int]) -> tuple[Any, Any, Any, Any, Any]:
        type(self).steps += 1
        self.time += 1
        for agent, action in actions.items():
            self.places[agent] = min(max(self.places[agent] + (0, -1, 1)[action], 0), 6)
        apart = abs(self.places["west"] - self.places["east"])
        agents, met, late = self.agents, apart == 0, self.time == self.limit
        self.agents = [] if met or late else agents
        return (
            self._seen(),
            dict.fromkeys(agents, -float(apart)),
            dict.fromkeys(agents, met),
            dict.fromkeys(agents, late and not met),
            {agent: {} for agent in agents},
        )

    def _seen(self) -> dict[str, Any]:
        west, east = self.places["west"], self.places["east"]
        return {"west": np.array([west, east]), "east": np.array([east, west])}


class Masked(Meeting):
    """The same, but nobody may wait, and the east one is out of the game after its first step."""

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        place = spaces.MultiDiscrete([7, 7])
        return spaces.Dict({"observation": place, "action_mask": spaces.MultiBinary(3)})

    def step(self, actions: dict[str, int]) -> tuple[Any, Any, Any, Any, Any]:
        assert 0 not in actions.values()
        seen, rewards, ended, late, infos = super().step(actions)
        if "east" in self.agents:
            self.agents = ["west"]
            ended["east"] = True
        return seen, rewards, ended, late, infos

    def _seen(self) -> dict[str, Any]:
        mask = np.array([0, 1, 1], dtype=np.int8)
        return {agent: {"observation": seen, "action_mask": mask} for agent, seen in super()._seen().items()}


class Forgetful(Meeting):
    """Its chance does not come from the seed: every game pays something else, if somebody moves."""

    def step(self, actions: dict[str, int]) -> tuple[Any, Any, Any, Any, Any]:
        seen, rewards, *rest = super().step(actions)
        own = -self.made / 1000 * any(actions.values())
        return seen, {agent: reward + own for agent, reward in rewards.items()}, *rest


class Dials(ParallelEnv):
    """One agent sets numbers of every kind; it is paid the sum of them, and the game lasts one step."""

    def __init__(self, acts: spaces.Space[Any] | None = None, sees: spaces.Space[Any] | None = None) -> None:
        self.metadata = {"name": "dials_v0"}
        self.possible_agents = ["only"]
        self.acts = acts or spaces.Dict(
            {
                "bits": spaces.MultiBinary(2),
                "pair": spaces.Tuple([spaces.Discrete(3, start=-1), spaces.MultiDiscrete([2, 3])]),
                "real": spaces.Box(-1.0, 1.0, (2,)),
            }
        )
        self.sees = sees or spaces.Tuple([spaces.Discrete(4), spaces.Dict({"real": spaces.Box(-1.0, 1.0, (2, 2))})])
        self.render_mode = None

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        return self.sees

    def action_space(self, agent: str) -> spaces.Space[Any]:
        return self.acts

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        self.agents = ["only"]
        self.sees.seed(seed)
        return {"only": self.sees.sample()}, {"only": {}}

    def step(self, actions: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        assert self.acts.contains(actions["only"])
        self.agents = []
        return (
            {"only": self.sees.sample()},
            {"only": total(actions["only"])},
            {"only": True},
            {"only": False},
            {"only": {}},
        )


def total(action: Any) -> float:
    if isinstance(action, dict):
        return sum(map(total, action.values()))
    return sum(map(total, action)) if isinstance(action, tuple) else float(np.sum(action))


class Nim(AECEnv):
    """Five matches, two agents take one or two in turn; who takes the last one is paid 1, the other −1."""

    def __init__(self) -> None:
        super().__init__()
        self.metadata = {"name": "nim_v0", "is_parallelizable": False}
        self.possible_agents = ["one", "two"]
        self.render_mode = None

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Discrete(6)

    def action_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Discrete(2, start=1)

    def observe(self, agent: str) -> int:
        return self.left

    def reset(self, seed: int | None = None, options: Any = None) -> None:
        self.left = 5
        self.agents = list(self.possible_agents)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        self._order = AgentSelector(self.agents)
        self.agent_selection = self._order.reset()

    def step(self, action: int | None) -> None:
        agent = self.agent_selection
        if self.terminations[agent]:
            self._was_dead_step(action)
            return
        assert action is not None
        self.left = max(0, self.left - action)
        self.infos = {
            one: {"action_mask": np.array([1, self.left > 1], dtype=np.int8)} for one in self.agents
        }  # fmt: skip
        if self.left == 0:
            self.rewards = {one: 1.0 if one == agent else -1.0 for one in self.agents}
            self.terminations = dict.fromkeys(self.agents, True)
        self.agent_selection = self._order.next()
