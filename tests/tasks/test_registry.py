import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from typing import ClassVar

import pytest

import collm.tasks
from collm.errors import ConfigError
from collm.tasks import make_task, registry, task_class, task_names
from collm.tasks.minecraft.str_build import StrBuild, StrBuildOptions


class Elsewhere(StrBuild):
    """A task as another distribution would offer it."""

    name: ClassVar[str] = "elsewhere"


NOT_A_TASK = 42


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Pretend that a distribution offers ``attribute`` of this module (or another module) under ``name``."""

    def install(name: str, value: str) -> None:
        entry = EntryPoint(name, value, registry.ENTRY_POINT_GROUP)
        monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints([entry]).select(group=group))

    return install


def test_built_in_task() -> None:
    assert "str-build" in task_names()
    assert task_class("str-build") is StrBuild
    assert task_class("str-build").name == "str-build"


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        make_task("strbuild")
    assert "Did you mean 'str-build'?" in str(caught.value)
    assert "Known: " in str(caught.value)


def test_an_entry_point_is_a_task(offer: Callable[[str, str], None]) -> None:
    offer("elsewhere", f"{__name__}:Elsewhere")
    assert task_names() == sorted({"elsewhere", *registry.BUILT_IN})
    made = make_task("elsewhere", turns=2)
    assert isinstance(made, Elsewhere)
    assert made.turns == 2
    with pytest.raises(ConfigError, match="Did you mean 'elsewhere'"):
        make_task("elswhere")


def test_a_built_in_name_cannot_be_taken(offer: Callable[[str, str], None]) -> None:
    offer("str-build", f"{__name__}:Elsewhere")
    assert task_class("str-build") is StrBuild


def test_broken_entry_points_are_named(offer: Callable[[str, str], None]) -> None:
    offer("broken", "no_such_module_of_collm:Task")
    with pytest.raises(ConfigError, match=r"'broken' \(no_such_module_of_collm:Task\) cannot be loaded"):
        make_task("broken")
    offer("number", f"{__name__}:NOT_A_TASK")
    with pytest.raises(ConfigError, match=r"'number' .* is not a subclass of collm.Task"):
        make_task("number")


def test_options_from_a_mapping_a_dataclass_and_keywords() -> None:
    assert make_task("str-build", {"turns": 2}).turns == 2
    assert make_task("str-build", {"turns": 2}, turns=3).turns == 3
    made = make_task("str-build", StrBuildOptions(turns=2, agents=3), turns=5)
    assert (made.turns, made.agents) == (5, 3)


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'task.turn'. Did you mean 'task.turns'"):
        make_task("str-build", turn=2)


def test_the_packages_are_imported_without_numpy() -> None:
    program = (
        "import sys\nsys.modules['numpy'] = None\nimport collm, collm.sandbox, collm.tasks\n"
        "assert 'from_functions' in collm.tasks.__all__\nprint(collm.tasks.task_names())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "str-build" in done.stdout


def test_from_functions_is_found_when_it_is_asked_for() -> None:
    from collm.tasks.functions import from_functions

    assert collm.tasks.from_functions is from_functions
    with pytest.raises(AttributeError, match="from_function'"):
        _ = collm.tasks.from_function
