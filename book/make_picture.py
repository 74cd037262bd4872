"""Draw the front page's picture, book/first_light.svg, from the recorded CIFAR-10 runs.

    python book/make_picture.py

It is text, so a test can hold it to the records.
"""

from pathlib import Path
from typing import Any

from cu_helpers.figures import SET_COLOURS
from cu_helpers.metrics import Interval, mean_interval
from cu_helpers.results import read_runs

PICTURE = Path(__file__).resolve().parent / "first_light.svg"
ROWS = {
    ("original", None): "Original",
    ("retrain", None): "Retrain",
    ("contrastive", "first stop"): "Contrastive, first stop",
    ("contrastive", "whole rounds"): "Contrastive, whole rounds",
    ("contrastive", "no contrast"): "the same without L_UL",
    ("finetune", None): "Finetune",
    ("gradient_ascent", None): "Gradient ascent",
}
PANELS = (
    ("class5", "retain_test", "A class is forgotten", "retained test images"),
    ("samples500", "test", "500 samples are forgotten", "test images"),
)
LEFT, WIDTH, GAP, ROW, TOP = 185, 250, 35, 26, 84
INK = "#767676"  # reads on white and on black


def spread(runs: list[dict[str, Any]], method: str, variant: str | None, metric: str) -> Interval | None:
    """The interval of one metric over a method's runs; None if there is no run."""
    found = [run["metrics"][metric] for run in runs if (run["method"], run.get("variant")) == (method, variant)]
    return mean_interval(found) if found else None


def marker(kind: str, x: float, y: float) -> str:
    """A cross for forgotten images, a diamond for unseen ones: the book's markers."""
    if kind == "forget":
        return f'<path d="M{x - 4:.1f} {y - 4:.1f}l8 8m0-8l-8 8" stroke="{SET_COLOURS[kind]}" stroke-width="2.4"/>'
    shape = f"M{x:.1f} {y - 5.5:.1f}l5.5 5.5-5.5 5.5-5.5-5.5z"
    return f'<path d="{shape}" fill="none" stroke="{SET_COLOURS[kind]}" stroke-width="2"/>'


def panel(task: str, unseen: str, title: str, meaning: str, left: float) -> list[str]:
    """One task: a row of two markers with their intervals for each method, Retrain as dashed lines."""
    runs = read_runs("laptop", dataset="cifar10", task=task)
    seeds = len({run["seed"] for run in runs})
    bottom = TOP + ROW * len(ROWS)

    def at(percent: float) -> float:
        return left + WIDTH * min(100.0, max(0.0, percent)) / 100

    out = [f'<text x="{left}" y="24" font-weight="bold">{title}</text>']
    out.append(f'<text x="{left}" y="42">{seeds} seeds; diamonds: {meaning}</text>')
    for tick in range(0, 101, 25):
        x = at(tick)
        out.append(f'<path d="M{x:.1f} {TOP - 14}V{bottom - 8}" stroke="{INK}" stroke-opacity="0.3"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 10}" text-anchor="middle">{tick}</text>')
    for kind, metric in (("forget", "forget"), ("test", unseen)):
        goal = spread(runs, "retrain", None, metric)
        if goal:
            line = f'stroke="{SET_COLOURS[kind]}" stroke-dasharray="5 4" stroke-width="1.4"'
            out.append(f'<path d="M{at(goal.mean):.1f} {TOP - 14}V{bottom - 8}" {line}/>')
        for number, (method, variant) in enumerate(ROWS):
            value = spread(runs, method, variant, metric)
            if value is None:
                continue
            y = TOP + ROW * number + (-4 if kind == "forget" else 4)
            if value.count > 1:
                span = f"M{at(value.low):.1f} {y}H{at(value.high):.1f}"
                out.append(f'<path d="{span}" stroke="{SET_COLOURS[kind]}" stroke-width="1.6"/>')
            out.append(marker(kind, at(value.mean), y))
    return out


def picture() -> str:
    """The whole SVG."""
    width, height = LEFT + 2 * WIDTH + GAP + 20, TOP + ROW * len(ROWS) + 52
    names = [
        f'<text x="{LEFT - 12}" y="{TOP + ROW * number + 4}" text-anchor="end">{name}</text>'
        for number, name in enumerate(ROWS.values())
    ]
    right = LEFT + WIDTH + GAP
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12" fill="{INK}" role="img">',
        "<title>Accuracy on CIFAR-10 after unlearning, from recorded runs</title>",
        marker("forget", LEFT - 170, 20),
        f'<text x="{LEFT - 158}" y="24">forgotten images</text>',
        marker("test", LEFT - 170, 38),
        f'<text x="{LEFT - 158}" y="42">unseen images</text>',
        *names,
        *panel(*PANELS[0], LEFT),
        *panel(*PANELS[1], right),
        f'<text x="{LEFT}" y="{height - 12}">accuracy (%), mean and 95 % interval; dashed: Retrain, the goal</text>',
        "</svg>",
    ]
    return "\n".join(body) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    print(f"wrote {PICTURE.name}")
