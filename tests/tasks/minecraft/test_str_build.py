import dataclasses

import pytest

from collm.errors import ConfigError, ProblemError
from collm.tasks import make_task, replay
from collm.tasks.minecraft.commands import write
from collm.tasks.minecraft.str_build import StrBuild, StrBuildOptions
from collm.tasks.protocol import Message, Step, idle

# I: (0..4, 4), (2, 3), (2, 2), (2, 1), (0..4, 0); 13 cells and 12 background cells.
TOP = [(x, 4) for x in range(5)]


def task(**options: object) -> StrBuild:
    made = make_task("str-build", **options)
    assert isinstance(made, StrBuild)
    return made


def lines(block: str, *cells: tuple[int, int]) -> str:
    return "\n".join(write(cell, block) for cell in cells)


def play(build: StrBuild, word: str, *joint_actions: list[str]) -> list[Step]:
    problem = build.problem(word)
    state, steps = build.reset(problem).state, []
    for actions in joint_actions:
        steps.append(build.step(problem, state, actions))
        state = steps[-1].state
    return steps


def told(step: Step, agent: int = 0) -> str:
    assert step.observations is not None
    (message,) = step.observations[agent]
    assert message.role == "user"
    return message.content


class TestRewards:
    def test_fresh_world_is_judged_alone_every_turn_and_shifted_by_the_maximum(self) -> None:
        build = task(world="fresh", turns=3)
        first = [lines("stone", (0, 4)), ""]
        steps = play(build, "I", first, first, ["", ""])
        # One of 13 cells, nothing extra, no pairs, both palettes incomplete: 2/13 − 0.5.
        assert [step.reward for step in steps] == pytest.approx([2 / 13 - 2.5, 2 / 13 - 2.5, -2.5], abs=1e-12)
        assert [step.terminated for step in steps] == [False, False, True]
        assert build.gamma == 0.9

    def test_fresh_world_ends_above_the_released_threshold(self) -> None:
        build = task(world="fresh")
        plan = build.best_plan(build.problem("I"))
        assert plan is not None
        (step,) = play(build, "I", *plan)
        assert (step.reward, step.terminated, step.observations) == (0.0, True, None)

    @pytest.mark.parametrize("profile", ["paper", "hardened"])
    def test_dense_rewards_telescope_to_final_minus_floor(self, profile: str) -> None:
        build, problem = task(profile=profile, turns=3), task().problem("HI")
        actions = [
            [lines("stone", (0, 4), (6, 4)), "prose"],
            [lines("air", (6, 4)), lines("obsidian", (0, 4), (9, 3))],
            [lines("oak_planks", (0, 4)), lines("obsidian", (0, 4))],
        ]
        end = replay(build, problem, actions)
        assert len(end.rewards) == 3
        total = sum(reward[0] for reward in end.rewards)
        assert total == pytest.approx(build.final(problem, end.state) - build.floor(problem), abs=1e-12)
        assert build.gamma == 1.0

    def test_dense_rewards_by_hand(self) -> None:
        steps = play(task(turns=2), "I", [lines("stone", (0, 4)), ""], [lines("stone", (1, 4)), ""])
        # The second stone covers a cell (+2/13) and makes one pair of one texture (−1).
        assert [step.reward for step in steps] == pytest.approx([2 / 13, 2 / 13 - 1], abs=1e-12)
        assert [step.terminated for step in steps] == [False, True]

    def test_dense_episode_ends_when_the_maximum_is_reached(self) -> None:
        build = task(turns=8, max_commands_per_turn=100)
        plan = build.best_plan(build.problem("HI"))
        assert plan is not None
        steps = play(build, "HI", *plan)
        assert len(steps) == 1
        assert (steps[0].reward, steps[0].terminated) == (2.5, True)

    def test_terminal_reward_comes_at_the_last_turn_only_even_when_solved_before(self) -> None:
        build = task(turns=4, reward="terminal", max_commands_per_turn=100)
        plan = build.best_plan(build.problem("HI"))
        assert plan is not None
        steps = play(build, "HI", *plan)
        assert [step.reward for step in steps] == [0.0, 0.0, 0.0, 2.5]
        assert [step.terminated for step in steps] == [False, False, False, True]

    @pytest.mark.parametrize("agents", [1, 2, 3, 4])
    def test_floor_ceiling_and_scores(self, agents: int) -> None:
        build = task(agents=agents)
        problem = build.problem("CAT")
        assert (build.floor(problem), build.ceiling(problem)) == (-0.25 * agents, 2.0)
        start = build.reset(problem).state
        assert (build.final(problem, start), build.score(problem, start)) == (build.floor(problem), 0.0)
        assert build.paper_score(problem, start) == 0.0
        plan = build.best_plan(problem)
        assert plan is not None
        end = replay(build, problem, plan).state
        assert (build.final(problem, end), build.score(problem, end)) == (2.0, 100.0)
        assert build.paper_score(problem, end) == 100.0

    def test_both_profiles_are_logged_whichever_is_scored(self) -> None:
        actions = [lines("stone", (0, 4)), "prose"]
        for profile in ("paper", "hardened"):
            build = task(profile=profile)
            (step,) = play(build, "I", actions)
            paper = 2 / 13 - 0.5
            # Half of the lines are invalid, and the second agent idles.
            assert step.components["paper"] == pytest.approx(paper, abs=1e-12)
            assert step.components["hardened"] == pytest.approx(paper - 0.125 - 0.5, abs=1e-12)
            assert build.final(build.problem("I"), step.state) == step.components[profile]

    def test_contribution_of_an_agent_is_what_its_absence_costs(self) -> None:
        build, problem = task(world="fresh", turns=1), task().problem("I")
        actions = [[lines("stone", (0, 4)), lines("obsidian", (2, 2), (2, 0))]]
        assert build.final(problem, replay(build, problem, actions).state) == pytest.approx(6 / 13 - 0.5)
        alone = replay(build, problem, [idle(build, joint, 1) for joint in actions])
        assert build.final(problem, alone.state) == pytest.approx(2 / 13 - 0.5)


class TestCaps:
    def test_commands_per_turn_and_in_all(self) -> None:
        # I: ⌈0.6 · 13⌉ = 8 commands per agent, ⌈8/4⌉ + 1 = 3 of them per turn.
        build = task()
        assert build.budget(build.problem("I")) == (3, 8)
        steps = play(build, "I", *[[lines("stone", *TOP), ""]] * 4)
        assert [step.info["accepted"][0] for step in steps] == [3, 3, 2, 0]
        assert steps[-1].state.spent == (8, 0)
        # Dropped lines count as invalid: 12 of 20.
        assert steps[-1].components["valid"] == 8 / 20

    def test_a_fresh_world_gives_the_whole_budget_back_every_turn(self) -> None:
        build = task(world="fresh")
        assert build.budget(build.problem("I")) == (8, 8)
        steps = play(build, "I", *[[lines("stone", *TOP, *TOP), ""]] * 2)
        assert [step.info["accepted"][0] for step in steps] == [8, 8]

    def test_given_caps(self) -> None:
        build = task(max_commands=4, max_commands_per_turn=9)
        assert build.budget(build.problem("I")) == (4, 4)
        assert build.best_plan(build.problem("I")) is None

    def test_agents_have_only_their_own_blocks(self) -> None:
        (step,) = play(task(), "I", [lines("obsidian", (0, 4)), lines("stone", (1, 4))])
        assert step.info["accepted"] == (0, 0)
        assert step.state.world == {}

    def test_later_agents_overwrite_earlier_ones(self) -> None:
        (step,) = play(task(), "I", [lines("stone", (0, 4)), lines("obsidian", (0, 4))])
        assert step.state.world[0, 4].block == "obsidian"
        assert step.components["overlap"] == 0.5


class TestObservations:
    def opening(self, agent: int = 0, **options: object) -> str:
        build = task(**options)
        system, user = build.reset(build.problem("HI")).observations[agent]
        assert (system.role, user.role) == ("system", "user")
        return user.content

    def test_opening_shows_string_grid_own_blocks_and_limits(self) -> None:
        text = self.opening(agent=1)
        assert "Agent 2 of 2" in text
        assert "Build the string HI." in text
        assert "\n#...#..#####\n#...#....#..\n#####....#..\n#...#....#..\n#...#..#####\n" in text
        assert "x 0 to 11" in text
        assert "white_concrete, obsidian, air" in text
        assert "oak_planks" not in text
        # 26 cells: 16 commands per agent, 5 per turn.
        assert "At most 5 commands per turn, 16 in all." in text
        assert "4 turns; blocks stay" in text

    def test_show_target_string_and_none(self) -> None:
        assert "HI" in self.opening(show_target="string")
        assert "#" not in self.opening(show_target="string")
        hidden = self.opening(show_target="none")
        assert "HI" not in hidden
        assert "#" not in hidden
        build = task(show_target="none")
        # As released: words of one size cannot be told apart at turn 0.
        assert build.reset(build.problem("IM")).observations == build.reset(build.problem("MI")).observations

    def test_fresh_world_says_that_everything_must_be_sent_again(self) -> None:
        assert "each turn starts from an empty world" in self.opening(world="fresh")
        (step,) = play(task(world="fresh"), "HI", ["", ""])
        assert told(step).startswith("Turn 2 of 4. The world is empty again: send the whole build.")

    def test_own_feedback_is_the_number_of_empty_cells_and_nothing_of_the_partner(self) -> None:
        (one,) = play(task(), "I", [lines("stone", (0, 4)), lines("obsidian", (1, 4), (2, 2))])
        (other,) = play(task(), "I", [lines("stone", (0, 4)), lines("white_concrete", (3, 0), (4, 0), (0, 1))])
        assert told(one) == told(other) == "Turn 2 of 4.\nTarget cells still empty: 10."
        assert told(one, 1) == told(one, 0)

    def test_score_feedback_is_the_last_outcome(self) -> None:
        (step,) = play(task(feedback="score"), "I", [lines("stone", (0, 4)), ""])
        assert told(step) == "Turn 2 of 4.\nYour team's last reward: -0.3462."

    def test_position_feedback_does_not_depend_on_what_was_built(self) -> None:
        build = task(feedback="position")
        (idle,) = play(build, "I", ["", ""])
        (busy,) = play(build, "I", [lines("stone", *TOP), lines("obsidian", (2, 2))])
        assert told(idle) == told(busy)
        assert "(0, 4, 0) (1, 4, 0) (2, 4, 0)" in told(idle)
        assert "about 6 of them" in told(idle)
        assert "oak_planks" in told(idle, 0)
        assert "oak_planks" not in told(idle, 1)

    def test_obeying_perfect_feedback_solves_the_problem(self) -> None:
        build = task(feedback="perfect", max_commands=100, max_commands_per_turn=50, turns=3)
        problem = build.problem("HI")
        mess = [lines("stone", (0, 4), (1, 4), (6, 2)), lines("obsidian", (0, 3), (6, 0))]
        (step,) = play(build, "HI", mess)
        fixes = [build.fixes(problem, step.state, agent) for agent in range(2)]
        for agent in range(2):
            listed = " ".join(f"({c.cell[0]}, {c.cell[1]}, 0) {c.block}" for c in fixes[agent])
            assert told(step, agent) == f"Turn 2 of 3.\nSet these cells: {listed}."
        after = build.step(problem, step.state, ["\n".join(write(c.cell, c.block) for c in own) for own in fixes])
        assert build.final(problem, after.state) == 2.0
        assert after.terminated

    def test_perfect_feedback_with_nothing_left_to_do(self) -> None:
        build = task(feedback="perfect", reward="terminal", max_commands_per_turn=100)
        plan = build.best_plan(build.problem("HI"))
        assert plan is not None
        assert told(play(build, "HI", plan[0])[0]) == "Turn 2 of 4.\nNothing to fix."

    def test_later_observations_repeat_nothing(self) -> None:
        for mode in ("own", "score", "position", "perfect"):
            (step,) = play(task(feedback=mode), "HI", ["", ""])
            assert "Build the string" not in told(step)
            assert "World box" not in told(step)


class TestSingleAgentForm:
    def test_one_writer_has_all_blocks_and_all_commands(self) -> None:
        single = task(agents=3).single_agent()
        start = single.reset(single.problem("HI"))
        ((_, user),) = start.observations
        assert isinstance(user, Message)
        assert "You are the only agent." in user.content
        assert "oak_planks, stone, white_concrete, obsidian, red_wool, gold_block, air" in user.content
        assert "At most 15 commands per turn, 48 in all." in user.content

    def test_it_earns_what_the_team_earns(self) -> None:
        team = task(agents=2, profile="hardened")
        single = team.single_agent()
        problem = team.problem("HI")
        plan = team.best_plan(problem)
        assert plan is not None
        joined = [["\n".join(actions)] for actions in plan]
        assert replay(single, problem, joined).state.world == replay(team, problem, plan).state.world
        assert single.score(problem, replay(single, problem, joined).state) == 100.0
        assert (single.floor(problem), single.ceiling(problem)) == (
            team.floor(problem),
            team.ceiling(problem),
        )

    def test_its_commands_are_carried_out_in_the_order_written(self) -> None:
        text = "\n".join(
            [
                write((0, 4), "obsidian"),
                write((0, 4), "stone"),
                write((2, 2), "obsidian"),
                write((2, 2), "air"),
            ]
        )
        (step,) = play(task().single_agent(), "I", [text])
        assert {cell: placed.block for cell, placed in step.state.world.items()} == {(0, 4): "stone"}

    def test_its_budget_is_shared_by_all_blocks(self) -> None:
        # Two roles of 8 commands, 3 per turn: 16 in all, 6 per turn, and all of them may be stone.
        steps = play(task().single_agent(), "I", *[[lines("stone", *TOP, *TOP)]] * 4)
        assert [step.info["accepted"] for step in steps] == [(6,), (6,), (4,), (0,)]


class TestOptions:
    def test_released_source(self) -> None:
        build = task(source="released")
        assert [p.id for p in build.problems("train")] == ["I", "C", "M", "L", "MC", "CM", "LI", "LLM"]
        assert [p.id for p in build.problems("test")] == ["ICML", "CLIM"]

    def test_own_words(self) -> None:
        build = task(train_words=["hi", "HI", "yo"], test_words=["no"])
        assert [p.id for p in build.problems("train")] == ["HI", "YO"]
        assert [p.id for p in build.problems("validation")] == [p.id for p in build.problems("test")] == ["NO"]

    def test_sizes_and_lengths(self) -> None:
        build = task(min_length=4, max_length=5, train_size=7, validation_size=6, test_size=5)
        for split, size in (("train", 7), ("validation", 6), ("test", 5)):
            words = [p.word for p in build.problems(split)]
            assert len(words) == size
            assert {len(word) for word in words} <= {4, 5}

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"agents": 5}, "task.agents = 5: must be at least 1 and at most 4"),
            ({"turns": 0}, "task.turns = 0: must be at least 1"),
            ({"turns": "4"}, "task.turns = '4': expected int"),
            ({"max_commands": 0}, "task.max_commands = 0: must be at least 1"),
            ({"max_commands_per_turn": -1}, "task.max_commands_per_turn = -1: must be at least 1"),
            ({"world": "fresh", "max_commands_per_turn": 3}, "max_commands_per_turn needs task.world = persistent"),
            ({"wrld": "fresh"}, "Did you mean 'task.world'"),
            ({"world": "freshh"}, "Did you mean 'fresh'"),
            ({"min_length": 4}, "task.min_length = 4: must be at most task.max_length = 3"),
            (
                {"world": "fresh", "reward": "terminal"},
                "task.reward = terminal needs task.world = persistent",
            ),
            ({"train_words": ["HI"], "test_words": ["hi"]}, "words in both train and test: HI"),
            ({"train_words": "HI"}, "expected a list"),
        ],
    )
    def test_mistakes_are_named(self, options: dict[str, object], message: str) -> None:
        with pytest.raises(ConfigError) as caught:
            task(**options)
        assert message in str(caught.value)

    def test_words_outside_the_font_cannot_be_posed(self) -> None:
        with pytest.raises(ProblemError, match="outside the font: '4'"):
            task().problem("UB4")
        with pytest.raises(ProblemError, match="outside the font"):
            task(train_words=["OK", "NO WAY"])

    def test_options_are_frozen_and_documented_by_their_defaults(self) -> None:
        options = StrBuildOptions()
        assert StrBuild().options == options
        with pytest.raises(dataclasses.FrozenInstanceError):
            options.turns = 2  # type: ignore[misc]


def test_as_text_and_picture_show_the_state() -> None:
    build = task()
    problem = build.problem("HI")
    empty = build.reset(problem).state
    (step,) = play(build, "HI", [lines("stone", (0, 4)), ""])
    assert build.as_text(problem, empty).count("··") == 26
    assert build.as_text(problem, step.state).count("··") == 25
    assert build.picture(problem, empty).tobytes() != build.picture(problem, step.state).tobytes()
