"""A still picture beside every interactive figure, for print and for readers without JavaScript."""

import re
import shutil
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

FOLDER = "stills"
FIGURE = re.compile(r'(<figure class="cu-figure">)(<div role="group" aria-label="([^"]*)">)')
# Each figure as it stands in the page, as SVG text; plotly fetches nothing for this.
DRAW = """async () => {
  const plots = [...document.querySelectorAll('figure.cu-figure .plotly-graph-div')];
  const drawn = [];
  for (const plot of plots) {
    const size = {width: 720, height: plot.layout.height || 380};
    const url = await Plotly.toImage({data: plot.data, layout: {...plot.layout, autosize: false, ...size},
      config: {staticPlot: true}}, {format: 'svg', ...size});
    drawn.push(decodeURIComponent(url.slice(url.indexOf(',') + 1)));
  }
  return drawn;
}"""


def chromium() -> str | None:
    """The path of an installed Chromium or Chrome, None if there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


def draw_page(browser: Browser, page: Path) -> int:
    """Draw the figures of one built page into files beside it and name them in the page; how many.

    Raises ValueError if the page draws fewer figures than it holds.
    """
    text = page.read_text(encoding="utf-8")
    count = len(FIGURE.findall(text))
    if not count or f'src="{FOLDER}/' in text:
        return 0
    opened = browser.new_page(viewport={"width": 900, "height": 900})
    opened.goto(page.as_uri(), wait_until="load")
    drawn = opened.evaluate(DRAW)
    opened.close()
    if len(drawn) != count:
        raise ValueError(f"{page.name} holds {count} figures and drew {len(drawn)}; look at its script errors")
    folder = page.parent / FOLDER
    folder.mkdir(exist_ok=True)
    names = []
    for number, picture in enumerate(drawn, 1):
        name = f"{page.stem}-{number}.svg"
        (folder / name).write_text(picture, encoding="utf-8")
        names.append(f"{FOLDER}/{name}")
    at = iter(names)

    def named(match: re.Match[str]) -> str:
        return f'{match[1]}<img class="cu-still" loading="lazy" alt="{match[3]}" src="{next(at)}">{match[2]}'

    aside = page.with_suffix(".aside")
    aside.write_text(FIGURE.sub(named, text), encoding="utf-8")
    aside.replace(page)
    return count


def draw_site(html: Path) -> int | None:
    """Draw every figure of the built site in `html`; how many were new. None without a Chromium: nothing is drawn."""
    path = chromium()
    if path is None:
        return None
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            return sum(draw_page(browser, page) for page in sorted(html.glob("*.html")))
        finally:
            browser.close()
