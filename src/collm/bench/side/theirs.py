"""CoMLRL's side, run as a script by the Python of its environment: a trainer of theirs at given sizes, round by round.

Counts come from the trainer's own calls: what ``generate`` returned, and what its loss was made of.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from comlrl.trainers.actor_critic import IACConfig, IACTrainer, MAACConfig, MAACTrainer
from comlrl.trainers.reinforce import MAGRPOConfig, MAGRPOTrainer
from transformers import AutoTokenizer
from worker import Channel, Record, reward, serve

PACKAGES = ("comlrl", "torch", "transformers")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Theirs:
    """A team under one of CoMLRL's trainers."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.counts: Record = {}
        self.openings: list[list[int]] = []
        self.problem = 0

    def load(self, request: Record) -> Record:
        """Build the trainer. ``workload`` has sizes and settings, ``texts`` what the agents see."""
        self.work, self.texts = request["workload"], request["texts"]
        random.seed(self.work["seed"])
        torch.manual_seed(self.work["seed"])
        self.trainer = self._trainer()
        self.trainer.verbose = False
        for agent in self.trainer.agents:
            self._prepare(agent.model if self.critics else agent)
        self._watch()
        return {"parameters": sum(p.numel() for p in self.trainer.agents[0].parameters())}

    @property
    def critics(self) -> bool:
        return self.work["method"] in ("maac", "iac")

    def _trainer(self) -> Any:
        work = self.work
        tokenizer = AutoTokenizer.from_pretrained(work["model"])
        common = {
            "agent_learning_rate": work["lr"],
            "rollout_buffer_size": work["buffer"],
            "train_batch_size": work["train_batch"],
            "advantage_normalization": True,
            "max_new_tokens": work["tokens"],
            "temperature": work["temperature"],
            "top_p": 1.0,
            "top_k": None,
            "num_train_epochs": 1,
            "num_agents": work["agents"],
            "num_generations": work["samples"],
            "num_turns": work["turns"],
            "agent_devices": work["device"],
            "external_prompt_passthrough": True,
            "discount": work["gamma"],
            "early_termination_threshold": None,
            "eval_interval": 0,
        }
        given = {
            "agent_model": work["model"],
            "tokenizer": tokenizer,
            "reward_func": self._reward,
            "formatters": [self._opening(agent) for agent in range(work["agents"])],
            "external_transition": self._transition if work["turns"] > 1 else None,
            "train_dataset": [],
            "model_config": {"torch_dtype": DTYPES[work["dtype"]]},
        }
        if not self.critics:
            return MAGRPOTrainer(args=MAGRPOConfig(**common), num_agents=work["agents"], **given)
        common |= {"critic_learning_rate": work["critic_lr"], "critic_devices": work["device"]}
        given |= {"critic_model": work["model"]}
        if work["method"] == "maac":
            return MAACTrainer(args=MAACConfig(**common), **given)
        return IACTrainer(args=IACConfig(use_separate_critic=True, **common), **given)

    def _prepare(self, model: Any) -> None:
        """Sampling from the whole distribution; with forced lengths nothing ends a response."""
        settings = model.generation_config
        settings._from_model_config = False
        settings.do_sample, settings.top_k = True, 0
        settings.eos_token_id = self.work["stop_ids"] or None
        settings.suppress_tokens = self.work["suppress"] or None
        generate = model.generate

        def counted(*positional: Any, **named: Any) -> Any:
            started = time.perf_counter()
            found = generate(*positional, **named)
            self._add("generate_seconds", time.perf_counter() - started)
            prompt = named["input_ids"]
            sequences = getattr(found, "sequences", found)
            self._add("generated_tokens", int(sequences.shape[0] * (sequences.shape[1] - prompt.shape[1])))
            self.counts.setdefault("prompts", []).append(int(prompt.shape[1]))
            if len(self.openings) < self.work["agents"]:
                self.openings.append(prompt[0].tolist())
            return found

        model.generate = counted

    def _watch(self) -> None:
        """Count what the losses are made of, and the time of learning."""
        trainer = self.trainer
        if self.critics:
            step, drain = trainer._ac_step, "_drain_ready_agent_buffers"

            def counted_step(agent: int, batch: Sequence[Any]) -> Any:
                self._add("learned_tokens", sum(sample.response_len for sample in batch))
                return step(agent, batch)

            trainer._ac_step = counted_step
        else:
            loss, drain = trainer._compute_loss_with_gradients, "_drain_ready_buffers"

            def counted_loss(agent: Any, data: Record, returns: Any) -> Any:
                # Their loss drops each response's last token.
                self._add("learned_tokens", sum(len(tokens) - 1 for tokens in data["completion_input_ids"][0]))
                return loss(agent, data, returns)

            trainer._compute_loss_with_gradients = counted_loss
        setattr(trainer, drain, self._clocked(getattr(trainer, drain)))

    def _clocked(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def clocked(*given: Any) -> Any:
            started = time.perf_counter()
            found = work(*given)
            self._add("learn_seconds", time.perf_counter() - started)
            return found

        return clocked

    def _add(self, name: str, amount: float) -> None:
        self.counts[name] = self.counts.get(name, 0) + amount

    def round(self, request: Record) -> Record:
        """Train on as many problems as one update takes: the given ``numbers``, or the next ones."""
        self.counts, self.openings = {}, []
        before, following = self.trainer.env_step, self.problem + self.work["problems"]
        numbers = request.get("numbers", range(self.problem, following))
        self.trainer.train_dataset = [{"prompt": "", "number": number} for number in numbers]
        self.problem = following
        self.trainer.train()
        prompts = sorted(set(self.counts.pop("prompts")))
        env_steps = self.trainer.env_step - before
        return {"env_steps": env_steps, "prompts": prompts, "openings": self.openings, **self.counts}

    def save(self, request: Record) -> Record:
        """Write each agent's weights and tokenizer below a folder."""
        self.trainer.save_model(request["folder"])
        return {"folders": [f"{request['folder']}/agent_{agent}" for agent in range(self.work["agents"])]}

    def _opening(self, agent: int) -> Callable[[Record], str]:
        def opening(item: Record) -> str:
            if self.texts is None:
                return str(self.channel.ask({"begin": item["number"], "agent": agent})["text"])
            return str(self.texts["openings"][item["number"]][agent])

        return opening

    def _reward(self, *completions: Sequence[str], batch_items: Sequence[Record]) -> list[float]:
        if self.texts is not None:
            return [reward([texts[0] for texts in completions])]
        actions = [texts[0] for texts in completions]
        step = self.channel.ask({"act": batch_items[0]["number"], "actions": actions})
        # An episode of theirs ends early where the reward is above a threshold; here, where the task says so.
        self.trainer.args.early_termination_threshold = -math.inf if step["ended"] else None
        return [float(step["reward"])]

    def _transition(
        self, *, agent_completions: Sequence[str], prompt_history_per_agent: Sequence[Sequence[str]], **_: Any
    ) -> list[str]:
        """Every agent's next prompt: all it saw and wrote, and what comes now."""
        turn = len(prompt_history_per_agent[0])
        given = self.texts
        news = given["followings"][turn - 1] if given else self.channel.ask({"look": turn})["texts"]
        joint = given["joint"] if given else ""
        return [
            past[-1] + joint + said + new
            for past, said, new in zip(prompt_history_per_agent, agent_completions, news, strict=True)
        ]


def main() -> None:
    channel = Channel()
    side = Theirs(channel)
    serve({"load": side.load, "round": side.round, "save": side.save}, channel, PACKAGES)


if __name__ == "__main__":
    main()
