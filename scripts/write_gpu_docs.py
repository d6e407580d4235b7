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
MANY_IMAGES = "| operator | ours, us | TFLOP/s | cuDNN tf32, us | | cuDNN float32, us | | schedule |"
MANY_IMAGES_PEERS = ("cudnn_tf32_us", "cudnn_fp32_us")


def main() -> None:
    """Writes the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The text, the names in braces in it replaced by tables."""
    text = TEXT.read_text(encoding="utf-8")
    tables = {"operators": operators(), "networks": "\n".join(networks(DATA, digits=3)), "many images": many_images()}
    for name, table in tables.items():
        text = text.replace(f"{{{name}}}", table)
    return text


def operators() -> str:
    """Every operator beside cuDNN, and the geometric means of the ratios."""
    rows = _rows("operators.csv")
    lines = [OPERATORS, "| --- | ---: | ---: | ---: | ---: | ---: | --- |"]
    ratios = _ratios(rows, PEERS)
    for row, (float32, tf32) in zip(rows, ratios, strict=True):
        ours, *peers = (f"{float(row[name]):.1f}" for name in ("ours_us", *PEERS))
        lines.append(
            f"| `{row['operator']}` | {ours} | {peers[0]} | {float32:.1f}x | {peers[1]} | {tf32:.1f}x "
            f"| {row['schedule']} |"
        )
    means = [geometric_mean(own) for own in zip(*ratios, strict=True)]
    lines.append(f"| geometric mean | | | {means[0]:.1f}x | | {means[1]:.1f}x | |")
    return "\n".join(lines)


def many_images() -> str:
    """Operators on tensor cores beside cuDNN, and the geometric means of the ratios."""
    rows = _rows("batch.csv")
    lines = [MANY_IMAGES, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"]
    ratios = _ratios(rows, MANY_IMAGES_PEERS)
    for row, (tf32, float32) in zip(rows, ratios, strict=True):
        ours, *peers = (f"{float(row[name]):.1f}" for name in ("ours_us", *MANY_IMAGES_PEERS))
        lines.append(
            f"| `{row['operator']}` | {ours} | {float(row['ours_tflops']):.0f} | {peers[0]} | {tf32:.2f}x | {peers[1]} "
            f"| {float32:.1f}x | {row['schedule']} |"
        )
    means = [geometric_mean(own) for own in zip(*ratios, strict=True)]
    lines.append(f"| geometric mean | | | | {means[0]:.2f}x | | {means[1]:.1f}x | |")
    return "\n".join(lines)


def _rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _ratios(rows: list[dict[str, str]], peers: tuple[str, str]) -> list[list[float]]:
    """How many times as long as ours each peer takes."""
    return [[float(row[peer]) / float(row["ours_us"]) for peer in peers] for row in rows]


if __name__ == "__main__":
    main()
