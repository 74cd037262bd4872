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
# # 08 · Gradient ascent
#
# If descent on an image teaches it, ascent should un-teach it. This chapter shows what that buys, and why it is hard to stop.

# %% [markdown]
# **What you will learn**
#
# - gradient ascent as the exact negative of a training step, and why that does not undo training;
# - why its pace explodes: the further it goes, the larger the gradient;
# - what it does to images that nobody asked to forget, and a repair (NegGrad+);
# - how it fares under the rules of chapter 07.
#
# **Before you start**: chapters 05 and 07.
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

import torch
import torch.nn.functional as F
from IPython.display import Markdown, display

from cu_helpers import arena, comparison, exercises, figures, notebook
from cu_helpers.devices import generator
from cu_helpers.experiments import trace
from cu_helpers.metrics import evaluate
from cu_helpers.unlearning import GradientAscentSettings, Stopping, unlearn

lab = notebook.setup(profile, dataset, model, seed)

# %% [markdown]
# ## The idea, and its formula
#
# Training lowered the loss of the forgotten images. Gradient ascent raises it again:
#
# $$
# \theta \leftarrow \theta + \eta\, \nabla_\theta\, \mathcal{L}_{CE}\big(\mathcal{F}(X^u), Y^u\big).
# $$
#
# It needs no retained image, and a pass over the forget set is short. So it is quick. It is also blind: nothing in the formula
# says what the other images should get.


# %%
def ascended(model, task, settings, seed):
    """Passes over the forgotten images, climbing their loss, in place."""
    draw = generator(seed, task.forget.device)
    optimizer = torch.optim.SGD(
        model.parameters(), settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay, fused=True
    )
    model.train()
    for _ in range(settings.max_rounds):
        for index in torch.randperm(len(task.forget), generator=draw, device=draw.device).split(settings.batch_size):
            x, y = task.forget.batch(index)
            loss = -F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def furthest(a, b):
    """The largest difference between two models' weights."""
    return max((p - q).abs().max().item() for p, q in zip(a.parameters(), b.parameters(), strict=True))


original = lab.original()
tasks = {"class": lab.class_task(), "samples": lab.sample_task()}
no_rule = Stopping(rule="none")
plain = GradientAscentSettings(batch_size=12, max_rounds=2, precision="float32", stopping=no_rule)
shown = ascended(copy.deepcopy(original.model), tasks["class"], plain, lab.seed)
packaged = unlearn("gradient_ascent", original.model, tasks["class"], plain, lab.seed).model
print(f"largest difference of a weight: {furthest(shown, packaged):.1e}")
assert furthest(shown, packaged) < 1e-4

# %% [markdown]
# Without momentum and decay one step is a training step with its sign turned. A test in the package holds it to that. Here is
# the same check in one cell: a step down and a step up from the same weights are mirror images.

# %%
x, y = tasks["samples"].forget.batch(torch.arange(8, device=lab.device))
steps = {}
for name, sign in (("down", 1), ("up", -1)):
    net = copy.deepcopy(original.model).eval()
    gradients = torch.autograd.grad(sign * F.cross_entropy(net(x), y), list(net.parameters()))
    steps[name] = [-0.1 * g for g in gradients]
assert all(torch.allclose(up, -down, atol=1e-7) for up, down in zip(steps["up"], steps["down"], strict=True))
print("up is minus down, weight by weight")

# %% [markdown]
# ## Why the pace explodes
#
# Does ascent *undo* training? No. Training was many steps, each from other weights. Undoing them would need those
# weights. Ascent starts where training ended, in a place where the gradient of a fitted image is small.
#
# For the logits $\ell$ of one image with label $y$ and probabilities $p$, the gradient of the cross-entropy is $p - e_y$. Its
# length is small while $p_y$ is near 1, and grows towards $\sqrt{2}$ as the image is misclassified with certainty. So
# ascent starts slowly, and speeds up once it works. It is the opposite of descent, which slows down as it succeeds, and there is
# no floor: $-\log p_y$ has no upper bound.

# %%
p = torch.linspace(0.001, 0.999, 400, dtype=torch.float64)
rest = ((1 - p) / 9)[:, None].expand(-1, 9)
length = torch.sqrt((p - 1).square() + rest.square().sum(dim=1))
figure = figures.lines(
    {"length of the gradient": (p, length)}, "probability of the image's own label", "length of p − e_y"
)
figures.show(
    figure,
    "The gradient of the cross-entropy with respect to ten logits, the other nine sharing the rest. Ascent walks from right to "
    "left: uphill in loss, and into larger and larger steps.",
    "Line plot: the gradient's length falls from about 1.05 at probability 0 to 0 at probability 1.",
)
assert (length.diff() < 0).all()

# %% [markdown]
# Where on this curve do our images start? An embedding of unit norm bounds the logits, so $p_y$ stays below 1 even for an image that the
# model has learned by heart.

# %%
from cu_helpers.inference import predict_logits

for name, images in (
    ("retained", tasks["samples"].retain),
    ("forgotten", tasks["samples"].forget),
    ("unseen", tasks["samples"].test),
):
    own = predict_logits(original.model, images).softmax(dim=1).gather(1, images.labels[:, None])
    print(f"{name:10} mean probability of the own label {own.mean().item():.2f}")

# %% [markdown] tags=["exercise:08-1"]
# ### Exercise 08-1 · Descend something else
#
# *Implement · difficulty 2 of 5 · importance 4 of 5 · 15 minutes*
#
# A bounded objective would not explode. Write `bounded_loss(logits, labels)`: the mean probability of the own label.
# Its descent also drives the image away from its label. Compute its gradient with respect to the logits at $p_y =
# 0.999$ and at $p_y = 0.001$.
#
# <details><summary>Hint 1</summary>
#
# `logits.softmax(1).gather(...)`.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# The derivative of $p_y$ with respect to $\ell_y$ is $p_y (1 - p_y)$.
#
# </details>
#
# **Expect**: a gradient that is small at **both** ends, so that descent slows down when it has succeeded.


# %% tags=["solution:08-1"]
def bounded_loss(logits, labels):
    """Mean probability of the own label; logits (n, classes), labels (n,)."""
    ### BEGIN SOLUTION
    return logits.softmax(dim=1).gather(1, labels[:, None]).mean()
    ### END SOLUTION


bounded_loss = exercises.check("08-1", bounded_loss)
for own in (0.999, 0.5, 0.001):
    logits = torch.full((1, 10), (1 - own) / 9, dtype=torch.float64).log()
    logits[0, 0] = torch.tensor(own).log()
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(bounded_loss(logits, torch.tensor([0])), logits)
    print(f"p_y = {own:5.3f}: gradient's length {gradient.norm().item():.4f}")
    assert abs(gradient[0, 0].item() - own * (1 - own)) < 1e-9

# %% [markdown]
# ## How it goes, step by step
#
# The whole run, with no stop rule, at three learning rates. Watch the second figure: what is paid on images that should stay.

# %%
each = Stopping(rule="none", check_every=4 if lab.profile.name == "smoke" else 1)
rates = (1e-4, 1e-3) if lab.profile.name == "smoke" else (1e-4, 3e-4, 1e-3)
for kind in ("class", "samples"):
    base = lab.profile.settings("gradient_ascent", kind)
    task, kept = tasks[kind], "retain_test" if kind == "class" else "test"
    rounds = 2 if lab.profile.name == "smoke" else 12
    rows = {
        f"lr {rate:g}": trace(
            "gradient_ascent",
            original,
            task,
            GradientAscentSettings(learning_rate=rate, batch_size=base.batch_size, max_rounds=rounds, stopping=each),
            lab.seed,
        )
        for rate in rates
    }
    goal = evaluate(lab.retrained(task).model, task)
    for metric, words in (("forget", "forgotten images"), (kept, "images that should stay")):
        figure = figures.lines(
            {name: ([r["steps"] for r in of], [r[metric] for r in of]) for name, of in rows.items()},
            "optimiser steps",
            f"accuracy on {words} (%)",
        )
        figure.add_hline(
            y=goal[metric], line={"color": figures.COLOURS["retrain"], "dash": "dash"}, annotation_text="Retrain"
        )
        figures.show(
            figure,
            f"Gradient ascent on {'a class' if kind == 'class' else 'samples'}, one seed: accuracy on {words}.",
            f"Line plot over optimiser steps: accuracy on {words} for {len(rates)} learning rates, Retrain dashed.",
        )

# %% [markdown]
# There is a moment at which the forgotten images are where Retrain has them, and a few steps later they are far beyond. The stop rule
# has to hit that moment, and what was lost on the way is not repaired. Part of the loss has nothing to do with the gradient: BatchNorm's
# running statistics drift towards the forgotten images that alone pass the model. Chapter 09 measures that part by itself.

# %% [markdown]
# ## Under the rules
#
# Both tasks with the settings that the search found best, three seeds, beside Retrain.

# %%
results = {}
for kind in ("class", "samples"):
    results[kind] = arena.fight(lab, kind, "gradient_ascent", arena.settings_of(lab, kind, "gradient_ascent"))
    display(Markdown(arena.table(kind, {"Gradient ascent": results[kind]})))
    print(f"{kind}: ended by", ", ".join(bout.result.stopped_by for bout in results[kind]))

# %%
for kind in ("class", "samples"):
    arena.show_geometry(lab, kind, {"gradient_ascent": results[kind]})
    arena.show_strip(lab, kind, ["contrastive", "gradient_ascent"])

# %% [markdown] tags=["exercise:08-2"]
# ### Exercise 08-2 · NegGrad+
#
# *Implement · difficulty 3 of 5 · importance 4 of 5 · 20 minutes*
#
# Ascent forgets what should stay because nothing holds it. NegGrad+ adds a hand: each step goes down
# $a\,\mathcal{L}_{CE}(X^r) - (1 - a)\,\mathcal{L}_{CE}(X^u)$ (Kurmanji et al. 2023 compare with it). Write
# `neggrad_loss(retain_logits, retain_y, forget_logits, forget_y, a)`. The cell below descends it for as many steps as
# plain ascent had: which keeps more?
#
# <details><summary>Hint 1</summary>
#
# `F.cross_entropy` of each kind is a mean over its batch.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# One term is descended, the other climbed.
#
# </details>
#
# **Expect**: with $a$ near 1 the retained accuracy stays up; with $a$ near 0 it is plain ascent.


# %% tags=["solution:08-2"]
def neggrad_loss(retain_logits, retain_y, forget_logits, forget_y, a):
    """a times the cross-entropy of retained images minus 1 - a times that of forgotten ones."""
    ### BEGIN SOLUTION
    return a * F.cross_entropy(retain_logits, retain_y) - (1 - a) * F.cross_entropy(forget_logits, forget_y)
    ### END SOLUTION


neggrad_loss = exercises.check("08-2", neggrad_loss)
task = tasks["class"]
for a in (0.0, 0.05, 0.5, 0.95):
    net, draw = copy.deepcopy(original.model).train(), generator(lab.seed, lab.device)
    optimizer = torch.optim.SGD(net.parameters(), 3e-3, 0.9)
    for _ in range(20):
        (x_u, y_u), (x_r, y_r) = (
            part.batch(torch.randint(len(part), (12,), generator=draw, device=draw.device))
            for part in (task.forget, task.retain)
        )
        optimizer.zero_grad()
        neggrad_loss(net(x_r), y_r, net(x_u), y_u, a).backward()
        optimizer.step()
    got = evaluate(net.eval(), task)
    print(f"a = {a:.2f}: forgotten {got['forget']:5.1f} %, retained test {got['retain_test']:5.1f} %")
    assert 0 <= got["forget"] <= 100

# %% [markdown]
# ## On CIFAR-10
#
# Recorded runs, mean and 95 % interval over seeds; chapter 07 says what the two profiles are. The paper's numbers stand beside ours.

# %%
for kind in ("class", "samples"):
    display(Markdown(comparison.recorded_tables("cifar10", kind, ("retrain", "contrastive", "gradient_ascent"))))

# %% [markdown] tags=["exercise:08-3"]
# ### Exercise 08-3 · The push that grows
#
# *Predict · difficulty 1 of 5 · importance 4 of 5 · 5 minutes*
#
# Ascent climbs the cross-entropy of one image. The image starts with $p_y$ near 1 and ends with $p_y$ near 0. How does
# the gradient's length at the logits change on the way? Let `prediction()` return your letter; the cell below measures
# it.
#
# - `"a"`: it stays the same
# - `"b"`: it is largest in the middle and small at both ends
# - `"c"`: it starts near zero and grows
#
# <details><summary>Hint 1</summary>
#
# The gradient of the cross-entropy at the logits is $p - e$.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Put $p_y = 0.999$ into it, then $p_y = 0.001$.
#
# </details>
#
# **Expect**: three lengths, one of them nearly zero.


# %% tags=["solution:08-3"]
def prediction():
    """Your letter: "a", "b" or "c"."""
    ### BEGIN SOLUTION
    return "c"
    ### END SOLUTION


prediction = exercises.check("08-3", prediction)
lengths = []
for own in (0.999, 0.5, 0.001):
    logits = torch.full((1, 10), (1 - own) / 9, dtype=torch.float64).log()
    logits[0, 0] = torch.tensor(own).log()
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, torch.tensor([0])), logits)
    lengths.append(gradient.norm().item())
    print(f"p_y = {own:5.3f}: gradient's length {lengths[-1]:.4f}")
assert lengths == sorted(lengths)

# %% [markdown]
# ## What we showed, and what we did not
#
# - One step of ascent is minus one step of descent, and a run of them is not training run backwards.
# - The gradient grows as the image is lost, so that the pace explodes; a bounded objective does not have this (exercise 08-1).
# - The figures above show the price on images that should stay, at every moment of a run.
# - NegGrad+ stands here as an exercise with settings that nobody searched. The package has it too, and chapter 13 puts it into the
#   table under the same rules as the others.
# - The paper gives no settings for its gradient ascent beyond "a smaller batch" and "more than 40 iterations". Ours forgets samples of
#   CIFAR-10 for at most fifteen rounds. At the paper's size all four runs end there, before the rule holds.
#
# ## References
#
# - Contrastive Unlearning, 2024, section 5.3. [arXiv:2401.10458](https://arxiv.org/abs/2401.10458)
# - Golatkar, Achille, Soatto, *Eternal Sunshine of the Spotless Net*, CVPR 2020. [arXiv:1911.04933](https://arxiv.org/abs/1911.04933)
# - Thudi, Deza, Chandrasekaran, Papernot, *Unrolling SGD: Understanding Factors Influencing Machine Unlearning*, EuroS&P
#   2022. [arXiv:2109.13398](https://arxiv.org/abs/2109.13398)
# - Kurmanji, Triantafillou, Hayes, Triantafillou, *Towards Unbounded Machine Unlearning*, NeurIPS 2023.
#   [arXiv:2302.09880](https://arxiv.org/abs/2302.09880)
