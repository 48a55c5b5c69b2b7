"""Tasks as PettingZoo environments: its own tests pass for every task, and rewards agree."""

from __future__ import annotations

import string
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from gymnasium import spaces
from pettingzoo.test import parallel_api_test, parallel_seed_test

import collm
from collm.errors import ConfigError, ProblemError, TaskError
from collm.tasks import Task, from_functions, make_task, replay
from collm.tasks.protocol import JointAction, Problem
from collm.tasks.zoo.text import AnyText
from collm.testing import malformed_actions

BUILT_IN: dict[str, dict[str, Any]] = {
    "str-build": {"turns": 2, "world": "persistent"},
    "house-build": {"turns": 2, "size": "small"},
    "tldr": {},
    "arxiv": {},
    "coop-he": {"turns": 2, "train_size": 4, "test_size": 4},
}


def function_task() -> Task:
    return from_functions(
        "longer",
        [{"word": word} for word in "abcdefghij"],
        [lambda row: f"a word with {row['word']}"] * 2,
        lambda responses, row: [float(row["word"] in response) for response in responses],
        1.0,
        turns=3,
        transition=lambda row, responses, turn: ["again", "again"],
        pays="each",
        best=lambda row: [row["word"]] * 2,
        single=lambda text: [text, text],
    )


def every_task() -> dict[str, Callable[[], Task]]:
    """All built-in tasks, one of functions, and the single-agent form of each."""
    found: dict[str, Callable[[], Task]] = {"functions": function_task}
    for name, options in BUILT_IN.items():
        found[name] = lambda name=name, options=options: make_task(name, **options)  # type: ignore[misc]
    alone = {f"{name}, one writer": lambda make=make: make().single_agent() for name, make in found.items()}  # type: ignore[misc]
    return found | alone


EVERY_TASK = every_task()


@pytest.mark.parametrize("make", EVERY_TASK.values(), ids=EVERY_TASK)
def test_the_tests_of_pettingzoo_pass(make: Callable[[], Task]) -> None:
    task = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(collm.as_parallel_env(task), num_cycles=task.turns)
        parallel_seed_test(lambda: collm.as_parallel_env(task), num_cycles=task.turns)


def some_plan(task: Task, problem: Problem) -> Sequence[JointAction]:
    """The best plan, with other texts at its end; other texts where there is none."""
    texts = list(malformed_actions().values())[::3]
    others = [[texts[(turn + agent) % len(texts)] for agent in range(task.agents)] for turn in range(task.turns)]
    return [*(task.best_plan(problem) or [])[:1], *others]


@pytest.mark.parametrize("make", EVERY_TASK.values(), ids=EVERY_TASK)
def test_an_environment_pays_and_shows_what_the_task_does(make: Callable[[], Task]) -> None:
    """Rewards as ``replay`` has them, all texts are in the spaces, and the end has the task's final and score."""
    task = make()
    problem = task.problems("test")[0]
    env = collm.as_parallel_env(task, "test")
    seen, infos = env.reset(seed=3, options={"problem": problem.id})
    assert infos["agent_0"]["problem"] == problem.id
    plan = some_plan(task, problem)
    expected = replay(task, problem, plan, infos["agent_0"]["seed"])
    paid = []
    for actions in plan:
        assert all(env.observation_space(agent).contains(text) for agent, text in seen.items())
        agents = env.agents
        seen, rewards, ended, _, infos = env.step(dict(zip(agents, actions, strict=True)))
        paid.append(tuple(rewards[agent] for agent in agents))
        if ended["agent_0"]:
            break
    assert tuple(paid) == expected.rewards
    assert env.agents == []
    assert infos["agent_0"]["score"] == task.score(problem, expected.state)
    assert env.render() == task.as_text(problem, expected.state)


def test_seeds_draw_problems_and_options_name_one() -> None:
    env = collm.as_parallel_env(make_task("str-build"))
    drawn = [
        [env.reset(seed=seed)[1]["agent_0"]["problem"], env.reset()[1]["agent_0"]["problem"]] for seed in range(20)
    ]
    assert drawn[7] == [env.reset(seed=7)[1]["agent_0"]["problem"], env.reset()[1]["agent_0"]["problem"]]
    assert len({problem for pair in drawn for problem in pair}) > 30
    only = collm.as_parallel_env(env.task, problem="HI")
    assert {only.reset(seed=seed)[1]["agent_1"]["problem"] for seed in range(5)} == {"HI"}


def test_messages_keep_their_roles() -> None:
    task = function_task()
    env = collm.as_parallel_env(task, problem=task.problems("train")[0].id)
    seen, infos = env.reset()
    word = task.problems("train")[0].row["word"]
    assert seen["agent_1"] == f"a word with {word}"
    assert infos["agent_1"]["messages"] == [{"role": "user", "content": f"a word with {word}"}]


def test_wrong_use_of_an_environment_says_what_to_do() -> None:
    task = function_task()
    env = collm.as_parallel_env(task)
    with pytest.raises(ConfigError, match=r"step\(\) outside an episode: call reset\(\) first"):
        env.step({"agent_0": "", "agent_1": ""})
    env.reset()
    with pytest.raises(ConfigError, match="no action for agent_1: step"):
        env.step({"agent_0": ""})
    with pytest.raises(ConfigError, match="the action of agent_1 is 3: it must be a text"):
        env.step({"agent_0": "", "agent_1": 3})  # type: ignore[dict-item]
    with pytest.raises(ProblemError, match="no row with the id 'x'"):
        env.reset(options={"problem": "x"})
    with pytest.raises(ConfigError, match="Did you mean 'train'"):
        collm.as_parallel_env(task, "trian")  # type: ignore[arg-type]


def test_an_exception_of_a_task_names_problem_turn_and_agents() -> None:
    task = from_functions(
        "fragile",
        [{"id": f"r{number}"} for number in range(10)],
        [lambda row: row["id"]] * 2,
        lambda responses, row: 1 / 0 if any(responses) else 0.0,
        1.0,
    )
    env = collm.as_parallel_env(task, problem="r3")
    env.reset()
    with pytest.raises(
        TaskError, match=r"'fragile' failed on problem 'r3' at turn 0 \(agents 0, 1\): ZeroDivisionError"
    ):
        env.step({"agent_0": "x", "agent_1": ""})


def test_the_space_of_texts() -> None:
    """Everything is in it that is Unicode text; samples are in it, short, and the same for the same seed."""
    space = AnyText(seed=1)
    assert all(map(space.contains, ["", "a" * 100_000, *malformed_actions().values()]))
    assert not any(map(space.contains, [b"", 3, None, "\ud800"]))
    samples = [space.sample() for _ in range(200)]
    assert all(space.contains(sample) and len(sample) <= 80 for sample in samples)
    assert len(set(samples)) > 190
    assert any(set(sample) - set(string.printable) for sample in samples)
    assert [AnyText(seed=1).sample(), AnyText(seed=2).sample()] == [samples[0], AnyText(seed=2).sample()]
    assert AnyText() == space != spaces.Text(3)
