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
# # 03 · The sample loss (Eq. 5)
#
# This chapter takes the loss that forgets samples apart, term by term, and settles what the paper leaves open about it.

# %% [markdown]
# **What you will learn**
#
# - what Eq. 5 pulls and what it pushes, and why its fraction is not a probability;
# - how small and how large the loss can get, and what the unit norm has to do with it;
# - its gradient in closed form, for anchors and for retained embeddings;
# - where an anchor ends up if nobody stops the descent;
# - what happens to an anchor without positives, what the released code's extra weight does, and what $\tau$ really sets.
#
# **Before you start**: chapter 02 (embeddings lie on a sphere and cluster by class). You should know the chain rule.
#
# | device | time of this chapter at profile laptop, digits |
# |---|---|
# | laptop CPU, 2 cores | below half a minute, measured (of which the model's training takes the most, once) |
# | T4-class GPU | below half a minute, an estimate |
# | large GPU | below half a minute, an estimate |

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
import math
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import torch
import torch.nn.functional as F

from cu_helpers import circle, exercises, figures, losses, notebook
from cu_helpers.cases import random_case
from cu_helpers.inference import exact_embeddings

lab = notebook.setup(profile, dataset, model, seed)

# %% [markdown]
# ## The idea: contrast what leaves with what stays
#
# A trained model keeps images of one class close together. The paper's hypothesis: an image that you want to forget sits
# deep in its class because the model learned it, and an unseen image would sit less deep. So we move the image's embedding
# out of its class, and we say *out* relative to embeddings that stay.
#
# Take one image to be forgotten, $x_i$, the **anchor**. Draw a batch of retained images. It falls into two parts:
#
# - the **positives** $P$: retained images of the anchor's own class. The anchor is *pushed* away from them;
# - the **negatives** $N$: retained images of all other classes. The anchor is *pulled* towards them.
#
# Contrastive learning does the reverse: it pulls positives and pushes negatives. The names stayed, the directions changed.
#
# Similarity is a dot product of embeddings over a temperature, $s_{ij} = z_i \cdot z_j / \tau$.

# %% [markdown]
# ## The formula, step by step
#
# For the whole forget batch $X^u$ the paper writes
#
# $$
# \mathcal{L}_{UL} = \sum_{x_i \in X^u} \frac{-1}{|N|} \sum_{z_a \in N}
# \log \frac{\exp(z_i \cdot z_a / \tau)}{\sum_{z_p \in P} \exp(z_i \cdot z_p / \tau)}.
# \tag{5}
# $$
#
# The logarithm of a fraction is a difference. The denominator does not depend on $a$, so its mean over $N$ is itself:
#
# $$
# \mathcal{L}_i \;=\; \underbrace{\log \sum_{p \in P} e^{s_{ip}}}_{\text{push}} \;-\;
# \underbrace{\frac{1}{|N|} \sum_{a \in N} s_{ia}}_{\text{pull}} .
# $$
#
# This is the whole loss. **Push** is a soft maximum of the similarities to positives: to make it small, the anchor must
# leave its *nearest* positives. **Pull** is a plain mean of the similarities to negatives: to make it large, the anchor must
# approach the *average* negative. The two are not symmetric, and much of this chapter follows from that.

# %% [markdown]
# ## A case by hand
#
# One anchor and four retained embeddings in the plane, all of length one, $\tau = 0.5$. You can check every number with a
# pocket calculator.

# %% tags=["nbval-check-output"]
anchor = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
retained = torch.tensor([[0.8, 0.6], [0.6, -0.8], [0.0, 1.0], [-0.6, 0.8]], dtype=torch.float64)
anchor_y, retained_y = torch.tensor([0]), torch.tensor([0, 0, 1, 2])
tau = 0.5

s = (anchor @ retained.T / tau)[0]
push = math.log(math.exp(s[0]) + math.exp(s[1]))
pull = (s[2].item() + s[3].item()) / 2
by_hand = push - pull
print("similarities / tau:", "  ".join(f"{value:.3f}" for value in s.tolist()))
print(f"push = log(e^{s[0]:.1f} + e^{s[1]:.1f}) = {push:.3f}")
print(f"pull = mean({s[2]:.1f}, {s[3]:.1f}) = {pull:.3f}")
print(f"loss = push - pull = {by_hand:.3f}")

from_library = losses.sample_unlearning_loss(anchor, anchor_y, retained, retained_y, tau)
assert abs(from_library.item() - by_hand) < 1e-9

# %% [markdown]
# ## The fraction is not a probability
#
# In most contrastive losses the denominator sums over *everything*, the numerator's own term included. Then the fraction
# lies between 0 and 1, and the loss is never negative. In Eq. 5 the denominator has the positives only. Nothing keeps the
# fraction below 1. Let us move the anchor of the hand case to where the loss wants it, among the negatives.

# %%
for name, at in (("before", [1.0, 0.0]), ("after", [-0.6, 0.8])):
    z = torch.tensor([at], dtype=torch.float64)
    weights = (z @ retained.T / tau).exp()[0]
    fractions = weights[2:] / weights[:2].sum()
    loss = losses.sample_unlearning_loss(z, anchor_y, retained, retained_y, tau).item()
    print(f"{name:6}: fractions {fractions[0]:.3f} and {fractions[1]:.3f}, sum {fractions.sum():.3f}, loss {loss:.3f}")
assert fractions.max() > 1
assert loss < 0

# %% [markdown]
# After the move a fraction exceeds 1 and the loss is negative. Two practical consequences: a loss of zero means nothing
# special here, and the size of the loss can't tell you when to stop.
#
# ## How far can the loss go?
#
# Embeddings have length one, so every similarity lies in $[-1/\tau, 1/\tau]$. A sum of $|P|$ exponentials lies between
# $|P|$ times the smallest and $|P|$ times the largest. Together
#
# $$
# \log|P| - \frac{2}{\tau} \;\le\; \mathcal{L}_i \;\le\; \log|P| + \frac{2}{\tau}.
# $$
#
# The ends are reached: all positives on one pole, all negatives on the other, the anchor on either pole.

# %%
pole = torch.tensor([1.0, 0.0], dtype=torch.float64)
poles, sides = torch.stack([pole, pole, pole, -pole, -pole]), torch.tensor([0, 0, 0, 1, 2])
for z, sign in ((pole, 1), (-pole, -1)):
    loss = losses.sample_unlearning_loss(z[None], anchor_y, poles, sides, 0.7).item()
    print(f"anchor at {z[0]:+.0f}: loss {loss:+.3f}, bound {math.log(3) + sign * 2 / 0.7:+.3f}")
    assert abs(loss - (math.log(3) + sign * 2 / 0.7)) < 1e-9

# %% [markdown]
# The bound needs the unit norm. The paper's text never states it; its released code does normalise, and so does
# `model.encode` here. Without it the loss has no floor: the model could lower it for ever by making embeddings longer and
# would learn nothing about direction.

# %%
retreat = torch.tensor([[-0.6, 0.8]], dtype=torch.float64)
lengths = (1, 2, 4, 8)
values = [losses.sample_unlearning_loss(k * retreat, anchor_y, k * retained, retained_y, 0.7).item() for k in lengths]
print("loss at lengths 1, 2, 4, 8:", "  ".join(f"{value:.2f}" for value in values))
assert all(later < earlier for earlier, later in pairwise(values))

# %% [markdown]
# ## The function in full
#
# Four lines of arithmetic for the loss itself. The rest handles two borders, which we come to below: an anchor without
# positives, and an anchor without negatives. The sum over anchors in Eq. 5 is the option `"sum"`. The released code takes
# the mean, and its weight $\lambda_{UL}$ belongs to the mean. With $B$ anchors the sum is $B$ times larger, so the same
# $\lambda_{UL}$ would mean a step $B$ times longer.


# %%
def sample_unlearning_loss(forget_z, forget_y, retain_z, retain_y, temperature=0.7, reduction="mean"):
    """Eq. 5. forget_z: (B, dim), retain_z: (R, dim), unit norm; forget_y: (B,), retain_y: (R,)."""
    s = forget_z @ retain_z.T / temperature
    positive = forget_y[:, None] == retain_y[None, :]
    negatives = (~positive).sum(dim=1)
    pull = s.masked_fill(positive, 0).sum(dim=1) / negatives.clamp(min=1)

    has_positive = positive.any(dim=1)
    push = s.masked_fill(~positive & has_positive[:, None], -torch.inf).logsumexp(dim=1)
    push = torch.where(has_positive, push, negatives.clamp(min=1).to(s.dtype).log())
    per_anchor = torch.where(negatives > 0, push - pull, 0)
    return per_anchor.mean() if reduction == "mean" else per_anchor.sum()


# %%
checked = 0
for draw in range(40):
    case = random_case(anchors=5, retained=2 + draw % 9, classes=2 + draw % 4, seed=draw)
    for temperature in (0.001, 0.07, 0.7, 1000.0):
        for reduction in ("mean", "sum"):
            shown = sample_unlearning_loss(*case, temperature, reduction)
            imported = losses.sample_unlearning_loss(*case, temperature, reduction)
            assert torch.allclose(shown, imported, rtol=1e-12, atol=1e-12)
            checked += 1
print(f"shown and imported agree in {checked} random cases, with and without missing positives")

# %% [markdown] tags=["exercise:03-1"]
# ### Exercise 03-1 · Eq. 5 with loops
#
# *Implement · difficulty 1 of 5 · importance 4 of 5 · 10 minutes*
#
# Write `loss_with_loops(forget_z, forget_y, retain_z, retain_y, tau)` that follows Eq. 5 letter by letter, with Python
# loops and `math` only. Use the sum over anchors. Assume that every anchor has positives and negatives.
#
# <details><summary>Hint 1</summary>
#
# For each anchor, first compute the denominator.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Keep the logarithm of the fraction; do not simplify.
#
# </details>
#
# **Expect**: agreement with `reduction="sum"` to nine decimals.


# %% tags=["solution:03-1"]
def loss_with_loops(forget_z, forget_y, retain_z, retain_y, tau):
    """Eq. 5, summed over anchors, a float; embeddings (B, dim) and (R, dim), labels (B,) and (R,)."""
    ### BEGIN SOLUTION
    total = 0.0
    for z, y in zip(forget_z.tolist(), forget_y.tolist(), strict=True):
        e, same = [], []
        for other, label in zip(retain_z.tolist(), retain_y.tolist(), strict=True):
            e.append(math.exp(sum(a * b for a, b in zip(z, other, strict=True)) / tau))
            same.append(label == y)
        denominator = sum(value for value, positive in zip(e, same, strict=True) if positive)
        logs = [math.log(value / denominator) for value, positive in zip(e, same, strict=True) if not positive]
        total += -sum(logs) / len(logs)
    return total
    ### END SOLUTION


loss_with_loops = exercises.check("03-1", loss_with_loops)
case = random_case(anchors=4, retained=30, classes=3)
difference = abs(loss_with_loops(*case, 0.7) - losses.sample_unlearning_loss(*case, 0.7, "sum").item())
print(f"difference {difference:.1e}")
assert difference < 1e-9

# %% [markdown]
# ## What the loss looks like around a circle
#
# Put three classes on a circle, a third of a turn apart, and walk an anchor of class A all the way round. At each angle we
# plot push, minus pull, and their sum.

# %%
centres = {"class A": 90, "class B": 210, "class C": 330}
ring_z, ring_y = circle.ring(centres)
s = circle.on_circle(circle.AROUND) @ ring_z.T / 0.7
push = s[:, ring_y == 0].logsumexp(dim=1)
pull = s[:, ring_y != 0].mean(dim=1)
looks = {"push": ("#0072b2", "dash"), "− pull": ("#d55e00", "dot"), "loss": ("#009e73", "solid")}
figure = circle.walk({"push": push, "− pull": -pull, "loss": push - pull}, "value (τ = 0.7)", looks, centres)
figures.show(
    figure,
    "Eq. 5 for an anchor of class A around the circle. The loss is highest in the middle of its own class and lowest at "
    "the point opposite, which is not inside any class.",
    "Line plot over the anchor's angle. Push, minus pull and the loss all peak at 90 degrees, where class A lies, and "
    "are lowest at 270 degrees, halfway between classes B and C at 210 and 330 degrees.",
)
lowest = circle.AROUND[(push - pull).argmin()]
print(f"lowest loss at {lowest:.0f} degrees")
assert lowest == 270

# %% [markdown]
# The lowest point is opposite the anchor's own class. It lies on the boundary between the two *other* classes. The mean in
# the pull term explains this: the average of B and C points between them.
#
# The paper says that embeddings of forgotten samples approach the decision boundaries. Here we see which boundary the
# minimum prefers, and that the road there may lead through a foreign class. A retrained model does not do that. It still
# recognises many images that it never saw. **So the minimum of Eq. 5 is not the goal.** The goal lies somewhere on the way,
# and only a stop rule can find it (chapter 05).

# %% [markdown]
# ## The gradient in closed form
#
# Let $q_p = e^{s_{ip}} / \sum_{p' \in P} e^{s_{ip'}}$, a soft-max over the positives alone. The derivative of a log-sum-exp
# is its soft-max, so
#
# $$
# \frac{\partial \mathcal{L}_i}{\partial z_i} = \frac{1}{\tau}\Big( \sum_{p \in P} q_p\, z_p - \frac{1}{|N|} \sum_{a \in N}
# z_a \Big).
# $$
#
# Descent goes the other way: *away* from the weighted mean of the positives, *towards* the plain mean of the negatives. In
# mean form everything is divided by $B$.


# %%
def anchor_gradient(forget_z, forget_y, retain_z, retain_y, temperature=0.7):
    """Gradient (B, dim) of the mean form by forget_z, where every anchor has positives and negatives."""
    positive = forget_y[:, None] == retain_y[None, :]
    q = (forget_z @ retain_z.T / temperature).masked_fill(~positive, -torch.inf).softmax(dim=1)
    negative_mean = (~positive).to(retain_z.dtype) @ retain_z / (~positive).sum(dim=1, keepdim=True)
    return (q @ retain_z - negative_mean) / temperature / len(forget_z)


case = random_case(anchors=6, retained=60, classes=4)
z_u, y_u, z_r, y_r = case
closed = anchor_gradient(*case)

leaf = z_u.clone().requires_grad_()
losses.sample_unlearning_loss(leaf, y_u, z_r, y_r).backward()

step, numeric = 1e-6, torch.zeros_like(z_u)
for i in range(z_u.shape[0]):
    for k in range(z_u.shape[1]):
        up, down = z_u.clone(), z_u.clone()
        up[i, k] += step
        down[i, k] -= step
        above, below = (losses.sample_unlearning_loss(z, y_u, z_r, y_r) for z in (up, down))
        numeric[i, k] = (above - below) / (2 * step)

print(f"closed form against autograd:           {(closed - leaf.grad).abs().max():.1e}")
print(f"closed form against finite differences: {(closed - numeric).abs().max():.1e}")
assert (closed - leaf.grad).abs().max() < 1e-12
assert (closed - numeric).abs().max() < 1e-7

# %% [markdown]
# Autograd and the closed form agree to rounding. Finite differences agree as far as they can.
#
# From the closed form you read a bound: both means lie inside the unit ball, so no anchor's gradient is longer than
# $2/\tau$. No anchor is pulled harder than that, wherever it lies. How far an embedding then moves is up to the network and
# the step size.

# %% [markdown]
# ## Normalisation throws the radial part away
#
# The network does not produce $z$ but a vector $v$ of any length, and $z = v / \lVert v \rVert$. Moving $v$ along itself
# changes nothing. The gradient that reaches $v$ is therefore the part of the gradient that is tangent to the sphere:
#
# $$
# \frac{\partial \mathcal{L}}{\partial v} = \frac{1}{\lVert v \rVert} \big(I - z z^\top\big)
# \frac{\partial \mathcal{L}}{\partial z}.
# $$


# %%
def tangent(gradient, z):
    """The part of each gradient row that is tangent to the unit sphere at z."""
    return gradient - (gradient * z).sum(dim=1, keepdim=True) * z


v = (3 * z_u).requires_grad_()
losses.sample_unlearning_loss(F.normalize(v, dim=1), y_u, z_r, y_r).backward()
assert torch.allclose(v.grad, tangent(closed, z_u) / 3, atol=1e-12)
print("gradient before the normalisation = tangent part / length of v")

# %% [markdown]
# This matters for a trained model. If a class is tight, an anchor points almost exactly where its positives point. The push
# is then almost radial, and the sphere removes it. Let us measure that on real embeddings: images to be forgotten against
# the whole retained set, on the original model.

# %%
original = lab.original().model
task = lab.sample_task()
real_u, real_r = exact_embeddings(original, task.forget), exact_embeddings(original, task.retain)
real_y_u, real_y_r = task.forget.labels.cpu(), task.retain.labels.cpu()

positive = real_y_u[:, None] == real_y_r[None, :]
q = (real_u @ real_r.T / 0.7).masked_fill(~positive, -torch.inf).softmax(dim=1)
parts = {
    "push": q @ real_r,
    "pull": -(~positive).double() @ real_r / (~positive).sum(dim=1, keepdim=True),
}
parts["both"] = parts["push"] + parts["pull"]
within = (real_u @ real_r.T)[positive].mean().item()
between = (real_u @ real_r.T)[~positive].mean().item()
print(f"mean similarity of a forgotten image to its own class {within:.2f}, to other classes {between:.2f}")
share = {}
for name, gradient in parts.items():
    share[name] = (tangent(gradient, real_u).norm(dim=1) / gradient.norm(dim=1)).mean().item()
    length = tangent(gradient, real_u).norm(dim=1).mean().item()
    print(f"{name}: tangent share of the length {100 * share[name]:5.1f} %, tangent length x tau {length:.3f}")
assert within > between

# %%
figure = go.Figure()
for name, colour in (("push", "#0072b2"), ("pull", "#009e73")):
    values = tangent(parts[name], real_u).norm(dim=1).numpy()
    figure.add_box(y=values, name=name, marker_color=colour, boxpoints="all", showlegend=False)
figures.style(figure, "term of the loss", "tangent length × τ, one point per anchor")
figures.show(
    figure,
    "What is left of push and pull on the sphere, for the forgotten images at the start. One point is one anchor; both "
    "terms would have length up to 1 without the normalisation.",
    "Two box plots with one point per anchor: the tangent length of the push gradient and of the pull gradient.",
)
stronger = "push" if share["push"] > share["pull"] else "pull"
print(f"At the start, the {stronger} keeps the larger share of its gradient.")

# %% [markdown]
# Read the two lines above as a statement about *this* model. They say which term starts the motion while an anchor still
# sits inside its class. The push gains weight once the anchor has left the centre, since then it no longer points straight
# at its positives.

# %% [markdown] tags=["exercise:03-2"]
# ### Exercise 03-2 · The other side of the dot product
#
# *Implement · difficulty 3 of 5 · importance 5 of 5 · 15 minutes*
#
# Derive $\partial \mathcal{L} / \partial z_j$ for a *retained* embedding $z_j$, in mean form. Write
# `retained_gradient(forget_z, forget_y, retain_z, retain_y, temperature)` that returns (R, dim). Check it against
# autograd.
#
# <details><summary>Hint 1</summary>
#
# The same $z_j$ is a positive of some anchors and a negative of others.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Write the derivative by $s_{ij}$ first; it is $q_{ij}$ or $-1/|N_i|$.
#
# </details>
#
# **Expect**: agreement to rounding.


# %% tags=["solution:03-2"]
def retained_gradient(forget_z, forget_y, retain_z, retain_y, temperature=0.7):
    """Gradient (R, dim) of the mean form of Eq. 5 by the retained embeddings, without autograd."""
    ### BEGIN SOLUTION
    positive = forget_y[:, None] == retain_y[None, :]
    q = (forget_z @ retain_z.T / temperature).masked_fill(~positive, -torch.inf).softmax(dim=1)
    by_s = q - (~positive).to(q.dtype) / (~positive).sum(dim=1, keepdim=True)
    return by_s.T @ forget_z / temperature / len(forget_z)
    ### END SOLUTION


retained_gradient = exercises.check("03-2", retained_gradient)
leaf = z_r.clone().requires_grad_()
losses.sample_unlearning_loss(z_u, y_u, leaf, y_r).backward()
difference = (retained_gradient(*case) - leaf.grad).abs().max().item()
print(f"difference {difference:.1e}")
assert difference < 1e-12

# %% [markdown]
# ## Retained embeddings move too
#
# Both sides of a dot product get a gradient. Each positive is pushed off the anchor, each negative is pulled towards it.
# The paper names this side effect and repairs it with cross-entropy on the retained batch. How large is it? One anchor's
# force is spread over many retained images, but a retained image feels all anchors.

# %%
pair = [real_u.clone().requires_grad_(), real_r.clone().requires_grad_()]
losses.sample_unlearning_loss(pair[0], real_y_u, pair[1], real_y_r).backward()
felt = {"forgotten": tangent(pair[0].grad, real_u), "retained": tangent(pair[1].grad, real_r)}
for name, gradient in felt.items():
    mean, together = gradient.norm(dim=1).mean(), gradient.norm()
    print(f"{name:9}: {len(gradient):5d} embeddings, mean tangent gradient {mean:.2e}, together {together:.2e}")
ratio = (felt["retained"].norm() / felt["forgotten"].norm()).item()
print(f"the retained side feels {100 * ratio:.0f} % of what the forgotten side feels")
assert felt["retained"].norm() > 0

# %% [markdown]
# The retained side is not left alone. If you detach the retained embeddings, this part is gone and the
# forgotten side keeps its gradient unchanged. `ContrastiveSettings(detach_retained=True)` does that as a control. Note what
# it can't do: forgotten and retained images share all weights, so a step for the anchors still moves everyone.

# %% [markdown]
# ## Points on a circle, moving
#
# Now let anchors of class A follow the gradient, on the circle with its three fixed classes. Every anchor is its own
# parameter: no network, nothing shared. The library's loss and autograd do the work; the angle takes care of the unit norm.

# %%
start = 90 + np.array([-18.0, -11.0, -4.0, 5.0, 12.0, 19.0])
at = torch.deg2rad(torch.tensor(start)).requires_grad_()
optimizer = torch.optim.SGD([at], lr=0.04)
labels = torch.zeros(len(start), dtype=torch.long)
path, value = [], []
for _ in range(121):
    z = torch.stack([at.cos(), at.sin()], dim=1)
    loss = losses.sample_unlearning_loss(z, labels, ring_z, ring_y, 0.7, reduction="sum")
    path.append(torch.rad2deg(at.detach()).tolist())
    value.append(loss.item() / len(start))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
path = np.array(path)
assert all(later <= earlier + 1e-9 for earlier, later in pairwise(value))
assert np.allclose(path[-1] % 360, 270, atol=2)
packaged, _ = circle.descend(
    lambda z: losses.sample_unlearning_loss(z, labels, ring_z, ring_y, 0.7, reduction="sum"), start, rate=0.04
)
assert np.allclose(path, packaged)  # chapter 04 imports this loop

figures.show(
    circle.animation(centres, path),
    "Press play, or drag the slider. The crosses are anchors of class A, drawn slightly inside the circle. They leave "
    "class A, cross class B or C and meet opposite their own class.",
    "Animation: six crosses start among the points of class A at the top of a circle, split to both sides, pass classes B "
    "and C at the lower left and lower right, and come to rest at the bottom.",
)

# %%
distance = np.abs(path - 90)
levels = {"boundary of class A": 60, "centre of B or C": 120, "opposite class A": 180}
figure = circle.descent(start, distance, "distance from class A's centre (degrees)", levels)
figures.show(
    figure,
    "The same descent as still lines. All anchors cross the boundary of class A, then pass a foreign class and end "
    "opposite their own. Anchors that start near the centre, at 90°, wait longest: there the tangent gradient is smallest.",
    "Six rising curves of angular distance from class A's centre over descent steps. All pass 60 and 120 degrees and "
    "level off at 180 degrees; curves that start lower rise later.",
)
left = [int(np.argmax(distance[:, number] > 60)) for number in range(len(start))]
print("steps until each anchor has left class A:", left)
nearest, farthest = np.abs(start - 90).argmin(), np.abs(start - 90).argmax()
assert left[nearest] > left[farthest]

# %% [markdown]
# The anchors nearest the middle of their class leave last. That is the radial effect from above: at the very centre push and pull
# are both radial, and only an offset from the centre gives them a tangent part. On the circle, a descent that
# stops early has moved those anchors that were never deep inside.
#
# A limit of this picture: in a network anchors share weights, retained points move, and cross-entropy pulls back. The
# circle shows what the *loss* asks for, not what a run does.

# %% [markdown]
# ## Anchors without positives
#
# A retained batch is a random draw. It may hold no image of the anchor's class. Then $P$ is empty and Eq. 5 asks for
# $\log 0$. Here is the formula written down naively, with a mask and a logarithm, as one writes it first.


# %%
def naive_loss(forget_z, forget_y, retain_z, retain_y, temperature=0.7):
    """Eq. 5 as it stands, without a rule for empty positives."""
    e = (forget_z @ retain_z.T / temperature).exp()
    positive = (forget_y[:, None] == retain_y[None, :]).to(e.dtype)
    push = (e * positive).sum(dim=1).log()
    pull = (e.log() * (1 - positive)).sum(dim=1) / (1 - positive).sum(dim=1)
    return (push - pull).mean()


z_u, _, z_r, _ = random_case(anchors=3, retained=6, classes=2)
y_u, y_r = torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1, 1, 0, 1])  # nothing retained has class 2
for name, function in (("naive", naive_loss), ("this book", losses.sample_unlearning_loss)):
    a, b = z_u.clone().requires_grad_(), z_r.clone().requires_grad_()
    loss = function(a, y_u, b, y_r)
    loss.backward()
    bad = [int(g.isnan().any(dim=1).sum()) for g in (a.grad, b.grad)]
    print(f"{name:9}: loss {loss.item():.3f}, rows with NaN gradient: {bad[0]} of 3 anchors, {bad[1]} of 6 retained")
    assert bad == ([1, 6] if name == "naive" else [0, 0])

# %% [markdown]
# One anchor without positives gives a loss of minus infinity, and through the product rule a NaN for **every** retained
# embedding. One optimiser step later every weight of the encoder is NaN. The released code has this form.
#
# **How often does it happen?** With $C$ equally frequent classes and $R$ retained images drawn at random, each misses the
# anchor's class with probability $1 - 1/C$, so
#
# $$
# \Pr(P = \emptyset) = \Big(1 - \frac{1}{C}\Big)^{R}.
# $$
#
# We check the formula by drawing label batches.

# %%
draw = torch.Generator().manual_seed(0)
sizes, trials = (8, 16, 32, 64, 128, 256), 20_000
figure = go.Figure()
print("classes  batch   formula   simulated   batches with at least one such anchor, simulated")
for classes, colour in ((10, "#0072b2"), (100, "#d55e00")):
    formula = [(1 - 1 / classes) ** size for size in sizes]
    simulated = []
    for size, expected in zip(sizes, formula, strict=True):
        # Class 0 is the anchor's: a retained label is 0 with probability 1/C.
        hits = torch.randint(classes, (trials, size), generator=draw, dtype=torch.uint8).eq(0).any(dim=1)
        simulated.append(1 - hits.double().mean().item())
        error = math.sqrt(expected * (1 - expected) / trials)
        assert abs(simulated[-1] - expected) < 5 * error + 3 / trials
        # Whole batches: as many anchors as retained images, of any class.
        anchor_y, retained_labels = torch.randint(classes, (2, 1000, size), generator=draw)
        present = torch.zeros(1000, classes).scatter_(1, retained_labels, 1.0)
        spoiled = (present.gather(1, anchor_y) == 0).any(dim=1).double().mean().item()
        print(f"{classes:7d} {size:6d} {expected:9.2e} {simulated[-1]:11.2e} {100 * spoiled:10.1f} %")
    figure.add_scatter(x=sizes, y=formula, mode="lines", name=f"{classes} classes, formula", line={"color": colour})
    seen = [value if value > 0 else None for value in simulated]
    marker = {"color": colour, "size": 9, "symbol": "diamond-open"}
    figure.add_scatter(x=sizes, y=seen, mode="markers", name=f"{classes} classes, simulated", marker=marker)
figures.style(figure, "retained batch size", "share of anchors without positives")
figure.update_xaxes(type="log", tickvals=sizes)
figure.update_yaxes(type="log", range=[-7, 0.2], exponentformat="power")
figures.show(
    figure,
    "How often an anchor meets a retained batch without its class. With 10 classes it becomes rare as batches grow; with "
    "100 classes it is common at every batch size that the paper uses. A missing marker means: never in the simulation.",
    "Log-log plot of the share of anchors without positives over batch sizes 8 to 256 for 10 and 100 classes; simulated "
    "points lie on the formula's lines.",
)

# %% [markdown]
# The table's last column draws whole batches, with as many anchors as retained images. One such anchor spoils its batch.
# A run takes hundreds of batches, so even a small share is met soon, and where nearly every batch is spoiled the released
# form can't run at all.
#
# **The rule of this book.** The paper has a rule for an empty positive set: Eq. 6 replaces the denominator by $|N|$. We apply
# it to the single anchor. Its push becomes the constant $\log|N|$ and has no gradient; its pull stays. Another guard, a
# denominator of 1, changes the loss's value by $\log|N|$ and the gradient not at all:

# %%
leaf = z_u.clone().requires_grad_()
losses.sample_unlearning_loss(leaf, y_u, z_r, y_r).backward()
alone = z_u[2:].clone().requires_grad_()
only_pull = -(alone @ z_r.T / 0.7).mean()  # the guard with denominator 1: log 1 = 0
only_pull.backward()
rule = losses.sample_unlearning_loss(z_u[2:], y_u[2:], z_r, y_r)
assert torch.allclose(leaf.grad[2] * 3, alone.grad[0], atol=1e-12)
assert torch.isclose(rule - only_pull.detach(), torch.tensor(float(len(z_r))).double().log())
print(f"values differ by {rule - only_pull.detach():.3f} = log {len(z_r)}; gradients are equal")

# %% [markdown]
# An anchor without *negatives* is the mirror case: it contributes zero. The mean still divides by the number of anchors.

# %% [markdown] tags=["exercise:03-3"]
# ### Exercise 03-3 · A batch size that is safe enough
#
# *Implement · difficulty 2 of 5 · importance 3 of 5 · 5 minutes*
#
# Write `safe_batch(classes, share)`: the smallest retained batch in which an anchor has no positive with at most
# probability `share`, for equally frequent classes.
#
# <details><summary>Hint 1</summary>
#
# Solve the formula for $R$.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Round up.
#
# </details>
#
# **Expect**: for one in a thousand, 66 with 10 classes and 688 with 100.


# %% tags=["solution:03-3"]
def safe_batch(classes, share):
    """The smallest retained batch that misses an anchor's class with probability at most `share`."""
    ### BEGIN SOLUTION
    return math.ceil(math.log(share) / math.log(1 - 1 / classes))
    ### END SOLUTION


safe_batch = exercises.check("03-3", safe_batch)
print({classes: safe_batch(classes, 1e-3) for classes in (10, 100)})

# %% [markdown]
# ## The extra weight of the released code
#
# The authors' code subtracts the log-denominator in every column of the similarity matrix and then sums over *all* $R$
# columns, not over the negatives. After the division by $|N|$ the push carries a weight:
#
# $$
# \mathcal{L}_i^{\text{released}} = \frac{R}{|N|}\, \log \sum_{p \in P} e^{s_{ip}} - \frac{1}{|N|} \sum_{a \in N} s_{ia},
# \qquad \frac{R}{|N|} = \frac{1}{1 - 1/C} \text{ for balanced classes.}
# $$
#
# `push_weight="released"` gives this form. The pull is the same in both, so we can read the two push gradients off and
# divide.

# %%
print("classes   measured push ratio   1 / (1 - 1/C)   whole gradient, released / paper")
for classes in (2, 3, 5, 10, 100):
    z_u, _, z_r, _ = random_case(anchors=20, retained=4 * classes, classes=2, dim=128, seed=classes)
    y_u, y_r = torch.arange(20) % classes, torch.arange(4 * classes) % classes
    gradients = {}
    for form in ("paper", "released"):
        leaf = z_u.clone().requires_grad_()
        losses.sample_unlearning_loss(leaf, y_u, z_r, y_r, push_weight=form).backward()
        gradients[form] = leaf.grad * len(z_u)
    negative = (y_u[:, None] != y_r[None, :]).double()
    pull_gradient = -negative @ z_r / negative.sum(dim=1, keepdim=True) / 0.7
    ratio = ((gradients["released"] - pull_gradient).norm() / (gradients["paper"] - pull_gradient).norm()).item()
    whole = (gradients["released"].norm() / gradients["paper"].norm()).item()
    print(f"{classes:7d} {ratio:21.4f} {1 / (1 - 1 / classes):15.4f} {whole:20.4f}")
    assert abs(ratio - 1 / (1 - 1 / classes)) < 1e-9

# %% [markdown]
# With ten classes the released push is about a tenth stronger than the formula says; with two it is doubled. That is a
# small difference beside the freedom in $\lambda_{UL}$ and the step size, but it also tilts push against pull, which
# $\lambda_{UL}$ can't undo. The book's default follows the paper's formula.

# %% [markdown]
# ## What the temperature does
#
# In the gradient $\tau$ stands in two places: in the factor $1/\tau$, and inside the soft-max $q$ over the positives. A small
# $\tau$ makes $q$ pick the nearest positive. A large one weighs all positives alike.
#
# If a class is tight, all its positives are nearly the same vector and $q$ does not matter. Then $\tau$ is *only* a factor:
# the gradient is proportional to $1/\tau$. We measure three geometries: tight classes in 128 dimensions, loose ones, and the
# real embeddings from above.


# %%
def clustered(noise, classes=10, dim=128, anchors=40, retained=200):
    """Class centres in random directions, points around them with the given noise: a case for Eq. 5."""
    draw = torch.Generator().manual_seed(1)
    centres = F.normalize(torch.randn(classes, dim, generator=draw, dtype=torch.float64), dim=1)
    y = torch.arange(anchors + retained) % classes
    away = F.normalize(torch.randn(len(y), dim, generator=draw, dtype=torch.float64), dim=1)
    z = F.normalize(centres[y] + noise * away, dim=1)
    return z[:anchors], y[:anchors], z[anchors:], y[anchors:]


cases = {
    "tight classes": clustered(0.05),
    "loose classes": clustered(2.0),
    "real embeddings": (real_u, real_y_u, real_r, real_y_r),
}
temperatures = np.logspace(-3, 3, 25)
length, effective = {}, {}
for name, case in cases.items():
    z_u, y_u, z_r, y_r = case
    positive = y_u[:, None] == y_r[None, :]
    length[name], effective[name] = [], []
    for temperature in temperatures:
        gradient = anchor_gradient(*case, float(temperature)) * len(z_u)
        length[name].append(gradient.norm(dim=1).mean().item())
        q = (z_u @ z_r.T / float(temperature)).masked_fill(~positive, -torch.inf).softmax(dim=1)
        share = q.square().sum(dim=1).reciprocal() / positive.sum(dim=1)
        effective[name].append(100 * share.mean().item())
        assert gradient.isfinite().all()
        assert (gradient.norm(dim=1) <= 2 / temperature + 1e-9).all()

curves = {name: (temperatures, values) for name, values in length.items()}
figure = figures.lines(curves, "temperature τ", "mean gradient of an anchor")
limit = {"color": figures.GREY, "dash": "dot"}
figure.add_scatter(x=temperatures, y=2 / temperatures, mode="lines", name="bound 2/τ", line=limit)
figure.update_xaxes(type="log", exponentformat="power", dtick=1)
figure.update_yaxes(type="log", exponentformat="power", dtick=1)
figures.show(
    figure,
    "Length of the gradient against the temperature, over six powers of ten. All three geometries run parallel to the "
    "bound: the gradient falls as 1/τ.",
    "Log-log plot: three nearly straight lines with slope minus one below the dotted bound two over tau.",
)

# %%
curves = {name: (temperatures, values) for name, values in effective.items()}
figure = figures.lines(curves, "temperature τ", "positives that take part in the push (%)")
figure.update_xaxes(type="log", exponentformat="power", dtick=1)
figure.update_yaxes(rangemode="tozero")
figures.show(
    figure,
    "The temperature's second role: how many positives share the push, as one over the sum of squared soft-max weights, "
    "in percent of all positives. Low temperatures push from the nearest positive alone.",
    "Plot over the temperature, rising from near zero percent to one hundred percent for all three geometries; they rise "
    "at different temperatures.",
)
for name, values in length.items():
    slope = np.polyfit(np.log(temperatures), np.log(values), 1)[0]
    product = np.array(values) * temperatures
    print(f"{name:15}: slope {slope:.3f}, tau x gradient between {product.min():.3f} and {product.max():.3f}")
    if name != "real embeddings":  # how tight a real class is depends on the model
        assert abs(slope + 1) < {"tight classes": 0.01, "loose classes": 0.1}[name]

# %% [markdown]
# Read the two figures together. The second role exists: the share of positives that push changes from one to all. But it
# changes *which* positives push more than *how hard*. The printed product of $\tau$ and the gradient is constant in tight
# classes, and in loose ones it stays within a small factor while $\tau$ runs over six powers of ten.
#
# So in Eq. 5 a temperature ten times smaller is, to a good approximation, a $\lambda_{UL}$ ten times larger. The paper's
# Table 12 lists nearly the same accuracies for temperatures that differ by powers of ten. With everything else fixed, that
# would mean that the loss's weight hardly matters in those runs, or that something else in the loop forgets. Chapter 05
# repeats the experiment and adds the control $\lambda_{UL} = 0$.
#
# Last, numbers. At $\tau = 0.001$ a similarity of 1 becomes an exponent of 1,000, which no float can hold. The
# `logsumexp` subtracts the largest exponent first. The loss must stay finite in float32 over the whole range:

# %%
for temperature in (1e-3, 1e-2, 1.0, 1e3):
    single = random_case(anchors=16, retained=64, classes=30, dim=128, dtype=torch.float32)
    leaf = single[0].clone().requires_grad_()
    loss = losses.sample_unlearning_loss(leaf, *single[1:], temperature)
    loss.backward()
    naive = naive_loss(*single, temperature).item()
    print(f"tau {temperature:7g}: loss {loss.item():10.4f}, all gradients finite; the naive form gives {naive}")
    assert loss.isfinite()
    assert leaf.grad.isfinite().all()

# %% [markdown]
# ## What we showed, and what we did not
#
# - Eq. 5 is a soft maximum over positives minus a plain mean over negatives. Its fraction may exceed 1, so its value is no
#   measure of forgetting. With unit norm the loss lies within $2/\tau$ of $\log|P|$.
# - Its gradient has a closed form that autograd and finite differences confirm. Normalisation keeps the tangent part alone.
# - Left to itself, an anchor ends opposite its own class. A stop rule must end the descent before.
# - Anchors without positives break the naive form. We use Eq. 6's term for them.
# - The released code weighs the push by $R/|N|$, which is $1/(1 - 1/C)$ for balanced classes.
# - In tight classes $\tau$ is another name for the weight of the loss.
# - We did not show that the loss makes a *network* forget. Anchors on a circle are free; a network's embeddings are not. We
#   measured gradients at the start of unlearning only, on one model and one seed.
#
# ## References
#
# - Contrastive Unlearning, 2024: section 4, Eq. 5, Table 12. [arXiv:2401.10458](https://arxiv.org/abs/2401.10458)
# - Khosla et al., *Supervised Contrastive Learning*, NeurIPS 2020: the learning loss whose directions Eq. 5 reverses.
#   [arXiv:2004.11362](https://arxiv.org/abs/2004.11362)
# - Wang and Isola, *Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere*,
#   ICML 2020: embeddings on the sphere. [arXiv:2005.10242](https://arxiv.org/abs/2005.10242)
