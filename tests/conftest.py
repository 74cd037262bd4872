"""What all tests share: the book's build scripts can be imported, and no test touches the user's cache."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "book"))
