"""The training loop: play, credit, learn, record. It knows neither the method nor the task nor the model."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from collm.config import TrainConfig
from collm.credit import Evidence, RunningReturns, greedy_returns, normalised
from collm.errors import DivergedError
from collm.evaluation.evaluate import evaluate
from collm.learning.cache_critic import CacheCritic
from collm.learning.reference import with_kl_in_reward
from collm.learning.state_critic import StateCritic
from collm.randomness import generator
from collm.rollout.collector import Job, Rollout, collect
from collm.rollout.forest import Forest
from collm.training.records import advantage_record, batch_record, critic_record
from collm.training.setup import Parts
from collm.training.state import Progress


class Trainer:
    """One training in progress. ``step`` is one update; everything it depends on is in ``parts`` and ``progress``."""

    def __init__(self, config: TrainConfig[Any], parts: Parts) -> None:
        self.config, self.parts = config, parts
        self.progress = Progress(RunningReturns(parts.task.turns, parts.task.agents))
        self.problems = list(parts.task.problems("train"))
        self.validation = list(parts.task.problems("validation"))[: config.evaluation.validation_problems]

    @property
    def finished(self) -> bool:
        return self.progress.env_steps >= self.config.env_steps

    @property
    def warmup_updates(self) -> int:
        """Updates in which only critics learn; none without critics."""
        return self.config.critic.warmup_updates if self.parts.learner.critics else 0

    def step(self) -> dict[str, Any]:
        """Play one batch, learn from it once, and return its record.

        The task's code runs before anything is learned, so an exception in it leaves the team as the last step did.
        """
        started = time.perf_counter()
        config, learner, progress = self.config, self.parts.learner, self.progress
        rollout, greedy = self._play()
        played = time.perf_counter()
        record = batch_record(self.parts.task, rollout)
        if config.evaluation.every and progress.update and progress.update % config.evaluation.every == 0:
            record["validation"] = self.validate()
        reference = learner.reference_logprobs(rollout.forest)
        evidence = self._evidence(rollout.forest, greedy, reference)
        forest, credit = evidence.forest, self.parts.method.credit(evidence)
        record["advantage"] = advantage_record(forest, credit)
        progress.returns.observe(forest, evidence.gamma)
        skipped = learner.skipped
        move = progress.update >= self.warmup_updates
        learned = learner.update(
            forest,
            normalised(credit, forest, config.credit.normalise),
            self.lr_scale(),
            ("learn", config.seed, progress.update),
            move,
            progress.update,
            reference,
        )
        if learner.critics:
            learned["critic"] = {**learned.get("critic", {}), **critic_record(evidence)}
        bad = learner.skipped > skipped or not credit.weights.any()
        self._count(len(rollout.forest) + (len(greedy) if greedy is not None else 0), bad)
        counted = {"update": progress.update, "env_steps": progress.env_steps}
        times = {"time": self._times(rollout, started, played)}
        return {**counted, **record, **learned, "skipped_steps": learner.skipped, **times}

    def _play(self) -> tuple[Rollout, Forest | None]:
        """The update's rollouts, and the greedy episodes on the same problems if the method compares with them."""
        config, parts, update = self.config, self.parts, self.progress.update
        key = ("rollout", config.seed, update)
        jobs, longest = self.jobs(update), config.rollout.max_history
        keep = any(isinstance(critic, CacheCritic) for critic in parts.learner.critics)
        standing = next((one.standing for one in parts.learner.critics if isinstance(one, StateCritic)), None)
        rollout = collect(
            parts.task,
            parts.policies,
            jobs,
            config.sampling,
            key,
            longest,
            config.rollout.branching(),
            keep,
            parts.engine,
            standing,
        )
        if not parts.method.greedy:
            return rollout, None
        once = list({job.group: Job(job.problem, job.group) for job in jobs}.values())
        greedy = config.sampling.greedy()
        played = collect(parts.task, parts.policies, once, greedy, key, longest, engine=parts.engine)
        return rollout, played.forest

    def _evidence(self, forest: Forest, greedy: Forest | None, reference: list[np.ndarray] | None) -> Evidence:
        """What the method's credit is made from: rewards (with the KL in them, if it belongs there), values, baselines."""
        config, learner, gamma = self.config, self.parts.learner, self.parts.gamma
        if config.policy.kl == "reward" and reference is not None:
            team = not self.parts.task.per_agent_rewards
            forest = with_kl_in_reward(forest, reference, config.policy.kl_coefficient, team)
        values = learner.values(forest)
        slow = learner.values(forest, slow=True) if config.critic.target != "none" else None
        lam, target_lam = config.credit.lam, config.credit.target_lam
        return Evidence(
            forest,
            gamma,
            lam,
            lam if target_lam is None else target_lam,
            None if values is None else values.values,
            None if values is None else values.bootstraps,
            None if slow is None else (slow.values, slow.bootstraps),
            None if values is None else values.action_values,
            None if greedy is None else greedy_returns(forest, greedy, gamma),
            self.progress.returns.mean,
        )

    def jobs(self, update: int) -> list[Job]:
        """The episodes of an update: problems in shuffled passes over the training split, a function of the update."""
        settings = self.config.rollout
        jobs = []
        for group in range(settings.problems):
            epoch, place = divmod(update * settings.problems + group, len(self.problems))
            order = self._order(epoch)
            problem = self.problems[order[place]]
            jobs += [Job(problem, group, epoch * settings.episodes + sample) for sample in range(settings.episodes)]
        return jobs

    def _order(self, epoch: int) -> np.ndarray:
        return generator("problems", self.config.seed, epoch).permutation(len(self.problems))

    def lr_scale(self) -> float:
        """The schedule's factor of the policies' learning rate, counted from the first update in which they move."""
        settings = self.config.policy
        moved = self.progress.update - self.warmup_updates + 1
        rise = min(1.0, moved / settings.lr_warmup_updates) if settings.lr_warmup_updates else 1.0
        done = min(1.0, self.progress.env_steps / self.config.env_steps)
        fall = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 + 0.5 * math.cos(math.pi * done)}[
            settings.schedule
        ]
        return rise * max(0.1, fall)

    def validate(self) -> dict[str, Any]:
        """Sampled performance on validation problems, always with the same random numbers."""
        key = ("validation", self.config.seed)
        parts, sampling = self.parts, self.config.sampling
        longest = self.config.rollout.max_history
        return evaluate(parts.task, parts.policies, self.validation, sampling, key, longest, parts.engine).summary()

    def _count(self, env_steps: int, bad: bool) -> None:
        self.progress.update += 1
        self.progress.env_steps += env_steps
        self.progress.bad_in_a_row = self.progress.bad_in_a_row + 1 if bad else 0

    def check_health(self) -> None:
        """Raise DivergedError after several updates in a row with a non-finite loss, or with nothing to learn from."""
        if self.progress.bad_in_a_row >= self.config.run.max_bad_updates:
            raise DivergedError(
                f"nothing could be learned in {self.progress.bad_in_a_row} updates in a row (update "
                f"{self.progress.update}). If the loss was not finite (skipped_steps in metrics.jsonl): try a lower "
                "policy.lr or critic.lr, a smaller policy.max_grad_norm, or resume an earlier checkpoint. If every return "
                "was cut (advantage.left_out = 1): a larger rollout.max_history, or a smaller sampling.max_new_tokens."
            )

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
