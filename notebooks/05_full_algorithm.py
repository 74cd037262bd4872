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
# # 05 · The full algorithm (Algorithm 1, Figs. 2–4, Tables 11 and 12)
#
# This chapter puts the loss into a loop, decides when to stop, and then asks which part of the loop does the forgetting.

# %% [markdown]
# **What you will learn**
#
# - how Algorithm 1 pairs each forget batch with several retained batches, and what a *round* is;
# - the two stop rules, Eqs. 8 and 9, and why they must look at validation images;
# - how fast forgetting goes (Fig. 2), and what $\omega$, the batch size, the number of samples and $\tau$ change
#   (Figs. 3 and 4, Tables 11 and 12);
# - which controls the paper lacks, and what they say: no contrastive term, first-only retained batches, frozen BatchNorm;
# - what came out on CIFAR-10, run for run, beside Retrain.
#
# **Before you start**: chapters 03 and 04 (the losses), chapter 01 (why Retrain is the reference).
#
# | device | time of this chapter at profile laptop, digits |
# |---|---|
# | laptop CPU, 2 cores | about 5 minutes, measured |
# | T4-class GPU | about three minutes, an estimate |
# | large GPU | below two minutes, an estimate |

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

from cu_helpers import exercises, figures, first_runs, notebook, paper, sweeps
from cu_helpers.data import forget_samples
from cu_helpers.devices import generator
from cu_helpers.experiments import trace
from cu_helpers.losses import class_unlearning_loss, sample_unlearning_loss
from cu_helpers.metrics import evaluate, mean_interval
from cu_helpers.unlearning import ContrastiveSettings, FinetuneSettings, GradientAscentSettings, Stopping, unlearn

lab = notebook.setup(profile, dataset, model, seed)

# %% [markdown]
# ## One forget batch, several retained batches
#
# The loss compares forgotten images with retained ones, so a step needs a batch of each. Retained images are many and
# forgotten ones are few. Algorithm 1 therefore takes one forget batch $X^u$ and meets it with $\omega$ fresh retained
# batches $X^r$ of the same size, one optimiser step each. Every step goes down
#
# $$
# \mathcal{L} = \lambda_{UL}\,\mathcal{L}_{UL}(X^u, X^r) + \lambda_{CE}\,\mathcal{L}_{CE}\big(\mathcal{F}(X^r), Y^r\big).
# \tag{7}
# $$
#
# The first term moves the forgotten embeddings (Eq. 5 for samples, Eq. 6 for a class). The second holds the retained ones
# in place: the first term drags them too, because both sides of a similarity get a gradient.
#
# One pass over the forget set is a **round**. After a round the algorithm looks whether it may stop.

# %% [markdown]
# ## The algorithm in one cell
#
# This is Algorithm 1 without a clock, counters or messages. `images.batch` normalises and hands over one batch, `encode`
# gives unit-norm embeddings, `classify` gives logits. Both batches pass the encoder together, so BatchNorm sees their
# mixture; the released code does the same.


# %%
def algorithm_1(model, task, settings, seed, rounds):
    """Algorithm 1, in place, for a fixed number of rounds."""
    draw = generator(seed, task.forget.device)
    optimizer = torch.optim.SGD(
        model.parameters(), settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay, fused=True
    )
    model.train()
    for _ in range(rounds):
        for index in torch.randperm(len(task.forget), generator=draw, device=draw.device).split(settings.batch_size):
            x_u, y_u = task.forget.batch(index)
            for _ in range(settings.omega):
                chosen = torch.randint(len(task.retain), (len(index),), generator=draw, device=draw.device)
                x_r, y_r = task.retain.batch(chosen)
                z = model.encode(torch.cat([x_u, x_r]))
                z_u, z_r = z[: len(index)], z[len(index) :]
                if task.kind == "class":
                    l_ul = class_unlearning_loss(z_u, z_r, settings.temperature)
                else:
                    l_ul = sample_unlearning_loss(z_u, y_u, z_r, y_r, settings.temperature)
                l_ce = F.cross_entropy(model.classify(z_r), y_r)
                optimizer.zero_grad()
                (settings.lambda_ce * l_ce + settings.lambda_ul * l_ul).backward()
                optimizer.step()
    return model.eval()


# %% [markdown]
# The package's `unlearn("contrastive", ...)` is this loop plus a clock and the stop rule. Two rounds from the same start
# and seed must give the same weights, in both kinds of task. We check it in float32.

# %%
original = lab.original()
tasks = {"class": lab.class_task(), "samples": lab.sample_task()}
no_rule = Stopping(rule="none")

for kind, task in tasks.items():
    settings = ContrastiveSettings(batch_size=12, max_rounds=2, precision="float32", stopping=no_rule)
    shown = algorithm_1(copy.deepcopy(original.model), task, settings, lab.seed, rounds=2)
    packaged = unlearn("contrastive", original.model, task, settings, lab.seed).model
    furthest = max((a - b).abs().max().item() for a, b in zip(shown.parameters(), packaged.parameters(), strict=True))
    print(f"{kind}: largest difference of a weight {furthest:.1e}")
    assert furthest < 1e-4

# %% [markdown]
# ## When to stop
#
# Without a rule the loop would go on until the forgotten images are worse off than any unseen image. The paper stops as
# soon as a proxy holds on a small evaluation set:
#
# - a class: $\text{Acc}(\mathcal{F}', \mathcal{D}_{eval}^u) \le 1/C$, no better than a guess (Eq. 8);
# - samples: $\text{Acc}(\mathcal{F}', \mathcal{D}_{tr}^u) \le \text{Acc}(\mathcal{F}', \mathcal{D}_{eval}^{ts})$, the
#   forgotten images do no better than unseen ones (Eq. 9).
#
# The paper's evaluation set is part of the test set, and its released code uses all of it. The unlearn score that it then
# reports for samples is the very difference that Eq. 9 made small. We stop on validation images, a fifth of the official
# test split that was set aside once, and report on the other four fifths.
#
# How often the rule is looked at matters too. Algorithm 1 looks once per round. On a class of thousands of images the first
# look may come long after the goal was passed. `Stopping(check_every=1)` looks after every forget batch. A look costs
# forward passes, and we count that time.

# %%
for kind, task in tasks.items():
    base = lab.profile.settings("contrastive", kind)
    print(
        f"{kind}: lambda_UL {base.lambda_ul:g}, lr {base.learning_rate:g}, omega {base.omega}, batch {base.batch_size}"
    )
    for name, every in (("every batch", 1), ("once per round", None)):
        settings = replace(base, stopping=Stopping(check_every=every))
        run = unlearn("contrastive", original.model, task, settings, lab.seed)
        last = run.history[-1]
        print(
            f"  look {name:14}  {run.steps:3d} steps, {run.seconds:5.2f} s of which {run.check_seconds:5.2f} s looking, "
            f"{100 * run.forget_share:5.1f} % of the forget set visited, stopped by {run.stopped_by}, "
            f"accuracy {last['forget_accuracy']:.1f} against {last['reference_accuracy']:.1f}"
        )

# %% [markdown]
# `stopped by rounds` means that the rule never held and the limit ended the run, and the book never hides that. Whether such a
# run has forgotten the rule does not say; the accuracies do. It also fails to hold where the accuracy on unseen images falls with
# the one on the forget set.

# %% [markdown] tags=["exercise:05-1"]
# ### Exercise 05-1 · Count the work
#
# *Implement · difficulty 1 of 5 · importance 4 of 5 · 5 minutes*
#
# A round over $n$ forgotten images uses batches of $B$ and $\omega$ retained batches each. Write `round_cost(n, B,
# omega)` that returns the optimiser steps of a round and the images that pass the encoder. Check it against a run's
# `steps` and `samples_seen`.
#
# <details><summary>Hint 1</summary>
#
# The last batch may be smaller.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A step forwards the forget batch again, beside a retained batch of the same size.
#
# </details>
#
# **Expect**: 18 images, batch 12, $\omega = 4$ give 8 steps and 144 images.


# %% tags=["solution:05-1"]
def round_cost(n, size, omega):
    """(optimiser steps, images through the encoder) of one round over n forgotten images."""
    ### BEGIN SOLUTION
    batches = -(-n // size)
    return batches * omega, 2 * n * omega
    ### END SOLUTION


round_cost = exercises.check("05-1", round_cost)
one = ContrastiveSettings(batch_size=12, max_rounds=1, stopping=no_rule)
run = unlearn("contrastive", original.model, tasks["class"], one, lab.seed)
assert (run.steps, run.samples_seen) == round_cost(len(tasks["class"].forget), 12, one.omega)
print(f"18 images, batch 12, omega 4: {round_cost(18, 12, 4)}")

# %% [markdown]
# ## Fig. 2: accuracy on the forgotten class, batch by batch
#
# The paper's Fig. 2 follows the accuracy on the class's training images over the batches of one pass. Here it is for the
# methods met so far, one seed after the other, with the accuracy that is *kept* below it: a method that
# forgets fast by breaking the model must show it. Two curves are controls that the paper lacks. **Finetune** is plain
# training on retained images. **Without L_UL** is Algorithm 1 with $\lambda_{UL} = 0$: same batches, same BatchNorm, same
# cross-entropy, no contrast.

# %%
quick = lab.profile.name == "smoke"  # one seed and fewer settings, to see that everything runs
seeds = lab.profile.class_seeds[: 1 if quick else None]
class_base = lab.profile.settings("contrastive", "class")
size = class_base.batch_size or 64
passes = 3 if lab.profile.dataset == "digits" and not quick else 1
each = Stopping(rule="none", check_every=4 if quick else 1)
contenders = {
    "contrastive": ("contrastive", replace(class_base, max_rounds=passes, stopping=each)),
    "no_contrast": ("contrastive", replace(class_base, lambda_ul=0.0, max_rounds=passes, stopping=each)),
    "finetune": ("finetune", FinetuneSettings(batch_size=4 * size, max_rounds=1, stopping=each)),
    "gradient_ascent": (
        "gradient_ascent",
        GradientAscentSettings(learning_rate=1e-3, batch_size=size, max_rounds=passes, stopping=each),
    ),
}
originals = {s: lab.original(s) for s in seeds}
class_task = tasks["class"]
curves = {
    name: [trace(method, originals[s], class_task, settings, s) for s in seeds]
    for name, (method, settings) in contenders.items()
}
retrained = {s: evaluate(lab.retrained(class_task, s).model, class_task) for s in seeds}


# %%
levels = {
    name: mean_interval([values[name] for values in retrained.values()]).mean for name in ("forget", "retain_test")
}
figures.show(
    sweeps.curve_figure(curves, "forget", "accuracy on forgotten training images (%)", levels["forget"]),
    "Fig. 2, remade: accuracy on the forgotten class against the images a method has passed through the model, mean over "
    "seeds. Retrain is the dashed line. The curve without the contrastive term shows what the rest of the loop does alone.",
    "Line plot: accuracy on the forgotten class over the work done, for contrastive unlearning, the same without its "
    "contrastive term, finetuning and gradient ascent, with Retrain as a dashed line.",
)
figures.show(
    sweeps.curve_figure(curves, "retain_test", "accuracy on retained test images (%)", levels["retain_test"]),
    "The price: accuracy on retained test images over the same work. Forgetting counts only where this stays near the dashed "
    "line of Retrain.",
    "Line plot: accuracy on retained test classes over the work done for the same four methods, with Retrain dashed.",
)

# %% [markdown]
# On a shared machine, images passed are a fairer axis than seconds. The next table puts the same runs at **equal
# seconds**: for each control, the last row whose time is within what contrastive unlearning needed to reach its own stop
# rule.

# %%
first_stop = {s: unlearn("contrastive", originals[s].model, class_task, class_base, s) for s in seeds}
measured = {
    "Retrain": list(retrained.values()),
    "Contrastive, first stop": [evaluate(first_stop[s].model, class_task) for s in seeds],
}
for name in ("no_contrast", "finetune", "gradient_ascent"):
    of_seed = zip(seeds, curves[name], strict=True)
    rows = [sweeps.at_seconds(run, first_stop[s].seconds) for s, run in of_seed]
    measured[f"{figures.LABELS[name]}, same seconds"] = rows
sets = {"forget": "forget train", "forget_test": "forget test", "retain_test": "retained test"}
display(Markdown("Accuracy in %, mean ± 95 % interval over seeds.\n\n" + sweeps.accuracy_rows(measured, sets)))

# %% [markdown]
# ## One helper for all that follows
#
# Each question below has the same form: change one setting, unlearn with several seeds, compare with the Retrain *of the
# same seed*. `Sweeps.sweep` does that. A **gap** is the method's accuracy minus Retrain's, in points; zero is the goal, and the
# sign says on which side a run is.


# %%
runs = sweeps.Sweeps(lab)
sample_base = lab.profile.settings("contrastive", "samples")
some = lab.profile.sample_seeds[: 1 if quick else 3]
limit = 1 if quick else 20  # rounds, for every run of the tables below


def show_table(first, swept, columns=sweeps.GAPS):
    """A table of mean ± interval for each variant, and how many of its runs the stop rule ended."""
    display(Markdown(sweeps.table(first, swept, columns)))


# %% [markdown]
# ## Figs. 3 and 4: how many retained batches, and how large
#
# The paper says that a larger $\omega$ and larger batches make unlearning steadier, and recommends $\omega$ of at most 4
# (its Figs. 3 and 4, shown as curves of one run each). "Steadier" is a statement about spread, so we show every setting with
# several seeds and look at the width of the intervals.

# %%
omegas = {str(w): replace(sample_base, omega=w, max_rounds=limit) for w in ((1, 4) if quick else (1, 2, 4, 8))}
by_omega = runs.sweep("samples", omegas, some)
show_table("ω", by_omega)
figures.show(
    sweeps.gap_figure(by_omega, "ω (retained batches per forget batch)"),
    "Fig. 3, as gaps: distance to Retrain at the first stop against ω, mean and 95 % interval over seeds. Look at the width "
    "of the intervals as well as at the distance from zero.",
    "Error-bar plot of the accuracy gap to Retrain on forgotten and test images against omega.",
)

# %%
sizes = {str(b): replace(sample_base, batch_size=b, max_rounds=limit) for b in ((12, 36) if quick else (8, 16, 36, 72))}
by_size = runs.sweep("samples", sizes, some)
show_table("batch size", by_size)
figures.show(
    sweeps.gap_figure(by_size, "batch size B"),
    "Fig. 4, as gaps: distance to Retrain at the first stop against the batch size, mean and 95 % interval over seeds. A "
    "batch larger than the forget set is cut to its size.",
    "Error-bar plot of the accuracy gap to Retrain on forgotten and test images against the batch size.",
)

# %% [markdown]
# ## Table 11: how many samples can be forgotten
#
# The paper forgets 200, 500, 1,000 and 2,000 of 50,000 images (its text says 250 where its table says 200). Here the shares
# of the training set are larger, because the set is smaller.

# %%
everything = lab.dataset.train
counts = [max(2, round(share * len(everything))) for share in ((0.1, 0.2) if quick else (0.05, 0.1, 0.2, 0.4))]
sizes_of = {str(n): replace(sample_base, batch_size=min(n, sample_base.batch_size or 128)) for n in counts}
drawn = {str(n): lambda s, n=n: forget_samples(lab.dataset, n, s) for n in counts}
by_count = runs.sweep("samples", sizes_of, some, drawn)
columns = {"test": "test (%)", "retrain_test": "Retrain's test (%)", "forget": "forgotten (%)"}
columns |= {"retrain_forget": "Retrain's forgotten (%)", "seconds": "seconds"}
show_table(f"forgotten of {len(everything)}", by_count, columns)

lines = ["| forgotten | Retrain's test | contrastive test | contrastive forgotten |", "|---" * 4 + "|"]
for n in (200, 500, 1000, 2000):
    keys = (("retrain", "test"), ("contrastive", "test"), ("contrastive", "forget"))
    cells = (str(paper.number("Table 11", f"samples{n} {method}", key)) for method, key in keys)
    lines.append(f"| {n:,} | {' | '.join(cells)} |")
display(Markdown("The paper's Table 11 (CIFAR-10, ResNet-18), for comparison:\n\n" + "\n".join(lines)))

# %% [markdown]
# In the paper's own first row the forgotten images score well below the test images. A reason may be that the rule was
# passed long before it was looked at. A run that stops there has forgotten more than its goal, equal accuracy, asks for.

# %% [markdown]
# ## Table 12: the temperature
#
# Chapter 04 showed that $\tau$ only rescales Eq. 6, and chapter 03 that the gradient of Eq. 5 goes like $1/\tau$ wherever the
# positives are alike. So $\tau$ and $\lambda_{UL}$ are nearly one knob. Yet the paper's Table 12 shows the same accuracies
# for $\tau = 0.7$ and $\tau = 70$, where the push is a hundred times weaker. We turn the knob and look.

# %%
temperatures = (0.07, 0.7, 7.0) if quick else (0.07, 0.35, 0.7, 1.4, 7.0, 70.0)
settings_of = {f"{t:g}": replace(sample_base, temperature=t, max_rounds=limit) for t in temperatures}
by_tau = runs.sweep("samples", settings_of, some[:2])
columns = {"test": "test (%)", "forget": "forgotten (%)", "steps": "optimiser steps", "seconds": "seconds"}
show_table("τ", by_tau, columns)
figures.show(
    sweeps.gap_figure(by_tau, "temperature τ"),
    "Table 12, as gaps: distance to Retrain against τ with everything else fixed. Where few runs were ended by the rule (see "
    "the table above) the run used up its rounds.",
    "Error-bar plot of the accuracy gap to Retrain against the temperature.",
)
ends = [mean_interval([row["forget"] for row in by_tau[f"{t:g}"]]).mean for t in (temperatures[0], temperatures[-1])]
print(f"tau {temperatures[0]:g} to {temperatures[-1]:g}: accuracy on forgotten images {ends[1] - ends[0]:+.1f} points")
for low, high in ((0.007, 70), (0.7, 70)):
    first, last = (paper.number("Table 12", f"tau {t:g}", "forget").value for t in (low, high))
    print(f"the paper's Table 12, tau {low:g} to {high:g}: {last - first:+.1f} points")

# %% [markdown] tags=["exercise:05-2"]
# ### Exercise 05-2 · Undo the temperature
#
# *Implement · difficulty 3 of 5 · importance 5 of 5 · 15 minutes*
#
# For a *class*, choose $\lambda_{UL}$ so that a run with another temperature takes exactly the steps of a given run.
# Write `twin_of(settings, temperature)`, which returns the changed settings. The cell below compares the weights of the
# two runs.
#
# <details><summary>Hint 1</summary>
#
# Look at where $\tau$ stands in Eq. 6.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# The constant $\log|N|$ has no gradient. `replace(settings, ...)` from `dataclasses` makes a changed copy.
#
# </details>
#
# **Expect**: a largest difference of the weights that rounding explains.


# %% tags=["solution:05-2"]
def twin_of(settings, temperature):
    """Settings with this temperature whose run takes the same steps as `settings`, for a class."""
    ### BEGIN SOLUTION
    factor = temperature / settings.temperature
    return replace(settings, temperature=temperature, lambda_ul=settings.lambda_ul * factor)
    ### END SOLUTION


twin_of = exercises.check("05-2", twin_of)
exact = replace(class_base, batch_size=len(class_task.forget), max_rounds=1, precision="float32", stopping=no_rule)
pair_of = (exact, twin_of(exact, 7.0))
ends = [unlearn("contrastive", original.model, class_task, s, lab.seed).model for s in pair_of]
furthest = max((a - b).abs().max().item() for a, b in zip(ends[0].parameters(), ends[1].parameters(), strict=True))
print(f"largest difference of a weight {furthest:.1e}")
assert furthest < 1e-4

# %% [markdown]
# ## The controls that the paper lacks
#
# Which part of Algorithm 1 forgets? Each variant below switches one thing and keeps the rest.
#
# - **no contrast**: $\lambda_{UL} = 0$. What remains is cross-entropy on retained images and BatchNorm statistics that the
#   forgotten images pass through.
# - **first only**: the released code's sequential loader. Every forget batch meets the same first $\omega B$ retained images.
# - **frozen BatchNorm**: its running statistics are used and never updated.
# - **detached**: the contrastive term may move the forgotten embeddings only.
# - **released**: the departures of the authors' code in the loss and the loop at once, with *our* learning rate and $\lambda_{UL}$
#   (`first only`, weight $|X^r|/|N|$ on the push, which a class does not notice, no weight decay, clamped embeddings). Their draw of
#   the data is not ours: they forget the first images of the file, in order. It stops on validation images here, since stopping on
#   the test set would spoil the comparison.


# %%
def controls(base, limit):
    """The variants of Algorithm 1, each with at most `limit` rounds."""
    departs = ContrastiveSettings.released(
        lambda_ul=base.lambda_ul,
        learning_rate=base.learning_rate,
        batch_size=base.batch_size,
        max_rounds=limit,
        stopping=base.stopping,
    )
    base = replace(base, max_rounds=limit)
    return {
        "default": base,
        "no contrast": replace(base, lambda_ul=0.0),
        "first only": replace(base, retained="first"),
        "frozen BatchNorm": replace(base, freeze_batch_norm=True),
        "detached": replace(base, detach_retained=True),
        "released": departs,
    }


class_controls = runs.sweep("class", controls(class_base, 1 if quick else 10), seeds)
display(Markdown("**A class**"))
show_table("variant", class_controls)
sample_controls = runs.sweep("samples", controls(sample_base, limit), some)
display(Markdown("**Samples**"))
show_table("variant", sample_controls)

# %%
both = {"a class": class_controls, "samples": sample_controls}
figures.show(
    sweeps.kinds_figure(both, "variant of Algorithm 1", ("#0072b2", "#d55e00")),
    "What each part contributes: gap on forgotten training images at the stop, mean and 95 % interval over seeds. A variant "
    "far above zero has not forgotten; one far below has forgotten more than Retrain would.",
    "Error-bar plot of the gap to Retrain on forgotten images for six variants of Algorithm 1, for a class and for samples.",
)


# %%
def verdict(swept, kind):
    """One sentence on the contrastive term, from the numbers alone."""
    ours, without = ([row["forget"] for row in swept[name]] for name in ("default", "no contrast"))
    drop = mean_interval([b - a for a, b in zip(ours, without, strict=True)])
    found = "one seed says nothing about spread"
    if drop.count > 1:
        found = f"the 95 % interval {'excludes' if drop.low > 0 or drop.high < 0 else 'includes'} zero"
    print(f"{kind}: without the contrastive term, forgotten accuracy ends {drop} points higher; {found}.")


verdict(class_controls, "class")
verdict(sample_controls, "samples")

# %% [markdown]
# ## On CIFAR-10, from recorded runs
#
# Digits are small enough to run while you wait. The paper's data set is CIFAR-10. The runs below were made once, at profile
# laptop (20,000 training images, ResNet-18 at a quarter of its width, the official test split), and are read from
# `book/results`. Each record has its settings, seed, device, versions and commit. The settings came from a search that saw
# validation images only, and it was **not** an equal one: thirteen trials for contrastive unlearning of a class, fifteen for
# samples, two to four for each baseline (that search is not recorded). Runs under the equal rules of chapters 07 to 13 are left to those.

# %%
recorded = first_runs.recorded()
by_task = first_runs.by_task(recorded)
for task in sorted(by_task):
    made = first_runs.table(task, by_task[task])
    display(Markdown(f"**{task}**: mean ± 95 % interval over seeds; gaps in points, paired by seed.\n\n{made}"))
found = ", ".join(sorted({run["device"] for run in recorded}))
print(f"device: {found}" if recorded else "No CIFAR-10 run is recorded in this copy of the book.")

# %% [markdown]
# The book set itself targets for these runs (`first_runs.targets`). The next cell holds the records against them.


# %%
print(first_runs.judgement(by_task))

# %% [markdown]
# Read the tables with care. The seconds were taken on one thread of a machine that others used too, so each run carries the
# speed of Retrain's training steps, measured just before it; *Retrain's seconds* are that speed times Retrain's number of
# steps. The images that pass the model need no clock.
#
# *An earlier choice* had $\lambda_{UL} = 2$ and $\omega = 1$. It forgot as much and lost more on the retained classes. The setting
# of the other rows did better in the search on validation images, and it was taken after the earlier one had been reported.
# So the change was made in view of a test result, though not chosen by one. We keep both.
#
# Where the rule ended few runs, the limit on rounds ended the others. That limit is itself a setting of the search.

# %% [markdown]
# ### Fig. 2 on CIFAR-10, and the contrastive term at equal seconds
#
# One pass over the forgotten class (over the retained set, for finetuning), without a stop rule. The table looks at the same
# runs at moments of the contrastive pass: a quarter, half and all of its seconds. A method whose pass is shorter shows its end.

# %%
traced = first_runs.passes(recorded)
if traced:
    watched = {name: list(of_seed.values()) for name, of_seed in traced.items()}
    for metric, words in (("forget", "forgotten training images"), ("retain_test", "retained test images")):
        figures.show(
            sweeps.curve_figure(watched, metric, f"accuracy on {words} (%)"),
            f"Fig. 2 on CIFAR-10 (recorded, mean of {len(traced['contrastive'])} seeds): accuracy on {words} along one pass. "
            "Compare the full method with the curve without its contrastive term: the difference is what that term adds.",
            f"Line plot of the accuracy on {words} of CIFAR-10 over the images passed through the model, one curve a method.",
        )
    moments = first_runs.at_moments(traced, (0.25, 0.5, 1.0))
    display(Markdown("At equal seconds, mean ± 95 % interval over seeds:\n\n" + moments))

# %% [markdown]
# For a class three things hold in these runs. The contrastive term adds a lot to Algorithm 1: compare the curve with it and the
# curve without. Plain finetuning with a larger step forgets a class too, and at first faster: with no image of the class in
# training, nothing holds its region. Gradient ascent is the fastest of all and pays with the retained classes. For samples, in
# the table above, only the contrastive runs come near Retrain on both counts; the run without contrast forgets little, and so
# does finetuning *with the setting used here*. With smaller batches, which the equal search of chapter 07 found, it forgets as
# much as Retrain in its one run and loses several points on unseen images.

# %% [markdown] tags=["exercise:05-3"]
# ### Exercise 05-3 · Criticise the table
#
# *Criticise · difficulty 3 of 5 · importance 5 of 5 · 15 minutes*
#
# Name three ways in which the CIFAR-10 table above could still mislead a careful reader. For each, say which run you
# would add.
#
# <details><summary>Hint 1</summary>
#
# Think about what was searched, and for whom.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Think about what accuracy cannot see.
#
# </details>
#
# **Expect**: three short paragraphs; the solution names five.

# %% [markdown] tags=["solution:05-3"]
# - Contrastive unlearning had its settings searched on this data set at this size. A baseline with fewer trials is at a
#   disadvantage: add the same number of trials for each (chapters 07 to 13 do).
# - A ResNet-18 at a quarter of its width and 20,000 images overfit differently from the paper's model: add the profile `paper`
#   (chapters 13 and 17 have it).
# - Accuracy does not see what the embedding still knows: add a linear probe and a relearning run.
# - The intervals cover seeds and draws, not classes: add the other nine classes (Table 9 in chapter 13).
# - Seconds depend on who else uses the machine: compare steps and images passed as well.

# %% [markdown] tags=["exercise:05-4"]
# ### Exercise 05-4 · The rule that never stops
#
# *Find the planted bug · difficulty 2 of 5 · importance 4 of 5 · 5 minutes*
#
# Eq. 8 ends the unlearning of a class when the model does no better on it than a guess. With this function a run never
# ends before the last round, except at 0 %. Find the bug and write it right.
#
# ```python
# def may_stop(right, count, classes):
#     accuracy = 100 * right / count
#     return accuracy <= 1 / classes
# ```
#
# <details><summary>Hint 1</summary>
#
# Print both sides of the comparison for 1 right answer of 20 in a problem of ten classes.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# One side is in percent, the other is a share.
#
# </details>
#
# **Expect**: with ten classes the rule stops at 10 % and below.


# %% tags=["solution:05-4"]
def may_stop(right, count, classes):
    """Eq. 8: whether `right` answers of `count` are no better than a guess among `classes`."""
    ### BEGIN SOLUTION
    return right / count <= 1 / classes
    ### END SOLUTION


may_stop = exercises.check("05-4", may_stop)
print({f"{right} of 20": bool(may_stop(right, 20, 10)) for right in range(5)})

# %% [markdown]
# ## What we showed, and what we did not
#
# - Algorithm 1 fits in one cell, and the package runs the same steps: the weights agree.
# - The stop rule, and how often it is looked at, decide how much is forgotten. We stop on validation images only.
# - The tables above say, for this data, which variants come near Retrain and which do not; each has its interval.
# - The temperature is not a free extra: for a class it is the weight of the loss under another name (exercise 05-2). For samples the
#   paper's Table 12 has nearly equal cells at all temperatures; chapter 17 has ours, at the paper's size too, and they are not equal.
# - We did not compare with the paper's other baselines (chapters 07 to 13 do), attack the unlearned model (chapter 14), or look for
#   what its embedding still knows (chapter 15). Models at full width are in chapter 13; SVHN and Mini-ImageNet were not run.
#
# ## References
#
# - Contrastive Unlearning, 2024: sections 4 and 5, appendices B, D.3, D.4, D.5. [arXiv:2401.10458](https://arxiv.org/abs/2401.10458)
# - Golatkar, Achille, Soatto, *Eternal Sunshine of the Spotless Net*, CVPR 2020 (finetuning and gradient ascent as
#   baselines). [arXiv:1911.04933](https://arxiv.org/abs/1911.04933)
