from collections.abc import Iterator

import pytest

from collm.sandbox import Sandbox
from tests.sandbox.programs import QUICK


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """One pool for all tests that leave nothing behind, which is what the sandbox promises."""
    with Sandbox(2, QUICK) as pool:
        yield pool
