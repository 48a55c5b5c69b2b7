"""The lock-step collector: every live episode takes its turn at once, in one batched call per distinct policy."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from collm.errors import CollmError, ConfigError, TaskError
from collm.models.policy import Policy
from collm.randomness import Key, integer, uniforms
from collm.rollout.engine import Response, Session
from collm.rollout.forest import Decision, Forest, Transcript
from collm.rollout.sampling import Sampling
from collm.tasks.protocol import Message, Observation, Problem, Step, Task, team_rewards


@dataclasses.dataclass(frozen=True)
class Job:
    """One episode to play. ``sample`` numbers the episodes of one problem; its draws depend on nothing else."""

    problem: Problem
    group: int
    """Index of the problem within the rollout; episodes of one group are siblings from the root on."""
    sample: int = 0


@dataclasses.dataclass
class Episode:
    """What happened in one episode, as the task and people see it."""

    job: Job
    seed: int
    state: Any
    observations: list[tuple[Observation, ...]]
    """(turns, agents): what each agent saw at each turn."""
    actions: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
    """(turns, agents): what each agent wrote."""
    rewards: list[tuple[float, ...]] = dataclasses.field(default_factory=list)
    """(turns, agents)."""
    info: list[Mapping[str, Any]] = dataclasses.field(default_factory=list)
    """(turns,): the task's facts about each turn."""
    ended: bool = False


@dataclasses.dataclass(frozen=True)
class Rollout:
    """Episodes for people, the forest for learning."""

    episodes: list[Episode]
    forest: Forest


def collect(
    task: Task,
    policies: Sequence[Policy],
    jobs: Sequence[Job],
    sampling: Sampling,
    key: tuple[Key, ...],
    max_history: int | None = None,
) -> Rollout:
    """Play every job to its end. All randomness is keyed by ``key`` + (problem id, sample, turn, agent).

    An episode whose next turn might not fit into ``max_history`` tokens (default: the model's context) is cut from
    outside: truncated, with its next observation kept. Raises TaskError for an exception inside the task.
    """
    return _Collection(task, policies, jobs, sampling, key, max_history).run()


class _Collection:
    """The state of one call of ``collect``."""

    def __init__(
        self,
        task: Task,
        policies: Sequence[Policy],
        jobs: Sequence[Job],
        sampling: Sampling,
        key: tuple[Key, ...],
        max_history: int | None,
    ) -> None:
        self.task, self.policies, self.jobs, self.sampling, self.key = task, policies, jobs, sampling, key
        self.limit = min([policy.context for policy in policies] + ([max_history] if max_history else []))
        self.transcripts = [Transcript(agent) for _ in jobs for agent in range(task.agents)]
        self.decisions: list[Decision] = []
        self.nodes: list[dict[str, Any]] = []
        self.last_node = [-1] * len(jobs)
        self.sessions = self._sessions()

    def _sessions(self) -> list[tuple[Session, list[int]]]:
        """One session per distinct set of weights, with the agents that it plays."""
        seats: dict[int, list[int]] = {}
        for agent, policy in enumerate(self.policies):
            seats.setdefault(id(policy), []).append(agent)
        return [
            (
                Session(self.policies[agents[0]], len(self.jobs) * len(agents), self.sampling, self._draws(agents)),
                agents,
            )
            for agents in seats.values()
        ]

    def _draws(self, agents: list[int]) -> Any:
        """The uniform numbers of a session's row at a turn; a row is an episode and one of the session's agents."""

        def draws(row: int, turn: int) -> np.ndarray:
            job, agent = self.jobs[row // len(agents)], agents[row % len(agents)]
            return uniforms(self.sampling.max_new_tokens, *self.key, job.problem.id, job.sample, turn, agent, 0)

        return draws

    def run(self) -> Rollout:
        episodes = [self._begin(index, job) for index, job in enumerate(self.jobs)]
        turn = 0
        while live := [index for index, episode in enumerate(episodes) if not episode.ended]:
            responses = self._respond(live, turn)
            for index in live:
                self._execute(index, episodes[index], responses[index], turn)
            turn += 1
        return Rollout(episodes, self._forest())

    def _begin(self, index: int, job: Job) -> Episode:
        seed = integer(*self.key, "task", job.problem.id, job.sample)
        with inside_task(self.task, job.problem, 0):
            start = self.task.reset(job.problem, seed)
            _require_observations(start.observations, self.task.agents)
        for agent, observation in enumerate(start.observations):
            tokens = self.policies[agent].chat.opening(observation)
            self.transcripts[index * self.task.agents + agent].observe(tokens)
            if len(tokens) + self.sampling.max_new_tokens > self.limit:
                raise ConfigError(
                    f"problem {job.problem.id!r}: agent {agent}'s first observation has {len(tokens)} tokens, and with "
                    f"sampling.max_new_tokens = {self.sampling.max_new_tokens} that does not fit into {self.limit}. "
                    "Set a smaller sampling.max_new_tokens, a larger rollout.max_history, or take a model with more context."
                )
        return Episode(job, seed, start.state, [start.observations])

    def _respond(self, live: list[int], turn: int) -> dict[int, list[Response]]:
        """Every agent's response in every live episode: one batched call per distinct policy."""
        agents = self.task.agents
        found: dict[int, list[Response]] = {index: [None] * agents for index in live}  # type: ignore[list-item]
        for session, seats in self.sessions:
            rows = [index * len(seats) + place for index in live for place in range(len(seats))]
            seen = []
            for index in live:
                for agent in seats:
                    transcript = self.transcripts[index * agents + agent]
                    seen.append(transcript.tokens[transcript.spans[-1].stop if transcript.spans else 0 :])
            for row, response in zip(rows, session.respond(rows, seen, turn), strict=True):
                found[row // len(seats)][seats[row % len(seats)]] = response
        return found

    def _execute(self, index: int, episode: Episode, responses: list[Response], turn: int) -> None:
        """Execute one joint action and record its node."""
        texts = tuple(
            policy.chat.text(response.tokens) for policy, response in zip(self.policies, responses, strict=True)
        )
        with inside_task(self.task, episode.job.problem, turn):
            step = self.task.step(episode.job.problem, episode.state, texts)
            rewards = _checked_rewards(self.task, step, turn)
        decisions = [self._decide(index, agent, response) for agent, response in enumerate(responses)]
        cut = False if step.terminated else self._observe(index, step, responses)
        self.nodes.append(
            {
                "problem": episode.job.group,
                "path": index,
                "parent": self.last_node[index],
                "turn": turn,
                "rewards": rewards,
                "terminated": step.terminated,
                "truncated": (step.truncated or cut) and not step.terminated,
                "decision": decisions,
            }
        )
        self.last_node[index] = len(self.nodes) - 1
        episode.state = step.state
        episode.actions.append(texts)
        episode.rewards.append(rewards)
        episode.info.append(step.info)
        episode.ended = step.ended or cut
        if step.observations is not None and not episode.ended:
            episode.observations.append(step.observations)

    def _decide(self, index: int, agent: int, response: Response) -> int:
        place = index * self.task.agents + agent
        span = self.transcripts[place].respond(response.tokens)
        self.decisions.append(Decision(agent, 0, place, span, response.logprobs))
        return len(self.decisions) - 1

    def _observe(self, index: int, step: Step, responses: list[Response]) -> bool:
        """Append the next observations; True if some agent's next turn might not fit."""
        assert step.observations is not None
        cut = False
        for agent, (observation, response) in enumerate(zip(step.observations, responses, strict=True)):
            transcript = self.transcripts[index * self.task.agents + agent]
            transcript.observe(self.policies[agent].chat.following(observation, response.tokens[-1]))
            cut |= len(transcript.tokens) + self.sampling.max_new_tokens > self.limit
        return cut

    def _forest(self) -> Forest:
        def column(name: str, kind: Any, *shape: int) -> np.ndarray:
            return np.array([node[name] for node in self.nodes], dtype=kind).reshape(len(self.nodes), *shape)

        agents = self.task.agents
        return Forest(
            agents=agents,
            problem=column("problem", np.int64),
            path=column("path", np.int64),
            parent=column("parent", np.int64),
            turn=column("turn", np.int64),
            rewards=column("rewards", np.float64, agents),
            terminated=column("terminated", bool),
            truncated=column("truncated", bool),
            decision=column("decision", np.int64, agents),
            decisions=tuple(self.decisions),
            transcripts=tuple(self.transcripts),
        )


def _checked_rewards(task: Task, step: Step, turn: int) -> tuple[float, ...]:
    """The rewards per agent of a step that keeps the protocol; raises ValueError if it does not."""
    rewards = team_rewards(step, task.agents)
    if len(rewards) != task.agents:
        raise ValueError(f"{len(rewards)} rewards for {task.agents} agents")
    if not step.ended and turn + 1 >= task.turns:
        raise ValueError(f"the episode goes on after its last turn (turns = {task.turns})")
    if not step.terminated:
        _require_observations(step.observations, task.agents)
    return rewards


def _require_observations(observations: Any, agents: int) -> None:
    if not isinstance(observations, tuple) or len(observations) != agents:
        raise ValueError(f"expected a tuple of {agents} observations, found {observations!r:.80}")
    if not all(isinstance(one, tuple) and all(isinstance(m, Message) for m in one) for one in observations):
        raise ValueError("every observation must be a tuple of Message")


@contextlib.contextmanager
def inside_task(task: Task, problem: Problem, turn: int) -> Iterator[None]:
    """Turns any exception of a task's own code into a TaskError that says where it happened."""
    try:
        yield
    except CollmError:
        raise
    except Exception as error:
        raise TaskError(
            f"the task '{task.name}' failed on problem {problem.id!r} at turn {turn} "
            f"(agents {', '.join(map(str, range(task.agents)))}): {type(error).__name__}: {error}"
        ) from error
