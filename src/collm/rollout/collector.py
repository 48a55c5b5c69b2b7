"""The lock-step collector: every live episode takes its turn at once, in as few batched calls as the models allow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from collm.memory import needed_for
from collm.models.policy import Policy
from collm.randomness import Key, integer
from collm.rollout.branching import Branching
from collm.rollout.engine import Response
from collm.rollout.engines import HF, Engine
from collm.rollout.forest import Decision, Forest, Transcript
from collm.rollout.path import Episode, History, Job, Path, context_limit, require_room
from collm.rollout.referee import begin, execute, inside_task, prepare
from collm.rollout.sampling import Sampling
from collm.rollout.standing import Standing
from collm.rollout.table import Table
from collm.tasks.protocol import Move, Step, Task

__all__ = ["Branching", "Episode", "History", "Job", "Rollout", "at_once", "collect", "inside_task", "play"]


_AT_ONCE = 256


@dataclasses.dataclass(frozen=True)
class Joint:
    """One joint action: which sibling of every agent's responses it takes, and what they say."""

    siblings: tuple[int, ...]
    responses: tuple[Response, ...]
    texts: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Rollout:
    """Episodes for people, the forest for learning."""

    episodes: list[Episode]
    """(paths,): the episode of each path, in full from its root."""
    forest: Forest

    def history(self, path: int, agents: tuple[int, ...], turn: int) -> History:
        """What these agents had seen and done along a path when this turn came."""
        seen = self.episodes[path].observations[: turn + 1]
        if len(seen) <= turn:
            raise ValueError(f"path {path} ended before turn {turn}.")
        transcripts = [self.forest.transcript(path, agent) for agent in agents]
        return History(
            agents,
            tuple(tuple(observations[agent] for agent in agents) for observations in seen),
            tuple(
                tuple(tuple(one.tokens[one.spans[t].said : one.spans[t].stop]) for one in transcripts)
                for t in range(turn)
            ),
        )


@needed_for("playing")
def collect(
    task: Task,
    policies: Sequence[Policy],
    jobs: Sequence[Job],
    sampling: Sampling,
    key: tuple[Key, ...],
    max_history: int | None = None,
    branching: Branching | None = None,
    keep_caches: bool = False,
    engine: Engine = HF,
    standing: Standing | None = None,
) -> Rollout:
    """Play every job to its end: as one episode, or with ``branching`` as one tree.

    In a tree every agent gives several responses at every state, each joint action of them is executed from that state,
    and each ends or goes on by itself. Its first child continues a path, every other child begins one with a copy
    of the past. All randomness is keyed by ``key`` + (problem id, sample, turn, agent, sibling), in trees with the
    indices of the joint actions from the root on between sample and turn.

    An episode whose next turn might not fit into ``max_history`` tokens (default: the model's context) is cut from
    outside: truncated, with its next observation kept. With ``keep_caches`` the transcripts of a linear rollout keep what
    the policies' caches hold of them; with ``standing`` the forest keeps what it says of all states. Raises TaskError for
    an exception inside the task.

    A job's ``history`` is lived through again before play is free, in linear rollouts. Nobody sampled its responses, so
    their log-probabilities are NaN: such a forest is for measuring, not for learning.
    """
    if keep_caches and branching:
        raise ValueError("the branches of a tree share their rows: caches are kept of linear rollouts only.")
    if branching and any(job.history for job in jobs):
        raise ValueError("a tree begins at the root: histories are lived through in linear rollouts only.")
    collection = _Collection(task, policies, jobs, sampling, key, max_history, branching, engine, standing)
    rollout = collection.run()
    if keep_caches:
        for table in collection.tables:
            table.keep_caches()
    return rollout


def play(
    task: Task,
    policies: Sequence[Policy],
    jobs: Sequence[Job],
    sampling: Sampling,
    key: tuple[Key, ...],
    max_history: int | None = None,
    engine: Engine = HF,
) -> list[Episode]:
    """The episodes of any number of jobs, played so many at once; for measuring, where nobody needs their forest."""
    return [
        episode
        for part in at_once(jobs)
        for episode in collect(task, policies, part, sampling, key, max_history, engine=engine).episodes
    ]


def at_once(jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
    """The jobs, as many together as memory should bear."""
    for start in range(0, len(jobs), _AT_ONCE):
        yield jobs[start : start + _AT_ONCE]


class _Collection:
    """The state of one call of ``collect``. A linear rollout is a tree of one joint action that is all one path."""

    def __init__(
        self,
        task: Task,
        policies: Sequence[Policy],
        jobs: Sequence[Job],
        sampling: Sampling,
        key: tuple[Key, ...],
        max_history: int | None,
        branching: Branching | None,
        engine: Engine,
        standing: Standing | None,
    ) -> None:
        self.engine, self.standing = engine, standing
        self.task, self.policies, self.sampling, self.key, self.branching = task, policies, sampling, key, branching
        self.limit = context_limit(policies, max_history)
        self.joint_actions = branching.joint(task.agents) if branching else [(0,) * task.agents]
        self.decisions: list[Decision] = []
        self.nodes: list[dict[str, Any]] = []
        self.groups: dict[tuple[int, int], int] = {}
        self.paths = [self._begin(number, job) for number, job in enumerate(jobs)]
        self.tables = self._tables()

    def _begin(self, number: int, job: Job) -> Path:
        seed = integer(*self.key, "task", job.problem.id, job.sample)
        start = begin(self.task, job.problem, seed)
        agents = range(self.task.agents)
        path = Path(
            number,
            Episode(job, seed, start.state, [start.observations]),
            list(map(Transcript, agents)),
            [-1 for _ in agents],
        )
        for agent, observation in enumerate(start.observations):
            tokens = self.policies[agent].chat.opening(observation)
            path.transcripts[agent].observe(tokens)
            require_room(job.problem, agent, len(tokens), self.sampling.max_new_tokens, self.limit)
        path.episode.ended = path.episode.cut = path.off_history(start.observations, 0)
        return path

    def _may_not_fit(self, transcript: Transcript) -> bool:
        return len(transcript.tokens) + self.sampling.max_new_tokens > self.limit

    def _tables(self) -> list[Table]:
        """One table for all agents that the engine plays in one batch."""
        width, groups = self.branching.width if self.branching else 1, self.engine.tables(self.policies)
        return [
            Table(self.policies, agents, self.paths, width, self.sampling, self.key, self.engine) for agents in groups
        ]

    def run(self) -> Rollout:
        turn = 0
        while live := [path for path in self.paths if not path.episode.ended]:
            joints = self._joints(live, self._respond(live, turn))
            prepare(self.task, [self._move(path, joint) for path in live for joint in joints[path.number]], turn)
            for path in live:
                self._act(path, joints[path.number])
            turn += 1
        return Rollout([path.episode for path in self.paths], self._forest())

    def _respond(self, live: list[Path], turn: int) -> dict[tuple[int, int], list[Response]]:
        """(path number, agent) → every sibling's response, behind every live path."""
        found: dict[tuple[int, int], list[Response]] = {}
        for table in self.tables:
            if self.branching and turn > 0:
                table.branch(live)
            found |= table.respond(turn)
        return found

    def _joints(self, live: list[Path], responses: dict[tuple[int, int], list[Response]]) -> dict[int, list[Joint]]:
        """Path number → every joint action behind that path."""
        texts = {
            (number, agent): [self.policies[agent].chat.text(response.tokens) for response in siblings]
            for (number, agent), siblings in responses.items()
        }
        return {
            path.number: [
                Joint(
                    siblings,
                    tuple(responses[path.number, agent][sibling] for agent, sibling in enumerate(siblings)),
                    tuple(texts[path.number, agent][sibling] for agent, sibling in enumerate(siblings)),
                )
                for siblings in self.joint_actions
            ]
            for path in live
        }

    @staticmethod
    def _move(path: Path, joint: Joint) -> Move:
        return Move(path.episode.job.problem, path.episode.state, joint.texts)

    def _act(self, path: Path, joints: list[Joint]) -> None:
        """Execute every joint action behind a path."""
        children = [path]
        for _ in self.joint_actions[1:]:
            children.append(path.branch(len(self.paths)))
            self.paths.append(children[-1])
        label = (path.number if self.branching else path.episode.job.group, path.turn)
        group = self.groups.setdefault(label, len(self.groups))
        known: dict[tuple[int, int], int] = {}
        for index, (child, joint) in enumerate(zip(children, joints, strict=True)):
            if self.branching:
                child.route += (index,)
            self._execute(child, joint, group, self._decide(child, joint, known))

    def _decide(self, path: Path, joint: Joint, known: dict[tuple[int, int], int]) -> list[int]:
        """Append a joint action to a path's histories and return its decisions (agents,).

        ``known``, (agent, sibling) → decision, holds those that an earlier joint action of the same state brought.
        """
        for agent, (sibling, response) in enumerate(zip(joint.siblings, joint.responses, strict=True)):
            path.rows[agent] += sibling
            span = path.transcripts[agent].respond(response.tokens)
            if (agent, sibling) not in known:
                known[agent, sibling] = len(self.decisions)
                place = path.number * self.task.agents + agent
                self.decisions.append(Decision(agent, sibling, place, span, response.logprobs))
        return [known[pair] for pair in enumerate(joint.siblings)]

    def _execute(self, path: Path, joint: Joint, group: int, decisions: list[int]) -> None:
        """Execute one joint action and record its node."""
        episode, turn = path.episode, path.turn
        step, rewards = execute(self.task, episode.job.problem, episode.state, joint.texts, turn)
        cut = False if step.terminated else self._observe(path, step, joint)
        truncated = (step.truncated or cut) and not step.terminated
        self.nodes.append(
            {
                **self._stood(path, step, joint, truncated),
                "problem": episode.job.group,
                "path": path.number,
                "parent": path.node,
                "turn": turn,
                "group": group,
                "rewards": rewards,
                "terminated": step.terminated,
                "truncated": truncated,
                "decision": decisions,
            }
        )
        path.node = len(self.nodes) - 1
        episode.state = step.state
        episode.actions.append(joint.texts)
        episode.rewards.append(rewards)
        episode.info.append(step.info)
        episode.ended = step.ended or cut
        episode.cut = truncated
        if step.observations is not None and not episode.ended:
            episode.observations.append(step.observations)

    def _stood(self, path: Path, step: Step, joint: Joint, truncated: bool) -> dict[str, np.ndarray]:
        """How things stood before a step, and how they stand behind one that was cut."""
        if self.standing is None:
            return {}
        episode, beyond = path.episode, np.zeros(self.standing.width)
        states = self.standing.lived(episode.job.problem, episode.seed, episode.actions, episode.state)
        if truncated:
            actions = [*episode.actions, joint.texts]
            beyond = self.standing.lived(episode.job.problem, episode.seed, actions, step.state)
        return {"states": states, "beyond": beyond}

    def _observe(self, path: Path, step: Step, joint: Joint) -> bool:
        """Append the next observations; True if some agent's next turn might not fit, or the job's history is left."""
        assert step.observations is not None
        for agent, (observation, response) in enumerate(zip(step.observations, joint.responses, strict=True)):
            path.transcripts[agent].observe(self.policies[agent].chat.following(observation, response.tokens[-1]))
        off = path.off_history(step.observations, path.turn + 1)
        return off or any(self._may_not_fit(transcript) for transcript in path.transcripts)

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
            group=column("group", np.int64),
            rewards=column("rewards", np.float64, agents),
            terminated=column("terminated", bool),
            truncated=column("truncated", bool),
            decision=column("decision", np.int64, agents),
            decisions=tuple(self.decisions),
            transcripts=tuple(transcript for path in self.paths for transcript in path.transcripts),
            states=column("states", float, self.standing.width) if self.standing else None,
            beyond=column("beyond", float, self.standing.width) if self.standing else None,
        )
