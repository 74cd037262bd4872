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
# # 04 · The class loss (Eq. 6)
#
# This chapter takes the loss that forgets a class, shows that it is one dot product of two means, and works out what such a
# loss can do, what it can't, and what the rest of the loop has to do for it.

# %% [markdown]
# **What you will learn**
#
# - how Eq. 6 follows from Eq. 5 when there are no positives, and why its inner $|N|$ damps nothing;
# - why $\tau$ is only a scale here, exactly and not approximately;
# - where the loss sends a class: one common direction, and a motion that you can write down in closed form;
# - why the shape of the forgotten class survives that motion;
# - what one step does to a real model's logits, what the loss does when it is left alone, and what the released code's
#   clamp changes.
#
# **Before you start**: chapter 03 (Eq. 5, its gradient, the tangent part).
#
# | device | time of this chapter at profile laptop, digits |
# |---|---|
# | laptop CPU, 2 cores | below one minute, measured (two small models are trained, once) |
# | T4-class GPU | below one minute, an estimate |
# | large GPU | below one minute, an estimate |

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
import itertools
import math
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from cu_helpers import circle, class_pull, exercises, figures, losses, notebook
from cu_helpers.cases import random_pair
from cu_helpers.experiments import trace
from cu_helpers.geometry import between_classes, pairwise_cosines, tangent
from cu_helpers.inference import exact_embeddings
from cu_helpers.unlearning import Stopping
from cu_helpers.views import draw_from

lab = notebook.setup(profile, dataset, model, seed)

# %% [markdown]
# ## The idea: nobody is left to push away from
#
# Eq. 5 pushes an anchor away from retained images of its own class. If the *whole* class is to be forgotten, no such image
# is left. $P$ is empty for every anchor, every retained image is a negative, and Eq. 5 would take the logarithm of zero. What
# remains is the pull: bring the anchors towards the images that stay.
#
# ## The formula, step by step
#
# The paper keeps the form of Eq. 5 and puts a count where the sum over positives was:
#
# $$
# \mathcal{L}_{UL} = \sum_{x_i \in X^u} \frac{-1}{|N|} \sum_{z_a \in N} \log \frac{\exp(z_i \cdot z_a / \tau)}{|N|}.
# \tag{6}
# $$
#
# It gives a reason: with one of the two directions missing the loss is less stable, and $|N|$ is there "to introduce damping
# effects" against excessive pulling. Let us see. The logarithm of the fraction is $z_i \cdot z_a / \tau - \log |N|$. All of
# the retained batch is negative, so $|N| = R$ for every anchor, and
#
# $$
# \mathcal{L}_i = \log R - \frac{1}{R} \sum_{a=1}^{R} \frac{z_i \cdot z_a}{\tau} = \log R - \frac{z_i \cdot \mu}{\tau},
# \qquad \mu = \frac{1}{R} \sum_{a=1}^{R} z_a .
# $$
#
# A dot product is linear, so the mean over $a$ moves inside. The mean over anchors moves inside too. In mean form
#
# $$
# \mathcal{L} = \log R - \frac{\bar u \cdot \mu}{\tau}, \qquad \bar u = \frac{1}{B} \sum_{i=1}^{B} z_i .
# $$
#
# **The class loss is one dot product of two mean vectors**, the mean of the forget batch and the mean of the retained batch.
# It never sees a single pair. Nearly everything below follows from this line.

# %% [markdown]
# ## A case by hand
#
# Two anchors and four retained embeddings of length one, $\tau = 0.5$, written out pair by pair as in Eq. 6 and again with
# the two means.

# %% tags=["nbval-check-output"]
anchors = torch.tensor([[1.0, 0.0], [0.8, 0.6]], dtype=torch.float64)
retained = torch.tensor([[0.6, -0.8], [0.0, 1.0], [-0.6, 0.8], [-0.8, -0.6]], dtype=torch.float64)
tau = 0.5

pairs = 0.0
for z_i in anchors.tolist():
    logs = [math.log(math.exp((z_i[0] * z[0] + z_i[1] * z[1]) / tau) / 4) for z in retained.tolist()]
    print("log of the four fractions:", "  ".join(f"{value:.3f}" for value in logs))
    pairs += -sum(logs) / 4

u_mean, mu = anchors.mean(dim=0), retained.mean(dim=0)
means = math.log(4) - (u_mean @ mu).item() / tau
print(f"mean of the anchors ({u_mean[0]:.3f}, {u_mean[1]:.3f}), mean of the retained ({mu[0]:.3f}, {mu[1]:.3f})")
print(f"pair by pair: {pairs:.3f}, divided by two anchors {pairs / 2:.3f}; from the two means: {means:.3f}")

assert abs(pairs / 2 - means) < 1e-12
assert abs(losses.class_unlearning_loss(anchors, retained, tau, "sum").item() - pairs) < 1e-12

# %% [markdown]
# ## The function in full
#
# The sum over anchors is the paper's; the mean is the released code's, as in chapter 03.


# %%
def class_unlearning_loss(forget_z, retain_z, temperature=0.7, reduction="mean"):
    """Eq. 6. forget_z: (B, dim), retain_z: (R, dim), unit norm, none of the forgotten class."""
    s = forget_z @ retain_z.T / temperature
    per_anchor = math.log(len(retain_z)) - s.mean(dim=1)
    return per_anchor.mean() if reduction == "mean" else per_anchor.sum()


def gradients(function, *inputs):
    """The value of a scalar function and its gradient by each of its inputs."""
    leaves = [z.clone().requires_grad_() for z in inputs]
    value = function(*leaves)
    return value.detach(), torch.autograd.grad(value, leaves)


# %%
for draw in range(40):
    case = random_pair(1 + draw % 5, 1 + draw % 9, seed=draw)
    for options in itertools.product((0.001, 0.07, 0.7, 1000.0), ("mean", "sum")):
        shown, imported = class_unlearning_loss(*case, *options), losses.class_unlearning_loss(*case, *options)
        assert torch.allclose(shown, imported, rtol=1e-12, atol=1e-12)
print("shown and imported agree in 40 random cases, at four temperatures, as mean and as sum")

# %% [markdown] tags=["exercise:04-1"]
# ### Exercise 04-1 · Without the matrix
#
# *Implement · difficulty 1 of 5 · importance 4 of 5 · 5 minutes*
#
# The function above builds $B \times R$ similarities. Write `loss_of_means(forget_z, retain_z, tau)` for the mean form
# that never builds them. How many multiplications does each version need for dimension $d$?
#
# <details><summary>Hint 1</summary>
#
# The last formula of the derivation.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Count the dot products.
#
# </details>
#
# **Expect**: agreement to rounding; $B R d$ against $d$, and $(B + R)\,d$ additions.


# %% tags=["solution:04-1"]
def loss_of_means(forget_z, retain_z, tau):
    """Eq. 6 in mean form from two mean embeddings; forget_z (B, dim), retain_z (R, dim)."""
    ### BEGIN SOLUTION
    return math.log(len(retain_z)) - forget_z.mean(dim=0) @ retain_z.mean(dim=0) / tau
    ### END SOLUTION


loss_of_means = exercises.check("04-1", loss_of_means)
case = random_pair(7, 50)
difference = abs(loss_of_means(*case, 0.7) - losses.class_unlearning_loss(*case, 0.7)).item()
print(f"difference {difference:.1e}")
assert difference < 1e-12

# %% [markdown]
# ## The inner $|N|$ has no gradient
#
# In the derivation the inner $|N|$ became the summand $\log R$. It contains no embedding, so its derivative is zero. Replace
# it by any constant $\kappa$ and the loss shifts, but every gradient stays: for anchors, for retained embeddings, and
# hence for all weights. The released code has $\kappa = 1$. A descent can't tell the two apart.


# %%
def with_constant(kappa, tau=0.7):
    """Eq. 6 with the constant kappa in place of its inner |N|, pair by pair."""
    return lambda z_u, z_r: -((z_u @ z_r.T / tau).exp() / kappa).log().mean()


case = random_pair(6, 40)
start, reference = gradients(with_constant(40), *case)
print("inner constant    loss    largest change of a gradient entry")
for kappa in (1, 40, 1e6):
    value, found = gradients(with_constant(kappa), *case)
    change = max((a - b).abs().max().item() for a, b in zip(found, reference, strict=True))
    print(f"{kappa:14g} {value:7.3f} {change:17.1e}")
    assert change < 1e-12
    assert torch.isclose(value - start, torch.tensor(math.log(kappa / 40)).double(), atol=1e-6)

# %% [markdown]
# So the damping that the paper describes does not exist. Two things do limit the pull, and both were there before. The
# *outer* $1/|N|$ makes the pull a mean, so a larger retained batch does not pull harder. And the unit norm caps the mean's
# length at 1. A denominator that damps would have to depend on the embeddings; exercise 04-2 builds one.
#
# **The rule of chapter 03 is this loss.** There an anchor without positives takes $\log |N|$ in place of its log-sum. If *no*
# anchor has positives, the sample loss with that rule must be Eq. 6, in value and in both gradients:

# %%
y_u, y_r = torch.zeros(6, dtype=torch.long), torch.arange(40) % 9 + 1  # class 0 does not occur among the retained
by_class, class_gradients = gradients(losses.class_unlearning_loss, *case)
by_sample, sample_gradients = gradients(lambda a, b: losses.sample_unlearning_loss(a, y_u, b, y_r), *case)
assert torch.isclose(by_class, by_sample, atol=1e-12)
assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(class_gradients, sample_gradients, strict=True))
print(f"class loss {by_class:.6f}, sample loss without positives {by_sample:.6f}, gradients equal")

# %% [markdown] tags=["exercise:04-2"]
# ### Exercise 04-2 · A denominator that damps
#
# *Implement · difficulty 3 of 5 · importance 3 of 5 · 15 minutes*
#
# Replace the inner $|N|$ by $\sum_{z_b \in N} \exp(z_i \cdot z_b / \tau)$. Write `damped(forget_z, retain_z, tau)` that
# returns two things: this loss in mean form, and its closed gradient (B, dim) for the anchors. Where is that gradient
# zero?
#
# <details><summary>Hint 1</summary>
#
# The fraction is now a soft-max probability, so the log-sum-exp of chapter 03 comes back, over negatives.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Its derivative is a weighted mean.
#
# </details>
#
# **Expect**: the weighted mean minus the plain mean. It is zero where the anchor is equally similar to all retained
# embeddings, and the loss is never below $\log R$.


# %% tags=["solution:04-2"]
def damped(forget_z, retain_z, tau):
    """(loss, gradient (B, dim) at the anchors) of the damped form of Eq. 6."""
    ### BEGIN SOLUTION
    s = forget_z @ retain_z.T / tau
    gradient = (s.softmax(dim=1) @ retain_z - retain_z.mean(dim=0)) / tau / len(forget_z)
    return (s.logsumexp(dim=1) - s.mean(dim=1)).mean(), gradient
    ### END SOLUTION


damped = exercises.check("04-2", damped)
value, (by_autograd, _) = gradients(lambda a, b: damped(a, b, 0.7)[0], *case)
assert torch.allclose(damped(*case, 0.7)[1], by_autograd, atol=1e-12)
assert value >= math.log(40)
even = F.normalize(torch.ones(1, 8, dtype=torch.float64), dim=1)  # equally similar to the eight axes
assert damped(even, torch.eye(8, dtype=torch.float64), 0.7)[1].norm() < 1e-12
print(f"loss {value:.3f}, floor log R = {math.log(40):.3f}; the gradient vanishes at equal similarity")

# %% [markdown]
# ## The temperature is a scale and nothing else
#
# In Eq. 5 the temperature also chose which positives push. Eq. 6 has no soft-max. $\tau$ stands in one place, as a factor:
#
# $$
# \frac{\partial \mathcal{L}}{\partial z_i} = -\frac{\mu}{\tau B}, \qquad
# \frac{\partial \mathcal{L}}{\partial z_a} = -\frac{\bar u}{\tau R}.
# $$
#
# So $\lambda_{UL}$ and $\tau$ enter the total loss, Eq. 7, as $\lambda_{UL} / \tau$ alone. Tuning both searches a line
# twice. We check both closed forms and the law over six powers of ten.

# %%
z_u, z_r = case
for temperature in np.logspace(-3, 3, 13):
    _, (on_anchor, on_retained) = gradients(lambda a, b, t=temperature: losses.class_unlearning_loss(a, b, t), *case)
    assert torch.allclose(on_anchor * temperature, (-z_r.mean(dim=0) / len(z_u)).expand_as(z_u), rtol=1e-10, atol=0)
    assert torch.allclose(on_retained * temperature, (-z_u.mean(dim=0) / len(z_r)).expand_as(z_r), rtol=1e-10, atol=0)
print("tau times the gradient is the same for every tau from 0.001 to 1000, on both sides")

# %% [markdown]
# The values of $\log R$ and of the loss still change with $\tau$, so loss curves of runs with different $\tau$ can't be
# compared. Exercise 05-2 in the next chapter shows the law on the weights of a whole run.
#
# ## One direction for all
#
# Read the gradient again: $-\mu / (\tau B)$ does not depend on $i$. **Every anchor is sent in the same direction**, that of
# the retained mean $\mu$, whatever it shows and wherever it lies. With $k = |\mu| / \tau$, $m = \mu / |\mu|$ and $\theta$ the
# angle between an anchor and $m$, the loss of one anchor is $\log R - k \cos \theta$. On the sphere the tangent part remains
# (chapter 03). It points along the great circle to $m$ and has length $k \sin \theta$.
#
# This is damping of a kind, and it is the sphere's: the pull fades as the anchor arrives. It also fades at the opposite
# point, $-m$, where the loss is highest and no direction is better than another.
#
# How does Eq. 5 compare? Around the circle of chapter 03, with classes B and C at other places:

# %%
centres = {"class B": 150, "class C": 300}
ring_z, _ = circle.ring(centres)
own_z, anywhere = circle.on_circle(circle.spread(90)), circle.on_circle(circle.AROUND)
ring_mean = ring_z.mean(dim=0)
towards = math.degrees(math.atan2(ring_mean[1], ring_mean[0])) % 360
pull = math.log(len(ring_z)) - anywhere @ ring_mean / 0.7
push = (anywhere @ own_z.T / 0.7).logsumexp(dim=1) - anywhere @ ring_mean / 0.7
curves = {"Eq. 6, class A is forgotten whole": pull, "Eq. 5, the rest of class A stays": push}
looks = dict(zip(curves, (("#0072b2", "solid"), ("#e69f00", "dash")), strict=True))
figure = circle.walk(curves, "loss (τ = 0.7)", looks, {"class A": 90, **centres})
figure.add_vline(x=towards, line_dash="dot", line_color=figures.GREY, annotation_text="m")
figures.show(
    figure,
    "Eq. 6 around the circle is a plain cosine with its minimum at m, the direction of the retained mean. It does not know "
    "where class A lies. Eq. 5 has a hill at class A, made by the retained images of that class.",
    "Line plot of two losses over the anchor's angle. Eq. 6 is a shallow cosine with its lowest point at the direction of "
    "the retained mean; Eq. 5 is steeper, highest near class A.",
)
lowest, at_a = circle.AROUND[pull.argmin()], abs(math.sin(math.radians(towards - 90)))
print(f"m at {towards:.0f} degrees, lowest Eq. 6 at {lowest:.0f} degrees; at class A's centre sin(theta) = {at_a:.2f}")
assert abs(lowest - towards) <= 3

# %% [markdown]
# ## The motion in closed form
#
# Let an anchor be free and let it follow the tangent part, with $\mu$ held still. Split it into its part along $m$,
# $c = z \cdot m = \cos \theta$, and the rest, $z_\perp = z - c\,m$. In units of time where the step length is 1,
#
# $$
# \dot c = k\,(1 - c^2), \qquad \dot z_\perp = -k\,c\,z_\perp .
# $$
#
# Now look at the anchor on a flat map: project the sphere from the point $-m$ (a stereographic projection),
#
# $$
# w = \frac{z_\perp}{1 + c}, \qquad \dot w = \frac{\dot z_\perp}{1 + c} - \frac{z_\perp\,\dot c}{(1 + c)^2}
# = \big(-k c - k (1 - c)\big)\, w = -k\,w .
# $$
#
# So $w(t) = e^{-kt}\, w(0)$, for every anchor with the **same** factor. On the flat map the class as a whole shrinks towards
# the origin, like a photograph that is scaled down. Nothing inside it changes place. Angles, neighbours and ratios of
# distances on this map stay for ever.


# %%
def to_map(z, m):
    """Stereographic projection from -m: unit rows (n, dim) -> flat rows (n, dim), orthogonal to m."""
    c = (z @ m)[:, None]
    return (z - c * m) / (1 + c)


def from_map(w, m):
    """The unit rows (n, dim) whose stereographic projection is w."""
    square = w.square().sum(dim=1, keepdim=True)
    return (2 * w + (1 - square) * m) / (1 + square)


def flow(z, mu, time, temperature=0.7):
    """Where free anchors z (n, dim) are after `time` under the tangent gradient of Eq. 6, mu held still."""
    m = F.normalize(mu, dim=0)
    return from_map(math.exp(-mu.norm().item() / temperature * time) * to_map(z, m), m)


z_u, z_r = random_pair(10, 30, dim=16)
mu, by_steps, step = z_r.mean(dim=0), z_u.clone(), 1e-3
for _ in range(4000):
    by_steps = F.normalize(by_steps + step / 0.7 * tangent(mu.expand_as(by_steps), by_steps), dim=1)
gap = (by_steps - flow(z_u, mu, 4000 * step)).norm(dim=1).max().item()
moved = (by_steps - z_u).norm(dim=1).mean().item()
print(f"4,000 small descent steps: anchors moved {moved:.3f} on average, at most {gap:.1e} from the closed form")
assert gap < 1e-2 * moved

before, after = (torch.pdist(to_map(z, F.normalize(mu, dim=0))) for z in (z_u, flow(z_u, mu, 4.0)))
ratio = after / before
print(f"all {len(ratio)} distances on the map shrank by the same factor: {ratio.min():.6f} to {ratio.max():.6f}")
assert (ratio.max() - ratio.min()) < 1e-9

# %% [markdown]
# On the sphere itself distances do change, but only as a map's scale changes: locally by $\sin\theta(t) / \sin\theta(0)$ in all
# directions alike. A class that starts in the half far from $m$ is first spread out, up to the equator, and then drawn
# together. In the end it is a smaller copy of itself at $m$.
#
# ## Points on a circle, moving
#
# Now the library's loss and autograd move anchors of class A, as in chapter 03.

# %%
start = 90 + np.array([-18.0, -11.0, -4.0, 5.0, 12.0, 19.0])
path, _ = circle.descend(lambda z: losses.class_unlearning_loss(z, ring_z, 0.7, reduction="sum"), start, rate=0.15)
figures.show(
    circle.animation(centres, path),
    "Press play, or drag the slider. The crosses are all of class A. They leave together, pass class B without slowing "
    "down for it, and gather at m, in the gap between B and C. They never change their order.",
    "Animation: six crosses start at the top of a circle where no retained points lie, turn left past class B and "
    "gather at the lower left, between classes B and C.",
)

# %%
exact = [flow(circle.on_circle(start), ring_mean, 0.15 * step) for step in range(121)]
exact_angles = np.array([torch.rad2deg(torch.atan2(z[:, 1], z[:, 0])).numpy() % 360 for z in exact])
assert np.abs(exact_angles - path).max() < 3
assert np.allclose(path[-1], towards, atol=10)
assert (np.diff(path, axis=1) > 0).all()
figures.show(
    circle.descent(start, path, "anchor's angle (degrees)", {"centre of class B": 150, "m": towards}),
    "The same descent as still lines. The bundle widens on its way to the equator, 90° before m, and narrows behind it. The "
    "curves never cross: the class stays in order.",
    "Six rising curves of angle over descent steps that stay close together, never cross and level off at the "
    "direction of the retained mean.",
)
width = np.ptp(path, axis=1)
print(f"width of the class: {width[0]:.0f} degrees at the start, at most {width.max():.0f}, {width[-1]:.0f} at the end")
print(f"largest distance between descent and closed form: {np.abs(exact_angles - path).max():.2f} degrees")

# %% [markdown]
# ## How long is the retained mean?
#
# The pull on an anchor is $k \sin\theta$ with $k = |\mu| / \tau$. So the length of $\mu$ and its angle to the class decide
# how fast the class leaves. Think of $C$ tight, equally frequent classes, and forget one:
#
# - **A simplex.** The class means are as far apart as possible and sum to zero. This is the geometry that *neural collapse*
#   predicts for class means after their common mean is subtracted. Then the $C - 1$ other means sum to minus the forgotten
#   one: $|\mu| = 1/(C-1)$, and $\mu$ points exactly away from the class. At the class centre $\sin\theta = 0$: **no tangent
#   gradient at all**. The class sits on the top of the hill.
# - **Orthogonal means.** $|\mu| = 1/\sqrt{C-1}$, at a right angle to the class: the whole pull is tangent.
# - **All alike.** If all means share a large common part, $|\mu|$ is near 1.
#
# Which one is a real model? We embed every training image with the original model.

# %%
original, task = lab.original().model, lab.class_task()
real_u, real_r = exact_embeddings(original, task.forget), exact_embeddings(original, task.retain)
y_r, count, label = task.retain.labels.cpu(), len(task.classes), task.label
axes = torch.eye(count, dtype=torch.float64)
simplex = F.normalize(axes - axes.mean(dim=0), dim=1)
geometry = {
    "simplex": class_pull.pull(simplex[1:], simplex[0]),
    "orthogonal": class_pull.pull(axes[1:], axes[0]),
    "this model": class_pull.pull(real_r, real_u.mean(dim=0)),
}
print("geometry      length of mu   cosine with the class   tangent length at its centre")
for name, (length, cosine, on_sphere) in geometry.items():
    print(f"{name:12} {length:13.3f} {cosine:23.3f} {on_sphere:30.3f}")
assert abs(geometry["simplex"][0] - 1 / (count - 1)) < 1e-9
assert geometry["simplex"][2] < 1e-6
assert abs(geometry["orthogonal"][2] - 1 / math.sqrt(count - 1)) < 1e-9

lengths, _, tangents = zip(*geometry.values(), strict=True)
bars = {"length of μ": lengths, "tangent length at the class's centre": tangents}
titles = ("geometry of the class means", "length (1 = an embedding)")
figures.show(
    figures.grouped_bars(bars, list(geometry), titles, (figures.GREY, "#0072b2")),
    "The retained mean and what the sphere leaves of it at the forgotten class: for two ideal geometries and for this "
    "model. In a simplex the class centre feels nothing.",
    "Grouped bars for simplex, orthogonal and this model: length of the retained mean, and its tangent length at the centre "
    "of the forgotten class, which is zero for the simplex.",
)
nearer = min(("simplex", "orthogonal"), key=lambda name: abs(geometry[name][1] - geometry["this model"][1]))
longer = "longer" if geometry["this model"][0] > geometry["orthogonal"][0] else "not longer"
print(f"By the angle this model is nearer to {nearer}; its retained mean is {longer} than with orthogonal means.")

# %% [markdown]
# Why need a model of this book not look like a simplex? A likely reason, which we do not test: its head reads
# $\mathrm{relu}(z)$ and cannot see negative coordinates, so class means have no cause to cancel. The signed $z$ keeps a
# common part, and that part is what pulls.
#
# Are the directions really alike on real embeddings? All anchors get $\mu$, but the tangent parts differ, because each is
# taken at another point. We compare every pair of anchors. For contrast, half of the class stays as positives and Eq. 5 is
# used on the other half.


# %%
anchor, stays = real_u[0:400:2], real_u[1::2]
y_anchor, y_kept = torch.full((len(anchor),), label), torch.cat([torch.full((len(stays),), label), y_r])
kept = torch.cat([stays, real_r])
_, (by_class, _) = gradients(losses.class_unlearning_loss, anchor, real_r)
_, (by_sample,) = gradients(lambda a: losses.sample_unlearning_loss(a, y_anchor, kept, y_kept), anchor)
directions = {
    "Eq. 6, before the sphere": pairwise_cosines(by_class),
    "Eq. 6, tangent": pairwise_cosines(tangent(by_class, anchor)),
    "Eq. 5, tangent": pairwise_cosines(tangent(by_sample, anchor)),
    "the anchors themselves": pairwise_cosines(anchor),
}
for name, values in directions.items():
    print(f"{name:25}: cosine of two anchors' directions, mean {values.mean():.4f}, lowest {values.min():.4f}")
figures.show(
    figures.boxes(directions, "cosine of a pair", (figures.GREY, "#0072b2", "#e69f00", "#d55e00")),
    "How alike are the directions in which two anchors of the class are sent? One means: the same direction.",
    "Box plots of pairwise cosines between anchors' gradient directions for Eq. 6 before and after the tangent projection, "
    "for Eq. 5, and between the anchors themselves.",
)
assert directions["Eq. 6, before the sphere"].min() > 1 - 1e-9
alike, by_eq_5 = (directions[f"Eq. {number}, tangent"].mean().item() for number in (6, 5))
print(f"With half of the class as positives, Eq. 5 sends them {'less' if by_eq_5 < alike else 'no less'} alike.")
print(f"On the sphere the mean cosine is {alike:.4f}: the projection changes {'little' if alike > 0.95 else 'much'}.")

# %% [markdown]
# ## A batch's mean is noisy
#
# Algorithm 1 has a retained *batch*, not the retained set. Its mean $\mu_R$ has the same expectation, plus noise. For
# $R$ independent unit vectors, $\mathbb{E}\,|\mu_R|^2 = |\mu|^2 + (1 - |\mu|^2) / R$. The noise adds to the length and turns the
# direction by an angle whose cosine is about
#
# $$
# \cos(\mu_R, \mu) \approx \frac{|\mu|}{\sqrt{|\mu|^2 + (1 - |\mu|^2) / R}} .
# $$
#
# All anchors *of one step* still move alike. Between steps the common direction wobbles.

# %%
mu, sizes = real_r.mean(dim=0), np.array([4, 8, 16, 32, 64, 128, 256])
length, used = mu.norm().item(), lab.profile.settings("contrastive", "class").batch_size or 64
draw = torch.Generator().manual_seed(0)


def expected_cosine(size):
    """The formula, for retained batches of this size."""
    return length / np.sqrt(length**2 + (1 - length**2) / size)


simulated = []
for size in sizes:
    batches = real_r[torch.randint(len(real_r), (400, size), generator=draw)].mean(dim=1)
    simulated.append(F.cosine_similarity(batches, mu[None]).mean().item())
formula, titles = expected_cosine(sizes), ("retained batch size R", "cosine of batch mean and full mean")
figure = figures.lines({"formula": (sizes, formula)}, *titles, {"formula": (None, "solid")})
figures.add_measured(figure, sizes, simulated, "400 batches each", "#d55e00")
figure.update_xaxes(type="log", tickvals=sizes)
figures.show(
    figure,
    "How well a retained batch points in the direction of the whole retained set. Small batches send the class to a "
    "different place at every step.",
    "Line and markers rising towards one with the batch size; the simulated points follow the formula.",
)
off = math.degrees(math.acos(expected_cosine(used)))
error = np.abs(formula - simulated).max()
print(f"this profile's batches of {used} point to within {off:.0f} degrees of the full mean")
print(f"largest difference between formula and simulation: {error:.3f}")
assert error < 0.1

# %% [markdown] tags=["exercise:04-3"]
# ### Exercise 04-3 · A batch that points well
#
# *Implement · difficulty 2 of 5 · importance 3 of 5 · 10 minutes*
#
# Write `batch_for(length, cosine)`: the smallest $R$ for which the formula gives at least `cosine`, for a retained mean
# of the given length. What does it say about a model with simplex geometry?
#
# <details><summary>Hint 1</summary>
#
# Square the formula and solve for $R$.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Round up.
#
# </details>
#
# **Expect**: for a cosine of 0.95, 28 at length 0.5 and 917 at length 0.1.


# %% tags=["solution:04-3"]
def batch_for(length, cosine):
    """The smallest R for which the batch's mean has at least this cosine with the retained mean."""
    ### BEGIN SOLUTION
    return math.ceil(cosine**2 * (1 - length**2) / (length**2 * (1 - cosine**2)))
    ### END SOLUTION


batch_for = exercises.check("04-3", batch_for)
ideal = batch_for(1 / (count - 1), 0.95)
print(f"for a cosine of 0.95 this model needs R = {batch_for(length, 0.95)}; a simplex of {count} classes {ideal}")

# %% [markdown]
# ## Where does the road lead?
#
# We can now let the real class follow the closed form: its embeddings move freely, the retained ones and the head stay. On
# the way we ask the head what it sees.

# %%
head = copy.deepcopy(original).cpu().double().eval()
progress = np.linspace(0, 8, 81)  # k t
times = progress * 0.7 / length
with torch.no_grad():
    on_the_way = [head.classify(flow(real_u, mu, float(time))).softmax(dim=1) for time in times]
    at_m = head.classify(F.normalize(mu, dim=0)[None]).softmax(dim=1)[0]
named = torch.stack([probability.argmax(dim=1) == label for probability in on_the_way])  # (times, images)
share = 100 * named.double().mean(dim=1).numpy()
trust = [100 * probability[:, label].mean().item() for probability in on_the_way]
curves = {"share predicted as the class": (progress, share), "probability of the class": (progress, trust)}
looks = dict(zip(curves, (("#0072b2", "solid"), ("#d55e00", "dash")), strict=True))
figure = figures.lines(curves, "progress k·t on the way to m", "forgotten class (%)", looks)
figure.add_hline(y=100 / count, line_dash="dot", line_color=figures.GREY, annotation_text="1/C, the stop rule")
figures.show(
    figure,
    "The forgotten class on its way to m, judged by the unchanged head. The probability fades slowly; the accuracy drops "
    "when another class overtakes.",
    "Line plot: share of forgotten images predicted as their class, and the mean probability of that class, over the "
    "progress towards the retained mean.",
)
gone = np.flatnonzero(share <= 100 / count)
stop = int(gone[0]) if len(gone) else len(times) - 1
print("accuracy on the class is 1/C or below:", f"first at k·t = {progress[stop]:.2f}" if len(gone) else "nowhere")
first_wrong = progress[named[:, named[0]].long().argmin(dim=0)]  # only images that the model had right at the start
lost = first_wrong[first_wrong > 0]  # 0 where an image is right to the end
if len(lost):
    low, high = np.quantile(lost, (0.1, 0.9))
    print(f"of the images that are lost, the middle 80 % are lost between k·t = {low:.2f} and {high:.2f}")
best = at_m.argmax().item()
print(f"probability of the forgotten class: {trust[0]:.1f} % at the start, {100 * at_m[label]:.1f} % at m")
print(f"likeliest class at m: {task.classes[best]}, {100 * at_m[best]:.1f} %; a uniform guess is {100 / count:.1f} %")

# %% [markdown]
# Where the curve falls to the dotted line, Eq. 6 alone can bring the accuracy down. But is the result what Retrain would
# have? Retrain never saw the class. Its embeddings of those images go wherever their looks put them. We compare how similar
# two images of the class are to each other: in the original model, on the way (where the dotted line is reached, or at the
# end if it never is), and in Retrain.

# %%
states = {
    "original": real_u,
    "Eq. 6, free, at 1/C": flow(real_u, mu, float(times[stop])),
    "Eq. 6, free, at the end": flow(real_u, mu, float(times[-1])),
    "retrain": exact_embeddings(lab.retrained(task).model, task.forget),
}
similar = {name: pairwise_cosines(z) for name, z in states.items()}
for name, values in similar.items():
    print(f"{name:24}: similarity of two images of the class, mean {values.mean():.3f}, lowest {values.min():.3f}")
figures.show(
    figures.boxes(similar, "similarity of a pair", ("#6b6b6b", "#56b4e9", "#0072b2", "#009e73")),
    "How tightly the forgotten class holds together: in the original model, moved by Eq. 6 alone, and in Retrain.",
    "Box plots of the pairwise similarity within the forgotten class for four states.",
)
began, moved, _, goal = (values.mean().item() for values in similar.values())
nearer = "nearer to the original than to Retrain" if abs(moved - began) < abs(moved - goal) else "nearer to Retrain"
print(f"At that moment of the way the class is, by this measure, {nearer}.")

# %% [markdown]
# This is the price of one common direction. Even when the head no longer names the class, the class lies together, in its
# old order. Whoever holds the embeddings might find the group again, for example with a new head trained on a few labelled
# images. We state this of *free* points. Whether a network keeps it is measured in chapter 15.
#
# ## Who is pulled harder?
#
# Both sides of a dot product get a gradient. Summed over a side, the anchors are pulled with $\mu / \tau$ and the retained
# embeddings with $\bar u / \tau$: **each side feels the other side's mean**. One class is tight, so $\bar u$ is long. Many
# classes are spread, so $\mu$ is short.

# %%
u_mean = real_u.mean(dim=0)
felt = {
    "forgotten": tangent(mu.expand_as(real_u), real_u).norm(dim=1).mean().item(),
    "retained": tangent(u_mean.expand_as(real_r), real_r).norm(dim=1).mean().item(),
}
print(f"length of the forgotten mean {u_mean.norm():.3f}, of the retained mean {mu.norm():.3f}")
print(f"pull on the sphere, summed, times tau: forgotten {felt['forgotten']:.3f}, retained {felt['retained']:.3f}")
print(f"The {max(felt, key=felt.get)} side is pulled harder, {max(felt.values()) / min(felt.values()):.1f} times.")

# %% [markdown]
# If that says *retained*, the loss pulls the rest towards the class harder than the class towards the rest. Does a network
# move like that?
#
# ## One step of a real model
#
# We take one step along the gradient of Eq. 6 *alone*, on all weights, with batches as in Algorithm 1: as many retained
# images as forgotten ones, passed through the encoder together, so that BatchNorm normalises by their mixture. The step
# is a ten-thousandth of the weights' length, and everything is printed per unit of that. Two controls take the same length
# of step: the retained embeddings **detached**, so that only the anchors pull; and BatchNorm **fixed** to its running
# statistics. Eight draws of the retained batch show the scatter. `class_pull.one_step` does it on a copy, in float64.

# %%
draw = torch.Generator().manual_seed(lab.seed)
chosen = torch.randperm(len(task.forget), generator=draw)[:64].to(lab.device)
variants = {"Eq. 6": (False, False), "detached": (True, False), "BatchNorm fixed": (False, True)}
stepped = {name: [] for name in variants}
for _ in range(8):
    drawn = torch.randperm(len(task.retain), generator=draw)[: len(chosen)].to(lab.device)
    both = task.forget.batch(chosen), task.retain.batch(drawn)
    for name, options in variants.items():
        stepped[name].append(class_pull.one_step(original, *both, *options))
found = {name: class_pull.stacked(draws, label) for name, draws in stepped.items()}
print(class_pull.step_table(found))

# %%
means = {name: values["logits"].mean(dim=0) for name, values in found.items()}
spreads = {name: values["logits"].std(dim=0).tolist() for name, values in found.items()}
titles = ("class of the logit", "logit change per unit of step")
figure = figures.grouped_bars(means, task.classes, titles, ("#0072b2", "#56b4e9", "#e69f00"), spreads)
figure.add_vrect(x0=label - 0.5, x1=label + 0.5, fillcolor=figures.SET_COLOURS["forget"], opacity=0.2, line_width=0)
figures.show(
    figure,
    "What one short step does to the logits of forgotten images, mean and standard deviation over eight retained batches. "
    "The forgotten class is shaded. Forgetting would be a bar that goes down there, and further than elsewhere.",
    "Grouped bars: the mean change of each class's logit on forgotten images after one step of Eq. 6, of Eq. 6 with "
    "retained embeddings detached, and with BatchNorm fixed; the forgotten class is shaded.",
)
for name, mean in means.items():
    more, way = (mean < mean[label]).sum().item(), "falls" if mean[label] < 0 else "rises"
    print(f"{name}: the class's own logit {way}; {more} of the {count - 1} other logits fall further.")

# %% [markdown]
# The head has no gradient, since the loss ends at the embedding. Forgetting by this loss is a motion of embeddings under a
# fixed head. The two sides share every weight, so an anchor goes where the network can take it, not exactly where the
# loss sends it; the cosines say how far the two agree. Compare the last column with the first. Where they differ, the same
# loss on the same batches makes another step without batch statistics: BatchNorm takes part in it.
#
# ## The loss left alone
#
# What is the minimum of Eq. 6? $\bar u \cdot \mu$ is largest, 1, if all anchors and all retained embeddings are **the same
# point**. The minimum is a collapsed encoder that can't tell any two images apart. The sphere doesn't prevent it; only the
# other term of Eq. 7 can. We run Algorithm 1 with the profile's settings in three ways: the contrastive term alone,
# cross-entropy alone, and both. BatchNorm is in training mode and weight decay acts in all three.

# %%
watched = draw_from(task.retain, 256, seed=0)
base = lab.profile.settings("contrastive", "class")
batches = math.ceil(len(task.forget) / (base.batch_size or 64))
passes, rows = 2 if batches <= 4 else 1, 3 if lab.profile.name == "smoke" else 6
often = Stopping(rule="none", check_every=max(1, passes * batches // rows))
base = replace(base, max_rounds=passes, stopping=often)
ALONE, CROSS = "contrastive term alone", "cross-entropy alone"
settings_of = {ALONE: replace(base, lambda_ce=0.0), CROSS: replace(base, lambda_ul=0.0), "both": base}
trained, alike = lab.original(), lambda model: {"alike": between_classes(model, watched)}
runs = {name: trace("contrastive", trained, task, s, lab.seed, alike) for name, s in settings_of.items()}
looks = {ALONE: ("#0072b2", "dot"), CROSS: ("#e69f00", "dash"), "both": ("#009e73", "solid")}
captions = (
    "Who forgets? Training images of the forgotten class in three runs that share batches, BatchNorm and seed.",
    "Who keeps? Test images of the retained classes in the same runs.",
    "The way to collapse: how alike retained images of different classes become. One would mean a single point.",
)
titles = ("accuracy on the forgotten class (%)", "accuracy on retained test images (%)", "similarity between classes")
for metric, y, caption in zip(("forget", "retain_test", "alike"), titles, captions, strict=True):
    curves = {name: ([row["steps"] for row in rows], [row[metric] for row in rows]) for name, rows in runs.items()}
    figure = figures.lines(curves, "optimiser steps", y, looks)
    figures.show(figure, caption, f"Line plot of {y} over optimiser steps: {ALONE}, {CROSS}, and both.")
change = {name: {key: rows[-1][key] - rows[0][key] for key in rows[0]} for name, rows in runs.items()}
for name, rows in runs.items():
    told = [f"{key} {rows[0][key]:.2f} -> {rows[-1][key]:.2f}" for key in ("forget", "retain_test", "alike")]
    print(f"{name:22}: {', '.join(told)}")
most = max(change, key=lambda name: change[name]["alike"])
print(f"classes move together most in the run with: {most} ({change[most]['alike']:+.2f}).")
if change["both"]["forget"] < 0:
    share = change[CROSS]["forget"] / change["both"]["forget"] + 0.0  # no -0
    print(f"cross-entropy alone reaches {100 * share:.0f} % of the fall on the forgotten class that both reach.")
price = {name: -change[name]["retain_test"] for name in (ALONE, "both")}
print(f"on retained test images the contrastive term alone costs {price[ALONE]:.1f} points, both {price['both']:.1f}.")

# %% [markdown]
# Mind that this is one seed and few steps. Three things in the loop can forget besides Eq. 6. Cross-entropy on retained
# images never asks for the forgotten class, so it lowers that class's logit and is the only term that moves the head.
# BatchNorm's statistics take in the mixed batches. Weight decay shrinks whatever is not renewed. The line about
# cross-entropy alone says how far they come without Eq. 6 in so few steps. Chapter 05 separates them over several seeds: with
# $\lambda_{UL} = 0$, with frozen BatchNorm and with detached retained embeddings.
#
# ## What the released clamp changes
#
# In the released code an in-place ReLU leaves $z^+ = \max(z, 0)$ in the loss (`clamp_embeddings=True` here). The loss
# becomes $\log R - \bar u^+ \cdot \mu^+ / \tau$. Three things follow:
#
# - before the normalisation an anchor is sent along $\mu^+$ *at its own positive coordinates* and not at all elsewhere. The
#   direction is masked, so it differs between anchors with different patterns of signs;
# - a coordinate that is negative gets no pull of its own, even if $\mu^+$ is large there;
# - no similarity is negative and nothing cancels in $\mu^+$. Forgotten and retained embeddings can never point apart.

# %%
few_u = real_u[:200]
_, (clamped, _) = gradients(lambda a, b: losses.class_unlearning_loss(F.relu(a), F.relu(b)), few_u, real_r)
_, (signed, _) = gradients(losses.class_unlearning_loss, few_u, real_r)
mean_plus = F.relu(real_r).mean(dim=0)
assert torch.allclose(clamped * 0.7 * len(few_u), -mean_plus * (few_u > 0), atol=1e-12)
on_sphere = {"signed": tangent(signed, few_u), "clamped": tangent(clamped, few_u)}
for name, gradient in on_sphere.items():
    together = pairwise_cosines(gradient).mean().item()
    scale = 0.7 * len(few_u) * gradient.norm(dim=1).mean().item()
    print(f"{name:8}: tangent length x tau {scale:.3f}, mean cosine of two anchors' directions {together:.3f}")
lost = 100 * (1 - (mean_plus * (few_u > 0)).norm(dim=1).mean() / mean_plus.norm()).item()
print(f"cosine of the two directions: {F.cosine_similarity(*on_sphere.values(), dim=1).mean().item():.3f}")
print(f"retained mean: length {mu.norm():.3f} signed, {mean_plus.norm():.3f} clamped, of which {lost:.0f} % is masked")

# %% [markdown]
# The clamped loss sees what the head sees, $\mathrm{relu}(z)$. That could be a reason for it, but the paper does not mention
# it. The book's default is the signed $z$; `released` in chapter 05 has the clamp.

# %% [markdown] tags=["exercise:04-4"]
# ### Exercise 04-4 · Twice the temperature
#
# *Predict · difficulty 1 of 5 · importance 4 of 5 · 5 minutes*
#
# You double $\tau$ in Eq. 6 and change nothing else. What happens to the gradient at an anchor? Let `prediction()`
# return your letter; the cell below measures it.
#
# - `"a"`: the same direction, half as long
# - `"b"`: the same direction, twice as long
# - `"c"`: another direction, towards other retained embeddings
# - `"d"`: nothing changes
#
# <details><summary>Hint 1</summary>
#
# Write Eq. 6 with $s = z_i \cdot z_a / \tau$ and look for $\tau$.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# The only term that depends on the anchor is a mean of dot products over $\tau$.
#
# </details>
#
# **Expect**: the ratio of the two lengths, and a cosine between them.


# %% tags=["solution:04-4"]
def prediction():
    """Your letter: "a", "b", "c" or "d"."""
    ### BEGIN SOLUTION
    return "a"
    ### END SOLUTION


prediction = exercises.check("04-4", prediction)
by_tau = {tau: lambda a, b, tau=tau: losses.class_unlearning_loss(a, b, tau) for tau in (0.7, 1.4)}
once, twice = (gradients(loss, *random_pair(7, 50))[1][0] for loss in by_tau.values())
cosine = F.cosine_similarity(once, twice, dim=1).min().item()
print(f"length at twice the temperature: {(twice.norm() / once.norm()).item():.3f} of it, cosine {cosine:.3f}")

# %% [markdown]
# ## What we showed, and what we did not
#
# - Eq. 6 is $\log R - \bar u \cdot \mu / \tau$: one dot product of two means. Its inner $|N|$ is a constant without gradient,
#   so it damps nothing. Chapter 03's rule for empty positives is the same loss.
# - $\tau$ only scales it. $\lambda_{UL} / \tau$ is one setting, not two.
# - Every anchor is sent in the direction of the retained mean. For free anchors the motion has a closed form, and on a
#   stereographic map the class shrinks without any change of shape.
# - The pull depends on the geometry of the class means. In a perfect simplex the class's centre feels none.
# - Each side feels the other side's mean, so the retained side can be pulled harder than the class that is to leave.
# - Its minimum is a collapsed encoder. Cross-entropy on retained images has to keep the classes apart. How much it and
#   BatchNorm forget by themselves is chapter 05's question.
# - We did not show how much of a class an attacker can recover from an *unlearned network*; the closed form is about free
#   points under a fixed mean. The real-model figures are one model, one seed and one class.
#
# ## References
#
# - Contrastive Unlearning, 2024: section 4, Eqs. 6 and 7. [arXiv:2401.10458](https://arxiv.org/abs/2401.10458)
# - Papyan, Han, Donoho, *Prevalence of Neural Collapse during the Terminal Phase of Deep Learning Training*, PNAS 2020: the
#   simplex of class means. [arXiv:2008.08186](https://arxiv.org/abs/2008.08186)
# - Wang and Isola, *Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere*,
#   ICML 2020: why pulling alone collapses. [arXiv:2005.10242](https://arxiv.org/abs/2005.10242)
