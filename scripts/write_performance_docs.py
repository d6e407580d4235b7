"""Writes the tables of docs/performance.md from the measurements in docs/data/performance; a test holds that the page is
up to date."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from statistics import median, quantiles

DOCS = Path(__file__).parent.parent / "docs"
PAGE, TEXT, DATA = DOCS / "performance.md", Path(__file__).parent / "performance.md", DOCS / "data" / "performance"

NETWORKS = "| network | participant | version | precision | median, ms | quartiles, ms | against Loopwright |"
OPERATORS = "| operator | warm, ms | of peak | cold, ms | of peak | of bandwidth | of a copy | tuned, s | schedule |"
COMPOSITION = "| network | latency, ms | sum in the store, ms | ratio in one run |"
MEMORY = "| network | weights, MiB | two largest activations, MiB | peak, MiB | ratio |"


def main() -> None:
    """Writes the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The text, each ``{name}`` in it replaced by a table."""
    tables = {
        "networks": networks(DATA),
        "operators": operators(DATA),
        "composition": composition(),
        "memory": memory(),
        "networks_avx2": networks(DATA / "avx2"),
        "operators_avx2": operators(DATA / "avx2"),
    }
    text = TEXT.read_text(encoding="utf-8")
    for name, lines in tables.items():
        text = text.replace(f"{{{name}}}", "\n".join(lines))
    return text


def networks(data: Path, digits: int = 2) -> list[str]:
    """Every participant of every network, the fastest first, in milliseconds with so many digits."""
    lines = [NETWORKS, _ruler(NETWORKS, left=4)]
    for path in sorted(data.glob("network-*.csv")):
        samples: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for row in _rows(path):
            if row["latency_ms"]:
                key = (row["model"], row["participant"], row["version"], row["precision"])
                samples[key].append(float(row["latency_ms"]))
        ours = next(median(taken) for key, taken in samples.items() if key[1] == "loopwright")
        for key, taken in sorted(samples.items(), key=lambda item: median(item[1])):
            low, _, high = quantiles(taken, n=4)
            ratio = "" if key[1] == "loopwright" else f"{median(taken) / ours:.2f}"
            lines.append(_line(*key, f"{median(taken):.{digits}f}", f"{low:.{digits}f} - {high:.{digits}f}", ratio))
    return lines


def operators(data: Path) -> list[str]:
    """Every operator of the suite."""
    lines = [OPERATORS, _ruler(OPERATORS, left=1)]
    for row in _rows(data / "operators.csv"):
        name = row["operator"] if row["sequence"] == "identity" else f"{row['operator']} \\| {row['sequence']}"
        memory = [
            _percent(row[f"share_of_{what}"]) if row["moves_much"] == "True" else "" for what in ("bandwidth", "copy")
        ]
        lines.append(
            _line(
                f"`{name}`",
                f"{float(row['warm_ms']):.4f}",
                _percent(row["warm_share_of_peak"]),
                f"{float(row['cold_ms']):.4f}",
                _percent(row["cold_share_of_peak"]),
                *memory,
                f"{float(row['tuning_s']):.1f}",
                row["schedule"],
            )
        )
    return lines


def composition() -> list[str]:
    """What the store promises of networks, and what they take."""
    lines = [COMPOSITION, _ruler(COMPOSITION, left=1)]
    for row in _rows(DATA / "composition.csv"):
        figures = [f"{float(row[name]):.2f}" for name in ("network_ms", "stored_ms", "ratio")]
        lines.append(_line(row["model"], *figures))
    return lines


def memory() -> list[str]:
    """The memory that running networks takes."""
    lines = [MEMORY, _ruler(MEMORY, left=1)]
    for row in _rows(DATA / "memory.csv"):
        figures = [row[f"{name}_mib"] for name in ("weights", "activations", "peak")]
        lines.append(_line(row["model"], *figures, f"{float(row['ratio']):.2f}"))
    return lines


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _ruler(heading: str, left: int) -> str:
    columns = heading.count("|") - 1
    return "|" + "".join(" --- |" if column < left else " ---: |" for column in range(columns))


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(share: str) -> str:
    return f"{100 * float(share):.0f} %"


if __name__ == "__main__":
    main()
