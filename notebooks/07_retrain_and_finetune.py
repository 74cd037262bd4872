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
# # 07 · Retrain and finetune, and the rules of a fair fight
#
# From here to chapter 13 each chapter takes one baseline apart. This one starts with the two simplest, and fixes the rules
# under which all of them meet contrastive unlearning.

# %% [markdown]
# **What you will learn**
#
# - why Retrain is a reference and not a competitor, and what it costs;
# - what finetuning hopes for, and what it pays for forgetting a class and samples;
# - the rules of the comparison: the same number of trials, validation images only, three seeds, equal seconds;
# - how to read a sensitivity strip.
#
# **Before you start**: chapter 05.
#
# | device | time of this chapter at profile laptop, digits |
# |---|---|
# | laptop CPU, 2 cores | about two minutes, an estimate |
# | T4-class GPU | below two minutes, an estimate |
# | large GPU | below a minute, an estimate |

# %% tags=["setup", "hide-input"]
import importlib.util
import os
import subprocess
import sys

book_tag, book_folder = "v0.1.0", os.path.abspath("contrastive-unlearning")
if importlib.util.find_spec("cu_helpers") is None:
    # On Colab: the book at its tag. Our package is installed alone, with what Colab lacks; torch and numpy stay.
    small = {"open_clip": "open_clip_torch>=2.30", "ftfy": "ftfy", "umap": "umap-learn", "pynndescent": "pynndescent"}
    lacking = [package for module, package in small.items() if importlib.util.find_spec(module) is None]
    commands = [[sys.executable, "-m", "pip", "install", "-q", "--no-deps", book_folder, *lacking]]
    if not os.path.isdir(book_folder):
        address = os.environ.get("CU_SOURCE") or input(
            "Address of the book's repository, such as https://github.com/OWNER/NAME: "
        )
        commands.insert(0, ["git", "clone", "-q", "--depth", "1", "--branch", book_tag, address, book_folder])
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the book was not installed; {' '.join(command[:4])} said: {done.stderr.strip()}")
    importlib.invalidate_caches()
if os.path.isdir(book_folder):  # its records fill the chapters' tables
    os.environ.setdefault("CU_RESULTS", os.path.join(book_folder, "book", "results"))

# %% tags=["parameters"]
profile = None
dataset = "digits"
model = None
seed = None

# %%
import copy
from dataclasses import replace

import torch
import torch.nn.functional as F
from IPython.display import Markdown, display

from cu_helpers import arena, comparison, exercises, notebook
from cu_helpers.devices import generator
from cu_helpers.models import build_model
from cu_helpers.training import train
from cu_helpers.tuning import GRIDS, searches, trials_of, tuning_score
from cu_helpers.unlearning import METHODS, FinetuneSettings, RetrainSettings, Stopping, unlearn

lab = notebook.setup(profile, dataset, model, seed)

# %% [markdown]
# ## Retrain
#
# The exact answer to "what would the model be, had it never seen these images?" is to train again without them:
#
# $$
# \theta^{*} = \text{train}(\theta_0, \mathcal{D}_{tr}^r), \qquad \theta_0 \text{ drawn anew.}
# $$
#
# Nothing of the old weights enters. So nothing can leak from them, and nothing has to be proved. The price is a whole
# training. Every other method in this book is a way to pay less and come near.
#
# Two trainings with different seeds give two different models, so "the" retrained model is a distribution. That is why the
# tables show intervals, and why each run is paired with the Retrain **of its own seed**, which forgot the same images.

# %% [markdown]
# The code is a new model and a call of `train`. The old weights play no part, and the last line checks it: an untrained
# model as input leads to the same result.


# %%
def retrained(config, task, settings, seed):
    """A new model of the same architecture, trained on the retained images."""
    fresh = build_model(config.name, config.num_classes, config.in_channels, config.width, config.feature_dim, seed)
    return train(fresh, task.retain, settings.training, seed)


def furthest(a, b):
    """The largest difference between two models' weights."""
    return max((p - q).abs().max().item() for p, q in zip(a.parameters(), b.parameters(), strict=True))


class_task, sample_task = lab.class_task(), lab.sample_task()
original = lab.original()
short = RetrainSettings(lab.profile.training.__class__(epochs=1, batch_size=64, precision="float32"))
shown = retrained(original.model.config, class_task, short, lab.seed)
untrained = build_model(**vars(original.model.config))
for start in (original.model, untrained.to(lab.device)):
    assert furthest(shown, unlearn("retrain", start, class_task, short, lab.seed).model) == 0
print("the same weights, whatever model is passed in")

# %% [markdown]
# ## Finetune
#
# A network that goes on learning something else forgets what it is no longer shown. *Catastrophic forgetting* is a nuisance
# everywhere else; here it is the hope. Finetuning descends the ordinary loss on retained images, from the original weights:
#
# $$
# \theta \leftarrow \theta - \eta\, \nabla_\theta\, \mathcal{L}_{CE}\big(\mathcal{F}(X^r), Y^r\big).
# $$
#
# Nothing in this formula mentions the forgotten images. What could make the model forget them?
#
# - **A forgotten class.** No retained image has its label. The head's row for it is pushed down by every retained batch, a
#   little each time, and weight decay shrinks what nobody defends.
# - **Forgotten samples.** Other images of the same classes are still there. They hold the region in which the forgotten ones
#   lie. And the retained images are fitted already, so the gradient of their loss is small: there is little force.


# %%
def finetuned(model, task, settings, seed):
    """Passes over the retained images, in place, without a clock or a stop rule."""
    draw = generator(seed, task.retain.device)
    optimizer = torch.optim.SGD(
        model.parameters(), settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay, fused=True
    )
    model.train()
    for _ in range(settings.max_rounds):
        for index in torch.randperm(len(task.retain), generator=draw, device=draw.device).split(settings.batch_size):
            x, y = task.retain.batch(index)
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


no_rule = Stopping(rule="none")
plain = FinetuneSettings(batch_size=64, max_rounds=1, precision="float32", stopping=no_rule)
shown = finetuned(copy.deepcopy(original.model), class_task, plain, lab.seed)
packaged = unlearn("finetune", original.model, class_task, plain, lab.seed).model
print(f"largest difference of a weight: {furthest(shown, packaged):.1e}")
assert furthest(shown, packaged) < 1e-4

# %% [markdown]
# How small is the force? Here is the norm of the gradient of the mean loss, on retained images and on forgotten ones, for the
# original model. The first is what finetuning walks along; the second is what gradient ascent, in the next chapter, walks
# against.


# %%
def gradient_norm(net, images):
    """Euclidean norm of the gradient of the mean cross-entropy over `images`, in eval mode."""
    x, y = images.batch(torch.arange(len(images), device=images.device))
    gradients = torch.autograd.grad(F.cross_entropy(net(x), y), list(net.parameters()))
    return torch.sqrt(sum(g.square().sum() for g in gradients)).item()


size = len(sample_task.forget)  # the mean over more images would have a smaller gradient
for name, images in (
    ("retained images", sample_task.retain),
    ("forgotten images", sample_task.forget),
    ("unseen images", sample_task.validation),
):
    draws = [
        torch.randperm(len(images), generator=generator(s, lab.device), device=lab.device)[:size] for s in range(5)
    ]
    norms = [gradient_norm(original.model, images.select(chosen)) for chosen in draws]
    print(f"{name:17} {sum(norms) / len(norms):.3f}")

# %% [markdown]
# Retained and forgotten images were both trained on, and both gradients are smaller than that of unseen images. Neither is zero: an
# embedding of unit norm bounds the logits, so that even a fitted image keeps some loss.

# %% [markdown]
# ## The rules
#
# A baseline with a bad learning rate is a straw man. The paper says nothing about how its baselines were tuned, so we fix it
# in the open:
#
# 1. **Equal trials.** Every method, contrastive unlearning included, gets the same number of trials from a grid that is printed
#    below. LCODEC, which can take hours, gets fewer, and the table says so. The ranges of SCRUB and gradient ascent were moved
#    up after a first search, whose best trial lay at the upper edge, and Boundary Shrink's rule for the nearest label became a knob.
#    CIFAR-10's class searches of those three still have the first range; chapter 13 lists every best trial at an edge.
#    What is not searched comes from each method's authors, fitted to the size of the data. On CIFAR-10 some runs are shorter than
#    theirs: finetuning of samples has three passes, gradient ascent of samples fifteen rounds, SalUn two passes, NegGrad+ one.
#    Contrastive unlearning's other settings come from the earlier, larger search of chapter 05, which is an advantage for it.
# 2. **Validation only.** A trial is scored on the forget set and on validation images, never on test images. The search uses a
#    seed of its own: another original model, and other forgotten samples, than any table reports.
# 3. **Nearness to Retrain.** The score is the tug of war of Zhao et al. (2024): the product of $1 - |\text{gap}|$ over
#    the measured sets, where a gap is the accuracy minus Retrain's as a share. 1 is Retrain. A method that breaks everything
#    scores low, but it can trade a point of test accuracy for a point of forgetting. Some settings for samples were chosen that
#    way: Fisher's on CIFAR-10, and LCODEC's, gradient ascent's and SCRUB's on the digits.
# 4. **The same stop data.** Contrastive unlearning, finetuning and gradient ascent have a stop rule; the others run as long as their
#    authors say. The three look at the same validation images, but not equally often: the intervals were set in chapter 05 and not
#    searched. On the digits, and for samples of CIFAR-10, contrastive unlearning looks after every batch and the other two once a round.
#    For a class of CIFAR-10 it looks once a round, finetuning after every fourth batch and gradient ascent after each. A run that looks
#    often stops as soon as the rule holds, earlier and with more of a class left (ten to twenty per cent there; chapter 05 shows that
#    for contrastive unlearning too). So a method's seconds, and what it leaves of a class, depend on this interval as well. Chapter 13
#    has the digits with equal intervals.
# 5. **Three seeds** where recorded (each table says how many), with 95 % intervals of the mean and gaps paired by seed.
# 6. **Two clocks.** Each method at its own stop, and each cut, without a stop rule, to the time that contrastive unlearning took. That
#    time is counted in Retrain's steps, timed just before each run, because a busy machine slows both alike. Optimiser steps and images
#    passed stand beside seconds: no machine can change those. Passes through frozen copies are not counted.

# %%
lines = ["| method | trials | searched |", "|---|---|---|"]
for method in METHODS:
    grid = "; ".join(
        f"{name}: {', '.join(f'{v:g}' if isinstance(v, float) else str(v) for v in values)}"
        for name, values in GRIDS.get(method, {}).items()
    )
    lines.append(
        f"| {method} | {len(trials_of(method)) if method in GRIDS else 'none'} | {grid or 'nothing to tune'} |"
    )
display(Markdown("\n".join(lines)))

# %% [markdown]
# The score in a case done by hand: a class, Retrain at 0 % on the forgotten images and 80 % on the retained ones. A method at
# 10 % and 75 % scores $(1 - 0.10)(1 - 0.05)$.

# %% tags=["nbval-check-output"]
score = tuning_score({"forget": 10.0, "retain_test": 75.0}, {"forget": 0.0, "retain_test": 80.0})
print(f"{score:.4f}")
assert abs(score - 0.9 * 0.95) < 1e-12

# %% [markdown] tags=["exercise:07-1"]
# ### Exercise 07-1 · Fool the score
#
# *Criticise · difficulty 2 of 5 · importance 4 of 5 · 10 minutes*
#
# For a class the score has three factors: forgotten training images, forgotten unseen images, retained unseen images.
# Write `fooled(goal)`: the accuracies (in %) of a method that scores above 0.95 and has forgotten **nothing**, in the
# sense that the embeddings are exactly the original's. Return a dictionary with the keys of `goal`, which is Retrain's.
#
# <details><summary>Hint 1</summary>
#
# Which layer may be changed without touching an embedding?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Chapter 01 masks a logit.
#
# </details>
#
# **Expect**: a score of 1 minus almost nothing. So a high score is necessary and not sufficient; chapter 15 looks
# inside.

# %%
goal = {"forget": 0.0, "forget_test": 0.0, "retain_test": 80.0}


# %% tags=["solution:07-1"]
def fooled(goal):
    """Accuracies in percent, with the keys of `goal`, of a method that scores well and forgets nothing."""
    ### BEGIN SOLUTION
    # The masked head never answers with the class; the other classes keep what the original had.
    return {"forget": 0.0, "forget_test": 0.0, "retain_test": goal["retain_test"] - 1}
    ### END SOLUTION


fooled = exercises.check("07-1", fooled)
print(f"score {tuning_score(fooled(goal), goal):.3f}")
assert tuning_score(fooled(goal), goal) > 0.95

# %% [markdown]
# ## Finetuning a class, finetuning samples
#
# Both tasks, with the settings that the search found best, beside the Retrain of each seed.

# %%
results = {}
for kind in ("class", "samples"):
    settings = arena.settings_of(lab, kind, "finetune")
    results[kind] = arena.fight(lab, kind, "finetune", settings)
    display(Markdown(arena.table(kind, {"Finetune": results[kind]})))
    ends = [bout.result.stopped_by for bout in results[kind]]
    print(f"{kind}: ended by {', '.join(ends)}")

# %% [markdown]
# `rounds` means that the stop rule never held and the run used up its passes. Whether it forgot is for the gap on forgotten images to
# say: compare it in the two tables, and the gap on unseen images beside it.
#
# On CIFAR-10, at the paper's size (chapter 13), a searched finetune brings the samples down to Retrain's accuracy and below. It pays with
# more than six points on unseen images: its large steps damage what it should keep. So "it forgets no samples" would be wrong; it
# forgets them at a price.

# %%
every = Stopping(rule="none", check_every=1)
for kind in ("class", "samples"):
    tuned = arena.settings_of(lab, kind, "finetune")
    run = FinetuneSettings(learning_rate=tuned.learning_rate, batch_size=tuned.batch_size, max_rounds=5, stopping=every)
    task_word = "the class" if kind == "class" else "the samples"
    arena.show_curve(
        lab, kind, {"finetune": ("finetune", run)}, f"Five passes over the retained images, forgetting {task_word}."
    )

# %% [markdown]
# ## What it does to the embeddings
#
# Three cosines say where the forgotten images lie. For a class: how tightly they hang together (*cohesion*), and how near they
# are to the nearest class that stays. For samples: the *margin*, the cosine to their own class's unseen images minus the
# nearest other class's. Retrain is the reference, not zero and not one.

# %%
for kind in ("class", "samples"):
    arena.show_geometry(lab, kind, {"finetune": results[kind]})

# %% [markdown]
# ## How much luck does it need?
#
# The strip shows every trial of the search over the method's main knob, not just the best. The ranges differ from method to method: a
# flat strip over a wide range needs no luck, and a flat strip over a narrow one says little.

# %%
for kind in ("class", "samples"):
    arena.show_strip(lab, kind, ["contrastive", "finetune"])
    for name, trials in searches(lab.profile, kind).items():
        if name == "finetune":
            for trial in trials:
                print(f"  {kind:8} {trial.score:.3f}  {trial.changes}")

# %% [markdown] tags=["exercise:07-2"]
# ### Exercise 07-2 · Finetune longer
#
# *Measure · difficulty 2 of 5 · importance 3 of 5 · 15 minutes*
#
# Someone says: "finetuning samples only needs more passes". Write `passes_until(run, settings, limit)`. It calls `run`
# once, with settings that allow at most `limit` passes, and returns the accuracy on the forgotten images at the end and
# why the run stopped. `run(settings)` finetunes the sample task and returns a dictionary with `history` (a list of
# rows) and `stopped_by`.
#
# <details><summary>Hint 1</summary>
#
# `replace(settings, max_rounds=...)` makes changed settings.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# The last row of the history has `forget_accuracy`.
#
# </details>
#
# **Expect**: the accuracy falls slowly if at all, while the price in seconds grows like Retrain's.


# %% tags=["solution:07-2"]
def passes_until(run, settings, limit):
    """(accuracy on forgotten images after the last pass, why the run stopped) with at most `limit` passes."""
    ### BEGIN SOLUTION
    result = run(replace(settings, max_rounds=limit))
    return result["history"][-1]["forget_accuracy"], result["stopped_by"]
    ### END SOLUTION


passes_until = exercises.check("07-2", passes_until)
start = FinetuneSettings(learning_rate=0.03, batch_size=64, stopping=Stopping())


def finetuned(settings):
    done = unlearn("finetune", original.model, sample_task, settings, lab.seed)
    return {"history": done.history, "stopped_by": done.stopped_by}


for limit in (1, 5) if lab.profile.name == "smoke" else (1, 5, 20):
    reached, why = passes_until(finetuned, start, limit)
    print(f"{limit:3d} passes at most: {reached:5.1f} % of the forgotten samples still right, ended by {why}")
assert 0 <= reached <= 100

# %% [markdown]
# ## On CIFAR-10
#
# Recorded runs: mean and 95 % interval over seeds. Profile paper has the paper's sizes, on a GPU, with the settings that were searched
# at profile laptop: nothing was searched at that size. Most of its runs shared the GPU with others, so their seconds say little and are
# left out. One seed of most methods ran again with the GPU to itself, and the seconds are those. Where a row has one seed or two, the
# interval is missing or as wide as two runs leave it.
# Profile laptop is what a CPU does: 20,000 images and a quarter of the width. Contrastive unlearning, under the same rules, is the row
# to compare with. Cells of the paper that are lost stay lost.

# %%
for kind in ("class", "samples"):
    display(Markdown(comparison.recorded_tables("cifar10", kind, ("retrain", "contrastive", "finetune"))))

# %% [markdown] tags=["exercise:07-3"]
# ### Exercise 07-3 · Better than perfect
#
# *Find the planted bug · difficulty 1 of 5 · importance 4 of 5 · 5 minutes*
#
# This score gives a method that destroys the model 1.02, more than Retrain gets itself. Find the bug and write it
# right.
#
# ```python
# def likeness(measured, goal):
#     product = 1.0
#     for key in goal:
#         product *= 1 - (measured[key] - goal[key]) / 100
#     return product
# ```
#
# <details><summary>Hint 1</summary>
#
# What is the factor of an accuracy that lies below the goal's?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A distance has no sign.
#
# </details>
#
# **Expect**: 1 for Retrain itself and less for everything else.


# %% tags=["solution:07-3"]
def likeness(measured, goal):
    """Product over the keys of `goal` of 1 - |difference| / 100; accuracies in percent."""
    ### BEGIN SOLUTION
    product = 1.0
    for key in goal:
        product *= 1 - abs(measured[key] - goal[key]) / 100
    return product
    ### END SOLUTION


likeness = exercises.check("07-3", likeness)
destroyed = {"forget": 10.0, "forget_test": 10.0, "retain_test": 75.0}
print(f"near the goal {likeness(destroyed, goal):.3f}, the goal itself {likeness(goal, goal):.3f}")
assert likeness(destroyed, goal) < likeness(goal, goal) == 1

# %% [markdown]
# ## What we showed, and what we did not
#
# - Retrain ignores the old weights; the check above holds to the last bit.
# - Finetuning has no term for the forgotten images. The tables and curves above show what that means for a class and for
#   samples on this data.
# - The rules: equal trials, validation only, nearness to Retrain, three seeds, two clocks. Six trials are a small search, and a
#   larger one could move any row.
# - We did not look at what finetuning leaves in the embedding beyond three cosines; chapter 15 does.
#
# ## References
#
# - Contrastive Unlearning, 2024, sections 5.1 to 5.3. [arXiv:2401.10458](https://arxiv.org/abs/2401.10458)
# - Golatkar, Achille, Soatto, *Eternal Sunshine of the Spotless Net*, CVPR 2020. [arXiv:1911.04933](https://arxiv.org/abs/1911.04933)
# - Zhao, Kurmanji, Bărbulescu, Triantafillou, Triantafillou, *What makes unlearning hard and what to do about it*, NeurIPS
#   2024. [arXiv:2406.01257](https://arxiv.org/abs/2406.01257)
