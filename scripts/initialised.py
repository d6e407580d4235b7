"""A folder that can be loaded, trained and timed, from a spec without weights, which are drawn.

python -m scripts.initialised docs/data/fig4/networks/densenet161-u8 densenet161-u8
"""

from __future__ import annotations

import argparse
from pathlib import Path

from loopwright.search.deliver import built, read_spec, save


def main() -> None:
    """Writes the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="a folder with a network.json")
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    spec = read_spec(given.source)
    given.folder.mkdir()
    save(given.folder, spec, built(spec, seed=given.seed)[1])


if __name__ == "__main__":
    main()
