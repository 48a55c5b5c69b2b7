from collections.abc import Iterator

import pytest

from collm.sandbox import Limits, Sandbox

QUICK = Limits(seconds=2.0, cpu_seconds=1, memory_mib=192)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """One pool for all tests that leave nothing behind, which is what the sandbox promises."""
    with Sandbox(2, QUICK) as pool:
        yield pool
