"""Every chapter with an even number runs at profile smoke with its stored outputs confirmed."""

from pathlib import Path

import pytest
from smoke_runs import NAMES, run_at_smoke


@pytest.mark.parametrize("name", NAMES[0::2])
def test_a_chapter_runs_at_smoke(name: str, shared_cache: Path) -> None:
    run_at_smoke(name, shared_cache)
