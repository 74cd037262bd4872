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
# # 00 · Start here: one forgotten class in a minute
#
# You train a small model, make it forget one class, and look at the same images before and after.

# %% [markdown]
# **What you will learn**
#
# - what this book is and what it is not;
# - how to check that your machine can run it;
# - how a class is forgotten in a few lines, and what changes for the images;
# - why the result is compared with a model that never saw the class.
#
# **Before you start**: some Python and a rough idea of how a neural network is trained. You need no data: the handwritten
# digits come with scikit-learn.
#
# | device | time of this chapter at profile laptop, digits |
# |---|---|
# | laptop CPU, 2 cores | below a minute, measured (two small models are trained, once) |
# | T4-class GPU | below a minute, an estimate |
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
import torch
from IPython.display import Markdown, display

from cu_helpers import exercises, figures, notebook
from cu_helpers.data import forget_class
from cu_helpers.inference import predict_logits
from cu_helpers.metrics import evaluate
from cu_helpers.unlearning import METHODS, unlearn

lab = notebook.setup(profile, dataset, model, seed)

# %% [markdown]
# ## What this book is
#
# **Machine unlearning** removes the influence of some training images from a trained model. Training again without them
# would do it, but it costs a whole training. So one looks for short cuts that end near the same place.
#
# The 2024 paper *Contrastive Unlearning* takes its short cut in the **embedding**, the vector from which the model's last
# layer reads the class. It pushes the embeddings of what is to be forgotten away from their own class and pulls them towards
# other classes. Meanwhile it goes on training on what stays, so that the rest holds.
#
# This book does two things with that paper. It *teaches* the method: each chapter goes from an idea to a formula, from the
# formula to code, and from the code to a figure. And it *tests* the method: every result is compared with retraining, over
# several seeds, with intervals. Where a claim of the paper does not hold here, the chapter says so.
#
# | chapter | its question |
# |---|---|
# | 00 | What does forgetting a class look like? |
# | 01 | What is the goal, and how is it measured? |
# | 02 | Where do trained, forgotten and unseen images lie in the embedding? |
# | 03, 04 | What do the paper's two losses ask of an embedding? |
# | 05, 06 | Which part of the algorithm forgets, how near does it come to retraining, and what does a memory of embeddings add? |
# | 07–13 | What do the paper's rivals do, and who comes nearest to retraining under equal rules? |
# | 14, 15 | Can one still tell that the images were there, and what is left of them? |
# | 16 | Can a class be forgotten where texts are embeddings too? |
# | 17, 18 | Which of the paper's claims hold here, and which one will you test? |
#
# ## Can your machine run it?
#
# The set-up cell above has printed the profile, the data, the model, the device and the versions. Three profiles exist:
# `smoke` runs in seconds and is for tests, `laptop` takes minutes on a CPU, `paper` has the paper's sizes and wants a GPU.
# You change a chapter by changing its parameters cell.
#
# The next cell checks what everything else needs: gradients flow, and the device computes the same product as plain Python.

# %% tags=["nbval-check-output"]
left = torch.tensor([1.0, 2.0, 3.0], device=lab.device, requires_grad=True)
right = torch.tensor([0.5, -1.0, 2.0], device=lab.device)
product = (left * right).sum()
product.backward()
print(f"1·0.5 + 2·(−1) + 3·2 = {product.item():.1f}, and its gradient is {left.grad.tolist()}")
assert left.grad.tolist() == right.tolist()

# %% [markdown]
# ## A task: forget one class
#
# A **task** says what is to be forgotten. Here it is every training image of one class. The training images fall into two
# parts that share nothing: the **forget set** and the **retain set**. The class's test images are set apart too.

# %% tags=["nbval-check-output"]
task = lab.class_task()
print(f"forget class {task.classes[task.label]!r}")
print(f"training images: {len(task.forget)} to forget, {len(task.retain)} to retain, {len(task.train)} in all")
assert len(task.forget) + len(task.retain) == len(task.train)
assert (task.forget.labels == task.label).all()
assert not (task.retain.labels == task.label).any()

# %%
print(f"test images: {len(task.forget_test)} of that class, {len(task.retain_test)} of the others")

# %% [markdown]
# ## Before: the original model
#
# The **original** model is a small ResNet that learned all training images. It is trained once and then read from the cache.

# %%
original = lab.original()
print(f"trained in {original.seconds:.1f} s")
print(f"accuracy on training images {evaluate(original.model, task)['retain']:.1f} %")

# %% [markdown]
# ## Forget
#
# This is the whole of it. `unlearn` takes the name of a method, the model and the task. It works on a copy: the model that
# you pass in stays as it is. The settings come from a search on validation images.

# %%
result = unlearn("contrastive", original.model, task, lab.profile.settings("contrastive", "class"), lab.seed)
print(
    f"{result.steps} optimiser steps in {result.seconds:.2f} s; "
    f"{100 * result.forget_share:.0f} % of the forget set visited; stopped by {result.stopped_by}"
)
print("methods that this copy of the book knows:", ", ".join(METHODS))

# %% [markdown]
# `stopped by rule` means that the model did no better than a guess on *validation* images of the class. `stopped by rounds`
# would mean that it ran out of rounds first. The paper's rule looks at test images; chapter 01 explains why we do not.
#
# ## Look at the same images before and after
#
# Eight test images of the forgotten class and four of other classes, with what each model says. None of them was in the
# training set.


# %%
def said(model, images):
    """Names of the classes that a model predicts."""
    return [task.classes[label] for label in predict_logits(model, images).argmax(dim=1).tolist()]


shown = [task.forget_test.first(8), task.retain_test.first(4)]
pixels = torch.cat([part.images for part in shown]).cpu()
before = [name for part in shown for name in said(original.model, part)]
after = [name for part in shown for name in said(result.model, part)]
captions = [f"{old} → {new}" for old, new in zip(before, after, strict=True)]
figures.show(
    figures.image_grid(pixels.numpy(), captions),
    f"Test images: the first eight show class {task.classes[task.label]}, the other four do not. Above each: what the "
    "original says → what the unlearned model says. Forgetting should change the first eight and leave the last four.",
    f"Grid of twelve scans. {sum(a != b for a, b in zip(before[:8], after[:8], strict=True))} of the eight scans of the "
    f"forgotten class and {sum(a != b for a, b in zip(before[8:], after[8:], strict=True))} of the other four get another "
    "prediction after unlearning.",
)

# %% [markdown]
# ## The reference: a model that never saw the class
#
# Is that good? You can't tell from the images alone. The model that you *wish* for is the one that was trained without the
# class. We call it **Retrain**. Here it costs seconds, so we train it and hold the result against it, class by class.

# %%
retrained = lab.retrained(task)
models = {"original": original.model, "contrastive": result.model, "retrain": retrained.model}


def per_class(model):
    """Accuracy in percent on the test images of each class."""
    hits = predict_logits(model, task.test).argmax(dim=1) == task.test.labels
    return [100 * hits[task.test.labels == label].double().mean().item() for label in range(len(task.classes))]


by_class = {name: per_class(model) for name, model in models.items()}
figure = figures.lines(
    {name: (range(len(task.classes)), values) for name, values in by_class.items()}, "class", "test accuracy (%)"
)
for curve, symbol in zip(figure.data, ("circle", "x", "diamond"), strict=True):
    curve.update(mode="markers", marker={"symbol": symbol, "size": 10})
figure.update_xaxes(tickvals=list(range(len(task.classes))), ticktext=list(task.classes))
figure.add_vrect(x0=task.label - 0.5, x1=task.label + 0.5, fillcolor=figures.GREY, opacity=0.15, line_width=0)
figures.show(
    figure,
    "Test accuracy by class. The grey band is the forgotten class. The unlearned model should lie near Retrain in every "
    "class, not only in that one.",
    "Dot plot of test accuracy for each class, for the original, the unlearned and the retrained model. The forgotten "
    "class is marked by a grey band.",
)

# %%
rows = ["| model | forgotten, training | forgotten, test | others, test | seconds |", "|---|---|---|---|---|"]
spent = {"original": original.seconds, "contrastive": result.seconds, "retrain": retrained.seconds}
measured = {name: evaluate(model, task) for name, model in models.items()}
for name, values in measured.items():
    cells = " | ".join(f"{values[key]:.1f}" for key in ("forget", "forget_test", "retain_test"))
    rows.append(f"| {figures.LABELS[name]} | {cells} | {spent[name]:.2f} |")
display(Markdown("Accuracy in %, one seed.\n\n" + "\n".join(rows)))

assert measured["retrain"]["forget"] == 0, "Retrain never saw the class and can't name it"
assert measured["original"]["forget"] > 90
assert measured["contrastive"]["forget"] < measured["original"]["forget"]
dropped = measured["original"]["forget"] - measured["contrastive"]["forget"]
kept = measured["contrastive"]["retain_test"] - measured["retrain"]["retain_test"]
print(
    f"Unlearning took {dropped:.1f} points off the class's training accuracy. On the other classes the unlearned model "
    f"is {abs(kept):.1f} points {'above' if kept > 0 else 'below'} Retrain, in "
    f"{100 * result.seconds / retrained.seconds:.1f} % of Retrain's time."
)

# %% [markdown]
# A word on the seconds. Both were measured on your machine, in this run or when the cached model was trained. On a small
# data set retraining is cheap, and a ratio says little. Chapter 05 has the ratios on CIFAR-10.

# %% [markdown] tags=["exercise:00-1"]
# ### Exercise 00-1 · Another class
#
# *Measure · difficulty 1 of 5 · importance 3 of 5 · 5 minutes*
#
# Forget class 0 instead. The cell below runs the forgetting; you write the measure: `share_right(answers, labels,
# label)`, the accuracy in percent on the images of one class, from the answered and the true labels of all images.
#
# <details><summary>Hint 1</summary>
#
# A comparison such as `labels == label` picks the images of the class.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# The mean of a boolean tensor, turned to floats, is a share. Times 100 it is percent.
#
# </details>
#
# **Expect**: close to 100 before, and far less after.


# %% tags=["solution:00-1"]
def share_right(answers, labels, label):
    """Accuracy in percent on the images whose label is `label`; answers and labels: (n,)."""
    ### BEGIN SOLUTION
    return 100 * (answers[labels == label] == label).double().mean().item()
    ### END SOLUTION


share_right = exercises.check("00-1", share_right)
other = forget_class(lab.dataset, 0)
forgot = unlearn("contrastive", original.model, other, lab.profile.settings("contrastive", "class"), lab.seed)
seen = [predict_logits(model, other.train).argmax(dim=1) for model in (original.model, forgot.model)]
ends = [share_right(answers, other.train.labels, 0) for answers in seen]
print(f"class 0: {ends[0]:.1f} % before, {ends[1]:.1f} % after")
assert ends[1] < ends[0]

# %% [markdown] tags=["exercise:00-2"]
# ### Exercise 00-2 · Where do they go?
#
# *Measure · difficulty 2 of 5 · importance 4 of 5 · 10 minutes*
#
# To which classes does the unlearned model send test images of the forgotten class, and to which does Retrain? Write
# `destinations(answers, classes)`: how many images get each class.
#
# <details><summary>Hint 1</summary>
#
# Classes that nobody answers must be counted too.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `torch.bincount` with `minlength`.
#
# </details>
#
# **Expect**: two lists of ten counts, each with the number of test images of the class as its sum.


# %% tags=["solution:00-2"]
def destinations(answers, classes):
    """Counts (classes,) of the answers (n,)."""
    ### BEGIN SOLUTION
    return torch.bincount(answers, minlength=classes)
    ### END SOLUTION


destinations = exercises.check("00-2", destinations)
counts = {}
for name in ("contrastive", "retrain"):
    answers = predict_logits(models[name], task.forget_test).argmax(dim=1).cpu()
    counts[name] = destinations(answers, len(task.classes))
    print(f"{name:12}", counts[name].tolist())
    assert counts[name].sum() == len(task.forget_test)
shared = torch.minimum(counts["contrastive"], counts["retrain"]).sum().item() / len(task.forget_test)
print(f"the two agree on the class for at most {100 * shared:.0f} % of the images")

# %% [markdown] tags=["exercise:00-3"]
# ### Exercise 00-3 · Nothing was harmed
#
# *Implement · difficulty 1 of 5 · importance 3 of 5 · 5 minutes*
#
# `unlearn` promises not to change the model that you pass in. Write `same_weights(before, after)`, which compares two
# state dictionaries: every parameter and every buffer, exactly. The cell below runs `unlearn` again between the two.
#
# <details><summary>Hint 1</summary>
#
# `model.state_dict()` holds names and tensors, of parameters and buffers alike.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Compare the names first, then each pair with `torch.equal`.
#
# </details>
#
# **Expect**: all equal.


# %% tags=["solution:00-3"]
def same_weights(before, after):
    """Whether two state dictionaries (name -> tensor) have the same names and exactly the same values."""
    ### BEGIN SOLUTION
    return before.keys() == after.keys() and all(torch.equal(value, after[name]) for name, value in before.items())
    ### END SOLUTION


same_weights = exercises.check("00-3", same_weights)
kept_state = {name: value.clone() for name, value in original.model.state_dict().items()}  # views, hence the clones
unlearn("contrastive", original.model, task, lab.profile.settings("contrastive", "class"), lab.seed)
unchanged = same_weights(kept_state, original.model.state_dict())
print("unchanged:", unchanged)
assert unchanged

# %% [markdown] tags=["exercise:00-4"]
# ### Exercise 00-4 · Before you turn the page
#
# *Predict · difficulty 2 of 5 · importance 4 of 5 · 5 minutes*
#
# Now a few *samples* are forgotten, some images of every class, and Retrain is trained without them. Which accuracy do
# you expect of Retrain on exactly these images? Let `prediction()` return your letter, then read chapter 01.
#
# - `"a"`: 0 %, as for a forgotten class
# - `"b"`: about its accuracy on test images
# - `"c"`: about its accuracy on its training images
#
# <details><summary>Hint 1</summary>
#
# Has Retrain seen other images of the same classes?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# To Retrain a forgotten sample is an image like any other that it never saw.
#
# </details>
#
# **Expect**: one letter. Chapter 01 measures it.


# %% tags=["solution:00-4"]
def prediction():
    """Your letter: "a", "b" or "c"."""
    ### BEGIN SOLUTION
    return "b"
    ### END SOLUTION


prediction = exercises.check("00-4", prediction)

# %% [markdown]
# ## What we showed, and what we did not
#
# - A few lines forget a class, and the accuracy on its images falls. The other classes keep theirs, within what the table
#   shows.
# - We compared with Retrain, for one class, one seed and one small data set. There is no interval in this chapter.
# - Low accuracy is not the same as forgotten. A model can refuse to *name* a class and still know it: chapter 01 builds such a
#   model in one line. Its weights and embeddings may hold the class after unlearning as well; this chapter did not look.
# - We have not shown which part of the method did the work. Chapter 05 takes it apart.
#
# ## References
#
# - Contrastive Unlearning, 2024. [arXiv:2401.10458](https://arxiv.org/abs/2401.10458)
# - Cao and Yang, *Towards Making Systems Forget with Machine Unlearning*, IEEE Symposium on Security and Privacy 2015: the
#   question, and its two goals, complete and fast. [doi:10.1109/SP.2015.35](https://doi.org/10.1109/SP.2015.35)
# - Alpaydin and Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository, 1998: the scans.
#   [doi:10.24432/C50P49](https://doi.org/10.24432/C50P49)
