"""Fixtures that several rooms of tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.test_end_to_end import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Hub and bystander on a fresh socket; what a test starts there ends with it."""
    from tests.test_end_to_end import Scene

    made = Scene(tmp_path)
    with made.children:
        yield made
        made.bystander.close()
