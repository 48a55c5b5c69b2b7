"""What a workload asks for, counted by hand, and what our trainer does of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, Qwen3ForCausalLM

from collm.bench import ours as our_side
from collm.bench.limits import body_parameters, nearness
from collm.bench.models import SHAPES, make_model
from collm.bench.ours import Ours
from collm.bench.ratios import require_equal
from collm.bench.side.worker import Record
from collm.bench.sweeps import SWEEPS, with_work, works
from collm.bench.task import texts
from collm.bench.workload import Workload
from collm.errors import BenchError, ConfigError
from collm.models.chat import ChatFormat

SMALL = {
    "maac": Workload(episodes=3, tokens=5, prompt=16, following=4),
    "iac": Workload(kind="iac", episodes=2, tokens=4, prompt=16, following=4, turns=3),
    "magrpo": Workload(kind="magrpo", episodes=4, tokens=3, prompt=16, following=4, siblings=2),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model("0.8M", tmp_path_factory.mktemp("bench") / "0.8M")


def played(work: Workload, model: Path) -> tuple[Ours, Record]:
    """One update of our side, and what it counted."""
    side = Ours()
    side.load(our_side.request(work, model, "cpu", 1, {}))
    reply = side.round({})
    return side, {**reply, **reply["after"]()}


def test_counts_by_hand() -> None:
    work = Workload()
    assert (work.problems, work.env_steps, work.generated) == (96, 192, 96 * 2 * 2 * 64)
    tree = Workload(kind="magrpo")
    assert (tree.problems, tree.nodes, tree.env_steps, tree.generated) == (6, 5, 120, 120 * 2 * 64)
    assert work.joint_history == 2 * (64 + 64 + 20 + 64)


def test_the_longest_joint_histories_of_the_sweeps_have_about_four_thousand_tokens() -> None:
    for name in ("agents", "turns", "tokens"):
        assert 3400 <= SWEEPS[name][-1].joint_history <= 4096


@pytest.mark.parametrize("kind", list(SMALL))
def test_our_side_does_exactly_the_work(kind: str, model: Path) -> None:
    work = SMALL[kind]
    _, reply = played(work, model)
    require_equal(work, reply, None)
    later = [work.prompt + turn * (work.tokens + work.following + 4) for turn in range(work.turns)]
    assert reply["prompts"] == later


def test_a_prompt_made_of_text_has_the_tokens_of_our_history(model: Path) -> None:
    """CoMLRL gets the whole history as a new text at every turn: it is encoded into the tokens that our history has."""
    work = SMALL["iac"]
    side, reply = played(work, model)
    chat = ChatFormat(AutoTokenizer.from_pretrained(model))
    given = texts(work.task(), chat)
    assert side.seen is not None
    for place, one in enumerate(side.seen[0].transcripts):
        path, agent = divmod(place, work.agents)
        if any(token < 6 for span in one.spans for token in one.tokens[span.said : span.stop]):
            continue  # A mark was sampled; CoMLRL's sampler leaves those out.
        prompt = given["openings"][reply["numbers"][path]][agent]
        for turn, span in enumerate(one.spans):
            assert chat.tokenizer(prompt)["input_ids"] == one.tokens[: span.said]
            if turn < work.turns - 1:
                said = chat.tokenizer.decode(one.tokens[span.said : span.stop], skip_special_tokens=True)
                prompt += given["joint"] + said + given["followings"][turn][agent]


def test_work_that_is_not_equal_is_refused(model: Path) -> None:
    work = SMALL["maac"]
    _, reply = played(work, model)
    require_equal(work, reply, reply)
    with pytest.raises(BenchError, match="theirs has 59 generated_tokens, and 60 were asked for"):
        require_equal(work, reply, {**reply, "generated_tokens": 59})
    with pytest.raises(BenchError, match="prompts are"):
        require_equal(work, reply, {**reply, "prompts": [16, 28]})


def test_settings_of_ours_are_checked(model: Path) -> None:
    with pytest.raises(ConfigError, match=r"run\.token_budget"):
        Ours().load(our_side.request(SMALL["maac"], model, "cpu", 1, {"run.token_budgt": 128}))


def test_shapes_have_the_parameters_they_are_called_after() -> None:
    for name, least, most in (("0.8M", 0.8e6, 0.84e6), ("100M", 1.0e8, 1.1e8), ("Qwen3-0.6B", 0.55e9, 0.65e9)):
        size = SHAPES[name]
        assert least < body_parameters(name) + size["vocab_size"] * size["hidden_size"] < most
    assert 1.4e9 < body_parameters("Qwen3-1.7B") < 1.42e9
    assert 3.6e9 < body_parameters("Qwen3-4B") < 3.65e9


def test_parameters_of_the_layers_are_those_of_the_model(model: Path) -> None:
    net = Qwen3ForCausalLM.from_pretrained(model, dtype=torch.float32)
    matrices = sum(p.numel() for p in net.model.layers.parameters() if p.ndim == 2)
    assert body_parameters("0.8M") == matrices


def test_nearness_by_hand() -> None:
    """A machine of 1 GFLOP/s and 1 GB/s, one agent and turn, a history of ten tokens, one second each."""
    work = dataclasses.replace(Workload(), agents=1, turns=1, episodes=1, tokens=4)
    reply = {"seconds": 2.0, "rollout_seconds": 1.0, "policy_tokens": 10, "critic_tokens": 5, "critic_squares": 25}
    reply |= {"generated_tokens": 4, "learned_tokens": 4}
    limits = {"fp32_gflops_per_s": 1.0, "bf16_gflops_per_s": 2.0, "copy_gb_per_s": 1.0}
    found = nearness(limits, work, "0.8M", reply)
    body, head, square = 557_056, 2048 * 128, 2 * 4 * 128
    assert body_parameters("0.8M") == body
    assert found["rollout_of_fp32"] == pytest.approx((20 * body + 8 * head + 100 * square) / 1e9)
    learning = 60 * body + 24 * head + 300 * square + 40 * body + 4 * 25 * square
    assert found["learning_of_fp32"] == pytest.approx(learning / 1e9)
    assert found["learning_of_bf16"] == pytest.approx(learning / 2e9)
    cache = 2 * 4 * 4 * 32  # keys and values of a token: 4 layers, one head of 32, 4 bytes
    assert found["rollout_of_copy"] == pytest.approx((4 * 4 * (body + head) + 4 * 5 * cache) / 1e9)


def test_the_work_of_more_turns_grows_faster_than_their_number() -> None:
    """Attention over long histories, by the formulas of docs/performance.md; the work of more agents is in proportion."""
    found = {}
    for name in ("agents", "turns"):
        rows = [{"value": getattr(work, name)} for work in works(name, "0.8M", False)]
        found[name] = with_work({"name": name, "shape": "0.8M", "rows": rows}, False)["work"]["exponent_per_episode"]
    assert found["agents"] == pytest.approx(1)
    assert found["turns"] == pytest.approx(1.23, abs=0.005)


def test_larger_models_are_swept_with_fewer_episodes() -> None:
    assert {work.episodes for work in works("turns", "100M", False)} == {4}
    assert works("turns", "0.8M", False) == SWEEPS["turns"]
    assert works("episodes", "100M", False) == SWEEPS["episodes"]
