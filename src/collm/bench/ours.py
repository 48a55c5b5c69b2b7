"""Our side, run as ``python -m collm.bench.ours``: the trainer that ``collm train`` uses, update by update."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from collm import machine
from collm.bench.side.worker import Channel, Record, serve
from collm.bench.task import Fixed, FixedOptions, FixedProblem
from collm.config import resolve, validated, with_changes
from collm.credit import Credit
from collm.evaluation.evaluate import evaluate
from collm.learning.cache_critic import CacheCritic
from collm.learning.critic import Critic
from collm.models.loading import load_policies
from collm.models.policy import Policy
from collm.rollout.forest import Forest
from collm.training.loop import Trainer
from collm.training.setup import assemble

PACKAGES = ("collm", "torch", "transformers")


class Ours:
    """A team under our trainer."""

    def __init__(self) -> None:
        self.seen: tuple[Forest, Credit, bool] | None = None

    def load(self, request: Record) -> Record:
        """Build the trainer: of the forced task that ``fixed`` describes, or of the task ``name``."""
        machine.prepare(request["device"], request["threads"])
        fixed = Fixed(FixedOptions(**request["fixed"])) if "fixed" in request else None
        values = {**request["values"], "seed": request["seed"], "model": request["model"]}
        values["run"] = {"threads": request["threads"], "device": request["device"]}
        config = resolve(fixed or request["name"], request["method"], request.get("preset", "default"), values)
        self.config = validated(with_changes(config, request["changes"]))
        parts = assemble(self.config, fixed)
        if fixed is not None:
            for policy in parts.policies:
                force_lengths(policy)
        self.trainer = Trainer(self.config, parts)
        self._watch()
        model = parts.policies[0].model
        trained = [self._trained(policy.model) for policy in parts.policies]
        return {"parameters": sum(p.numel() for p in model.parameters()), "trained_parameters": trained[0]}

    @staticmethod
    def _trained(model: Any) -> int:
        return sum(p.numel() for p in model.parameters() if p.requires_grad)

    def _watch(self) -> None:
        """Keep what the learner is given: the counts are made of it, off the clock."""
        learner = self.trainer.parts.learner
        update = learner.update

        def watched(
            forest: Forest, credit: Credit, scale: float, key: Any, move: bool, *rest: Any, **named: Any
        ) -> Any:
            self.seen = forest, credit, move
            return update(forest, credit, scale, key, move, *rest, **named)

        learner.update = watched  # type: ignore[method-assign,assignment]

    def round(self, request: Record) -> Record:
        """One update."""
        record = self.trainer.step()
        return {"rollout_seconds": record["time"]["rollout_seconds"], "after": self._counts}

    def _counts(self) -> Record:
        assert self.seen is not None
        forest, credit, move = self.seen
        sizes = np.array([decision.span.stop - decision.span.said for decision in forest.decisions])
        learned = int(sizes[credit.weights > 0].sum()) if move else 0
        critics = [read_by(critic, forest) for critic in self.trainer.parts.learner.critics]
        jobs = self.trainer.jobs(self.trainer.progress.update - 1)
        return {
            "numbers": [job.problem.number for job in jobs if isinstance(job.problem, FixedProblem)],
            "env_steps": len(forest),
            "generated_tokens": int(sizes.sum()),
            "learned_tokens": learned,
            "prompts": sorted({decision.span.said for decision in forest.decisions}),
            "openings": [one.tokens[: one.spans[0].said] for one in forest.transcripts[: forest.agents]],
            "policy_tokens": sum(len(one.tokens) for one in forest.transcripts),
            "critic_tokens": sum(tokens for tokens, _ in critics),
            "critic_squares": sum(squares for _, squares in critics),
        }

    def evaluate(self, request: Record) -> Record:
        """The mean score on held-out problems: of this team, or of the models in ``folders``."""
        task, config = self.trainer.parts.task, self.config
        team = self.trainer.parts.policies
        if request.get("folders"):
            team = [load_policies(folder, 1, config.run.device)[0] for folder in request["folders"]]
        problems = list(task.problems("test"))[: request["problems"]]
        found = evaluate(task, team, problems, config.sampling, ("bench", config.seed), config.rollout.max_history)
        return {"score": found.mean("score"), "return": found.mean("return")}


def read_by(critic: Critic, forest: Forest) -> tuple[int, int]:
    """Tokens that pass through a critic's network, and Σ n² over its sequences; a query that attends to m keys of a cache
    costs as much as 2m of that sum."""
    readings = critic.read(forest)
    if isinstance(critic, CacheCritic):
        seen = [sum(reading.seen[place]) for reading in readings for place in reading.places]  # type: ignore[attr-defined]
        return len(seen), 2 * sum(seen)
    lengths = [len(reading.tokens) for reading in readings]
    return sum(lengths), sum(length**2 for length in lengths)


def force_lengths(policy: Policy) -> None:
    """No token ends a response, and none stands for the end of a turn."""
    policy.stop_ids = ()
    policy.chat.end_of_turn = -1


def request(
    workload: Any, model: Path | str, device: str, threads: int, changes: dict[str, Any], seed: int = 0
) -> Record:
    """What ``load`` needs for a workload."""
    return {
        "fixed": dataclasses.asdict(workload.task().options),
        "values": workload.ours(),
        "method": workload.method,
        "model": str(model),
        "device": device,
        "threads": threads,
        "changes": changes,
        "seed": seed,
    }


def main() -> None:
    side = Ours()
    serve({"load": side.load, "round": side.round, "evaluate": side.evaluate}, Channel(), PACKAGES)


if __name__ == "__main__":
    main()
