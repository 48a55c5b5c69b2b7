"""The teams that ``collm baseline`` measures, and the rows and the table that come of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from collm.commands.common import note
from collm.config import resolve
from collm.errors import ConfigError
from collm.evaluation.baselines import measure
from collm.evaluation.evaluate import Evaluation
from collm.methods import METHODS
from collm.models.base import weights_hash
from collm.models.loading import load_raw, one_for_each
from collm.models.policy import Policy, notes
from collm.rollout.protocols import Protocol
from collm.rollout.sampling import Sampling
from collm.tasks.protocol import Problem, Task
from collm.tasks.registry import single_form

if TYPE_CHECKING:
    from collm.commands.baseline import BaselineCommand


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One row of the table."""

    protocol: Protocol
    team: str
    """``untrained``, or the run."""
    task: Task
    policies: list[Policy]
    sampling: Sampling


def untrained(
    command: BaselineCommand[Any], task: Task, protocols: Sequence[Protocol], asked: bool
) -> Iterator[Contestant]:
    """Teams of raw models. Protocols that were not asked for by name are left out where the task has no form for them."""
    names, writer = _models(command, task.agents)
    known = {name: load_raw(name, command.device) for name in {*names, writer}}
    team = [known[name] for name in names]
    for line in notes(team):
        note(line)
    for protocol in protocols:
        if not protocol.single:
            yield Contestant(protocol, "untrained", task, team, command.sampling)
            continue
        try:
            form = single_form(task, protocol.name, "a protocol for teams, such as parallel")
        except ConfigError as error:
            if asked:
                raise
            note(f"baseline: {protocol.name} left out: {error}")
            continue
        tokens = command.sampling.max_new_tokens * task.agents
        sampling = dataclasses.replace(command.sampling, max_new_tokens=tokens)
        yield Contestant(protocol, "untrained", form, [known[writer]], sampling)


def _models(command: BaselineCommand[Any], agents: int) -> tuple[list[str], str]:
    """The team's models, and that of `raw`: as given, or what methods for teams and for one model start from."""
    if command.model is not None:
        return one_for_each(command.model, agents), command.model[0]
    single = next(name for name, chosen in METHODS.items() if chosen.single)
    writer = resolve(command.task_name, single, command.preset).models[0]
    return one_for_each(resolve(command.task_name, preset=command.preset).models, agents), writer


Row = tuple[Contestant, list[Evaluation]]


def measured(contestant: Contestant, problems: Sequence[Problem], seed: int) -> Row:
    """A contestant with sampled and with greedy decoding; draws are keyed as in ``collm eval``."""
    note(f"baseline: {contestant.protocol.name}, {contestant.team}")
    found = [
        measure(contestant.protocol, contestant.task, contestant.policies, problems, sampling, ("eval", seed))
        for sampling in (contestant.sampling, contestant.sampling.greedy())
    ]
    silent = sum(one.cost.silent for one in found)
    if silent:
        note(f"baseline: {silent} answers were left out, because an agent's history was full.")
    return contestant, found


def record(contestant: Contestant, found: Sequence[Evaluation]) -> dict[str, Any]:
    """A contestant's row for ``--json``."""
    return {
        "protocol": contestant.protocol.name,
        "team": contestant.team,
        "agents": contestant.task.agents,
        "model_hashes": [weights_hash(policy.model) for policy in contestant.policies],
        "max_new_tokens": contestant.sampling.max_new_tokens,
        **{one.decoding: one.in_full() for one in found},
    }


def table(rows: Sequence[Row], title: str) -> Table:
    """A column per contestant, for a terminal."""
    shown = Table(title=title, title_justify="left", caption="read and written: tokens per problem, agent by agent")
    shown.add_column("", no_wrap=True)
    for contestant, _ in rows:
        shown.add_column(f"{contestant.protocol.name}\n{contestant.team}", justify="right", overflow="fold")
    columns = [_texts(*found) for _, found in rows]
    for name in columns[0]:
        shown.add_row(name, *(own[name] for own in columns))
    return shown


def _texts(sampled: Evaluation, greedy: Evaluation) -> dict[str, str]:
    """Measure → its text."""
    found = sampled.in_full()
    low, high = found["score_ci95"]
    return {
        "score": f"{found['score']:.1f}",
        "95 %": f"{low:.1f} to {high:.1f}",
        "greedy": f"{greedy.mean('score'):.1f}",
        "paper score": f"{found['paper_score']:.1f}",
        "final": f"{found['final']:.3f}",
        "contribution": ", ".join(f"{share:.2f}" for share in found["contribution"]),
        "s/problem": f"{found['seconds_per_problem']:.3f}",
        "read": ", ".join(f"{tokens:.0f}" for tokens in found["tokens_read"]),
        "written": ", ".join(f"{tokens:.0f}" for tokens in found["tokens_written"]),
    }
