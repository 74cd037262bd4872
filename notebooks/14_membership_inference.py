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
# # 14 · Membership inference, calibrated
#
# Accuracy says whether a model still answers well on forgotten images. It does not say whether one can still *tell* that they
# were there. An attack can. This chapter builds the paper's attack, asks when its number may be believed, and sets stronger
# ones beside it.

# %% [markdown]
# **What you will learn**
#
# - the paper's membership inference attack (its section 5.1, Tables 4 and 19), and what it leaves open;
# - to calibrate an attack: on the original, where it must succeed, and on Retrain, which is the goal;
# - scores that need no training, and why a true-positive rate at few false alarms says more than an average;
# - attacks that know each image: Shokri's shadow models, LiRA, U-LiRA and RMIA.
#
# **Before you start**: chapters 05 and 07.
#
# | device | time of this chapter at profile laptop, digits |
# |---|---|
# | laptop CPU, 2 cores | about six minutes, an estimate |
# | T4-class GPU | about four minutes, an estimate |
# | large GPU | about two minutes, an estimate |

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
import json
import math
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import torch
from IPython.display import Markdown, display
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cu_helpers import arena, attack_reports, exercises, figures, notebook, shadow_attacks, verification_tables
from cu_helpers.attack_data import attack_sets, check_disjoint
from cu_helpers.attack_scores import logit_score, loss_score, modified_entropy_score
from cu_helpers.attacks import VARIANTS, attack_outputs, attack_report, member_rates, report_of
from cu_helpers.calibration import calibration_verdict
from cu_helpers.errors import DataFileError
from cu_helpers.lira import gaussian_scores, rmia_scores
from cu_helpers.metrics import mean_interval
from cu_helpers.paper import TABLE_4
from cu_helpers.roc import auc, needed_non_members, tpr_at
from cu_helpers.shadow_runs import ShadowSettings, gather, read_shadows, shadow_folder, shadow_run
from cu_helpers.shadows import TRAINERS, shadow_design, training_seconds
from cu_helpers.training import TrainSettings
from cu_helpers.unlearning import ContrastiveSettings, unlearn

lab = notebook.setup(profile, dataset, model, seed)

# %% [markdown]
# ## The game
#
# Somebody trained a model on some images. You are given an image and the model's answer to it. Was the image among those that
# the model was trained on? If you do better than guessing, the model *leaks* membership.
#
# After unlearning, the forgotten images should look like images that were never trained on. So the attack becomes a test. But
# a test has an error of its own, and the tested model does not tell how large it is. Two models do:
#
# - the **original** has forgotten nothing. Its forgotten images *are* members, and an attack that does not say so is broken;
# - **Retrain** never saw them. What the attack says of them there is what it *should* say of an unlearned model.
#
# ## Sets that share nothing
#
# The paper trains one classifier, the *attack model*, on the outputs of the unlearned model $\mathcal{F}'$:
#
# - members $\mathcal{D}^M$: some retained training images, labelled 1;
# - non-members $\mathcal{D}^N$: some test images, labelled 0.
#
# Then it asks the classifier about the forgotten images and about other retained images, and reports the share that is called
# member. What trains the attack must not be scored: a classifier knows its own training data too. We score a third set,
# unseen test images, because without it nobody can read the other two numbers.

# %%
task, original = lab.sample_task(), lab.original().model
retrained = lab.retrained(task).model
sets = attack_sets(task, lab.seed)
check_disjoint(sets.members, sets.non_members, sets.targets)
print(f"train the attack: {len(sets.members)} members, {len(sets.non_members)} non-members")
print("scored:", ", ".join(f"{len(images)} {name.replace('_', ' ')}" for name, images in sets.targets.items()))
assert len(sets.members) == len(sets.non_members)

# %% [markdown]
# Two images are the same here if their pixels and their label are. Data sets hold exact copies now and then, and a test image
# whose copy was trained on is no non-member: `attack_sets` leaves such images out, and every attack refuses sets that
# overlap.

# %%
try:
    check_disjoint(sets.members, sets.non_members, {"mine": sets.members.first(3)})
except ValueError as error:
    print(error)

# %% [markdown]
# ## The paper's attack
#
# The paper names neither the attack model nor whether $\mathcal{F}'(x)$ means logits or probabilities. The plainest reading
# is a logistic regression on the softmax output. Here it is in full.


# %%
def attack(members, non_members, targets):
    """Logits of members and as many non-members train; percent of each target called member."""
    x = torch.cat([members, non_members]).double().softmax(dim=1).numpy()
    y = np.repeat([1, 0], [len(members), len(non_members)])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, y)
    return {
        name: 100 * model.predict(logits.double().softmax(dim=1).numpy()).mean() for name, logits in targets.items()
    }


said = {"original": attack_outputs(original, sets), "retrain": attack_outputs(retrained, sets)}
for name, of in said.items():
    rates = attack(of.members, of.non_members, of.targets)
    print(f"{name:9}", ", ".join(f"{key.replace('_', ' ')} {rate:.0f} %" for key, rate in rates.items()))
    assert rates == member_rates(of.members, of.non_members, of.targets, lab.seed)

# %% [markdown]
# Read the first line. The original was trained on the forgotten and on the held-out images alike, and not on the unseen ones.
# If the three numbers are nearly the same, the attack knows nothing, whatever it then says about an unlearned model.
#
# ## Why this reading is blind
#
# The classifier computes $w \cdot p + b$ from the probabilities $p$. Members get surer answers, so $p$ is nearer to a corner
# of the simplex: but *which* corner depends on the image's class. Average $w \cdot p$ over ten classes and nearness to a
# corner cancels:
#
# $$
# p = (1 - s)\,\tfrac{1}{C}\mathbf{1} + s\, e_k \quad\Rightarrow\quad \mathbb{E}_k[w \cdot p] = \tfrac{1}{C} \textstyle\sum_j w_j
# \quad \text{for every sureness } s .
# $$
#
# No $w$ sees $s$. Sorting the probabilities first puts the largest one always in the same place, and a small network can find
# the corners by itself. We make outputs whose only difference is how sure they are.


# %%
def sure(count, top, seed, classes=10):
    """Logits with probability near `top` at a random class, the rest shared equally."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.zeros(count, classes)
    odds = math.log(top / (1 - top) * (classes - 1)) + 0.3 * torch.randn(count, generator=draw)
    logits[torch.arange(count), torch.randint(classes, (count,), generator=draw)] = odds
    return logits


like = {"like members": sure(500, 0.95, 2), "like others": sure(500, 0.6, 3)}
for features, attack_model in VARIANTS:
    rates = member_rates(sure(500, 0.95, 0), sure(500, 0.6, 1), like, 0, features, attack_model)
    print(f"{features:15} {attack_model:9}", ", ".join(f"{name} {rate:5.1f} %" for name, rate in rates.items()))
    if features == "softmax":
        seen = rates["like members"] - rates["like others"]
        assert seen > 90 if attack_model == "mlp" else abs(seen) < 20

# %% [markdown]
# The logits are another matter: their sum moves with sureness here, and a linear attack reads the sum. That is an accident of
# these logits, since a model may add any constant to all of them.
#
# So the paper's number depends on a choice that it does not state. Its own rates, far apart for members and forgotten images
# of Retrain, cannot come from an attack that is blind. We show all four readings, and let calibration say which to believe.

# %% [markdown] tags=["exercise:14-1"]
# ### Exercise 14-1 · Give the linear attack eyes
#
# *Implement · difficulty 2 of 5 · importance 4 of 5 · 15 minutes*
#
# Write `seeing(logits)` that returns an array (n, d) of features, made of the softmax alone, with which a *linear*
# attack tells the two kinds of outputs above apart. Do not sort.
#
# <details><summary>Hint 1</summary>
#
# One number is enough.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Which function of $p$ is the same at every corner and another one in the middle?
#
# </details>
#
# **Expect**: above ninety per cent of the members, and few of the others.


# %% tags=["solution:14-1"]
def seeing(logits):
    """Features (n, d) of the softmax, as an array, with which a linear attack can see; logits (n, classes)."""
    ### BEGIN SOLUTION
    p = logits.double().softmax(dim=1)
    return p.square().sum(dim=1, keepdim=True).numpy()
    ### END SOLUTION


seeing = exercises.check("14-1", seeing)
x = np.concatenate([seeing(sure(500, 0.95, 0)), seeing(sure(500, 0.6, 1))])
linear = LogisticRegression().fit(x, np.repeat([1, 0], 500))
found = {name: 100 * linear.predict(seeing(logits)).mean() for name, logits in like.items()}
print({name: f"{rate:.1f} %" for name, rate in found.items()})
assert found["like members"] > 90 > 10 > found["like others"]

# %% [markdown]
# ## Calibrate first
#
# The rule of this book, in points above the rate of unseen images on the **original**:
#
# 1. *power*: held-out members must stand at least ten points above. Else the attack is too weak to tell members from non-members;
# 2. forgotten images must stand at least half as high as held-out members. Else it calls members non-members.
#
# An attack that fails is marked **broken** below its table, and the rows of that table mean nothing.

# %% tags=["nbval-check-output"]
for forgotten, held_out in ((52, 55), (3, 4), (12, 55)):
    print(calibration_verdict(forgotten, held_out).words)

# %% [markdown]
# And the goal is not zero. The paper marks Table 4 "the lower the better". But Retrain itself is well above zero there, and a
# method *below* Retrain has made the forgotten images stranger than unseen ones. That is *over-forgetting*: the images stand
# out again, on the other side. So we report the distance to Retrain, seed by seed. Here is the paper's own table, read that
# way.

# %%
architectures = ["resnet18", "resnet34", "resnet50", "resnet101", "vit_small"]
methods = ["contrastive", "finetune", "gradient_ascent", "fisher", "lcodec"]
figure = go.Figure()
for method in methods:
    gap = [TABLE_4.cells[(a, method)][0] - TABLE_4.cells[(a, "retrain")][0] for a in architectures]
    figure.add_bar(x=architectures, y=gap, name=figures.LABELS[method], marker_color=figures.COLOURS[method])
figures.style(figure, "architecture", "member rate minus Retrain's (points)")
ours = {a: TABLE_4.cells[(a, "contrastive")][0] - TABLE_4.cells[(a, "retrain")][0] for a in architectures}
figures.show(
    figure,
    "The paper's Table 4 as distances to Retrain: member rate of forgotten images minus Retrain's. Zero is the goal; bars below it have over-forgotten.",
    "Grouped bars for five architectures. Contrastive unlearning: "
    + ", ".join(f"{a} {gap:+.1f}" for a, gap in ours.items())
    + ".",
)
spreads = math.hypot(TABLE_4.cells[("resnet34", "contrastive")][1], TABLE_4.cells[("resnet34", "retrain")][1])
print(
    f"ResNet-34: {ours['resnet34']:+.1f} points, {abs(ours['resnet34']) / spreads:.0f} times the two spreads together"
)
assert ours["resnet34"] < -5 * spreads

# %% [markdown]
# For ResNet-34 the paper's contrastive row lies below its Retrain by many times their spread. By "lower is better" this is
# the best cell of the table. By distance it has over-forgotten.
#
# ## Table 4 on the digits
#
# Now live: each method with the settings of its recorded search, three seeds, each paired with the Retrain of its seed.
# Gradient ascent's many stop checks and LCODEC's loops are slow; these two are in the recorded tables below only. `report_of`
# runs every attack that needs one model alone.

# %%
names = ["contrastive", "finetune", "fisher", "scrub", "neggrad_plus", "ssd", "salun"]
if lab.profile.name == "smoke":
    names = ["contrastive"]
settings = {name: arena.settings_of(lab, "samples", name) for name in names}
reports = {name: {} for name in ("original", "retrain", *names)}
for position in range(len(arena.seeds_of(lab, "samples"))):
    s = lab.seed + position
    its_task, whole = lab.sample_task(s), lab.original(s).model
    its_sets = attack_sets(its_task, s)
    for name in reports:
        if name in ("original", "retrain"):
            net = whole if name == "original" else lab.retrained(its_task, s).model
        else:
            net = unlearn(name, whole, its_task, settings[name], s).model
        heard = said[name] if s == lab.seed and name in said else attack_outputs(net, its_sets)
        reports[name][s] = report_of(heard, s)
        if s == lab.seed:
            said[name] = heard
display(Markdown(verification_tables.member_table(reports)))

# %% [markdown]
# The line below the table judges the attack. Now the same table with the attack model that can see.

# %%
display(Markdown(verification_tables.member_table(reports, "softmax, mlp")))
read = attack_reports.rate_reader("softmax, mlp")
gaps = {name: mean_interval(attack_reports.gaps_to_retrain(reports, name, read)) for name in ("original", *names)}
figures.show(
    figures.bars({name: (i.mean, i.half) for name, i in gaps.items()}, "member rate minus Retrain's (points)"),
    "Distance to Retrain on the forgotten digits, attack model with a hidden layer: mean and 95 % interval over seeds, no bar where there is one seed. Zero is the goal.",
    "Bar chart: " + ", ".join(f"{figures.LABELS[name]} {i.mean:+.0f}" for name, i in gaps.items()) + ".",
)

# %% [markdown]
# Three seeds give wide intervals, and the digits are few. "Not told apart" means what it says: *this* attack on *this* many
# images found no difference. Every attack on every model, with its verdict:

# %%
display(Markdown(verification_tables.overview_table(reports)))

# %% [markdown] tags=["exercise:14-2"]
# ### Exercise 14-2 · A perfect score
#
# *Criticise · difficulty 2 of 5 · importance 5 of 5 · 15 minutes*
#
# "The lower the member rate on forgotten images, the better." Write `perfect(model)` that returns a copy of the
# original whose member rate on forgotten images is as low as that of unseen ones, without touching the encoder. Nothing
# is forgotten.
#
# <details><summary>Hint 1</summary>
#
# An attack reads only what the model says.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# What does a head of zeros say?
#
# </details>
#
# **Expect**: the same rate for all three targets. The held-out members give the trick away: they should be recognised,
# as they are for Retrain.


# %% tags=["solution:14-2"]
def perfect(model):
    """A copy of the model that no attack on its answers can read, with the same encoder."""
    ### BEGIN SOLUTION
    silent = copy.deepcopy(model)
    with torch.no_grad():
        silent.head.weight.zero_()
        silent.head.bias.zero_()
    return silent
    ### END SOLUTION


perfect = exercises.check("14-2", perfect)
mute = attack_report(perfect(original), task, lab.seed)["member_rates"]["softmax, mlp"]
print({name: f"{rate:.0f} %" for name, rate in mute.items()})
assert abs(mute["forgotten"] - mute["unseen"]) < 5

# %% [markdown]
# ## Tables 4 and 19: CIFAR-10 and SVHN
#
# Recorded runs that carry an attack report: CIFAR-10 at the paper's size (profile paper) beside the paper's numbers, and the digits.
# The tables say how many seeds each row has. Where none is recorded, one line says so. On CIFAR-10 LCODEC forgets fewer images
# than the others, so its row has no distance to their Retrain. In these tables ± is the standard deviation over seeds, as in the
# paper. *Remembers* and *over-forgets* go by the 95 % interval of the mean gap, which for three seeds is two and a half times as
# wide.

# %%
tables = {}
for size, data in (("paper", "cifar10"), ("laptop", "cifar10"), ("laptop", "digits")):
    recorded = attack_reports.recorded_reports(data, "samples", size)
    display(Markdown(f"**{data}, forgetting samples, profile {size}**"))
    if not {"original", "retrain"} <= recorded.keys():
        print(verification_tables.NONE_RECORDED)
        continue
    tables[size, data] = recorded
    for variant in ("softmax, logistic", "softmax, mlp"):
        display(Markdown(f"Attack: {variant}"))
        paper_model = "resnet18" if data == "cifar10" else None
        display(Markdown(verification_tables.member_table(recorded, variant, paper_model)))
    display(Markdown(verification_tables.overview_table(recorded)))
    display(Markdown(verification_tables.power_table(recorded)))

# %% [markdown]
# Which reading of the paper's attack is the paper's? It cannot be known, but the rows can be compared: for each reading, the
# mean distance of our Retrain row to the paper's, over forgotten images and held-out members.

# %%
if ("paper", "cifar10") in tables:
    row, goal = tables["paper", "cifar10"]["retrain"].values(), TABLE_4.cells[("resnet18", "retrain")]
    apart = {}
    for variant in next(iter(row))["member_rates"]:
        read = attack_reports.rate_reader(variant)
        means = [mean_interval([read(r, target) for r in row]).mean for target in ("forgotten", "held_out")]
        apart[variant] = (abs(means[0] - goal[0]) + abs(means[1] - goal[2])) / 2
        print(
            f"{variant:26} {means[0]:5.1f} and {means[1]:5.1f} %, {apart[variant]:5.1f} points from the paper's Retrain"
        )
    assert apart["softmax, mlp"] < 10 < apart["softmax, logistic"]

# %% [markdown]
# An attack that can see how sure a model is comes near to the paper's Retrain; the linear reading of the softmax does not. So
# the paper's attack model was probably not linear, or its outputs were sorted.
#
# The paper attacks forgotten samples only. For a forgotten *class* a trained attack meets outputs that it was never taught:
# no member of that class trains it. What does it say of the original?

# %%
of_class = attack_reports.recorded_reports("cifar10", "class", "paper")
display(Markdown("**cifar10, forgetting a class, profile paper**"))
display(Markdown(verification_tables.member_table(of_class, "softmax, mlp")))
display(Markdown(verification_tables.overview_table(of_class)))
display(Markdown("AUC of the loss, forgotten training images against unseen images of the same class:"))
display(Markdown(verification_tables.power_table(of_class)))
display(Markdown("**Table 19, SVHN: member rate in percent, the paper's and ours**"))
display(Markdown(verification_tables.table_19()))
print(verification_tables.paper_source())

# %% [markdown]
# ## Scores that need no training
#
# An attack model is one way to turn an output into a verdict. A *score* is simpler: a number for each image, higher for
# members, and a threshold. Four are common, all from one output $p$ and the true label $y$:
#
# - **loss**: $\log p_y$ (Yeom et al. 2018);
# - **confidence**: $\max_k p_k$, and **entropy**: $\sum_k p_k \log p_k$; neither looks at the label (Salem et al. 2019);
# - **modified entropy** (Song and Mittal 2021), which does:
#
# $$
# -\text{Mentr}(p, y) = (1 - p_y) \log p_y + \sum_{k \neq y} p_k \log (1 - p_k) .
# $$
#
# A sure and wrong answer has the entropy of a sure and right one. Its modified entropy is large. The package computes
# $\log(1-p)$ from logits, as the log-sum of the other classes. From a softmax that has been rounded to 1 the result would be
# infinite.


# %% tags=["nbval-check-output"]
def modified(p, y):
    """Minus the modified entropy of one prediction, by the formula."""
    wrong = sum(p[k] * math.log(1 - p[k]) for k in range(len(p)) if k != y)
    return (1 - p[y]) * math.log(p[y]) + wrong


for label in (0, 1):
    p = [0.9, 0.06, 0.04]
    packaged = modified_entropy_score(torch.tensor([p], dtype=torch.float64).log(), torch.tensor([label])).item()
    print(f"label {label}: {modified(p, label):.4f}")
    assert abs(packaged - modified(p, label)) < 1e-12
sharp = modified_entropy_score(torch.tensor([[200.0, 0.0, 0.0]]), torch.tensor([1])).item()
print(f"where the softmax rounds to 1: {sharp:.1f}")

# %%
scores = {
    name: {key: loss_score(logits, of.labels[key]).numpy() for key, logits in of.targets.items()}
    for name, of in said.items()
}
for name in ("original", "retrain"):
    groups = {"retained (train)": "held_out", "forgotten (forget)": "forgotten", "unseen (test)": "unseen"}
    phi = {label: logit_score(said[name].targets[key], said[name].labels[key]).numpy() for label, key in groups.items()}
    figures.show(
        figures.histograms(phi, "log-odds of the true label, log p/(1-p)", bins=20),
        f"{figures.LABELS[name]}: how sure the model is of the true label. Forgotten images lie with the retained ones in the original; in Retrain they should lie with the unseen ones.",
        "Histograms of the log-odds; medians: "
        + ", ".join(f"{label} {np.median(value):.1f}" for label, value in phi.items())
        + ".",
    )

# %% [markdown]
# ## An average hides the few
#
# The area under the ROC curve, AUC, is the chance that a random member scores above a random non-member. It is an average,
# and privacy is about the few: an attack that names one person in a hundred with certainty does harm at an AUC near one half
# (Carlini et al. 2022). So we also report the **true-positive rate at 1 % false positives**: allow one false alarm in a
# hundred, set the threshold there, and count. The bracket is Clopper and Pearson's interval, exact for a share of so many
# images at a given threshold. A low rate needs many non-members: with fewer, not one may be a false alarm, and the package
# refuses.


# %%
def tpr(members, non_members, rate):
    """Set the threshold so that at most `rate` of the non-members lie above; count the members above."""
    allowed = math.floor(rate * len(non_members) + 1e-9)
    threshold = sorted(non_members, reverse=True)[allowed]
    return sum(score > threshold for score in members) / len(members)


of = scores["original"]
for rate in (0.01, 0.1):
    if len(of["unseen"]) >= needed_non_members(rate):
        packaged = tpr_at(of["held_out"], of["unseen"], rate)
        print(f"held-out members of the original at {100 * rate:g} % false positives: {packaged}")
        assert packaged.value == tpr(of["held_out"], of["unseen"], rate)
for rate in (0.01, 0.001):
    print(f"{100 * rate:g} % false positives: at least {needed_non_members(rate)} non-members")
try:
    tpr_at([1.0], np.arange(129.0), 0.001)
except ValueError as error:
    print(error)

# %%
figure = go.Figure()
for name in [name for name in ("original", "contrastive", "retrain") if name in scores]:
    of = scores[name]
    thresholds = np.sort(of["unseen"])[::-1]
    figure.add_scatter(
        x=100 * np.arange(1, len(thresholds) + 1) / len(thresholds),
        y=[100 * float((of["forgotten"] >= t).mean()) for t in thresholds],
        mode="lines",
        name=figures.LABELS[name],
        line={"color": figures.COLOURS[name]},
    )
figure.add_scatter(x=[0.1, 100], y=[0.1, 100], mode="lines", name="chance", line={"dash": "dot", "color": figures.GREY})
figures.style(figure, "false positives: unseen images above the threshold (%)", "forgotten images above it (%)")
figure.update_xaxes(type="log")
areas = {name: auc(scores[name]["forgotten"], scores[name]["unseen"]) for name in scores}
figures.show(
    figure,
    "ROC curves of the loss on one seed's forgotten images, false positives on a logarithmic axis, so that the left end can be seen. Retrain's should follow chance, give or take the few images.",
    "ROC curves; AUC: " + ", ".join(f"{figures.LABELS[name]} {found}" for name, found in areas.items()) + ".",
)

# %% [markdown]
# ## Those who stay
#
# Unlearning changes the model for everybody. Does it expose the images that *stay*? The right half of the next table is the
# AUC of retained images against unseen ones, and its change against the original. More than zero: they leak more than before
# (Hayes et al. 2024 found that this happens).

# %%
display(Markdown(verification_tables.power_table(reports)))

# %% [markdown]
# A threshold asks whether a model is *very* sure. This architecture bounds its logits, since embeddings have length one: a
# trained image can be sure only up to a limit, and some unseen images come as near to it. An attack model with a hidden layer
# may learn a whole shape of outputs; compare the powers in the overview above.

# %% [markdown] tags=["exercise:14-3"]
# ### Exercise 14-3 · Both sides
#
# *Implement · difficulty 3 of 5 · importance 4 of 5 · 15 minutes*
#
# Over-forgotten images score *below* unseen ones, and an AUC below one half looks like privacy. Write
# `strangeness(scores, known)` that turns scores into new ones that are high on both sides: far above *or* far below
# what is usual among `known` unseen scores.
#
# <details><summary>Hint 1</summary>
#
# Subtract the median of `known`.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Then the sign does not matter.
#
# </details>
#
# **Expect**: on the made-up scores below, an AUC well above one half where the plain one is below.


# %% tags=["solution:14-3"]
def strangeness(scores, known):
    """New scores (n,) that are high far above and far below what is usual among `known` (m,); arrays."""
    ### BEGIN SOLUTION
    return np.abs(scores - np.median(known))
    ### END SOLUTION


strangeness = exercises.check("14-3", strangeness)
draw = np.random.default_rng(0)
unseen, known, over = draw.normal(0, 1, 500), draw.normal(0, 1, 500), draw.normal(-2, 1, 200)
print("plain", auc(over, unseen), " both sides", auc(strangeness(over, known), strangeness(unseen, known)))
assert auc(over, unseen).high < 0.5 < 0.7 < auc(strangeness(over, known), strangeness(unseen, known)).low

# %% [markdown]
# ## Shadow models
#
# All attacks so far ask one question of all images: is the answer sure? But some images are easy, and every model is sure of
# them, trained or not. To judge *one* image one has to know how models treat it when they were trained on it, and when not.
# So train many **shadow models** on random halves of the data: every image is in half of them.
#
# Many small models at once: `torch.func` can stack their weights and run one step of all of them under `vmap`, BatchNorm's
# statistics included. Is that faster than one after the other? Measured here, a small case, and in the record, eight models
# of the real size.

# %%
pool = replace(lab.dataset, train=lab.dataset.train.first(24))
tiny = ShadowSettings(
    shadows=12,
    forgotten=6,
    width=4,
    training=TrainSettings(epochs=3, batch_size=12, precision="float32"),
    validation=20,
    population=20,
    methods=("contrastive",),
)
trained, forgets = shadow_design(len(pool.train), tiny.shadows, tiny.forgotten)
config = replace(lab.profile.config(len(pool.classes)), width=tiny.width)
took = training_seconds(config, pool.train, trained, tiny.training, repeats=1)
print(f"here, {tiny.shadows} tiny models, seconds an epoch:", {way: round(s, 2) for way, s in took.items()})
timing = shadow_folder("laptop") / f"{lab.profile.dataset}-timing.json"
if timing.exists():
    told = json.loads(timing.read_text(encoding="utf-8"))
    rounded = {way: round(s, 2) for way, s in told["seconds_an_epoch"].items()}
    print(f"in the record, {told['models']} models on {told['device']}:", rounded)
faster = min(took, key=took.get)
assert (trained.sum(dim=0) == tiny.shadows // 2).all()
assert (forgets.sum(dim=0) == tiny.shadows * tiny.forgotten // len(pool.train)).all()

# %% [markdown]
# Both ways take the same steps; a test holds their weights together. On a CPU a stack saves little, since a step is mostly
# arithmetic. A GPU that waits for work is another case. The recording trained them in the way that was faster on its machine.
#
# **Shokri's attack** (2017), which the paper cites, is this: shadow models teach *one attack model a class*. Within a class
# the true label is always at the same place, so even a linear attack sees it. The paper's attack is not Shokri's: it has no
# shadow model and one attack model for all classes.
#
# ## LiRA and U-LiRA
#
# Let $\varphi = \log \frac{p_y}{1 - p_y}$ be a model's log-odds for an image. Over shadow models trained *on* $x$ it is about
# normal, and over those trained *without* $x$ too. **LiRA** (Carlini et al. 2022) compares the two likelihoods, image by
# image:
#
# $$
# \Lambda(x) = \log \mathcal{N}\big(\varphi;\, \mu_A(x), \sigma_A^2\big) - \log \mathcal{N}\big(\varphi;\, \mu_B(x), \sigma_B^2\big) .
# $$
#
# **U-LiRA** asks the question of this book. $A$: models that learned $x$ and then *unlearned* it. $B$: models that never trained on $x$, and unlearned
# something else. If a method works, $A$ and $B$ are the same, and no attack can beat chance. Note that $A$ may lie on either
# side of $B$: over-forgetting is seen too. With few models in $A$ one spread is pooled over all images.


# %%
def u_lira(phi, references, a, b):
    """Log ratio of two normals for each image, spreads pooled over images; a, b: bool (models, images)."""
    score = 0
    for mask, sign in ((a, 1), (b, -1)):
        mean = np.where(mask, references, 0).sum(axis=0) / mask.sum(axis=0)
        squares = np.where(mask, (references - mean) ** 2, 0).sum()
        score = score + sign * stats.norm.logpdf(phi, mean, math.sqrt(squares / (mask.sum(axis=0) - 1).sum()))
    return score


def rmia(phi, references, a, b, z, z_references):
    """The share of population images that x beats, each measured against its own average over models."""
    p, p_known, q, q_known = (1 / (1 + np.exp(-np.asarray(v))) for v in (phi, references, z, z_references))
    mean = [np.where(mask, p_known, 0).sum(axis=0) / mask.sum(axis=0) for mask in (a, b)]
    ratio, z_ratio = p / (sum(mean) / 2), q / q_known.mean(axis=0)
    return (ratio[:, None] / z_ratio >= 1).mean(axis=1)


draw = np.random.default_rng(1)
phi, references = draw.normal(0, 2, 7), draw.normal(0, 2, (10, 7))
a = np.arange(10)[:, None] < 4
a, b = np.repeat(a, 7, axis=1), np.repeat(~a, 7, axis=1)
z, z_references = draw.normal(0, 2, 30), draw.normal(0, 2, (10, 30))
assert np.allclose(u_lira(phi, references, a, b), gaussian_scores(phi, references, a, b, spread="shared"))
assert np.allclose(rmia(phi, references, a, b, z, z_references), rmia_scores(phi, references, a, b, z, z_references))
print("both equal the package's on random numbers")

# %% [markdown]
# **RMIA** (Zarifzadeh et al. 2024) needs fewer models. It asks whether $x$ gained more from this model than population images
# $z$ did, each measured by its average over models: the share of $z$ with $\frac{p(x|\theta)/p(x)}{p(z|\theta)/p(z)} \ge 1$.
#
# The whole experiment at a size that runs while you read: twelve models, each of which learns half of a few images and
# unlearns some. Too small to say anything, but every step is there.

# %%
methods = {"contrastive": ContrastiveSettings(max_rounds=1, batch_size=6, omega=2)}
originals = TRAINERS[faster](config, pool.train, trained, tiny.training, lab.seed)
small = gather([shadow_run(pool, k, net, tiny, methods) for k, net in enumerate(originals)])
for stage in small.phi:
    found = auc(*shadow_attacks.u_lira(small, stage))
    print(f"{figures.LABELS[stage]:12} U-LiRA's AUC {found}")
    assert 0 <= found.low <= found.value <= found.high <= 1

# %% [markdown]
# ## The recorded shadow models
#
# At a real size: every shadow model learns half of the training digits and forgets a fifth of its half, with each method in
# turn. Then every model is attacked with all others but its partner, which was trained on the other half. Its forgotten
# images are to be told from images that it never saw. For the original stage U-LiRA is LiRA. **Retrain must be at chance**;
# it checks the whole construction, and where it is not, or where the original is not above it, the cell fails. The intervals
# take all scores as independent. They are not quite, since the same image is scored for many models: read them as a lower limit
# of the doubt.

# %%
try:
    records = read_shadows("laptop", lab.profile.dataset)
except DataFileError as error:
    records = None
    print(f"no shadow models are recorded for {lab.profile.dataset}: {error}")
if records:
    about = records.about["settings"]
    print(
        f"{len(records.trained)} shadow models of width {about['width']}, each trained on {records.trained.sum(axis=1)[0]} of "
        f"{records.trained.shape[1]} images; it forgets {about['forgotten']}, and each image is forgotten by {records.forgets.sum(axis=0)[0]} models"
    )
    print(f"{records.about['device']}, {records.about['cpu_seconds'] / 60:.0f} CPU minutes for the methods and Retrain")
    print(
        "LiRA on the shadow models as trained, all members against all others: AUC",
        auc(*shadow_attacks.lira_power(records)),
    )
    display(Markdown(shadow_attacks.shadow_table(records)))
    by_stage = {stage: auc(*shadow_attacks.u_lira(records, stage)) for stage in records.phi}
    assert abs(by_stage["retrain"].value - 0.5) < 0.06, "Retrain has to be at chance"
    assert by_stage["original"].low > by_stage["retrain"].high, "the attack has to find what was not forgotten"
    assert by_stage["contrastive"].high > by_stage["original"].low, "not known to lie below the original"
    assert by_stage["scrub"].high < by_stage["contrastive"].low, "SCRUB is nearer to Retrain"
    figure = go.Figure()
    for position, (name, function) in enumerate(shadow_attacks.SHADOW_ATTACKS.items()):
        areas = {stage: auc(*function(records, stage)) for stage in records.phi}
        figure.add_scatter(
            x=[figures.LABELS[stage] for stage in areas],
            y=[found.value for found in areas.values()],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [found.high - found.value for found in areas.values()],
                "arrayminus": [found.value - found.low for found in areas.values()],
            },
            mode="markers",
            marker={"size": 10, "symbol": ("circle", "square", "diamond")[position]},
            name=name,
        )
    figure.add_hline(y=0.5, line={"dash": "dot", "color": figures.GREY})
    figures.style(figure, "what the model went through", "AUC, forgotten against never trained on")
    figures.show(
        figure,
        "Three attacks on the same models. One half is chance, and Retrain lies there. A threshold and RMIA fall below it where a method over-forgets; U-LiRA turns that into a hit.",
        "Dot plot of AUC; U-LiRA: "
        + ", ".join(f"{figures.LABELS[s]} {found.value:.2f}" for s, found in areas.items())
        + ".",
    )

# %% [markdown]
# Shokri's attack on the same models: one attack model a class, taught by the shadow models of the other pairs as they were
# before unlearning.

# %%
if records:
    lines = ["| stage | called members, forgotten (%) | never trained on (%) |", "|---|---|---|"]
    for stage, (gone, never) in shadow_attacks.shokri_rates(records).items():
        lines.append(f"| {figures.LABELS[stage]} | {gone:.1f} | {never:.1f} |")
    display(Markdown("\n".join(lines)))

# %% [markdown]
# ## Where the attack finds something
#
# Most images teach a model nothing that others do not teach it as well; forgetting those is easy. The shadow models tell how
# much an image's *own* presence matters: its mean $p_y$ in models that had it minus that in models that had not. We sort the
# images by this effect into thirds and attack each third alone. (Chapter 15 forgets sets that were chosen by memorisation.)

# %%
if records:
    figure = go.Figure()
    for stage in records.phi:
        thirds = shadow_attacks.graded(records, stage)
        figure.add_scatter(
            x=["least", "middle", "most"],
            y=[found.value for found in thirds],
            mode="lines+markers",
            name=figures.LABELS[stage],
            line={"color": figures.COLOURS[stage]},
        )
        print(f"{figures.LABELS[stage]:16}", "   ".join(str(found) for found in thirds))
    figure.add_hline(y=0.5, line={"dash": "dot", "color": figures.GREY})
    figures.style(figure, "forgotten images by the effect of their own presence", "AUC of U-LiRA")
    figures.show(
        figure,
        "U-LiRA on thirds of the images. A method that fails, fails where an image's own presence mattered most.",
        "Line plot of U-LiRA's AUC for each stage over thirds by the effect of presence; values are printed above.",
    )

# %% [markdown] tags=["exercise:14-4"]
# ### Exercise 14-4 · How many shadow models?
#
# *Measure · difficulty 3 of 5 · importance 3 of 5 · 20 minutes*
#
# A made-up image: $\varphi$ has spread 1, and mean 1 under $A$ and 0 under $B$. Write `area(count)` that estimates
# U-LiRA's AUC if both means are estimated from `count` models each (the spread is known to be 1).
#
# <details><summary>Hint 1</summary>
#
# Draw both means with spread $1/\sqrt{\text{count}}$, and many values of $\varphi$ from each kind.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# The log ratio is linear in $\varphi$ with slope $\hat\mu_A - \hat\mu_B$.
#
# </details>
#
# **Expect**: the best possible AUC is $\Phi(1/\sqrt 2)$; three models lose part of it, fifty almost nothing.


# %% tags=["solution:14-4"]
def area(count):
    """U-LiRA's AUC on the made-up image with both means estimated from `count` models; simulate 10,000 or more."""
    ### BEGIN SOLUTION
    draw = np.random.default_rng(0)
    images = 10_000
    mean_a = draw.normal(1, 1 / math.sqrt(count), images)
    mean_b = draw.normal(0, 1 / math.sqrt(count), images)

    def score(phi):
        return (phi - mean_b) ** 2 / 2 - (phi - mean_a) ** 2 / 2

    return auc(score(draw.normal(1, 1, images)), score(draw.normal(0, 1, images))).value
    ### END SOLUTION


area = exercises.check("14-4", area)
limit = stats.norm.cdf(1 / math.sqrt(2))
print({count: round(area(count), 3) for count in (2, 3, 10, 50)}, f"limit {limit:.3f}")
assert area(2) < area(10) < limit + 0.01

# %% [markdown]
# ## What we showed, and what we did not
#
# - The paper's attack in its plainest reading, linear in the softmax, cannot see how sure a model is: by algebra, on made-up
#   outputs, and in the tables above, where its verdict stands below each. Sorted probabilities or a hidden layer can, and
#   at the paper's size their rates for Retrain come near to the paper's.
# - Samples at the paper's size: in both of these readings contrastive unlearning has the lowest rate of the methods that keep their
#   accuracy, and it lies within a few points of Retrain's; so do the threshold scores. Here the paper's Table 4 holds. Lowest is
#   not always best: where it lies below Retrain's, the table calls it over-forgetting.
# - For a forgotten class a trained attack has seen no member of that class, and the tables mark it as broken. A score against
#   unseen images of the same class still works.
# - Retrain, not zero, is the goal. The paper's own Table 4 has a cell that is best by "lower is better" and over-forgotten by
#   distance.
# - Every attack is judged on the original before it is believed. The rule's ten points are a choice, made for the number of
#   images here.
# - For a class, contrastive unlearning is found from both sides at the paper's size: by the loss the forgotten images still look
#   like members, and the model's confidence on them lies far below Retrain's. Both tell that something was removed. By the loss,
#   gradient ascent, UNSIR, Boundary Shrink and SCRUB are not told from Retrain there, but three seeds leave SCRUB's gap at
#   3.7 ± 11.3 points, and by the entropy it over-forgets a little. Of the four, SCRUB alone keeps Retrain's accuracy.
# - U-LiRA, LiRA, RMIA and Shokri's attack agree with direct computations. On the recorded shadow models Retrain is at chance and the
#   original well above it, so distances between methods mean something. By U-LiRA contrastive unlearning leaves the forgotten
#   digits almost as exposed as they were: its interval meets the original's. SCRUB comes nearest to Retrain. What is found lies
#   in the third of the images whose own presence mattered most. All this is for the digits alone, with narrow models trained on
#   halves, settings that were searched for a wider model, and one size of the forget set.
# - An attack that finds nothing proves nothing: a better one may come. Chapter 15 looks inside the representation instead.
# - SVHN was not run. Table 19 has the paper's surviving cells and says so.
#
# ## References
#
# - Contrastive Unlearning, 2024, sections 5.1 and 5.3, Tables 4 and 19. [arXiv:2401.10458](https://arxiv.org/abs/2401.10458)
# - Shokri, Stronati, Song, Shmatikov, *Membership Inference Attacks Against Machine Learning Models*, IEEE S&P 2017.
#   [arXiv:1610.05820](https://arxiv.org/abs/1610.05820)
# - Yeom, Giacomelli, Fredrikson, Jha, *Privacy Risk in Machine Learning: Analyzing the Connection to Overfitting*, CSF 2018.
#   [arXiv:1709.01604](https://arxiv.org/abs/1709.01604)
# - Salem, Zhang, Humbert, Berrang, Fritz, Backes, *ML-Leaks*, NDSS 2019. [arXiv:1806.01246](https://arxiv.org/abs/1806.01246)
# - Song, Mittal, *Systematic Evaluation of Privacy Risks of Machine Learning Models*, USENIX Security 2021.
#   [arXiv:2003.10595](https://arxiv.org/abs/2003.10595)
# - Carlini, Chien, Nasr, Song, Terzis, Tramèr, *Membership Inference Attacks From First Principles*, IEEE S&P 2022.
#   [arXiv:2112.03570](https://arxiv.org/abs/2112.03570)
# - Kurmanji, Triantafillou, Hayes, Triantafillou, *Towards Unbounded Machine Unlearning*, NeurIPS 2023.
#   [arXiv:2302.09880](https://arxiv.org/abs/2302.09880)
# - Hayes, Shumailov, Triantafillou, Khalifa, Papernot, *Inexact Unlearning Needs More Careful Evaluations to Avoid a False Sense of Privacy*,
#   SaTML 2025. [arXiv:2403.01218](https://arxiv.org/abs/2403.01218)
# - Zarifzadeh, Liu, Shokri, *Low-Cost High-Power Membership Inference Attacks*, ICML 2024. [arXiv:2312.03262](https://arxiv.org/abs/2312.03262)
