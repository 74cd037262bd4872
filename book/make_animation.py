"""Draw the front page's animation, book/geometry.svg: how embeddings move while a class is forgotten.

    python book/make_animation.py

One run of contrastive unlearning on the digits at profile laptop. The plane is fixed before anything moves: the first
two principal components of the class centres shown, in the original model. The file says which run it shows.
"""

import json
from pathlib import Path

import torch
from torch import Tensor

from cu_helpers.circle import CLASS_COLOURS
from cu_helpers.data import ForgetTask, ImageData, load_dataset
from cu_helpers.experiments import make_task, original_model
from cu_helpers.figures import SET_COLOURS
from cu_helpers.geometry import class_centres
from cu_helpers.inference import embed
from cu_helpers.models import EmbeddingClassifier
from cu_helpers.profiles import get_profile
from cu_helpers.results import commit
from cu_helpers.training import accuracy
from cu_helpers.tuning import tuned_settings
from cu_helpers.unlearning import unlearn
from cu_helpers.views import draw_from

PICTURE = Path(__file__).resolve().parent / "geometry.svg"
SEED = 0
NEIGHBOURS = 4  # other classes shown: the nearest centres
EACH = 24  # images of each class
SECONDS = 5.0
WIDTH, HEIGHT, EDGE = 480, 420, 24
TOP = 92  # below the legend and the names
INK = "#767676"  # reads on white and on black


def plane(centres: Tensor) -> tuple[Tensor, Tensor]:
    """(mean (d,), axes (d, 2)) of the first two principal components of centres (k, d)."""
    mean = centres.mean(dim=0)
    _, _, axes = torch.linalg.svd(centres - mean, full_matrices=False)
    return mean, axes[:2].T


def paths(task: ForgetTask, original: EmbeddingClassifier) -> tuple[list[int], list[ImageData], Tensor, list[int], str]:
    """Run once; (classes shown, their images, positions (frames, images, 2), step of each frame, what it shows)."""
    profile = get_profile("laptop", task.dataset)
    label = task.label
    assert label is not None
    centres = class_centres(embed(original, task.train), task.train.labels, len(task.classes))
    nearest = [int(at) for at in (centres @ centres[label]).argsort(descending=True)[1 : NEIGHBOURS + 1]]
    shown = [label, *nearest]
    images = [draw_from(task.train.of_class(one), EACH, SEED) for one in shown]
    mean, axes = plane(centres[shown])
    frames, steps = [], []

    def look(model: EmbeddingClassifier, row: dict[str, float]) -> None:
        frames.append(torch.cat([(embed(model, some, "float32") - mean) @ axes for some in images]).cpu())
        steps.append(int(row["steps"]))

    result = unlearn("contrastive", original, task, tuned_settings(profile, "class", "contrastive"), SEED, look)
    before, after = accuracy(original, task.forget_test), accuracy(result.model, task.forget_test)
    others = accuracy(original, task.retain_test), accuracy(result.model, task.retain_test)
    told = (
        f"Unseen images answered right: of digit {task.classes[label]}, {before:.0f} % before and {after:.0f} % after; "
        f"of the others, {others[0]:.0f} % and {others[1]:.0f} %"
    )
    return shown, images, torch.stack(frames), steps, told


def moved(values: list[float], name: str, times: str) -> str:
    """An element that moves one attribute through `values` once and stays at the last."""
    told = ";".join(f"{value:.0f}" for value in values)
    return f'<animate attributeName="{name}" values="{told}" keyTimes="{times}" dur="{SECONDS}s" fill="freeze"/>'


def point(path: Tensor, colour: str, forgotten: bool, times: str) -> str:
    """One image's path (frames, 2), in pixels: a cross if it is forgotten, else a disc."""
    x, y = path[:, 0].tolist(), path[:, 1].tolist()
    if not forgotten:
        return (
            f'<circle cx="{x[0]:.0f}" cy="{y[0]:.0f}" r="4" fill="{colour}" fill-opacity="0.6">'
            f"{moved(x, 'cx', times)}{moved(y, 'cy', times)}</circle>"
        )
    told = ";".join(f"{a:.0f} {b:.0f}" for a, b in zip(x, y, strict=True))
    return (
        f'<path d="M-4 -4l8 8m0-8l-8 8" stroke="{colour}" stroke-width="2.2" '
        f'transform="translate({x[0]:.0f} {y[0]:.0f})">'
        f'<animateTransform attributeName="transform" type="translate" values="{told}" keyTimes="{times}" '
        f'dur="{SECONDS}s" fill="freeze"/></path>'
    )


def picture() -> str:
    """The whole SVG."""
    profile = get_profile("laptop", "digits")
    dataset = profile.shrink(load_dataset("digits"))
    task = make_task(dataset, profile, "class", SEED)
    shown, images, frames, steps, told = paths(task, original_model(dataset, profile, SEED).model)
    low, high = frames.amin(dim=(0, 1)), frames.amax(dim=(0, 1))
    room = torch.tensor([WIDTH - 2 * EDGE, HEIGHT - TOP - EDGE])
    at = (frames - low) / (high - low) * room + torch.tensor([EDGE, TOP])
    times = ";".join(f"{0.1 + 0.9 * step / steps[-1]:.3f}" for step in steps)
    times = "0;" + times  # a tenth of the time nothing moves
    at = torch.cat([at[:1], at])
    labels = torch.cat([some.labels for some in images]).cpu()
    colours = {one: SET_COLOURS["forget"] if one == task.label else CLASS_COLOURS[n] for n, one in enumerate(shown, -1)}
    order = sorted(range(len(labels)), key=lambda n: int(labels[n]) == task.label)  # what moves lies above
    dots = [point(at[:, n], colours[int(labels[n])], int(labels[n]) == task.label, times) for n in order]
    names = []
    for one in shown[1:]:
        seen = at[:, labels == one].reshape(-1, 2)
        names.append(  # above all that its images pass
            f'<text x="{seen[:, 0].mean():.0f}" y="{seen[:, 1].min() - 12:.0f}" font-size="20" font-weight="bold" '
            f'text-anchor="middle">{task.classes[one]}</text>'
        )
    run = {"dataset": "digits", "profile": "laptop", "method": "contrastive", "seed": SEED, "commit": commit()}
    run |= {"steps": steps[-1], "told": told}
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="15" fill="{INK}" role="img" aria-labelledby="cu-geometry-title" id="cu-geometry">',
        f'<title id="cu-geometry-title">Embeddings of the digit {task.classes[shown[0]]}, crosses, leave their place '
        "and go between those of other digits while the class is forgotten</title>",
        f"<metadata>{json.dumps(run)}</metadata>",
        f'<path d="M{EDGE} 14l8 8m0-8l-8 8" stroke="{SET_COLOURS["forget"]}" stroke-width="2.2"/>',
        f'<text x="{EDGE + 18}" y="23">training images of the digit {task.classes[shown[0]]}, to be forgotten</text>',
        f'<circle cx="{EDGE + 4}" cy="40" r="4" fill="{INK}"/>',
        f'<text x="{EDGE + 18}" y="45">training images of four other digits, to be kept</text>',
        *dots,
        *names,
        "</svg>",
    ]
    return "\n".join(body) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    print(f"wrote {PICTURE.name}")
