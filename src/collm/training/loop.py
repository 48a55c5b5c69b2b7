"""The training loop: play, credit, learn, record. It knows neither the method nor the task nor the model."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from collm.config import TrainConfig
from collm.credit import temporal_difference
from collm.errors import DivergedError
from collm.evaluation.evaluate import contribution, counterfactual_losses, evaluate, measures
from collm.randomness import generator
from collm.rollout.collector import Episode, Job, Rollout, collect
from collm.training.setup import Parts
from collm.training.state import Progress

_CONTRIBUTION_EPISODES = 32
"""Episodes per update on which contribution is measured; it costs one replay per agent and episode."""


class Trainer:
    """One training in progress. ``step`` is one update; everything it depends on is in ``parts`` and ``progress``."""

    def __init__(self, config: TrainConfig[Any], parts: Parts, progress: Progress) -> None:
        self.config, self.parts, self.progress = config, parts, progress
        self.problems = list(parts.task.problems("train"))
        self.validation = list(parts.task.problems("validation"))[: config.evaluation.validation_problems]

    @property
    def finished(self) -> bool:
        return self.progress.env_steps >= self.config.env_steps

    def step(self) -> dict[str, Any]:
        """Play one batch, learn from it once, and return its record.

        The task's code runs before anything is learned, so an exception in it leaves the team as the last step did.
        """
        started = time.perf_counter()
        config, parts, update = self.config, self.parts, self.progress.update
        key = ("rollout", config.seed, update)
        rollout = collect(
            parts.task, parts.policies, self.jobs(update), config.sampling, key, config.rollout.max_history
        )
        played = time.perf_counter()
        record = self._measure(rollout)
        if config.evaluation.every and update and update % config.evaluation.every == 0:
            record["validation"] = self.validate()
        values, bootstraps = parts.learner.values(rollout.forest)
        credit = parts.method.credit(
            rollout.forest, values, bootstraps, parts.gamma, config.credit.lam, config.credit.normalise
        )
        skipped = parts.learner.skipped
        move = update >= config.critic.warmup_updates or not parts.learner.critics
        learned = parts.learner.update(rollout.forest, credit, self.lr_scale(), ("learn", config.seed, update), move)
        if parts.learner.critics:
            learned["critic"]["explained_variance"] = self._explained(rollout, values, bootstraps)
        self._count(rollout, parts.learner.skipped > skipped)
        counted = {"update": self.progress.update, "env_steps": self.progress.env_steps}
        times = {"time": self._times(rollout, started, played)}
        return {**counted, **record, **learned, "skipped_steps": parts.learner.skipped, **times}

    def jobs(self, update: int) -> list[Job]:
        """The episodes of an update: problems in shuffled passes over the training split, a function of the update."""
        settings = self.config.rollout
        jobs = []
        for group in range(settings.problems):
            epoch, place = divmod(update * settings.problems + group, len(self.problems))
            order = self._order(epoch)
            problem = self.problems[order[place]]
            jobs += [Job(problem, group, epoch * settings.samples + sample) for sample in range(settings.samples)]
        return jobs

    def _order(self, epoch: int) -> np.ndarray:
        return generator("problems", self.config.seed, epoch).permutation(len(self.problems))

    def lr_scale(self) -> float:
        """The schedule's factor of the policies' learning rate, counted from the first update in which they move."""
        settings = self.config.policy
        moved = self.progress.update - self.config.critic.warmup_updates + 1
        rise = min(1.0, moved / settings.lr_warmup_updates) if settings.lr_warmup_updates else 1.0
        if settings.schedule == "constant":
            return rise
        return rise * max(0.1, 1.0 - self.progress.env_steps / self.config.env_steps)

    def validate(self) -> dict[str, Any]:
        """Sampled performance on validation problems, always with the same random numbers."""
        key = ("validation", self.config.seed)
        return evaluate(self.parts.task, self.parts.policies, self.validation, self.config.sampling, key).summary()

    def _explained(self, rollout: Rollout, values: np.ndarray, bootstraps: np.ndarray) -> float:
        """Share of the variance of the returns-to-go that the values explained before the update."""
        _, returns = temporal_difference(rollout.forest, values, bootstraps, self.parts.gamma, 1.0)
        spread = float(np.var(returns))
        return 1.0 - float(np.var(returns - values)) / spread if spread > 1e-12 else 0.0

    def _count(self, rollout: Rollout, bad: bool) -> None:
        self.progress.update += 1
        self.progress.env_steps += len(rollout.forest)
        self.progress.bad_in_a_row = self.progress.bad_in_a_row + 1 if bad else 0

    def check_health(self) -> None:
        """Raise DivergedError after several updates in a row with a non-finite loss."""
        if self.progress.bad_in_a_row >= self.config.run.max_bad_updates:
            raise DivergedError(
                f"the loss was not finite in {self.progress.bad_in_a_row} updates in a row (update "
                f"{self.progress.update}). Try a lower policy.lr or critic.lr, a smaller policy.max_grad_norm, or "
                "resume an earlier checkpoint."
            )

    def _measure(self, rollout: Rollout) -> dict[str, Any]:
        """How the team did in this batch, before it learns from it."""
        forest = rollout.forest
        rows = [measures(self.parts.task, episode) for episode in rollout.episodes]
        sampled = np.concatenate([decision.logprobs for decision in forest.decisions])
        return {
            **{name: float(np.mean([row[name] for row in rows])) for name in ("return", "final", "score", "turns")},
            "contribution": self._contribution(rollout.episodes[:_CONTRIBUTION_EPISODES]),
            "response_tokens": len(sampled) / len(forest.decisions),
            "entropy": float(-sampled.mean()),
        }

    def _contribution(self, episodes: list[Episode]) -> list[float]:
        task = self.parts.task
        lost = np.array([counterfactual_losses(task, episode) for episode in episodes])
        gained = [task.final(e.job.problem, e.state) - task.floor(e.job.problem) for e in episodes]
        return contribution(lost, np.array(gained))

    def _times(self, rollout: Rollout, started: float, played: float) -> dict[str, float]:
        now = time.perf_counter()
        self.progress.seconds += now - started
        tokens = sum(len(decision.logprobs) for decision in rollout.forest.decisions)
        return {
            "seconds": self.progress.seconds,
            "rollout_seconds": played - started,
            "tokens_per_second": tokens / (played - started),
            "env_steps_per_second": len(rollout.forest) / (now - started),
        }
