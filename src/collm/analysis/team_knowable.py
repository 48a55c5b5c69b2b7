"""What of the return can be known at each turn (``knowable.py``), for a team of language models: by playing on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from collm.analysis.folder import Row
from collm.analysis.knowable import Known, knowable_rows
from collm.analysis.targets import Effort, Histories, Target, Views, met, targets
from collm.analysis.team import TeamStudy, critics_values, first_problems, standing
from collm.config import TrainConfig
from collm.errors import ConfigError
from collm.models.policy import Policy
from collm.rollout.collector import Job, collect
from collm.tasks.protocol import Task


def team_knowable_rows(study: TeamStudy, config: TrainConfig[Any], task: Task, policies: Sequence[Policy]) -> list[Row]:
    """One row per turn. Raises ConfigError if the team always earns the same."""
    chosen, key = study.knowable, ("analyze", "knowable", study.seed)
    gamma = task.gamma if config.credit.gamma is None else config.credit.gamma
    problems = first_problems(task, chosen.problems, "knowable.problems")
    jobs = [Job(p, group, sample) for group, p in enumerate(problems) for sample in range(chosen.episodes)]
    longest, told = config.rollout.max_history, standing(study, task)
    rollout = collect(task, policies, jobs, config.sampling, (*key, "met"), longest, standing=told)
    histories, effort = met(rollout, task.agents), Effort(chosen.continuations, chosen.attempts)
    views = histories.views(
        lambda wanted: targets(task, policies, wanted, effort, config.sampling, gamma, (*key, "on"), longest)
    )
    forest = rollout.forest
    fitted = critics_values(study, config, task, policies, forest, gamma)
    values = {view: forest.dense(said) for view, (said, _) in fitted.items()}
    turns = known([job.group for job in jobs], histories, views, values)
    rows = list(knowable_rows(turns))
    if not rows:
        raise ConfigError(
            "too little is known of every turn: all continuations have the same return, or too few of them count. Use an "
            "earlier checkpoint, a higher sampling.temperature, or more --knowable.attempts."
        )
    return rows


def known(
    problems: Sequence[int], histories: Histories, views: Views, values: Mapping[str, np.ndarray]
) -> list[list[Known]]:
    """What there is behind the histories of each turn, where there is enough. ``problems`` are those of the episodes,
    ``values`` what critics say, (episodes, turns, columns) by what they read: joint, own, state."""
    turns: list[list[Known]] = [[] for _ in range(1 + max(probe.history.turn for probe in histories.joint))]
    for probe, joint, own in zip(histories.joint, views.joint, views.own, strict=True):
        path, turn = probe.place, probe.history.turn
        if joint.known:
            said = {view: every[path, turn] for view, every in values.items()}
            turns[turn].append(_behind(problems[path], joint, own, said))
    return turns


def _behind(problem: int, joint: Target, own: Sequence[Target], said: Mapping[str, np.ndarray]) -> Known:
    """What there is behind one history. What critics leave is measured where all is as it was, for both kinds."""
    again = all(target.known for target in own)
    left = np.mean([target.returns[:, agent].var(ddof=1) for agent, target in enumerate(own)]) if again else None
    off = {view: joint.returns - np.broadcast_to(values, joint.returns.shape[1]) for view, values in said.items()}
    return Known(
        problem,
        joint.returns.mean(0),
        len(joint.returns),
        float(joint.returns.var(0, ddof=1).mean()),
        None if left is None else float(left),
        {view: (float(each.mean()), float((each**2).mean())) for view, each in off.items()},
    )
