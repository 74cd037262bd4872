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
# # 18 · Capstone: test a claim yourself
#
# You pick one of the paper's claims, say beforehand what would count as evidence, run it, and report what came out.

# %% [markdown]
# **What you will learn**
#
# - how to turn a sentence of a paper into a difference that can be measured;
# - why the rule of decision is written before the first run, and how a seal keeps it;
# - how a claim of *difference* and a claim of *sameness* are tested;
# - how to report so that others can judge.
#
# **Before you start**: chapters 01 and 05. Each claim below names the chapter whose tools it needs.
#
# | device | time of this chapter at profile laptop, digits |
# |---|---|
# | laptop CPU, 2 cores | a few minutes, an estimate |
# | T4-class GPU | a few minutes, an estimate |
# | large GPU | a minute or two, an estimate |

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
from dataclasses import replace

from IPython.display import Markdown, display

from cu_helpers import arena, capstone, exercises, figures, notebook
from cu_helpers.capstone import Plan
from cu_helpers.training import accuracy
from cu_helpers.unlearning import Stopping, unlearn

lab = notebook.setup(profile, dataset, model, seed)

# %% [markdown]
# ## The claims
#
# Each of these is a sentence of the paper in other words. The last column says what a test would take at profile laptop on the
# digits. On CIFAR-10 with a GPU multiply the minutes by ten or more.
#
# | | the claim | where | a difference that would show it | tools, and minutes |
# |---|---|---|---|---|
# | A | Contrastive unlearning comes nearer to Retrain on forgotten samples than finetuning. | Table 3 | distance to Retrain, finetune minus contrastive | `unlearn`, `evaluate`; 5 |
# | B | The same for any other baseline, such as SCRUB or gradient ascent. | Tables 1 to 3 | the same with that baseline | chapters 08 to 13; 5 to 20 |
# | C | The temperature hardly matters. | Table 12 | test accuracy at two temperatures | `replace(settings, temperature=...)`; 5 |
# | D | More retained batches for each forget batch help. | Fig. 3 | accuracy kept at a large and a small $\omega$ | `replace(settings, omega=...)`; 5 |
# | E | A queue mends small batches. | Table 14 | spread or gap with and without it | chapter 06; 10 |
# | F | Forgotten images end up like unseen ones in the embedding. | Fig. 1, section 1 | distance of two distributions, minus Retrain's | chapters 02 and 15; 10 |
# | G | An attacker no longer recognises the forgotten images. | Table 4 | member rate, minus Retrain's | chapter 14; 15 |
# | H | The classification term keeps the accuracy. | Eq. 7 | accuracy kept with $\lambda_{CE} = 1$ and $0$ | `replace(settings, lambda_ce=0.0)`; 5 |
# | I | Any class can be forgotten equally well. | Table 9 | the gap of one class minus that of another | `forget_class`; 10 |
#
# A good choice is one whose outcome you do not know. If you think that you know it, write the number down, and see.

# %% [markdown]
# ## Before you run
#
# A result that is looked at first and explained later can support anything. So the plan comes first. It answers six questions:
#
# 1. **Claim**: what is said, and where?
# 2. **Measure**: which *one* difference, in which unit, do you take from each seed? Choose its sign so that the claim says
#    "above".
# 3. **Prediction and margin**: above which value must it lie to matter? Or, for a claim that something makes *no* difference,
#    within which margin?
# 4. **Seeds**: which, and how many? All of them will be reported.
# 5. **Control**: which comparison must come out, if your measure can tell anything at all?
# 6. **Against**: what would make you give the claim up?
#
# The runs are paired: a seed has its own original model, its own forgotten samples and its own Retrain, and the difference is taken
# within the seed. The rule looks at the 95 % interval of the mean difference (chapter 01), never at the mean alone.
#
# | the claim says | supported if the whole interval | refuted if the whole interval | else |
# |---|---|---|---|
# | above the margin $m$ | lies above $m$ | lies below $m$ | undecided |
# | within $\pm m$ | lies inside $(-m, m)$ | lies outside | undecided |
#
# "Undecided" is a result. It says that so few runs cannot tell. It is never "no difference".

# %% [markdown] tags=["exercise:18-1"]
# ### Exercise 18-1 · The rule in code
#
# *Implement · difficulty 1 of 5 · importance 5 of 5 · 5 minutes*
#
# Write `verdict(low, high, margin)` for a claim of the first kind, from the two ends of the interval: `"supported"`, `"refuted"` or
# `"undecided"`.
#
# <details><summary>Hint 1</summary>
#
# The mean of the interval plays no part.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Both ends on the same side of the margin decide. One on each side does not.
#
# </details>
#
# **Expect**: an interval from 0.2 to 0.8 refutes a claim of more than 1 point, although the difference is above zero.


# %% tags=["solution:18-1"]
def verdict(low, high, margin):
    """One of "supported", "refuted" and "undecided", for a claim that a difference exceeds margin."""
    ### BEGIN SOLUTION
    if low > margin:
        return "supported"
    if high < margin:
        return "refuted"
    return "undecided"
    ### END SOLUTION


verdict = exercises.check("18-1", verdict)
print({ends: verdict(*ends, 1.0) for ends in ((1.2, 3.0), (0.2, 0.8), (-1.0, 4.0))})

# %% [markdown]
# ## Worked example 1: a difference
#
# Claim A. The distance to Retrain on the forgotten samples is an absolute value in points. Its difference, finetune minus
# contrastive, is above zero if contrastive is nearer. One point is our margin: below that, the choice of the seed moves more
# (chapter 01).
#
# The plan is an object. Its **seal** is a hash of every letter in it. Print it, and send it to somebody before you run.

# %%
seeds = lab.profile.sample_seeds
plan_a = Plan(
    claim="A: contrastive unlearning comes nearer to Retrain on forgotten samples than finetuning (Table 3)",
    measure="distance of the accuracy on forgotten samples from Retrain's, finetune minus contrastive, in points",
    prediction="above",
    margin=1.0,
    seeds=seeds,
    control="The original is farther from Retrain than contrastive in every seed",
    against="an interval below one point",
)
seal_a = plan_a.seal
print(f"seal {seal_a}, seeds {seeds}")

# %% [markdown]
# Now the runs. Every seed gives one row, and every row is kept.

# %%
settings = {name: arena.settings_of(lab, "samples", name) for name in ("contrastive", "finetune")}
unseen = lab.dataset.test
if lab.profile.name == "smoke":  # runs of seconds, for tests
    unseen = unseen.first(300)
    settings = {name: replace(of, max_rounds=2, stopping=Stopping(rule="none")) for name, of in settings.items()}
distance = {name: {} for name in ("original", *settings)}
usual = {}
for s in seeds:
    task = lab.sample_task(s)
    goal = accuracy(lab.retrained(task, s).model, task.forget)
    nets = {"original": lab.original(s).model}
    nets |= {name: unlearn(name, nets["original"], task, of, s).model for name, of in settings.items()}
    for name, net in nets.items():
        distance[name][s] = abs(accuracy(net, task.forget) - goal)
    usual[s] = accuracy(nets["contrastive"], unseen)  # for the second example
lines = ["| seed | original | contrastive | finetune |", "|---|---|---|---|"]
lines += [f"| {s} | " + " | ".join(f"{of[s]:.1f}" for of in distance.values()) + " |" for s in seeds]
display(Markdown("Distance of the accuracy on forgotten samples from Retrain's, in points.\n\n" + "\n".join(lines)))

# %% [markdown] tags=["exercise:18-2"]
# ### Exercise 18-2 · The runs that went missing
#
# *Find the planted bug · difficulty 1 of 5 · importance 5 of 5 · 5 minutes*
#
# This function takes the differences from two dictionaries, seed to distance. The claim is supported whenever it is used. Find the
# bug and write it right.
#
# ```python
# def differences_of(ours, theirs):
#     return {seed: theirs[seed] - ours[seed] for seed in ours if theirs[seed] > ours[seed]}
# ```
#
# <details><summary>Hint 1</summary>
#
# Which seeds are in the answer, and which are not?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A run that failed, or that you do not like, is a run.
#
# </details>
#
# **Expect**: one difference for each seed, with its sign.


# %% tags=["solution:18-2"]
def differences_of(ours, theirs):
    """theirs - ours for every seed; two dictionaries seed -> distance."""
    ### BEGIN SOLUTION
    return {seed: theirs[seed] - ours[seed] for seed in ours}
    ### END SOLUTION


differences_of = exercises.check("18-2", differences_of)
difference_a = differences_of(distance["contrastive"], distance["finetune"])
print({s: round(value, 1) for s, value in difference_a.items()})
assert set(difference_a) == set(seeds)

# %% [markdown]
# The control comes first. If the original is not farther from Retrain than the unlearned model, there was nothing to forget, and
# the measure says nothing about methods.

# %%
held = sum(distance["original"][s] > distance["contrastive"][s] for s in seeds)
control_a = f"It held in {held} of {len(seeds)} seeds."
print(control_a)
limits_a = (
    f"{lab.profile.dataset}, one small model, one number of forgotten samples, settings from one search; accuracy does not "
    "see what the embeddings still hold"
)
display(Markdown(capstone.report(plan_a, seal_a, difference_a, control_a, limits_a)))

# %% [markdown]
# The report is built from the plan, so it cannot say something else than was planned. If you change a letter of the plan after
# the runs, the seal no longer fits, and `report` refuses. If you leave a seed out, `decide` refuses. Try both.

# %%
for name, attempt in {
    "a smaller margin afterwards": lambda: capstone.report(replace(plan_a, margin=0.1), seal_a, difference_a, "", ""),
    "one seed less": lambda: capstone.decide(plan_a, dict(list(difference_a.items())[1:])),
}.items():
    try:
        attempt()
    except ValueError as refused:
        print(f"{name}: {refused}")
    else:
        raise AssertionError("this should have been refused")

# %% [markdown]
# ## Worked example 2: a sameness
#
# Claim C. The paper's Table 12 has nearly the same accuracies for temperatures that differ by powers of ten. "Not significantly
# different" would be a bad test of it: with few runs nothing is significant, and a sloppy experiment would support the claim best.
# A claim of sameness needs a **margin**, and the interval has to fit inside. Wide intervals then count against you.
#
# It also needs a control that is *not* the same. A learning rate ten times the usual should change the result. If it does not,
# the measure cannot tell, and the temperature has not been tested.

# %%
plan_c = Plan(
    claim="C: the temperature hardly matters (Table 12)",
    measure="test accuracy after forgetting samples, temperature 7 minus temperature 0.07, in points",
    prediction="within",
    margin=2.0,
    seeds=seeds,
    control="A learning rate ten times the usual moves the test accuracy by more than the margin in some seed",
    against="an interval outside two points",
)
seal_c = plan_c.seal
print(f"seal {seal_c}")

# %%
base = settings["contrastive"]
variants = {
    "tau 0.07": replace(base, temperature=0.07),
    "tau 7": replace(base, temperature=7.0),
    "rate x 10": replace(base, learning_rate=10 * base.learning_rate),
}
reached = {"usual": usual} | {name: {} for name in variants}
for s in seeds:
    task = lab.sample_task(s)
    for name, of in variants.items():
        reached[name][s] = accuracy(unlearn("contrastive", lab.original(s).model, task, of, s).model, unseen)
lines = ["| seed | " + " | ".join(reached) + " |", "|---" * (len(reached) + 1) + "|"]
lines += [f"| {s} | " + " | ".join(f"{of[s]:.1f}" for of in reached.values()) + " |" for s in seeds]
display(Markdown("Test accuracy in %.\n\n" + "\n".join(lines)))

# %%
difference_c = {s: reached["tau 7"][s] - reached["tau 0.07"][s] for s in seeds}
moved = max(abs(reached["rate x 10"][s] - reached["usual"][s]) for s in seeds)
control_c = f"It moved by up to {moved:.1f} points: the control {'held' if moved > plan_c.margin else 'failed'}."
limits_c = f"{lab.profile.dataset}, two temperatures, one stop rule, which ends a run early and may hide a difference"
display(Markdown(capstone.report(plan_c, seal_c, difference_c, control_c, limits_c)))

# %%
outcomes = {"A": capstone.decide(plan_a, difference_a), "C": capstone.decide(plan_c, difference_c)}
figure = figures.lines({}, "claim", "difference (points)")
for (name, outcome), plan in zip(outcomes.items(), (plan_a, plan_c), strict=True):
    error = {"type": "data", "array": [outcome.interval.half]}
    label = f"{name}: {outcome.verdict}"
    figure.add_scatter(
        x=[name], y=[outcome.interval.mean], error_y=error, mode="markers", name=label, marker={"size": 10}
    )
    for level in (plan.margin, -plan.margin) if plan.prediction == "within" else (plan.margin,):
        figure.add_scatter(
            x=[name],
            y=[level],
            mode="markers",
            marker={"symbol": "line-ew-open", "size": 30, "color": figures.GREY},
            showlegend=False,
        )
figures.show(
    figure,
    "The two outcomes: mean difference and its 95 % interval. The grey bars are the margins, which were set before the runs. "
    "A supports its claim if the interval lies above its bar, C if it lies between its two bars.",
    "Two points with intervals, "
    + " and ".join(f"claim {name} {outcome.verdict}" for name, outcome in outcomes.items())
    + ".",
)

# %% [markdown]
# With two seeds, as at profile smoke, Student's $t$ is 12.7 and almost everything is undecided. That is as it should be.

# %% [markdown] tags=["exercise:18-3"]
# ### Exercise 18-3 · Referee a report
#
# *Criticise · difficulty 2 of 5 · importance 5 of 5 · 15 minutes*
#
# A student reports: "Claim D, more retained batches help. I tried $\omega = 1, 2, 4, 8, 16$ with seeds 0 to 4. The largest gain was at
# $\omega = 8$ against $\omega = 2$ with seeds 1, 2 and 4 (seed 0 diverged, seed 3 was an outlier): the mean difference of test
# accuracy is 1.4 points, so the claim is supported. With the other pairs there was no significant difference, so they are
# equal." Name four faults, and say what each would take to mend.
#
# <details><summary>Hint 1</summary>
#
# How many comparisons were made, and which one is reported?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Look for an interval, a margin, the missing seeds, and for what "no significant difference" can mean.
#
# </details>
#
# **Expect**: four short paragraphs; the solution names six faults.

# %% [markdown] tags=["solution:18-3"]
# - The best of ten pairs is reported (chapter 01: the best of many is too good). Fix the pair beforehand, or correct for ten.
# - Two of five seeds were left out after looking. A diverged run is a result: report it, and plan what a failed run counts as.
# - There is a mean and no interval. With three paired runs Student's $t$ is 4.3: give the interval.
# - There is no margin. Say beforehand how many points would matter.
# - "Not significant" is not "equal". A claim of sameness needs a margin that the interval fits into.
# - More batches mean more steps, and so more time. Compare at the same number of steps, or say that the gain has a price.

# %% [markdown] tags=["exercise:18-4"]
# ### Exercise 18-4 · Your capstone
#
# *Measure · difficulty 4 of 5 · importance 5 of 5 · 180 minutes*
#
# Choose a claim of the table, one that the examples do not test. Write a `Plan`, print its seal and send it to your instructor. Run it
# with the book's tools, and hand in the output of `capstone.report` with half a page on what surprised you and what you would run next.
#
# <details><summary>Hint 1</summary>
#
# Copy the cells of the worked example that is of the same kind, difference or sameness, and change the plan first.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Try your code at profile smoke with seeds that are not in the plan. Then run the planned seeds once.
#
# </details>
#
# **Expect**: one of three verdicts. The marks do not depend on which one.

# %% [markdown] tags=["solution:18-4"]
# There is no one solution. A report that earns full marks meets the rubric below, whatever its verdict: the plan was sealed before
# the runs, every planned seed is in the table, the control is reported also if it failed, and the limits name what the runs can't show.

# %% [markdown]
# ## The form of the report, and how it is marked
#
# The report is the table that `capstone.report` makes, the table of all runs, one figure, and half a page of text.
#
# | | full marks | half marks | none |
# |---|---|---|---|
# | Claim (2) | one claim, its place in the paper, in your own words | vague, or several at once | not the paper's |
# | Plan (4) | sealed before the runs; measure, margin and control are argued for | sealed, but a number is arbitrary | written afterwards |
# | Runs (4) | all planned seeds, paired with Retrain's of the same seed; code runs again | runs, but seeds or settings are unclear | runs are missing |
# | Control (3) | could have failed, and is reported | could hardly have failed | none |
# | Decision (3) | follows the rule, also when it says undecided | the rule is bent in words | against the rule |
# | Limits (2) | name what the runs cannot show | general | none |
# | Text and figure (2) | clear, short, axes and units | readable | not readable |
#
# Twenty points. A refuted or undecided claim earns as many as a supported one.

# %% [markdown]
# ## What we showed, and what we did not
#
# - A claim becomes testable when it is one paired difference with a margin, and a rule that was written before the runs.
# - A seal does not make a plan good. It only shows that it is the same plan.
# - The two examples are on one small data set. Their verdicts hold there, with these settings, and not for the paper's tables.
# - The interval treats seeds as independent draws. It covers neither other classes and data sets nor the search for settings.
# - Nine tests at 95 % would give a wrong verdict now and then. Who tests many claims has to say how many.
#
# ## References
#
# - Contrastive Unlearning, 2024: the claims. [arXiv:2401.10458](https://arxiv.org/abs/2401.10458)
# - Nosek et al., *The preregistration revolution*, PNAS 2018: why the plan comes first.
#   [doi:10.1073/pnas.1708274114](https://doi.org/10.1073/pnas.1708274114)
# - Lakens, *Equivalence Tests: A Practical Primer*, Social Psychological and Personality Science 2017: how to test a sameness.
#   [doi:10.1177/1948550617697177](https://doi.org/10.1177/1948550617697177)
