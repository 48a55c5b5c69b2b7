"""A task as a PettingZoo environment: observations and actions are texts, and all agents act at once."""

from __future__ import annotations

from typing import Any

from pettingzoo import ParallelEnv

from collm.errors import ConfigError, unknown_name
from collm.randomness import integer
from collm.tasks.inside import inside_task
from collm.tasks.protocol import SPLITS, Observation, Problem, Split, Start, Step, Task, team_rewards
from collm.tasks.zoo.text import AnyText

Texts = dict[str, str]
Infos = dict[str, dict[str, Any]]


def as_parallel_env(task: Task, split: Split = "train", problem: str | None = None) -> TaskEnv:
    """A ``pettingzoo.ParallelEnv`` that plays a task.

    Args:
        task: the task, such as ``collm.make_task("str-build")``.
        split: whose problems are played.
        problem: the id of the only problem to be played; by default every ``reset`` draws one of the split.

    Raises:
        ConfigError: for a split that does not exist.
        ProblemError: for a problem that the task cannot pose.
    """
    return TaskEnv(task, split, problem)


class TaskEnv(ParallelEnv[str, str, str]):
    """What :func:`as_parallel_env` makes: agents ``agent_0``, ``agent_1``, … with texts as observations and actions.

    An observation is what the agent is shown at this turn, its messages one behind the other, and is empty once the
    episode has ended. Infos hold the ``problem``, the ``seed`` of the episode, the ``turn``, the ``messages`` with their
    roles, the ``components`` of the last step, and at the end ``final`` and ``score``.
    ``collm.tasks.replay(task, problem, actions, seed)`` gives the same rewards.
    """

    render_mode = "ansi"

    def __init__(self, task: Task, split: Split = "train", problem: str | None = None) -> None:
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        self.task, self.split = task, split
        self.metadata = {"name": task.name, "render_modes": ["ansi"], "is_parallelizable": True}
        self.possible_agents = [f"agent_{index}" for index in range(task.agents)]
        self.agents: list[str] = []
        self._texts = {agent: (AnyText(), AnyText()) for agent in self.possible_agents}
        self._ids = {one.id: one for one in task.problems(split)}
        self._only = None if problem is None else self._find(problem)
        self._seed, self._resets, self._turn = 0, -1, 0
        self._problem = self._only or next(iter(self._ids.values()))
        self._state: Any = None

    def observation_space(self, agent: str) -> AnyText:
        return self._texts[agent][0]

    def action_space(self, agent: str) -> AnyText:
        return self._texts[agent][1]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Texts, Infos]:
        """Begin an episode.

        The seed and the number of resets since it was given draw the problem and the seed of the episode;
        until one is given it is 0. ``options={"problem": id}`` names the problem. Other options mean nothing here.

        Raises:
            ProblemError: for a problem that the task cannot pose.
            TaskError: for an exception in the task.
        """
        self._seed, self._resets = (self._seed, self._resets + 1) if seed is None else (int(seed), 0)
        self._problem = self._chosen(options or {})
        with inside_task(self.task, self._problem, 0):
            start = self.task.reset(self._problem, self._episode_seed())
        self._state, self._turn, self.agents = start.state, 0, list(self.possible_agents)
        return self._told(start), self._infos(start)

    def step(self, actions: dict[str, str]) -> tuple[Texts, dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """One turn: a text of every agent.

        Raises:
            ConfigError: for an action that is missing or no text, and for a step outside an episode.
            TaskError: for an exception in the task.
        """
        joint = self._joint(actions)
        with inside_task(self.task, self._problem, self._turn):
            step = self.task.step(self._problem, self._state, joint)
        self._state, self._turn = step.state, self._turn + 1
        told, infos, played = self._told(step), self._infos(step), self.agents
        rewards = map(float, team_rewards(step, self.task.agents))
        self.agents = [] if step.ended else played
        return (
            told,
            dict(zip(played, rewards, strict=True)),
            dict.fromkeys(played, step.terminated),
            dict.fromkeys(played, step.truncated),
            infos,
        )

    def render(self) -> str:
        """The state as the task would show it in a terminal."""
        self._require(self._resets >= 0, "render() before the first episode: call reset() first")
        return self.task.as_text(self._problem, self._state)

    def close(self) -> None:
        """Nothing is open."""

    def _chosen(self, options: dict[str, Any]) -> Problem:
        if "problem" in options:
            return self._find(options["problem"])
        if self._only is not None:
            return self._only
        problems = list(self._ids.values())
        return problems[integer("pettingzoo", "problem", self._seed, self._resets) % len(problems)]

    def _find(self, name: str) -> Problem:
        return self._ids[name] if name in self._ids else self.task.problem(name)

    def _episode_seed(self) -> int:
        return integer("pettingzoo", "task", self._seed, self._resets)

    def _joint(self, actions: dict[str, str]) -> list[str]:
        """The actions in the order of agents."""
        self._require(bool(self.agents), "step() outside an episode: call reset() first")
        strangers = sorted(set(actions) - set(self.agents))
        self._require(not strangers, f"an action of {', '.join(strangers)}: step() takes those of {self.agents}")
        for agent in self.agents:
            self._require(agent in actions, f"no action for {agent}: step() takes a text for each of {self.agents}")
            text = actions[agent]
            self._require(isinstance(text, str), f"the action of {agent} is {text!r:.80}: it must be a text")
        return [actions[agent] for agent in self.agents]

    def _require(self, holds: bool, message: str) -> None:
        if not holds:
            raise ConfigError(f"{message} (task '{self.task.name}' as an environment).")

    def _observed(self, found: Start | Step) -> tuple[Observation, ...]:
        return ((),) * self.task.agents if found.observations is None else found.observations

    def _told(self, found: Start | Step) -> Texts:
        texts = ["\n\n".join(message.content for message in seen) for seen in self._observed(found)]
        return dict(zip(self.agents, texts, strict=True))

    def _infos(self, found: Start | Step) -> Infos:
        facts: dict[str, Any] = {"problem": self._problem.id, "seed": self._episode_seed(), "turn": self._turn}
        if isinstance(found, Step):
            facts["components"] = dict(found.components)
            if found.ended:
                facts["final"] = self.task.final(self._problem, found.state)
                facts["score"] = self.task.score(self._problem, found.state)
        messages = [
            [{"role": message.role, "content": message.content} for message in seen] for seen in self._observed(found)
        ]
        return {agent: {**facts, "messages": own} for agent, own in zip(self.agents, messages, strict=True)}
