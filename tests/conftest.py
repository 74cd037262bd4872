"""What all tests share: the book's build scripts can be imported, and one cache of smoke models.

No test reads or writes the user's own cache.
"""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "book"))


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for CU_CACHE: what one chapter trains at smoke, the next one and the site read."""
    return tmp_path_factory.mktemp("cache")
