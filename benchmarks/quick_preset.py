"""Peak memory and speed of the quick preset, as a whole process: python benchmarks/quick_preset.py [--seed 0]"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from earlier import TASKS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "collm", "train", "str-build", "--preset", "quick", *TASKS]
        finished = subprocess.run(
            [*command, "--seed", str(seed), "--out", str(out), "--json", "--quiet"], check=True, stdout=subprocess.PIPE
        )
        summary = json.loads(finished.stdout)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "env_steps": summary["env_steps"],
                "training_seconds": summary["seconds"],
                "env_steps_per_second": round(summary["env_steps"] / summary["seconds"], 1),
                "peak_memory_mib": round(peak),
            }
        )
    )


if __name__ == "__main__":
    main()
