"""How fast a page of many features opens and scrolls, in Chromium: one offline file, with made-up figures and tokens.

    python benchmarks/page.py [--features 32768] [--repeats 5] [--json]

Opening is the time from the navigation to the first rows of the table on the screen; scrolling, that between frames
while the table is moved by a screen's height at each frame. Needs Playwright, and Chromium on the path.
"""

import argparse
import json
import random
import shutil
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from harvest import machine

from monosema.dashboard.page import html_page
from monosema.evaluation import Table
from monosema.runs.terminal import print_table

ROW = ".rows .row"
_SCROLL = """async ([frames, step]) => {
  const scroller = document.querySelector(".scroller"), times = [];
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  let before = await frame();
  for (let i = 0; i < frames; i += 1) {
    scroller.scrollTop = (i * step) % (scroller.scrollHeight - scroller.clientHeight);
    const now = await frame();
    times.push(now - before);
    before = now;
  }
  return times;
}"""


def overview(width: int) -> dict[str, Any]:
    """The table of so many features, as a real one has it: some never fire, and densities span decades."""
    chance = random.Random(0)
    density = [0.0 if chance.random() < 0.02 else min(10 ** chance.gauss(-3.2, 0.8), 0.4) for _ in range(width)]
    words = [f"{chance.choice(['', ' '])}{chance.randbytes(chance.randint(1, 4)).hex()}" for _ in range(4096)]
    columns = {
        "feature": list(range(width)),
        "density": density,
        "max": [chance.uniform(2, 30) for _ in range(width)],
        "mean": [chance.uniform(1, 10) for _ in range(width)],
        "skew": [chance.gauss(0.4, 0.9) for _ in range(width)],
        "head": None,
        "token": [chance.choice(words) for _ in range(width)],
        "logit": [chance.choice(words) for _ in range(width)],
    }
    points: dict[str, Any] = {"reads": ["resid_post.3"], "writes": ["resid_post.3"]}
    absent: dict[str, Any] = {"facts": {}, "heads": None, "others": [], "live": False, "effects": False}
    known = {"title": "made up", "dictionary": "made up", "model": "none", "width": width, "tokens": 2**20}
    return {**known, **points, **absent, "steers": False, "columns": columns}


def measured(path: Path, repeats: int, frames: int) -> dict[str, float]:
    """Milliseconds: the median opening, and the median and the slowest twentieth of the frames of scrolling."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    opened, between = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(repeats):
            page = browser.new_page(viewport={"width": 1300, "height": 900})
            start = time.perf_counter()
            page.goto(f"{path.as_uri()}#/features?all=yes")
            page.wait_for_selector(ROW)
            opened.append(1000 * (time.perf_counter() - start))
            between += page.evaluate(_SCROLL, [frames, 800])
            page.close()
        browser.close()
    slow = statistics.quantiles(between, n=20)[-1]
    figures = {"open_ms": statistics.median(opened), "frame_ms": statistics.median(between), "slow_frame_ms": slow}
    return {name: round(value, 1) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, nargs="+", default=[4096, 32_768])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--frames", type=int, default=120, help="that are scrolled each time")
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for width in settings.features:
            path = Path(folder) / "page.html"
            path.write_text(html_page("made up", {"overview": overview(width), "features": []}), encoding="utf-8")
            size = round(path.stat().st_size / 2**20, 2)
            rows.append({"features": width, "mib": size, **measured(path, settings.repeats, settings.frames)})
    if settings.json:
        found = {"date": date.today().isoformat(), "machine": machine(), "repeats": settings.repeats, "pages": rows}
        print(json.dumps(found, indent=2))
    else:
        headers = ["features", "MiB", "opens in ms", "frame, ms", "slowest 5 % of frames, ms"]
        print_table(Table(headers, [[f"{value:,}" for value in row.values()] for row in rows], []))


if __name__ == "__main__":
    main()
