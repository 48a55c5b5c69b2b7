"""The table of methods: every row trains in every shape it allows, bad combinations are refused, pages tell the truth."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import Any
from unittest import mock

import marked
import numpy as np
import pages
import pytest

from collm.cli import run
from collm.config import resolve
from collm.errors import ConfigError, TaskError
from collm.learning.cache_critic import CacheCritic
from collm.learning.critic import TextCritic
from collm.methods import METHODS
from collm.presets import PRESETS, merged
from collm.rules import caveats
from collm.tasks.minecraft.str_build import StrBuild
from collm.tasks.protocol import Step, Task
from collm.training.loop import Trainer
from collm.training.setup import assemble, check_rewards

ROOT = Path(__file__).parent.parent
SMALL: dict[str, Any] = {
    "task": {"turns": 2, "max_length": 2, "train_size": 12, "validation_size": 4, "test_size": 4},
    "rollout": {"problems": 4},
    "sampling": {"max_new_tokens": 12},
    "evaluation": {"every": 0},
    "run": {"threads": 1},
}


def stepped(method: str, preset: str = "default", **values: Any) -> tuple[Trainer, list[dict[str, Any]]]:
    """A trainer after three small updates, and its records."""
    config = resolve("str-build", method, preset, merged(SMALL, values))
    trainer = Trainer(config, assemble(config))
    return trainer, [trainer.step() for _ in range(3)]


def weights(trainer: Trainer) -> list[np.ndarray]:
    return [policy.model.lm_head.weight.detach().numpy().copy() for policy in trainer.parts.policies]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_moves_its_policies_and_says_how(name: str) -> None:
    fresh = resolve("str-build", name, values=SMALL)
    before = weights(Trainer(fresh, assemble(fresh)))
    trainer, records = stepped(name)
    assert all(not np.array_equal(a, b) for a, b in zip(before, weights(trainer), strict=True))
    assert len(trainer.parts.policies) == (1 if METHODS[name].single else 2)
    last = records[-1]
    assert {"kl", "ratio", "clip_fraction", "entropy", "grad_norm", "loss"} <= last["policy"].keys()
    assert (
        np.shape(last["advantage"]["mean"]) == np.shape(last["advantage"]["spread"]) == (2, trainer.parts.task.agents)
    )
    assert ("critic" in last) == (METHODS[name].critic is not None)
    if METHODS[name].critic:
        assert len(last["critic"]["explained_variance_each"]) == len(trainer.parts.learner.critics)
    assert trainer.parts.learner.skipped == 0


@pytest.mark.parametrize("shape", [pytest.param("tree-aligned", marks=pytest.mark.slow), "tree-cross"])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_from_trees(name: str, shape: str) -> None:
    """Env steps are B + B² per problem, B = K joint actions per node or Kⁿ; a greedy rollout adds its own."""
    _, records = stepped(name, rollout={"problems": 1, "samples": 2, "shape": shape})
    branches = 4 if shape == "tree-cross" and not METHODS[name].single else 2
    extra = 2 if METHODS[name].greedy else 0
    assert records[0]["env_steps"] == branches + branches**2 + extra


def test_critics_read_caches_where_these_are_at_hand_and_small(monkeypatch: pytest.MonkeyPatch) -> None:
    for method, count in (("collm-cc", 1), ("collm-dc", 2)):
        config = resolve("str-build", method, values=SMALL)
        critics = assemble(config).learner.critics
        assert [type(critic) for critic in critics] == [CacheCritic] * count
    trees = resolve("str-build", "collm-cc", values=merged(SMALL, {"rollout": {"samples": 2, "shape": "tree-aligned"}}))
    assert [type(critic) for critic in assemble(trees).learner.critics] == [TextCritic]
    monkeypatch.setattr("collm.models.base.SMALL", 1000)
    config = resolve("str-build", "collm-cc", values=SMALL)
    assert [type(critic) for critic in assemble(config).learner.critics] == [TextCritic]


@pytest.mark.parametrize("agents", [1, 3])
@pytest.mark.parametrize("name", ["collm-cc", "collm-dc", "magrpo"])
def test_teams_of_other_sizes(name: str, agents: int) -> None:
    trainer, records = stepped(name, task={"agents": agents})
    assert len(trainer.parts.policies) == agents == len(records[-1]["contribution"])


def test_the_paper_preset_plays_the_released_settings() -> None:
    config = resolve("str-build", "magrpo", "paper")
    assert (config.task.world, config.task.turns, config.sampling.temperature, config.policy.lr) == (
        "fresh",
        4,
        0.6,
        5e-6,
    )
    assert (config.rollout.shape, config.rollout.samples, config.env_steps) == ("tree-aligned", 2, 4800)
    released = resolve("str-build", "collm-cc", "paper")
    assert (released.credit.lam, released.critic.encoding, released.critic.coefficient) == (0.0, "prompts", 0.6)
    assert (released.policy.lr, released.critic.lr, released.policy.loss) == (2.5e-6, 2.5e-6, "policy-gradient")


RELEASED_WRITING = {
    # env steps, rows, problems per update, samples, temperature, tokens of arxiv
    "collm-cc": (22_000, 1100, 4, 1, 0.7, 256),
    "collm-dc": (20_000, 1000, 4, 1, 0.7, 256),
    "magrpo": (8_800, 1100, 1, 4, 0.7, 256),
    "ac": (4_000, 1000, 4, 1, 0.7, 512),
    "grpo": (4_000, 1000, 2, 4, 0.6, 512),
}


@pytest.mark.parametrize("name", RELEASED_WRITING)
def test_the_paper_preset_of_the_writing_tasks(name: str) -> None:
    config = resolve("arxiv", name, "paper")
    found = (
        config.env_steps,
        config.task.train_size,
        config.rollout.problems,
        config.rollout.samples,
        config.sampling.temperature,
        config.sampling.max_new_tokens,
    )
    assert found == RELEASED_WRITING[name]
    assert (config.task.source, config.task.profile, config.policy.lr) == ("hub", "paper", 5e-6)
    assert resolve("tldr", name, "paper").sampling.max_new_tokens == 256


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_of_every_method_is_allowed(name: str, preset: str) -> None:
    assert resolve("str-build", name, preset).preset == preset


@pytest.mark.parametrize("name", ["collm-dc", "magrpo"])
def test_the_paper_preset_runs(name: str) -> None:
    _, records = stepped(
        name, "paper", task={"train_size": 256}, rollout={"problems": 1}, sampling={"max_new_tokens": 8}
    )
    assert records[-1]["policy"]["clip_fraction"] == 0
    assert records[-1]["policy"]["grad_norm"] > 0


REFUSED = {
    "critic of a critic-free method": ("magrpo", {"critic": {"lr": 2e-3}}, r"critic\.lr: 'magrpo' has no critic"),
    "lambda of a critic-free method": ("grpo", {"credit": {"lam": 0.9}}, r"credit\.lam: 'grpo' has no critic"),
    "leave-one-out of one": ("marloo", {"rollout": {"samples": 1}}, r"rollout\.samples = 1.*at least 2.*mareinforce"),
    "group of one": ("magrpo", {"rollout": {"samples": 1}}, r"rollout\.samples = 1.*at least 2"),
    "tree of one": (
        "mareinforce",
        {"rollout": {"samples": 1, "shape": "tree-aligned"}},
        "at least 2 responses per node",
    ),
    "head of a joint critic": ("collm-cc", {"critic": {"backbone": "policy"}}, "collm-dc or ac"),
    "head with Q": ("collm-dc", {"critic": {"backbone": "policy", "kind": "q"}}, r"critic\.kind = q.*critic\.kind = v"),
    "caches of a tree": (
        "collm-cc",
        {"critic": {"encoding": "caches"}, "rollout": {"samples": 2, "shape": "tree-aligned"}},
        "time-order for trees",
    ),
    "steps without a ratio": ("collm-cc", {"policy": {"loss": "policy-gradient"}}, r"policy\.minibatches = 3"),
    "an option without its other half": (
        "collm-cc",
        {"critic": {"target_rate": 0.5}},
        r"only with critic\.target = polyak",
    ),
    "clip without a ratio": (
        "collm-cc",
        {"policy": {"clip": 0.1, "loss": "policy-gradient", "minibatches": 1}},
        r"policy\.clip",
    ),
    "spread of one": ("collm-cc", {"credit": {"normalise": "group"}}, "a group of one has no spread"),
    "KL of a truncated sampler": (
        "magrpo",
        {"policy": {"kl": "reward", "loss": "policy-gradient", "minibatches": 1}, "sampling": {"top_p": 0.9}},
        r"policy\.kl = reward needs sampling\.top_p = 1",
    ),
    "several blind epochs": ("magrpo", {"policy": {"loss": "policy-gradient", "epochs": 2}}, "one pass over a batch"),
}


@pytest.mark.parametrize(("name", "values", "message"), REFUSED.values(), ids=REFUSED)
def test_combinations_that_mean_nothing_are_refused(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve("str-build", name, values=values)


def test_too_many_joint_actions_are_refused_at_the_start() -> None:
    config = resolve("str-build", "magrpo", values={"rollout": {"samples": 9, "shape": "tree-cross"}})
    with pytest.raises(ConfigError, match=r"81 joint actions per node, above rollout\.max_joint_actions = 64"):
        assemble(config)


def test_a_task_without_a_single_agent_form_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StrBuild, "single_agent", Task.single_agent)
    with pytest.raises(ConfigError, match=r"'str-build' has no single-agent form, which 'grpo' needs\. Use .* magrpo"):
        assemble(resolve("str-build", "grpo"))


def test_a_tree_beyond_the_budget_is_refused_at_the_start() -> None:
    values = {"task": {"agents": 4}, "rollout": {"samples": 2, "shape": "tree-cross"}, "env_steps": 1000}
    with pytest.raises(ConfigError, match=r"up to 69,904 joint actions.*env_steps = 1,000"):
        assemble(resolve("str-build", "magrpo", values=values))


def test_a_flag_with_its_default_value_is_refused_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "str-build", "--method", "magrpo", "--critic.warmup-updates", "2"]) == 2
    assert "critic.warmup_updates: 'magrpo' has no critic" in capsys.readouterr().err


class Paid(StrBuild):
    """StrBuild with made-up rewards."""

    paid: Any = 0.0

    def step(self, *arguments: Any) -> Step:
        return dataclasses.replace(super().step(*arguments), reward=self.paid)


@pytest.mark.parametrize(
    ("paid", "says", "message"),
    [
        ((1.0, 2.0, 3.0), True, "3 rewards for 2 agents"),
        ((1.0, 2.0), False, "per_agent_rewards = True"),
        ("much", False, "the reward is 'much'"),
        ((float("nan"), 0.0), True, r"reward is \(nan, 0\.0\)"),
        ((1.0, 2.0), True, None),
        (1.0, False, None),
    ],
)
def test_rewards_of_the_wrong_length_are_refused_at_the_start(paid: Any, says: bool, message: str | None) -> None:
    task = Paid()
    task.paid, task.per_agent_rewards = paid, says
    if message is None:
        check_rewards(task)
        return
    with pytest.raises((ConfigError, TaskError), match=message):
        check_rewards(task)


def test_a_reward_per_agent_reaches_each_agents_advantage() -> None:
    """The joint critic has a column per agent, and only agent 1 is paid."""
    config = resolve("str-build", "collm-cc", values=merged(SMALL, {"critic": {"warmup_updates": 0}}))
    paid = Paid(config.task)
    paid.paid, paid.per_agent_rewards = (0.0, 1.0), True
    with mock.patch("collm.training.setup.build_task", return_value=paid):
        trainer = Trainer(config, assemble(config))
    assert trainer.parts.learner.critics[0].outputs == 2
    advantage = np.array(trainer.step()["advantage"]["mean"], dtype=float)
    np.testing.assert_allclose(advantage[:, 0], 0.0, atol=1e-12)
    assert (advantage[:, 1] > 0.5).all()


def test_only_the_table_knows_names() -> None:
    """No other module compares a method's name."""
    for path in (ROOT / "src").rglob("*.py"):
        if path.name != "methods.py":
            found = re.findall(r"(?<!for )method(?:_name|\.name)?\s*(?:==|!=|\bin\b)\s*[\"(\[{]", path.read_text())
            assert not found, f"{path}: {found}"


def test_a_methods_credit_is_a_few_lines() -> None:
    for method in METHODS.values():
        assert len(inspect.getsourcelines(method.credit)[0]) <= 40


@pytest.mark.parametrize("name", METHODS)
def test_every_page_is_as_the_code_is(name: str) -> None:
    """Settings, pointers and results of docs/methods are what `python benchmarks/pages.py` writes now."""
    page = ROOT / "docs" / "methods" / f"{name}.md"
    assert page.read_text() == pages.filled(page.read_text(), METHODS[name])
    assert (ROOT / "docs" / "images" / "methods" / f"{name}.png").exists()


def test_the_readme_has_the_results() -> None:
    text = (ROOT / "README.md").read_text()
    assert text == marked.fill(text, "methods", pages.overview())
    assert all(f"| [{name}](docs/methods/{name}.md) |" in text for name in METHODS)


def test_one_writer_starts_from_the_larger_model_on_the_writing_tasks() -> None:
    for name, method in METHODS.items():
        for task in ("tldr", "arxiv"):
            assert resolve(task, name, "quick").model == ("small" if method.single else "tiny")
        assert resolve("coop-he", name, "quick").model == "tiny"


def test_biased_settings_are_named_in_the_results() -> None:
    assert caveats(resolve("str-build", "collm-cc")) == []
    assert len(caveats(resolve("str-build", "magrpo", "paper"))) == 2
    assert "surrogate" in caveats(resolve("str-build", "maremax"))[0]


def test_the_list_names_every_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["methods", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["methods"]
    assert [row["name"] for row in rows] == list(METHODS)
    assert run(["methods"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(METHODS)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method_closes_a_quarter_of_the_gap(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One command that differs only in --method; seeds 1 and 2 are in docs/methods."""
    out = ["--seed", "0", "--out", str(tmp_path / "run"), "--quiet", "--json"]
    assert run(["train", "str-build", "--preset", "quick", "--method", name, *out]) == 0
    summary = json.loads(capsys.readouterr().out)
    raw = summary["raw"]["score"]
    assert summary["trained"]["score"] >= raw + 0.25 * (100 - raw)
    assert summary["improvement"]["ci95"][0] > 0
