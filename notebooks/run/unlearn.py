# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # One run of the reproduction's grid
#
# Load, forget, unlearn, look, measure, record: what every method's chapter does, for one method, task, data set, model and
# seed. The grid runs this notebook once a cell and not the chapter itself, because a chapter also runs other methods,
# sweeps and exercises: once a chapter is right, and once a cell would be hours of the same.

# %% tags=["parameters"]
profile = "smoke"
dataset = "digits"
model = "resnet18"
seed = 0
kind = "class"  # or "samples"
amount = 5  # the class, or how many samples
method = "contrastive"
variant = "tuned"
shared = 1  # how many runs use the machine at once
work = "build/grid"  # where runs wait for their attacks and audits

# %%
from pathlib import Path

from IPython.display import Markdown, display

from cu_helpers import figures, grid_steps, notebook
from cu_helpers.geometry import class_centres, forgotten_geometry, margins
from cu_helpers.grid import Cell, planned
from cu_helpers.inference import embed

cell = Cell(profile, dataset, model, kind, amount, method, variant, seed)
lab = notebook.setup(profile, dataset, model, seed)
task = cell.task(lab.dataset)
print(f"run      {cell.name}: {len(task.forget)} images to forget, {len(task.retain)} to keep")

# %% [markdown]
# The settings: what a recorded search on validation images found, with what the variant changes.

# %%
settings = planned(cell)[2]
settings

# %%
unlearned, run = grid_steps.unlearn_cell(cell, lab.dataset, shared)

# %%
before = lab.original().model
names = {"forget": "forgotten training images", "forget_test": "unseen images of the class"}
names |= {
    "retain_test": "unseen images of other classes",
    "test": "unseen images",
    "retain": "retained training images",
}
lines = ["| accuracy on | unlearned (%) | Retrain (%) |", "|---|---|---|"]
for key, words in names.items():
    if key in run["metrics"]:
        reference = run.get("retrain_metrics", {}).get(key)
        lines.append(f"| {words} | {run['metrics'][key]:.1f} | {'–' if reference is None else f'{reference:.1f}'} |")
display(Markdown("\n".join(lines)))
print(f"{run['seconds']:.2f} s, {run['steps']} steps, ended by {run['stopped_by']}")

# %% [markdown]
# ## The geometry before and after

#
# An image's margin is its cosine with the centre of its own class's unseen images minus that with the nearest other centre:
# below zero, the image lies nearer to another class.


# %%
def image_margins(model, images):
    """The margin of each image under a model, (n,)."""
    centres = class_centres(embed(model, task.test), task.test.labels, len(task.classes))
    return margins(embed(model, images), images.labels, centres, centres)[0].cpu().numpy()


unseen = task.test if task.forget_test is None else task.forget_test
groups = {
    "original": image_margins(before, task.forget),
    "forget: unlearned": image_margins(unlearned, task.forget),
    "test: unlearned": image_margins(unlearned, unseen),
}
figures.show(
    figures.histograms(groups, "margin (cosine)"),
    "Forgotten images in the original model and after unlearning, and unseen images after: a good method brings the second to the third.",
    "Histograms of margins of forgotten images in the original and the unlearned model and of unseen images.",
)
for words, shown in {"original": before, "unlearned": unlearned}.items():
    cosines = forgotten_geometry(shown, task)
    print(f"{words:10}" + ", ".join(f"{name} {value:+.2f}" for name, value in cosines.items()))

# %% [markdown]
# ## The record
#
# Written aside and renamed, last of all: where it lies, the run is whole.

# %%
path = grid_steps.keep_run(Path(work), cell, unlearned, run)
print(path.name)
