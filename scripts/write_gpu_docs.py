"""Writes the tables of docs/gpu.md from the measurements in docs/data/gpu; a test holds that the page is up to date."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import geometric_mean

from scripts.write_performance_docs import networks

DOCS = Path(__file__).parent.parent / "docs"
PAGE, TEXT, DATA = DOCS / "gpu.md", Path(__file__).parent / "gpu.md", DOCS / "data" / "gpu"

OPERATORS = "| operator | ours, us | cuDNN float32, us | | cuDNN tf32, us | | schedule |"
PEERS = ("cudnn_fp32_us", "cudnn_tf32_us")


def main() -> None:
    """Writes the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The text, ``{operators}`` and ``{networks}`` in it replaced by tables."""
    text = TEXT.read_text(encoding="utf-8")
    return text.replace("{operators}", operators()).replace("{networks}", "\n".join(networks(DATA, digits=3)))


def operators() -> str:
    """Every operator beside cuDNN, and the geometric means of the ratios."""
    with (DATA / "operators.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = [OPERATORS, "| --- | ---: | ---: | ---: | ---: | ---: | --- |"]
    ratios = [[float(row[peer]) / float(row["ours_us"]) for peer in PEERS] for row in rows]
    for row, (float32, tf32) in zip(rows, ratios, strict=True):
        ours, *peers = (f"{float(row[name]):.1f}" for name in ("ours_us", *PEERS))
        lines.append(
            f"| `{row['operator']}` | {ours} | {peers[0]} | {float32:.1f}x | {peers[1]} | {tf32:.1f}x "
            f"| {row['schedule']} |"
        )
    means = [geometric_mean(own) for own in zip(*ratios, strict=True)]
    lines.append(f"| geometric mean | | | {means[0]:.1f}x | | {means[1]:.1f}x | |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
