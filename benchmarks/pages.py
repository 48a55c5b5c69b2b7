"""Write what is generated in the methods' pages, from the code and the runs' results: python benchmarks/pages.py

Between ``<!-- code -->``, ``<!-- settings -->`` or ``<!-- results -->`` and ``<!-- end -->`` of docs/methods/NAME.md, and
between ``<!-- methods -->`` and ``<!-- end -->`` of the README.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earlier import flags
from marked import fill

from collm import options
from collm.config import TrainConfig, resolve
from collm.methods import METHODS, Method

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "methods"
_SHOWN = ("rollout", "sampling", "credit", "policy", "critic")
_DEVIATIONS = (
    "histories grow token for token and are rendered by the chat template, never built anew from text",
    "losses cover exactly the sampled tokens, the end-of-turn mark included, and no padding",
    "log-probabilities are those of the sampling temperature; top-p is known to the sampler only (logged as `policy.kl`)",
    "weights are fp32",
    "the gradient is divided by the number of episodes, not of responses",
)
_OF_CRITICS = (
    "one critic step per batch, not one per agent on the same inputs",
    "the value head starts at 0 and is fp32",
    "the value behind the last turn is 0 only where the task ended the episode",
)
_OF_TREES = (
    "nodes at turn t weigh 1/Bᵗ, or deep turns would dominate",
    "an episode ends per joint action, never on the mean of its siblings",
    "returns are discounted",
)


def main() -> None:
    for name, method in METHODS.items():
        path = PAGES / f"{name}.md"
        path.write_text(filled(path.read_text(), method))
    readme = ROOT / "README.md"
    readme.write_text(fill(readme.read_text(), "methods", overview()))


def overview() -> str:
    """All methods with what their seeds reached."""
    table = _table()
    rows = ["| method | what it is | raw → trained score, seeds 0, 1, 2 | gap closed |", "|---|---|---|---|"]
    for name, method in METHODS.items():
        cells = table.get(f"{name}, 2 agents", {}).values()
        scores = ", ".join(f"{cell['raw']:.0f} → {cell['trained']:.0f}" for cell in cells)
        closed = ", ".join(f"{cell['closed']:.2f}" for cell in cells)
        rows.append(f"| [{name}](docs/methods/{name}.md) | {method.summary} | {scores} | {closed} |")
    return "\n".join(rows)


def _table() -> Mapping[str, Mapping[str, Any]]:
    return json.loads((PAGES / "results.json").read_text())


def filled(text: str, method: Method) -> str:
    """A page with its generated parts as they should be now."""
    for part, block in (("code", code), ("settings", settings), ("results", results)):
        text = fill(text, part, block(method))
    return text


def code(method: Method) -> str:
    """The lines of the credit function and of the method's row."""
    lines, start = inspect.getsourcelines(method.credit)
    path = Path(inspect.getsourcefile(method.credit) or "").relative_to(ROOT)
    row = next(
        number
        for number, line in enumerate((ROOT / "src/collm/methods.py").read_text().splitlines(), start=1)
        if line.strip() == f'"{method.name}",'
    )
    return (
        f"Credit: [`{method.credit.__name__}`](../../{path}#L{start}-L{start + len(lines) - 1}), {len(lines)} lines of "
        f"`{path}`. Row: [`methods.py`](../../src/collm/methods.py#L{row - 1})."
    )


def settings(method: Method) -> str:
    """What the presets set on StrBuild, where they differ from each other or from the dataclasses."""
    flat = {preset: _flat(resolve("str-build", method.name, preset)) for preset in ("default", "paper")}
    plain = _flat(TrainConfig(task=resolve("str-build").task))
    names = [
        name for name in plain if flat["default"][name] != flat["paper"][name] or flat["default"][name] != plain[name]
    ]
    names = [name for name in names if not any(name.startswith(unused) for unused in method.without)]
    rows = [f"| `{name}` | {_text(flat['default'][name])} | {_text(flat['paper'][name])} |" for name in names]
    deviations = (*_DEVIATIONS, *(_OF_CRITICS if method.critic else _OF_TREES))
    return "\n".join(
        [
            "On StrBuild; every option that is not listed has the same value in both. `quick` is `default` with another",
            "`task`, `env_steps`, `evaluation.every` and `sampling.max_new_tokens`.",
            "",
            "| option | `default` | `paper` |",
            "|---|---|---|",
            *rows,
            "",
            "Where `paper` deviates from the released code:",
            "",
            *(f"* {deviation}" + (";" if deviation != deviations[-1] else ".") for deviation in deviations),
        ]
    )


def _flat(config: TrainConfig[Any]) -> dict[str, Any]:
    mapping = options.to_mapping(config)
    return {f"{section}.{key}": value for section in _SHOWN for key, value in mapping[section].items()}


def _text(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def results(method: Method) -> str:
    """The table of finished runs, the curve and the command."""
    table = _table()
    command = f"collm train str-build --preset quick --method {method.name} {' '.join(flags(method))}"
    blocks = [
        f"`{command} --seed 0 --run.threads 1`",
        "and its like for the other seeds: updates of 96 episodes, as the preset had them then",
        "(`python benchmarks/methods.py` makes all of them, the curve and the table). 96 held-out words; *raw* is the",
        "better of sampled and greedy, *trained* is sampled; the interval is a paired bootstrap over problems and describes",
        "that one team.",
        "",
        "| team | seed | raw score | trained score | difference, 95 % interval | gap closed | contribution |",
        "|---|---|---|---|---|---|---|",
    ]
    models: dict[str, None] = {}
    for agents in (2, 3, 4):
        for seed, row in table.get(f"{method.name}, {agents} agents", {}).items():
            models[f"`{row['model']}`"] = None
            team = "1 writer of 2 roles" if method.single else f"{agents} agents"
            low, high = row["ci95"]
            shares = ", ".join(f"{share:.2f}" for share in row["contribution"])
            blocks.append(
                f"| {team} | {seed} | {row['raw']:.1f} | {row['trained']:.1f} | {row['trained'] - row['raw']:+.1f} "
                f"[{low:.1f}, {high:.1f}] | {row['closed']:.2f} | {shares} |"
            )
    blocks += ["", f"![Training score of {method.name} against env steps](../images/methods/{method.name}.png)"]
    if any(agents in key for key in table for agents in ("3 agents", "4 agents") if key.startswith(f"{method.name},")):
        blocks += ["", "Three and four agents: the same command with `--task.agents 3` or `4`."]
    blocks += ["", f"Every agent started from the model {', '.join(models)} (`model_hash` of a run's summary)."]
    return "\n".join(blocks)


if __name__ == "__main__":
    main()
