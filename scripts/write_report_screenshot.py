"""Takes the picture of docs/report.md: ``python -m scripts.write_report_screenshot FOLDER``, of a finished run.

Needs the package playwright and a Chromium.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "report.png"
WIDTH, HEIGHT, COLOURS = 1100, 1280, 96
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CHOSEN = """() => {
  const figure = document.getElementById("figure-front");
  const trace = figure.data.find((one) => one.meta === "chosen") || figure.data.find((one) => one.meta === "timed");
  const [box, { xaxis, yaxis, _size }] = [figure.getBoundingClientRect(), figure._fullLayout];
  return [xaxis.d2p(trace.x[0]) + _size.l + box.x, yaxis.d2p(trace.y[0]) + _size.t + box.y];
}"""


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what optimize was given as --out")
    page = parser.parse_args().folder / "report.html"
    with sync_playwright() as started:
        chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
        browser = started.chromium.launch(executable_path=chromium, args=FLAGS)
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        tab.goto(page.resolve().as_uri())
        shot = picture(tab)
        browser.close()
    PICTURE.parent.mkdir(exist_ok=True)
    Image.open(io.BytesIO(shot)).quantize(COLOURS).save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB")


def picture(tab: Any) -> bytes:
    """The front with one candidate pointed at and clicked, and the first of its layers, as PNG."""
    tab.evaluate("document.getElementById('front').scrollIntoView()")
    x, y = tab.evaluate(CHOSEN)
    tab.mouse.move(x, y)
    tab.wait_for_selector("#figure-front .hovertext")
    tab.mouse.click(x, y)
    tab.mouse.move(x + 1, y)
    tab.wait_for_timeout(500)
    return tab.screenshot()


if __name__ == "__main__":
    main()
