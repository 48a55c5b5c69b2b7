"""What starts a team: the container file and the plain script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from collm.serving.export import export_team
from tests.serving.made import make_run

DEPLOY = Path(__file__).parent.parent.parent / "deploy"


def test_containers_hold_one_agent_each_and_cannot_reach_each_other() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    agents = [services[name] for name in ("agent_0", "agent_1")]
    for place, agent in enumerate(agents):
        assert len(agent["volumes"]) == 1
        assert agent["volumes"][0].endswith(f"/agent_{place}:/team/agent_{place}:ro")
        assert agent["command"][:2] == ["serve", f"/team/agent_{place}"]
        assert agent["read_only"]
    assert not set(agents[0]["networks"]) & set(agents[1]["networks"])
    runner = services["runner"]
    assert set(runner["networks"]) == {*agents[0]["networks"], *agents[1]["networks"]}
    assert "volumes" not in runner
    assert set(runner["depends_on"]) == {"agent_0", "agent_1"}


@pytest.mark.slow
def test_the_script_serves_plays_and_stops(tmp_path: Path) -> None:
    team = export_team(make_run(tmp_path / "run"), tmp_path / "team").folder
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [str(DEPLOY / "team.sh"), str(team), "play", "--greedy", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path}, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["missing"] == []
    alive = subprocess.run(["pgrep", "-f", f"collm serve {team}"], capture_output=True, text=True)
    assert alive.stdout == ""


def test_the_script_says_how_it_is_used(tmp_path: Path) -> None:
    done = subprocess.run([str(DEPLOY / "team.sh"), str(tmp_path), "play"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage: deploy/team.sh TEAM play|eval" in done.stderr
