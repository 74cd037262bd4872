"""Pack the built site into one file for a classroom without a network: `make offline`.

    python book/pack_site.py

The zip unpacks into one folder; its index.html opens in any browser, without a server.
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "build" / "site" / "_build" / "html"
NAME = "contrastive-unlearning-book"


def pack(site: Path, target: Path) -> Path:
    """Write every file of `site` into the zip `target`, aside first. Raises FileNotFoundError if there is no site."""
    if not (site / "index.html").exists():
        raise FileNotFoundError(f"there is no built site in {site}; run `make book` first")
    aside = target.with_suffix(".aside")
    try:
        with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(site.rglob("*")):
                if path.is_file():
                    packed.write(path, f"{NAME}/{path.relative_to(site)}")
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    return target


def main() -> int:
    """Pack, say where; return the exit status."""
    try:
        packed = pack(SITE, ROOT / "build" / f"{NAME}.zip")
    except FileNotFoundError as error:
        print(f"pack_site: {error}", file=sys.stderr)
        return 1
    print(
        f"Done. {packed.relative_to(ROOT)} has {packed.stat().st_size / 2**20:.0f} MiB; unpack it and open index.html."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
