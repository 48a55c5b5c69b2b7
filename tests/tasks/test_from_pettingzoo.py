"""PettingZoo environments as tasks: what is shown and paid, words for spaces, and pure steps of stateful games."""

from __future__ import annotations

import importlib
import itertools
import random
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

import collm
from collm.errors import ConfigError, ProblemError, TaskError
from collm.models.policy import Policy
from collm.rollout.collector import Job, collect
from collm.rollout.sampling import Sampling
from collm.tasks import Task, make_task, replay
from collm.tasks.protocol import team_rewards
from collm.tasks.zoo import words
from collm.testing import check_task
from tests.tasks.test_functions import SMALL
from tests.tasks.zoo_games import MOVES, Dials, Forgetful, Masked, Meeting, Nim

ROOT = Path(__file__).parent.parent.parent
SEEDS = {"train": range(12), "test": range(12, 18)}


def meeting(make_env: Callable[[], Any] = Meeting, **changes: Any) -> Any:
    given: dict[str, Any] = {"turns": 4, "ceiling": 0.0, "actions": MOVES, "seeds": SEEDS}
    return collm.from_parallel_env(make_env, "meeting", **(given | changes))


def march(seed: int) -> list[list[str]]:
    """Both walk towards each other, one step each per turn; a single step is left to the west one."""
    game = Meeting()
    game.reset(seed=seed)
    apart = game.places["east"] - game.places["west"]
    return [["right", "left"]] * (apart // 2) + [["right", "wait"]] * (apart % 2)


def march_earns(seed: int) -> float:
    game = Meeting()
    game.reset(seed=seed)
    apart = game.places["east"] - game.places["west"]
    return -float(sum(range(apart - 2, 0, -2)))


TASKS: dict[str, Callable[[], Task]] = {
    "best": lambda: meeting(ceiling=march_earns, best=march),
    "agents": lambda: meeting(reward="agent"),
    "masked": lambda: meeting(Masked, default="right"),
    "cut": lambda: meeting(lambda: Meeting(limit=2)),
    "held": lambda: meeting(repeat=3),
    "few kept": lambda: meeting(kept=1),
    "functions": lambda: meeting(
        observe=lambda agent, seen: f"{agent} at {seen[0]}", act=lambda agent, text, seen: len(text) if text else None
    ),
    "numbers": lambda: collm.from_parallel_env(Dials, "dials", turns=1, ceiling=9.0, seeds=SEEDS),
    "in turn": lambda: collm.from_parallel_env(Nim, "nim", turns=5, ceiling=1.0, reward="agent", seeds=SEEDS, default=2),
}  # fmt: skip


@pytest.mark.parametrize("make", TASKS.values(), ids=TASKS)
def test_a_task_from_an_environment_keeps_the_protocol(make: Callable[[], Task]) -> None:
    check_task(make(), problems_per_split=1)


def test_what_agents_see_and_are_paid() -> None:
    """Seed 3 begins at 2 and 4: four fields between turns count 2, and nobody who is not read moves."""
    task = meeting()
    problem = task.problem("3")
    start = task.reset(problem)
    rules = "You are {}, in a game with {}.\nAnswer with one of: wait, left, right."
    (west, _), (east, _) = start.observations
    assert (west.role, west.content) == ("system", rules.format("west", "east"))
    assert east.content == rules.format("east", "west")
    before = [seen[-1].content for seen in start.observations]
    here, there = map(int, before[0].split())
    assert before == [f"{here} {there}", f"{there} {here}"]
    step = task.step(problem, start.state, ["I go RIGHT, then left.", "nonsense"])
    assert [seen[0].content for seen in step.observations] == [f"{here + 1} {there}", f"{there} {here + 1}"]
    assert (step.reward, step.components["valid"]) == (here + 1 - there, 0.5)
    assert task.floor(problem) == 4 * (here - there)


def test_steps_are_pure_in_any_order() -> None:
    """Random branches of many episodes, each step asked for again later, against fresh tasks that keep nothing."""
    task, chance = meeting(kept=5), random.Random(0)
    problems = task.problems("train")
    open_states = [(problem, task.reset(problem).state) for problem in problems for _ in range(3)]
    taken = []
    for _ in range(120):
        problem, state = chance.choice(open_states)
        actions = [chance.choice(MOVES), chance.choice(MOVES)]
        step = task.step(problem, state, actions)
        taken.append((problem, state, actions, step))
        if not step.ended:
            open_states.append((problem, step.state))
    chance.shuffle(taken)
    for problem, state, actions, step in taken:
        assert task.step(problem, state, actions) == step
    fresh = meeting()
    for problem, state, actions, step in taken[:10]:
        assert fresh.step(problem, state, actions) == step


def test_forward_play_steps_each_environment_once_per_turn() -> None:
    """Twelve episodes side by side, three of each problem, with the same answers or others."""
    task = meeting()
    episodes = [(problem, task.reset(problem).state) for problem in task.problems("train")[:4] for _ in range(3)]
    Meeting.steps = Meeting.made = 0
    for turn in range(3):
        said = [["wait", "left" if turn < 1 and number % 3 == 0 else "wait"] for number in range(len(episodes))]
        episodes = [
            (problem, task.step(problem, state, actions).state)
            for (problem, state), actions in zip(episodes, said, strict=True)
        ]
    assert (Meeting.steps, Meeting.made) == (3 * 12, 0)


def test_a_game_that_does_not_repeat_itself_is_refused() -> None:
    made = itertools.count()
    with pytest.raises(
        ConfigError, match=r"does not repeat itself on seed-0; let all its chance come from reset\(seed\)"
    ):
        meeting(lambda: Meeting(limit=next(made) % 3 + 1), ceiling=1.0)
    task = meeting(Forgetful)
    problem = task.problems("train")[0]
    one = task.step(problem, task.reset(problem).state, ["right", "wait"])
    task.step(problem, one.state, ["right", "wait"])
    with pytest.raises(ValueError, match=r"paid .* at turn 0 and .* when the same was played again"):
        task.step(problem, one.state, ["right", "wait"])


def test_masks_early_ends_and_turns() -> None:
    """An illegal or unreadable answer becomes the first legal one, and who is out is told so and not counted."""
    task = meeting(Masked, turns=2)
    problem = task.problems("train")[0]
    start = task.reset(problem)
    assert start.observations[0][-1].content.endswith("\nAllowed now: left, right.")
    one = task.step(problem, start.state, ["wait", "left"])
    assert one.components["valid"] == 0.5
    assert one.observations[1][0].content.endswith("You have no move at this turn: whatever you write is ignored.")
    assert "Allowed" not in one.observations[1][0].content
    two = task.step(problem, one.state, ["right", "left"])
    assert two.components["valid"] == 2 / 3
    other = task.step(problem, one.state, ["right", "right"])
    assert other.reward == two.reward


def test_agents_that_take_turns_are_read_one_at_a_time() -> None:
    """Five matches: 2 and 2 leave one, which is the only legal answer and wins."""
    task = TASKS["in turn"]()
    problem = task.problems("train")[0]
    start = task.reset(problem)
    assert [("no move" in seen[-1].content) for seen in start.observations] == [False, True]
    found = replay(task, problem, [["2", "1"], ["1", "2"], ["2", "2"]])
    assert found.rewards == ((0.0, 0.0), (0.0, 0.0), (1.0, -1.0))
    assert found.state.asked == 3
    assert task.components(problem, found.state) == {"valid": 2 / 3, "return_0": 1.0, "return_1": -1.0}


def test_the_turn_limit_ends_and_an_environment_that_stops_cuts() -> None:
    """A limit of the game below the task's leaves the value beyond open; the task's own limit does not."""
    stop = ["wait", "wait"]
    for limit, turns, cut in ((2, 4, True), (2, 2, False), (9, 2, False)):
        task = meeting(lambda limit=limit: Meeting(limit=limit), turns=turns)  # type: ignore[misc]
        problem = task.problems("train")[0]
        one = task.step(problem, task.reset(problem).state, stop)
        two = task.step(problem, one.state, stop)
        assert not one.ended
        assert (two.truncated, two.terminated, two.observations is None) == (cut, not cut, not cut)


def test_an_action_can_hold_for_several_steps() -> None:
    """Their rewards are added, and an answer is counted once."""
    seed = next(seed for seed in range(100) if march_earns(seed) == -6.0)
    task = meeting(repeat=2, turns=2)
    problem = task.problem(str(seed))
    step = task.step(problem, task.reset(problem).state, ["right", "left"])
    assert (step.reward, step.state.asked) == (-4.0 - 2.0, 2)


def test_a_task_as_an_environment_as_a_task_is_the_same_task() -> None:
    """Round trip: the same texts are shown, and the same rewards are paid."""
    task = make_task("str-build", turns=2, world="persistent")
    problem = task.problem("HI")
    again = collm.from_parallel_env(
        lambda: collm.as_parallel_env(task, problem="HI"), "again", turns=2, ceiling=9.0, seeds=SEEDS
    )
    there = again.problems("train")[0]
    shown = "\n\n".join(message.content for message in task.reset(problem).observations[1])
    assert again.reset(there).observations[1][-1].content == shown.strip()
    plan = task.best_plan(problem)
    assert plan is not None
    once, twice = replay(task, problem, plan), replay(again, there, plan)
    assert once.rewards == twice.rewards
    assert again.final(there, twice.state) == pytest.approx(sum(sum(paid) / 2 for paid in once.rewards))
    with pytest.raises(NotImplementedError, match="actions of agent_0 are texts"):
        again.single_agent()


def test_one_writer_has_a_line_for_each_agent() -> None:
    task = meeting().single_agent()
    problem = task.problems("train")[0]
    start = task.reset(problem)
    system, user = start.observations[0]
    assert system.content == "Write the answers of all agents: one line for each, in this order."
    assert user.content.startswith("[Agent 1]\nYou are west, in a game with east.\nAnswer with one of")
    step = task.step(problem, start.state, ["right\n\nleft\nleft"])
    assert step.state.answers == (("right", "left"),)


WORDINGS = [
    (spaces.Discrete(5), 3, "3"),
    (spaces.MultiDiscrete([3, 4]), np.array([1, 3]), "1 3"),
    (spaces.MultiBinary(3), np.array([1, 0, 1], dtype=np.int8), "1 0 1"),
    (spaces.Box(-9, 9, (3,)), np.array([-0.001, 1.256, -2.0]), "0 1.26 -2"),
    (spaces.Box(0, 9, (2, 2), dtype=np.uint8), np.array([[1, 2], [3, 4]]), "1 2\n3 4"),
    (spaces.Box(0, 9, ()), np.array(0.5), "0.5"),
    (spaces.Text(9), "as it is", "as it is"),
    (spaces.Tuple([spaces.Discrete(3), spaces.Box(-1, 1, (2,))]), (2, np.array([0.5, 1])), "2\n0.5 1"),
    (spaces.Dict({"near": spaces.Discrete(3), "far": spaces.Discrete(3)}), {"near": 1, "far": 2}, "near: 1\nfar: 2"),
    (
        spaces.Dict({"observation": spaces.Discrete(3), "action_mask": spaces.MultiBinary(2)}),
        {"observation": 1, "action_mask": np.ones(2)},
        "1",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("space", "observation", "text"), WORDINGS)
def test_observations_in_words(space: Any, observation: Any, text: str) -> None:
    assert words.wording(space, observation).replace("far: 2\nnear: 1", "near: 1\nfar: 2") == text


CHOICES = [
    ("left", 1), ("I say: LEFT!", 1), ("leftover", None), ("right, not left", 2), ("2", 2), ("take 7 or 1", 1), ("-1", None),
    ("0.5", None), ("1.0", 1), ("9" * 5000, None), ("", None), ("right2", 2), ("go left up", 3),
]  # fmt: skip


@pytest.mark.parametrize(("text", "action"), CHOICES)
def test_texts_as_choices(text: str, action: int | None) -> None:
    """The first name or number that is an action; a longer name before one that begins it."""
    (choice,) = words.slots(spaces.Discrete(4), "here")
    assert words.read_choice(text, choice, [*MOVES, "left up"]) == action


def test_texts_as_numbers() -> None:
    """Real numbers are clipped, whole ones have to fit; in order of the space's parts, names of a mapping sorted."""
    space = Dials().acts
    wanted = words.slots(space, "here")
    assert [slot.whole for slot in wanted] == [True] * 5 + [False] * 2
    numbers = words.read_numbers("1 0, -1, 1 2 then 0.5 and 77", wanted)
    assert numbers == [1, 0, -1, 1, 2, 0.5, 1.0]
    assert space.contains(words.action_of(space, iter(numbers)))
    assert words.read_numbers("1 0 -1 1 2 0.5", wanted) is None
    assert words.read_numbers("3 0 -1 1 2 0.5 1", wanted) is None


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no environment": ({"make_env": dict}, "make_env returned dict; let it return a PettingZoo ParallelEnv"),
    "no function": ({"make_env": Meeting()}, "make_env must be a function"),
    "turns": ({"turns": 0}, "turns = 0: must be a whole number of at least 1"),
    "ceiling": ({"ceiling": "high"}, "ceiling = 'high': must be a finite number"),
    "low ceiling": ({"ceiling": -99.0}, "ceiling = -99.0 must be above .*, what agents that never answer earn on seed-0"),
    "gamma": ({"gamma": 2}, "gamma = 2: must be a number from 0 to 1"),
    "reward": ({"reward": "teem"}, "Did you mean 'team'"),
    "observe": ({"observe": "short"}, "observe = 'short': must be a function"),
    "names": ({"actions": ["left", "right"]}, r"actions names 2 actions of west, which has Discrete\(3\)"),
    "same names": ({"actions": ["go", "Go", "stay"]}, "actions has a name twice: go, Go, stay"),
    "unknown agent": ({"rules": {"wset": "", "east": ""}}, "unknown agent in rules 'wset'. Did you mean 'west'"),
    "missing rules": ({"rules": {"east": ""}}, "rules has none for west"),
    "default": ({"default": "jump"}, "default = 'jump' is no action of west"),
    "seeds": ({"seeds": {"train": [1, 2], "test": [2]}}, "'seed-2'.* have the same id"),
    "a seed": ({"seeds": {"train": [-1], "test": [2]}}, r"seeds\['train'\] has -1: seeds are whole numbers"),
    "a list of seeds": ({"seeds": [1, 2]}, "seeds must be a mapping"),
    "name": ({"name": "tldr"}, "name = 'tldr' is a built-in task"),
    "image": (
        {"make_env": lambda: Dials(sees=spaces.Box(0, 255, (84, 84, 3))), "actions": ()},
        "the observation of only has 21168 numbers, more than 256; give observe=",
    ),
    "graph": (
        {"make_env": lambda: Dials(sees=spaces.Sequence(spaces.Discrete(2))), "actions": ()},
        "the observation of only is a Sequence; give observe=",
    ),
    "acts": (
        {"make_env": lambda: Dials(acts=spaces.Sequence(spaces.Discrete(2))), "actions": ()},
        "the action of only has a Sequence in it; give act=",
    ),
    "held turns": ({"make_env": Nim, "actions": (), "repeat": 2}, "repeat = 2 needs agents that act at once"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"make_env": Meeting, "name": "meeting", "turns": 3, "ceiling": 0.0}
    with pytest.raises(ConfigError, match=message):
        collm.from_parallel_env(**(given | {"actions": MOVES, "seeds": SEEDS} | changes))


class Broken(Meeting):
    def step(self, actions: dict[str, int]) -> Any:
        return super().step(actions) if not any(actions.values()) else 1 / 0


def test_failures_in_play_name_problem_turn_and_agents(team: list[Policy]) -> None:
    def play(task: Task) -> None:
        collect(task, team, [Job(task.problems("train")[1], 0)], Sampling(max_new_tokens=4), ("t",))

    where = r"'meeting' failed on problem 'seed-1' at turn 0 \(agents 0, 1\): "
    with pytest.raises(TaskError, match=f"{where}ZeroDivisionError"):
        play(meeting(Broken, act=lambda agent, text, seen: 1 if text else None))
    with pytest.raises(TaskError, match=f"{where}KeyError"):
        play(meeting(act=lambda agent, text, seen: {}["x"] if text else None))
    with pytest.raises(TaskError, match=r"'meeting' failed on problem 'seed-0' at turn 0 .*observe gives 3 for west"):
        meeting(observe=lambda agent, seen: 3)
    with pytest.raises(TaskError, match="'meeting': make_env failed: ZeroDivisionError"):
        meeting(lambda: 1 / 0)
    with pytest.raises(ProblemError, match="no problem 'HI'; problems are seeds, such as seed-7"):
        meeting().problem("HI")


def test_a_return_above_the_ceiling_is_an_error() -> None:
    task = collm.from_parallel_env(Dials, "dials", turns=1, ceiling=2.0, seeds=SEEDS)
    problem = task.problems("train")[0]
    with pytest.raises(
        ValueError, match=r"the return 6\.0 is above ceiling = 2\.0; give from_parallel_env a higher one"
    ):
        task.step(problem, task.reset(problem).state, ["1 1 0 1 1 1 1"])


def test_rewards_of_agents_or_of_the_team() -> None:
    for reward, expected in (("agent", (1.0, -1.0)), ("team", 0.0)):
        task: Task = collm.from_parallel_env(Nim, "nim", turns=5, ceiling=2.0, reward=reward, seeds=SEEDS)  # type: ignore[arg-type]
        problem = task.problems("train")[0]
        found = replay(task, problem, [["2", ""], ["", "2"]])
        last = task.step(problem, found.state, ["1", ""])
        assert last.reward == expected
        assert team_rewards(last, 2) == (expected if reward == "agent" else (0.0, 0.0))


def test_a_run_is_resumed_with_the_same_environment_and_no_other(tmp_path: Path) -> None:
    out, task = tmp_path / "run", meeting()
    summary = collm.train(collm.resolve(task, values=SMALL), out, task=task)
    assert (summary["task"], summary["updates"]) == ("meeting", 1)
    assert collm.resume(out, task=meeting())["trained"] == summary["trained"]
    assert "valid" in summary["trained"]
    with pytest.raises(ConfigError, match=r"asked for with play = '.*' instead of"):
        collm.resume(out, task=meeting(rules="Meet.", turns=4))
    with pytest.raises(ConfigError, match="asked for with repeat = 1 instead of 2"):
        collm.resume(out, task=meeting(repeat=2))


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("collm.tasks.zoo")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pettingzoo", None)
    with pytest.raises(ConfigError, match=r"pip install 'collm\[pettingzoo\]'"):
        importlib.import_module("collm.tasks.zoo")


def test_the_example_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a command, with a small budget."""
    small = ["--env-steps", "8", "--problems", "2", "--test-problems", "2", "--out"]
    monkeypatch.setattr(sys, "argv", ["pettingzoo_game.py", *small, str(tmp_path / "run")])
    runpy.run_path(str(ROOT / "examples" / "pettingzoo_game.py"), run_name="__main__")
    assert re.search(r"score: .* → .*\nvalid: .* → ", capsys.readouterr().out)
    assert (tmp_path / "run" / "summary.json").is_file()
