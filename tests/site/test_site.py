"""The built site in a browser without a network: formulas, plots, widths, words for figures."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9]*.py"))]
PAGES = ["index", *CHAPTERS, "teaching", "glossary", "bibliography", "status"]
NARROW = (360, 768)  # a small phone, a tablet
DESKTOP = {"width": 1280, "height": 900}


@dataclass
class Visit:
    """An open page and what it complained about."""

    page: Page
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def open(self, path: Path) -> Page:
        self.page.goto(path.as_uri(), wait_until="load")
        # MathJax typesets after the page has loaded.
        self.page.evaluate("window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => true) : true")
        return self.page


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    context = browser.new_context(viewport=DESKTOP, color_scheme="light")
    page = context.new_page()
    seen = Visit(page)

    def gate(route: object, request: object) -> None:
        if request.url.startswith(("file:", "data:", "blob:")):  # type: ignore[attr-defined]
            route.continue_()  # type: ignore[attr-defined]
        else:
            seen.outside.append(request.url)  # type: ignore[attr-defined]
            route.abort()  # type: ignore[attr-defined]

    context.route("**/*", gate)
    page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    yield seen
    context.close()


def complaints(visit: Visit, path: Path) -> list[str]:
    """Everything that is wrong with one page, in words."""
    page = visit.open(path)
    found = [f"console: {text}" for text in visit.errors] + [f"asked for {url}" for url in visit.outside]
    counted = page.evaluate(
        """() => ({
          math: document.querySelectorAll('.math').length,
          typeset: [...document.querySelectorAll('.math')].filter(e => e.querySelector('mjx-math')).length,
          merror: document.querySelectorAll('mjx-merror, [data-mjx-error]').length,
          plots: document.querySelectorAll('.plotly-graph-div').length,
          drawn: [...document.querySelectorAll('.plotly-graph-div')]
            .filter(e => e.querySelector('.main-svg .subplot, .main-svg .plot')).length,
          unnamed: [...document.querySelectorAll('article img')].filter(e => !(e.alt || '').trim()).length,
          figures: document.querySelectorAll('figure.cu-figure').length,
          worded: [...document.querySelectorAll('figure.cu-figure')].filter(e =>
            e.querySelector('[role=group]').getAttribute('aria-label').trim() &&
            e.querySelector('figcaption').textContent.trim()).length,
          raw_tables: [...document.querySelectorAll('article p')]
            .filter(e => /\\|\\s*[-–—]+\\s*\\|/.test(e.textContent)).length,
          tracebacks: document.querySelectorAll('.output.traceback').length,
        })"""
    )
    for all_of, good in (("math", "typeset"), ("plots", "drawn"), ("figures", "worded")):
        if counted[all_of] != counted[good]:
            found.append(f"{counted[good]} of {counted[all_of]} {all_of} are {good}")
    found += [f"{counted[name]} {name}" for name in ("merror", "unnamed", "raw_tables", "tracebacks") if counted[name]]
    if counted["plots"] != counted["figures"]:
        found.append(f"{counted['plots']} plots, of which {counted['figures']} with caption and alt text")
    return found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_without_a_network(site: Path, visit: Visit, name: str) -> None:
    assert complaints(visit, site / f"{name}.html") == []


def test_chapters_have_formulas_and_plots(site: Path, visit: Visit) -> None:
    page = visit.open(site / "05_full_algorithm.html")
    assert page.locator(".math").count() > 5
    assert page.locator(".plotly-graph-div .main-svg").count() > 5


@pytest.mark.parametrize("name", PAGES)
def test_a_narrow_screen_never_scrolls_sideways(site: Path, visit: Visit, name: str) -> None:
    for width in NARROW:
        visit.page.set_viewport_size({"width": width, "height": 800})
        page = visit.open(site / f"{name}.html")
        widths = page.evaluate(
            """() => [document.scrollingElement.scrollWidth, innerWidth,
              [...document.querySelectorAll('.plotly-graph-div')].filter(e => e.offsetParent &&
                e.getBoundingClientRect().right > innerWidth + 1).length]"""
        )
        assert widths[0] <= widths[1], f"the page is wider than the screen of {width}"
        assert widths[2] == 0, f"a plot is wider than the screen of {width}"


def faults(page: Page) -> list[str]:
    """What axe-core calls serious or critical, in words."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", "03_sample_loss", "05_full_algorithm", "glossary"])
def test_axe_finds_no_serious_fault(site: Path, visit: Visit, name: str, theme: str) -> None:
    page = visit.open(site / f"{name}.html")
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    page.wait_for_timeout(300)
    assert faults(page) == []


def test_axe_would_see_a_fault(site: Path, visit: Visit) -> None:
    page = visit.open(site / "glossary.html")
    page.evaluate("document.querySelector('article').insertAdjacentHTML('beforeend', '<button></button>')")
    assert any("button-name" in fault for fault in faults(page))


def test_every_figure_has_a_still_for_print_and_without_script(site: Path, visit: Visit, browser: Browser) -> None:
    name = site / "05_full_algorithm.html"
    page = visit.open(name)
    seen = "e => [...document.querySelectorAll(e)].filter(e => e.offsetParent).length"
    plots = page.locator("figure.cu-figure .plotly-graph-div").count()
    assert page.locator("img.cu-still").count() == plots > 5
    assert page.evaluate(seen, "img.cu-still") == 0
    page.emulate_media(media="print")
    assert page.evaluate(seen, "figure.cu-figure .plotly-graph-div") == 0
    context = browser.new_context(java_script_enabled=False)
    bare = context.new_page()
    bare.goto(name.as_uri())
    assert bare.locator("img.cu-still").first.is_visible()
    assert not bare.locator("figure.cu-figure .plotly-graph-div").first.is_visible()
    context.close()


def test_a_still_is_the_figure(site: Path) -> None:
    stills = sorted((site / "stills").glob("05_full_algorithm-*.svg"))
    shown = [still.read_text(encoding="utf-8") for still in stills]
    assert all(text.startswith("<svg") for text in shown)
    assert len(set(shown)) == len(shown), "each figure has its own"
    assert any("accuracy" in text for text in shown)


def test_the_front_page_moves_once_and_again_on_demand(site: Path, visit: Visit) -> None:
    page = visit.open(site / "index.html")
    time = "document.getElementById('cu-geometry').getCurrentTime()"
    page.wait_for_timeout(400)
    assert page.evaluate(time) > 0.2
    page.locator("[data-cu-again]").click()
    assert page.evaluate(time) < 0.3
    visit.page.emulate_media(reduced_motion="reduce")
    assert visit.open(site / "index.html").evaluate(time) > 60, "who asked for less motion sees the end"


def test_first_uses_lead_to_the_glossary(site: Path, visit: Visit) -> None:
    page = visit.open(site / "05_full_algorithm.html")
    links = page.locator("article a.reference.internal[href^='glossary.html#term-']")
    assert links.count() >= 3
    targets = links.evaluate_all("all => all.map(e => e.getAttribute('href').split('#')[1])")
    glossary = (site / "glossary.html").read_text(encoding="utf-8")
    assert all(f'id="{target}"' in glossary for target in targets)


def test_plots_follow_the_theme(site: Path, visit: Visit) -> None:
    page = visit.open(site / "05_full_algorithm.html")
    ink = "document.querySelector('.plotly-graph-div').layout.font.color"
    colours = {}
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        page.wait_for_timeout(300)
        colours[theme] = page.evaluate(ink)
    assert colours["light"] != colours["dark"]
    assert visit.errors == []


def test_solutions_are_folded_and_markers_are_gone(site: Path, visit: Visit) -> None:
    page = visit.open(site / "03_sample_loss.html")
    assert page.locator(".admonition.exercise").count() == page.locator(".admonition.solution").count() >= 3
    assert not page.locator(".admonition.solution pre").first.is_visible()
    assert "BEGIN SOLUTION" not in page.content()


def test_search_finds_a_word(site: Path, visit: Visit) -> None:
    page = visit.open(site / "search.html")
    page.goto((site / "search.html").as_uri() + "?q=temperature")
    page.wait_for_selector("#search-results li", timeout=10_000)
    assert page.locator("#search-results li").count() >= 2


@pytest.mark.parametrize(
    ("found", "changed", "complaint"),
    [
        ('src="_static/../plotly/plotly.min.js', 'src="missing.js', "plots"),
        ('src="_static/../mathjax/tex-mml-chtml.js', 'src="missing.js', "math"),
        ("<figcaption>", "<figcaption hidden></figcaption><figcaption>", "figures"),
        ("</body>", "<script>console.error('broken')</script></body>", "console: broken"),
        ("</body>", '<img src="https://example.org/a.png" alt="x"></body>', "asked for https://example.org"),
        ("</article>", '<img src="logo.svg"></article>', "unnamed"),
        ("</article>", "<p>| a | b | |—|—| | 1 | 2 |</p></article>", "raw_tables"),
    ],
)
def test_a_broken_page_would_be_seen(site: Path, visit: Visit, found: str, changed: str, complaint: str) -> None:
    whole = (site / "05_full_algorithm.html").read_text(encoding="utf-8")
    assert found in whole
    broken = site / "broken.html"
    broken.write_text(whole.replace(found, changed, 1), encoding="utf-8")
    try:
        assert any(complaint in text for text in complaints(visit, broken))
    finally:
        broken.unlink()
