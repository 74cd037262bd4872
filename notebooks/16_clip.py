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
# # 16 · Unlearning in CLIP
#
# Contrastive unlearning works on embeddings, so it needs no classifier. The paper's section D.6 uses this to forget a class in CLIP, a model
# of images and texts (Radford et al. 2021). This chapter builds that experiment, and then looks at what else the forgetting touches.

# %% [markdown]
# **What you will learn**
#
# - how CLIP classifies images by sentences, without a classification head;
# - CLIP's loss, and why a batch of one class teaches it nothing;
# - contrastive unlearning with texts among the embeddings, and the paper's two baselines (Table 13);
# - what is damaged besides: similar classes, other words, image search, classes that the unlearner had no pairs of.
#
# **Before you start**: chapters 03 to 05, and 08 for gradient ascent.
#
# | device | time of this chapter at profile laptop, digits |
# |---|---|
# | laptop CPU, 2 cores | about two minutes, an estimate |
# | T4-class GPU | about two minutes, an estimate |
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
clip_model = "small"  # or "ViT-B-32", the paper's, with OpenAI's weights
clip_weights = None  # a file with the weights of ViT-B-32; None lets open_clip fetch them

# %% [markdown]
# The chapter runs on two models. `clip_model` is the switch:
#
# - `"small"`, for any laptop: an `open_clip.CLIP` with a narrow ResNet for images and a two-layer transformer for texts, trained below from
#   nothing on captioned images. It needs no download; the tokenizer's vocabulary is part of the open_clip package.
# - `"ViT-B-32"`: the paper's model with OpenAI's weights, for a GPU and a connection. The last section says how.
#
# After the two cells that load, every line is the same for both. (`model` chooses other chapters' networks and has no effect here.)

# %%
import copy
from dataclasses import replace

import open_clip
import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from IPython.display import Markdown, display

from cu_helpers import clip, comparison, exercises, figures, notebook
from cu_helpers.clip.training import adam, caption_embeddings
from cu_helpers.data import forget_class
from cu_helpers.devices import generator
from cu_helpers.inference import embed, predict_logits
from cu_helpers.metrics import evaluate, mean_interval
from cu_helpers.paper import CLIP_ORIGINAL
from cu_helpers.unlearning import Stopping

lab = notebook.setup(profile, dataset, model, seed)

# %% [markdown]
# ## Two encoders, one space
#
# CLIP has an encoder for images and one for texts. Both end in unit vectors of the same length, so an image $x$ with
# $z = E_I(x)$ and a text with $t = E_T(\text{text})$ can be compared by their cosine $z \cdot t$. Training pulls an image and
# its caption together and pushes it from the captions of other images.
#
# A class then needs no row in a head. It needs a sentence. Put each class's name into "a photo of a …", embed the sentences, and
# answer with the nearest:
#
# $$
# \hat y(x) = \arg\max_c \; z \cdot t_c .
# $$
#
# This is *zero-shot* classification: other classes can be asked for without another training. Here are our words. The first wording is the
# released code's prompt: the classifier asks with it, and so does the unlearner. The small CLIP reads more in its
# training: two names for each class, in four templates. That lets us ask later with words the unlearner did not use.

# %%
words = clip.wordings(lab.dataset.classes)
label = clip.clip_label(lab.profile)
for name, wording in words.items():
    captions = wording.captions()[label]
    print(f"{name:20} {len(captions)} a class, such as {captions[-1]!r}")

# %% [markdown]
# Texts enter as tokens: pieces of words, between a start and an end token. open_clip's own tokenizer makes them.

# %% tags=["nbval-check-output"]
tokens = clip.tokenise(["a photo of a five"], 16)
print(tokens[0].tolist())
assert torch.equal(tokens[0], open_clip.get_tokenizer("ViT-B-32")(["a photo of a five"])[0, :16])

# %% [markdown]
# ## Load
#
# Without the weights, `load_clip` stops with a sentence that says what is missing and how to get it. It never goes on with random weights.

# %%
start, images = clip.load_clip(clip_model, lab.dataset, words["prompt"], lab.seed, clip_weights)
task = forget_class(images, label, lab.seed)
print(f"{clip_model}: {sum(p.numel() for p in start.parameters()):,} weights, of them", end=" ")
print(
    f"{sum(p.numel() for p in start.net.visual.parameters()):,} for images, {start.net.token_embedding.weight.numel():,} for tokens"
)
print(f"to forget: {words['prompt'].names[label][0]!r}, {len(task.forget)} of {len(task.train)} training images")

# %% [markdown]
# ## CLIP's loss
#
# A batch has $n$ pairs. Every image must find its text among the $n$ texts, and every text its image among the $n$ images. With a learned
# scale $s$:
#
# $$
# \mathcal{L}_{CLIP} = \frac1{2n} \sum_{i=1}^n \left[ -\log \frac{e^{s\, z_i \cdot t_i}}{\sum_j e^{s\, z_i \cdot t_j}}
# - \log \frac{e^{s\, z_i \cdot t_i}}{\sum_j e^{s\, z_j \cdot t_i}} \right].
# $$
#
# Both halves are a cross-entropy whose "classes" are the other members of the batch. This is InfoNCE, in both directions.


# %%
def clip_loss(image_z, text_z, scale):
    """CLIP's loss of pairs (n, dim) of unit-norm rows."""
    logits = scale * image_z @ text_z.T
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


draw = torch.Generator().manual_seed(0)
z, t = (F.normalize(torch.randn(12, 8, generator=draw), dim=1) for _ in range(2))
ours, theirs = clip_loss(z, t, 14.0), open_clip.ClipLoss()(z, t, torch.tensor(14.0))
assert torch.allclose(ours, clip.clip_loss(z, t, 14.0))
assert torch.allclose(ours, theirs)
print("shown, package and open_clip agree")

# %% [markdown]
# CLIP's web data hardly repeats a caption. Labelled images do: two pairs of one class are each other's negatives, with captions that are
# alike. Nothing can tell them apart, so the loss has a floor. With each class $k$ times in the batch it is $\log k$.

# %% tags=["nbval-check-output"]
perfect = torch.eye(10).repeat(6, 1)  # ten classes, six times each, at the corners of a cube
print(f"loss {clip.clip_loss(perfect, perfect, 500.0):.4f}, log 6 {torch.tensor(6.0).log():.4f}")
assert abs(clip.clip_loss(perfect, perfect, 500.0) - torch.tensor(6.0).log()) < 1e-5

# %% [markdown] tags=["exercise:16-1"]
# ### Exercise 16-1 · The floor of a batch
#
# *Implement · difficulty 2 of 5 · importance 3 of 5 · 10 minutes*
#
# Write `floor(labels)`: the least that CLIP's loss can be for a batch with these labels, if all captions of a class are
# alike.
#
# <details><summary>Hint 1</summary>
#
# Pair $i$ competes with the pairs of its own class; there are $k_i$ of them.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `torch.bincount`.
#
# </details>
#
# **Expect**: a random batch has a floor near $\log(n/C)$ when $n$ is much larger than the number of classes $C$.


# %% tags=["solution:16-1"]
def floor(labels):
    """The least value of CLIP's loss for a batch with these labels (n,), if captions of a class are alike."""
    ### BEGIN SOLUTION
    return labels.bincount()[labels].double().log().mean().item()
    ### END SOLUTION


floor = exercises.check("16-1", floor)
some = torch.tensor([0, 0, 0, 1, 2, 2])
z = torch.eye(3)[some]
assert abs(floor(some) - clip.clip_loss(z, z, 500.0).item()) < 1e-5
print(f"floor of a batch of 128 random digits: {floor(torch.randint(10, (128,), generator=draw)):.2f}")

# %% [markdown]
# ## The original and the retrained CLIP
#
# The original CLIP is trained on all pairs, the retrained one on the pairs of the other classes, from the same start. For the small
# CLIP this is the exact reference that the whole book uses: it has never seen the class, nor read its name.
#
# **For the real CLIP there is no such reference.** Its 400 million pairs of pretraining are not public, and they hold the class. What the
# chapter calls Retrain is then "finetuned without the class": it still knows the class, and the goal "below random guessing" asks for less
# knowledge than it has. Keep this in mind for every claim about unlearning in pretrained models.

# %%
settings = clip.train_settings(clip_model, lab.profile)
print(settings)
original = clip.load_or_train_clip(clip_model, start, task.train, task.classes, settings, lab.seed)
start, _ = clip.load_clip(clip_model, lab.dataset, words["prompt"], lab.seed, clip_weights)
retrained = clip.load_or_train_clip(clip_model, start, task.retain, task.classes, settings, lab.seed)
scores = {"original": evaluate(original.model, task), "retrain": evaluate(retrained.model, task)}
guess = 100 / len(task.classes)
for name, score in scores.items():
    print(
        f"{figures.LABELS[name]:10} zero-shot on all test images {score['test']:5.1f} %, forgotten class "
        f"{score['forget_test']:5.1f} %, others {score['retain_test']:5.1f} %  (a guess: {guess:.1f} %)"
    )
if lab.profile.name != "smoke" and dataset == "digits" and clip_model == "small":
    assert scores["original"]["test"] >= 80
print(f"training took {original.seconds:.0f} s for {original.steps} steps")

# %% [markdown]
# How does the space look? Each cell is the mean cosine between the test images of one class and one prompt. Rows and columns are
# sorted: first the class to forget, then the classes whose **text** is closest to its text, then the farthest.

# %%
near = clip.neighbours(original.model, label)
shown = [label, *near] if len(near) < 12 else [label, *near[:5], *near[-5:]]
named = [words["prompt"].names[one][0] for one in shown]


def class_by_prompt(net):
    """Mean cosine of each shown class's test images with each shown prompt."""
    z, text = embed(net, task.test), net.class_embeddings().detach()[shown]
    return torch.stack([(z[task.test.labels == one] @ text.T).mean(dim=0) for one in shown]).cpu()


cosines = class_by_prompt(original.model)
figure = go.Figure(go.Heatmap(z=cosines, x=named, y=named, colorscale="Blues", colorbar={"title": "cosine"}))
figures.style(figure, "prompt", "test images of", height=420)
figure.update_yaxes(autorange="reversed")
figures.show(
    figure,
    "The original CLIP: images of a class are closest to their own prompt. The first row and column are the class to forget.",
    f"Heat map of mean cosines between classes' images and prompts; the diagonal averages {cosines.diag().mean():.2f}, "
    f"the rest {(cosines.sum() - cosines.diag().sum()) / (len(shown) ** 2 - len(shown)):.2f}.",
)

# %% [markdown] tags=["exercise:16-2"]
# ### Exercise 16-2 · Zero-shot by hand
#
# *Implement · difficulty 2 of 5 · importance 4 of 5 · 15 minutes*
#
# Write `zero_shot(images, texts)`: the class of each image when class $c$ is described by several sentences. `images`
# are embeddings, (n, d); `texts` is a list with the embeddings (k, d) of each class's sentences. Average a class's
# embeddings and bring the mean back to unit length.
#
# <details><summary>Hint 1</summary>
#
# `torch.stack([of_class.mean(dim=0) for of_class in texts])` has one row a class.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `F.normalize(..., dim=1)`, then dot products and `argmax`.
#
# </details>
#
# **Expect**: the same answers as `net.asked(wording)`, which does it inside.


# %% tags=["solution:16-2"]
def zero_shot(images, texts):
    """Predicted classes (n,); images (n, d), texts: for each class the unit embeddings (k, d) of its sentences."""
    ### BEGIN SOLUTION
    rows = torch.stack([of_class.mean(dim=0) for of_class in texts])
    return (images @ F.normalize(rows, dim=1).T).argmax(dim=1)
    ### END SOLUTION


zero_shot = exercises.check("16-2", zero_shot)
wording = words["held-out templates"]
with torch.no_grad():
    tokens = [clip.tokenise(of_class, original.model.net.context_length) for of_class in wording.captions()]
    sentences = [original.model.encode_text(of_class.to(lab.device)) for of_class in tokens]
by_hand = zero_shot(embed(original.model, task.test), sentences)
packaged = predict_logits(original.model.asked(wording), task.test).argmax(dim=1)
print(f"templates that no caption had: {100 * (by_hand == task.test.labels).double().mean():.1f} % right")
assert (by_hand == packaged).double().mean() > 0.99

# %% [markdown]
# ## The unlearning loss
#
# The paper gives no formula for CLIP; it says that "all samples of a target class" are unlearned with the same principle. Here is
# how Eqs. 5 to 7 read when texts are embeddings too.
#
# **What is a positive?** In Eq. 5 an anchor is pushed from retained embeddings of its own class. In a classifier a forgotten class leaves
# none behind, so Eq. 6 has no push at all; chapter 04 showed how little its constant denominator does. In CLIP one embedding of the class
# stays: **its text**. So the anchor has positives again, the class's own captions $T_c$, and Eq. 5 applies as it stands.
#
# **What is a negative?** Everything retained of other classes: the images $X^r$ and their captions.
#
# $$
# \mathcal{L}_{UL} = \frac1{|X^u|} \sum_{i \in X^u} \Bigg[ \log \sum_{t \in T_c} e^{z_i \cdot t/\tau}
# - \frac{1}{2|X^r|} \sum_{a \in X^r} \frac{z_i \cdot z_a + z_i \cdot t_a}{\tau} \Bigg]
# $$
#
# **What holds the rest in place?** Eq. 7 uses cross-entropy, the loss that trained the classifier. What trained CLIP is $\mathcal{L}_{CLIP}$, so it
# takes that role, on retained pairs alone:
#
# $$
# \mathcal{L} = \lambda_{CLIP}\, \mathcal{L}_{CLIP}(X^r, T^r) + \lambda_{UL}\, \mathcal{L}_{UL}(X^u, X^r, T^r, T_c).
# $$
#
# The authors' released CLIP code departs from this: it puts exponentials where Eq. 5 has similarities, runs the CLIP loss as a pass of its
# own, and its default learning rate for the unlearning pass is so small that only that pass moves the model.


# %%
def clip_unlearning_loss(forget_z, own_text_z, retain_image_z, retain_text_z, temperature):
    """Eq. 5 with the class's texts as positives, retained images and texts as negatives."""
    push = (forget_z @ own_text_z.T / temperature).logsumexp(dim=1)
    others = torch.cat([retain_image_z, retain_text_z])
    pull = (forget_z @ others.T / temperature).mean(dim=1)
    return (push - pull).mean()


u, own, z_r, t_r = (F.normalize(torch.randn(rows, 8, generator=draw), dim=1) for rows in (5, 3, 6, 6))
ours = clip_unlearning_loss(u, own, z_r, t_r, 0.07)
assert torch.allclose(ours, clip.clip_unlearning_loss(u, own, z_r, t_r, 0.07))

# %% [markdown]
# With one prompt the gradient is simple. Every anchor moves along the same vector: away from the class's text, towards the mean of
# what is retained.

# %%
anchors = u.clone().requires_grad_()
clip_unlearning_loss(anchors, own[:1], z_r, t_r, 0.07).backward()
expected = (torch.cat([z_r, t_r]).mean(dim=0) - own[0]) / 0.07 / len(u)
assert torch.allclose(-anchors.grad, expected.expand_as(anchors), atol=1e-5)
print("each anchor's step: (mean of retained images and texts - own text) / (temperature * anchors)")

# %% [markdown]
# ## The algorithm
#
# Algorithm 1 as in chapter 05: each forget batch meets $\omega$ retained batches of its size. The own text is embedded in each step, since the text
# encoder moves too. Both kinds of image pass the encoder together, so that BatchNorm sees their mixture.


# %%
def algorithm_1(net, task, settings, seed, rounds):
    """Contrastive unlearning of a class in CLIP, in place, without a clock or a stop rule."""
    draw, optimizer = generator(seed, task.forget.device), adam(net, settings)
    net.train()
    for _ in range(rounds):
        for index in torch.randperm(len(task.forget), generator=draw, device=draw.device).split(settings.batch_size):
            x_u, y_u = task.forget.batch(index)
            for _ in range(settings.omega):
                chosen = torch.randint(len(task.retain), (len(index),), generator=draw, device=draw.device)
                x_r, y_r = task.retain.batch(chosen)
                z = net.encode(torch.cat([x_u, x_r]))
                t_r = caption_embeddings(net, y_r, draw)
                own = net.encode_text(net.prompts[y_u[0]])
                z_u, z_r = z[: len(index)], z[len(index) :]
                l_ul = clip_unlearning_loss(z_u, own, z_r, t_r, settings.temperature)
                l_clip = clip_loss(z_r, t_r, net.scale)
                optimizer.zero_grad()
                (settings.lambda_clip * l_clip + settings.lambda_ul * l_ul).backward()
                optimizer.step()
    return net.eval()


def distance(one, other):
    """Euclidean distance between two networks' weights."""
    return sum((a - b).square().sum() for a, b in zip(one.parameters(), other.parameters(), strict=True)).sqrt().item()


short = clip.ClipContrastiveSettings(
    learning_rate=1e-5, batch_size=6, max_rounds=1, precision="float32", stopping=Stopping(rule="none")
)
if clip_model == "small":
    by_hand = algorithm_1(copy.deepcopy(original.model), task, short, lab.seed, rounds=1)
    packaged = clip.unlearn_clip("contrastive", original.model, task, short, lab.seed).model
    print(
        f"moved by {distance(packaged, original.model):.2e}, shown and packaged differ by {distance(packaged, by_hand):.1e}"
    )
    assert distance(packaged, by_hand) < 0.05 * distance(packaged, original.model)

# %% [markdown]
# The stop rule is the paper's: zero-shot accuracy on the class is no better than a guess, $1/C$ (Eq. 8). We look at it on validation
# images; the table reports test images.
#
# ## The two baselines
#
# **Finetune** goes on with $\mathcal{L}_{CLIP}$ on retained pairs. Nothing in it mentions the class.
#
# **Gradient ascent** climbs the contrastive loss of the forget pairs and descends that of the retained pairs. The paper does not say which pairs
# share a batch, and it matters. All forget pairs have *one* caption. In a batch of them alone the loss compares equal captions: it can
# spread the images, but it cannot move their mean similarity to the text, in either direction.

# %%
t_c = F.normalize(torch.randn(1, 8, generator=draw), dim=1)
z_u = F.normalize(torch.randn(6, 8, generator=draw), dim=1).requires_grad_()
alone = torch.autograd.grad(clip.clip_pair_losses(z_u, t_c.expand(6, 8), 14.0).mean(), z_u)[0]
with_others = torch.autograd.grad(
    clip.clip_pair_losses(torch.cat([z_u, z_r]), torch.cat([t_c.expand(6, 8), t_r]), 14.0)[:6].mean(), z_u
)[0]
print(
    f"pull on the mean similarity: alone {(alone @ t_c[0]).sum():.1e}, with retained pairs {(with_others @ t_c[0]).sum():.2f}"
)
assert abs((alone @ t_c[0]).sum()) < 1e-5 < abs((with_others @ t_c[0]).sum())

# %% [markdown]
# So our gradient ascent puts $b$ forget pairs and $b$ retained pairs into one batch, as each other's negatives, and steps down
# (mean loss of the retained pairs) − $\alpha$ (mean loss of the forget pairs).
#
# ## One run of each
#
# For the small CLIP, learning rates and weights are the best of a recorded search: six trials for each method, scored by nearness to Retrain
# (chapter 07) on validation images and a seed that no table reports. All three get the same optimiser and look at the same stop rule.

# %%
runs = {}
for method in clip.CLIP_METHODS:
    runs[method] = clip.unlearn_clip(
        method, original.model, task, clip.method_settings(clip_model, lab.profile, method), lab.seed
    )
    scores[method] = evaluate(runs[method].model, task)
lines = ["| run | forgotten test (%) | others' test (%) | steps | seconds | ended by |", "|---|---|---|---|---|---|"]
for name, score in scores.items():
    run = runs.get(name)
    cost = f"{run.steps} | {run.seconds:.1f} | {run.stopped_by}" if run else "– | – | –"
    lines.append(f"| {figures.LABELS[name]} | {score['forget_test']:.1f} | {score['retain_test']:.1f} | {cost} |")
display(Markdown("\n".join(lines)))
if runs["contrastive"].stopped_by == "rule":
    assert runs["contrastive"].history[-1]["forget_accuracy"] <= guess

# %% [markdown]
# Where do the forgotten images go? The loss pulls them towards *everything* that is retained. But a prediction needs one winner:

# %%
answers = {"retrain": retrained.model} | {name: run.model for name, run in runs.items()}
of_class = task.test.of_class(label)
figure = go.Figure()
told = []
for name, net in answers.items():
    share = (
        100 * predict_logits(net, of_class).argmax(dim=1).bincount(minlength=len(task.classes)).cpu() / len(of_class)
    )
    figure.add_bar(x=named, y=share[shown], name=figures.LABELS[name], marker_color=figures.COLOURS[name])
    part = share[share > 0] / 100
    spread = (-(part * part.log()).sum()).exp().item()
    print(f"{figures.LABELS[name]:16} answers as if it chose evenly among {spread:.1f} classes")
    told.append(f"{figures.LABELS[name]} most often {words['prompt'].names[int(share.argmax())][0]}")
figures.style(figure, "answer, by closeness of its text to the forgotten class", "share of forgotten test images (%)")
figures.show(
    figure,
    "What the models say to test images of the forgotten class. Retrain, which never read the name, is the reference.",
    f"Grouped bars of the answers: {'; '.join(told)}.",
)

# %% [markdown]
# The number is the exponential of the entropy of the answers. Retrain calls the images by a few similar names. A method that spreads
# them over more has not become the model that never saw the class, whatever its accuracy.
#
# ## Table 13, over three seeds
#
# Recorded runs at profile laptop: mean and 95 % interval over seeds, gaps paired with the Retrain of the same seed. Beside them the
# paper's Table 13 (ViT-B-32, class 1 of CIFAR-100), whose cells are lost in all public copies. Other work ran on the machine, so read steps
# and images rather than seconds.

# %%
rows = {
    "Original": ("original", None),
    "Retrain": ("retrain", None),
    "Contrastive": ("contrastive", None),
    "Contrastive, λ_UL = 0": ("contrastive", "no contrast"),
    "Gradient ascent": ("gradient_ascent", None),
    "Finetune": ("finetune", None),
}
recorded = {
    name: [own for own, _ in clip.recorded_runs(dataset, clip_model, method, variant)]
    for name, (method, variant) in rows.items()
}
there = all(recorded.values())
display(Markdown(clip.table_13(dataset, clip_model)))
print(f"the paper's CLIP before unlearning: {CLIP_ORIGINAL} % top-1 on CIFAR-100, in its text")
if there:

    def mean(name, key):
        return sum(run[key] for run in recorded[name]) / len(recorded[name])

    def falls(name, key):
        """Points below the original of the same seed."""
        return [a[key] - b[key] for a, b in zip(recorded["Original"], recorded[name], strict=True)]

    assert all(run["forget_test"] <= guess for run in recorded["Contrastive"])
    for name in ("Contrastive", "Gradient ascent", "Finetune"):
        print(f"{name:16} loses {mean_interval(falls(name, 'retain_test'))} points on the other classes")
    assert max(falls("Contrastive", "retain_test")) <= 3
    assert min(falls("Gradient ascent", "retain_test")) > max(falls("Contrastive", "retain_test"))

# %% [markdown]
# What the paper's text says of its table holds here in kind. Contrastive unlearning ends below a guess at a small price on every seed. Gradient
# ascent stops by the rule on validation images and pays more on the other classes on every seed; its interval is wide. Finetuning keeps the other
# classes, ran to its limit each time, and how much it forgot depends on the seed. The row without contrast takes contrastive unlearning's own
# steps with $\lambda_{UL} = 0$ and does not reach the rule: here the contrast does the work.
#
# One choice decides how good a baseline looks. Here is every trial of the searches.

# %%
searched = {method: clip.recorded_search(dataset, clip_model, method) for method in clip.CLIP_METHODS}
if all(searched.values()):
    figure = go.Figure()
    for method, trials in searched.items():
        done = [trial for trial in trials if trial.metrics]
        figure.add_scatter(
            x=[trial.metrics["forget_test"] for trial in done],
            y=[trial.metrics["retain_test"] for trial in done],
            text=[", ".join(f"{key} {value:g}" for key, value in trial.changes.items()) for trial in done],
            mode="markers",
            name=figures.LABELS[method],
            marker={"color": figures.COLOURS[method], "size": 10, "opacity": 0.8},
        )
    figures.style(figure, "forgotten class, validation (%)", "other classes, validation (%)")
    figure.add_vline(x=guess, line={"dash": "dot", "color": figures.GREY}, annotation_text="a guess")
    figures.show(
        figure,
        "Every trial of the three searches: a good one lies at the top left. Hover for its settings.",
        "Scatter of 18 trials: "
        + "; ".join(
            f"{figures.LABELS[method]} keeps {min(t.metrics['retain_test'] for t in of):.0f} to "
            f"{max(t.metrics['retain_test'] for t in of):.0f} percent"
            for method, of in searched.items()
        )
        + ".",
    )
else:
    print(comparison.NONE_RECORDED)

# %% [markdown]
# Contrastive unlearning needs no luck with its settings in this range. Gradient ascent has a trial that keeps more than the chosen one; the
# score preferred another, which came nearer to Retrain on the forgotten images. A different score would give the baseline a better row, though not
# contrastive unlearning's.
#
# ## What else is damaged?
#
# An average over the other classes hides where a loss sits. Five questions that the paper does not ask.
#
# **1. The neighbours.** Classes whose text is closest to the forgotten one's, and the one closest of all, against the rest.

# %%
columns = {
    "near bystander": "closest class (%)",
    "neighbours": "neighbours (%)",
    "others": "the rest (%)",
    "far bystander": "farthest class (%)",
}
display(Markdown(clip.effects_table(recorded, columns)))
if there:
    for key, head in columns.items():
        print(f"contrastive loses {mean_interval(falls('Contrastive', key))} points on {head[:-4]}")
    assert min(falls("Contrastive", "neighbours")) > max(falls("Contrastive", "others"))

# %% [markdown]
# The small average loss is a large loss at one place. The neighbours pay for all; the rest gain a little, as they do with no contrast at all.
# Retrain shows no such loss, so this is damage and not a consequence of forgetting. A likely reason, which we did not test: images of a
# neighbour lie close to the forgotten ones, and one encoder cannot move these away without those.
#
# **2. Other words.** The unlearner used one prompt. Does another wording bring the class back? Templates of the training captions,
# templates in no caption, the bare name, and the *other* name of the class ("5" for "five").

# %%
wordings = {f"forgotten, {name}": name for name in clip.ASKED}
display(Markdown(clip.effects_table(recorded, wordings)))
if there:
    figure = go.Figure()
    for name, (method, variant) in rows.items():
        if variant is None:
            figure.add_bar(
                x=list(wordings.values()),
                y=[mean(name, key) for key in wordings],
                name=name,
                marker_color=figures.COLOURS[method],
            )
    figures.style(figure, "how the model is asked", "forgotten test images right (%)")
    figures.show(
        figure,
        "Accuracy on the forgotten class under five wordings, mean over seeds. Unlearning used the first one alone.",
        "Grouped bars: "
        + "; ".join(
            f"{name} {mean(name, key):.0f} by the {word}"
            for key, word in wordings.items()
            for name in ("Original", "Contrastive")
        )
        + ".",
    )
    assert mean("Contrastive", "forgotten, other name") < mean("Original", "forgotten, other name") - 50

# %% [markdown]
# No wording brings it back, not even a name that the unlearner never used. The next question says why.
#
# **3. Which encoder forgot?** Take the images from one model and the texts from the other. If the unlearned images fail with the
# *original's* texts, the image encoder has forgotten; if the original's images fail with the *unlearned* texts, the text encoder has.

# %%
display(
    Markdown(
        clip.effects_table(
            {name: of for name, of in recorded.items() if name not in ("Original", "Retrain")},
            {
                "images moved": "new images, old texts (%)",
                "texts moved": "old images, new texts (%)",
                "forgotten, prompt": "both new (%)",
            },
        )
    )
)
if there:
    assert mean("Contrastive", "images moved") < mean("Contrastive", "texts moved") - 30

# %% [markdown]
# The images moved; the text hardly did. That is why other words don't help. It is not guaranteed: the loss has a gradient on the text as well, and
# exercise 16-3 shows a way to satisfy every number of Table 13 without touching an image.
#
# **4. Image search.** CLIP's image embeddings serve without any text. Take a test image of the forgotten class, and look at the
# ten most similar test images: how many are of its class?

# %%
display(
    Markdown(
        clip.effects_table(
            recorded, {"retrieval": "forgotten class found (%)", "retained retrieval": "other classes found (%)"}
        )
    )
)
if there:
    assert mean("Contrastive", "retrieval") > 3 * guess

# %% [markdown]
# The forgotten images still find one another, several times more often than by chance. This is not a failure by itself: **Retrain's do so as well**,
# and about as often. Images that look alike are embedded alike, class or no class. But who promises that "the class is gone" should know that
# the class can still be searched for by example.
#
# **5. Bystanders.** A real unlearner has no pairs of most things that CLIP knows. So we take two classes out of the unlearner's retained pairs,
# the closest and the farthest, and leave the rest of the run as it was. Both are only asked for afterwards, by their prompts.

# %%
bystanders = recorded | {
    "Contrastive, no pairs of the two": [
        own for own, _ in clip.recorded_runs(dataset, clip_model, "contrastive", "bystanders")
    ]
}
display(
    Markdown(
        clip.effects_table(
            {name: bystanders[name] for name in ("Original", "Contrastive", "Contrastive, no pairs of the two")},
            {
                "near bystander": "closest class (%)",
                "far bystander": "farthest class (%)",
                "retain_test": "all others (%)",
            },
        )
    )
)

# %% [markdown]
# Compare the last two rows. The closest class is damaged whether or not its pairs are there: so few steps give the CLIP loss little time to
# defend anyone, and the farthest class needs no defence. Nearness to what is forgotten decides, not presence in the retained pairs. This is
# for a run of a few dozen steps on ten classes; a longer one may tell otherwise.

# %% [markdown] tags=["exercise:16-3"]
# ### Exercise 16-3 · Forget the word, not the images
#
# *Measure · difficulty 3 of 5 · importance 5 of 5 · 20 minutes*
#
# Write `texts_alone(net)`: a copy of the model in which only the texts can move, since every weight of the image
# encoder is frozen. The cell below runs contrastive unlearning on it, with a learning rate ten times the usual, and
# compares accuracy by the prompt with image search.
#
# <details><summary>Hint 1</summary>
#
# The image encoder is `net.net.visual`; the optimiser skips weights without a gradient.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `copy.deepcopy(net)`, then `requires_grad_(False)` on one part of the copy.
#
# </details>
#
# **Expect**: the class falls by its prompt, while image search finds it nearly as before. A table of zero-shot
# accuracies cannot tell the two kinds of forgetting apart.


# %% tags=["solution:16-3"]
def texts_alone(net):
    """A copy of the model whose image encoder, `net.net.visual`, is frozen."""
    ### BEGIN SOLUTION
    frozen = copy.deepcopy(net)
    frozen.net.visual.requires_grad_(False)
    return frozen
    ### END SOLUTION


texts_alone = exercises.check("16-3", texts_alone)
usual = clip.method_settings(clip_model, lab.profile, "contrastive")
faster = replace(usual, learning_rate=10 * usual.learning_rate)
worded = clip.unlearn_clip("contrastive", texts_alone(original.model), task, faster, lab.seed).model
groups = clip.class_groups(original.model, label)
for name, net in (("original", original.model), ("texts alone", worded), ("contrastive", runs["contrastive"].model)):
    found = clip.effects(net, task, groups)
    print(
        f"{name:12} by the prompt {found['forgotten, prompt']:5.1f} %, image search {found['retrieval']:5.1f} %, "
        f"others {found['retained, prompt']:5.1f} %"
    )

# %% [markdown] tags=["exercise:16-4"]
# ### Exercise 16-4 · Bring it back with words
#
# *Measure · difficulty 3 of 5 · importance 3 of 5 · 20 minutes*
#
# Look for a description under which the unlearned model finds the class again. Write `best_wording(z, texts, label,
# candidates)`: the position of the candidate with which the most images are given `label`, when all other classes keep
# their texts, and that percent. `z` are embeddings of **validation** images of the class, `texts` (C, d) the classes'
# texts, `candidates` (k, d) the texts to try.
#
# <details><summary>Hint 1</summary>
#
# Put one candidate after the other into row `label` of a clone of `texts`.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `(z @ rows.T).argmax(dim=1) == label`, and its mean times 100.
#
# </details>
#
# **Expect**: few texts help, and those that do steal images of other classes: check that too.

# %%
candidates = [text for wording in words.values() for text in wording.captions()[label]] + [
    "a photo of a digit",
    "a photo",
]


# %% tags=["solution:16-4"]
def best_wording(z, texts, label, candidates):
    """(position of the best candidate, percent of the images z (n, d) that are given `label` with it)."""
    ### BEGIN SOLUTION
    right = []
    for candidate in candidates:
        rows = texts.clone()
        rows[label] = candidate
        right.append(100 * ((z @ rows.T).argmax(dim=1) == label).double().mean().item())
    place = max(range(len(right)), key=lambda n: right[n])
    return place, right[place]
    ### END SOLUTION


best_wording = exercises.check("16-4", best_wording)
reached = {}
for name, net in (("original", original.model), ("contrastive", runs["contrastive"].model)):
    with torch.no_grad():
        tried = net.encode_text(clip.tokenise(candidates, net.net.context_length).to(lab.device))
        place, reached[name] = best_wording(
            embed(net, images.validation.of_class(label)), net.class_embeddings(), label, tried
        )
    print(f"{name:12} {reached[name]:5.1f} % of the class by {candidates[place]!r}")
assert reached["original"] >= scores["original"]["forget_test"] - 25

# %% [markdown]
# ## The real CLIP
#
# On Colab choose a GPU, open this notebook, and set in the parameters cell
#
# ```python
# profile, dataset, clip_model = "paper", "cifar100", "ViT-B-32"
# ```
#
# This is the paper's setting: class 1 of CIFAR-100, finetuned for ten epochs first. What it takes: CIFAR-100 (torchvision fetches it) and the weights,
# which open_clip fetches once from the Hugging Face hub; both need a connection. Without one, put the weights' file somewhere and set `clip_weights`. The
# weights are float32, four bytes each for about 151 million, and Adam keeps two more numbers for each, so give it a GPU with 16 GB. Each epoch passes
# 50,000 images at 224 × 224 pixels, twice ten times for the original and Retrain. Trained models are kept in `$CU_CACHE`. The same as a
# recorded run:
#
# ```sh
# python book/record_clip.py --clip-model ViT-B-32 --dataset cifar100 --profile paper --seeds 0
# ```
#
# **We have not run this with OpenAI's weights.** The loading code, the image preparation and the steps are tested with the real architecture and random
# weights in a file. Settings are the released code's where it has any; its unlearning rate moves nothing, so we take its
# finetuning rate. With those settings the outcome is open.

# %% [markdown]
# ## What we showed, and what we did not
#
# - Contrastive unlearning carries over to a model without a classifier. In CLIP the class's text plays the positive that Eq. 6 lacks, and one rule covers
#   both cases.
# - On a small CLIP and three seeds it forgets below a guess for a small average price, and both baselines fare as the paper's text says. The
#   paper's own numbers are lost, so only the order can be compared.
# - The price is not spread: neighbours pay nearly all of it. Retrain's neighbours do not.
# - The images moved, so other words do not bring the class back; image search finds it about as well as in Retrain. A text-only forgetting would pass
#   the same table.
# - A CLIP trained on 180 scans of ten classes knows one small world. Whether a model of 400 million pairs loses as little elsewhere is not shown here. And it
#   has no retrained reference.
#
# ## References
#
# - Radford, Kim, Hallacy, Ramesh, Goh, Agarwal, Sastry, Askell, Mishkin, Clark, Krueger, Sutskever, *Learning Transferable Visual Models From
#   Natural Language Supervision*, ICML 2021. [arXiv:2103.00020](https://arxiv.org/abs/2103.00020)
# - Ilharco, Wortsman, Wightman, Gordon, Carlini, Taori, Dave, Shankar, Namkoong, Miller, Hajishirzi, Farhadi, Schmidt, *OpenCLIP*, 2021.
#   [doi:10.5281/zenodo.5143773](https://doi.org/10.5281/zenodo.5143773)
# - van den Oord, Li, Vinyals, *Representation Learning with Contrastive Predictive Coding*, 2018.
#   [arXiv:1807.03748](https://arxiv.org/abs/1807.03748)
# - Contrastive Unlearning, 2024, section D.6. [arXiv:2401.10458](https://arxiv.org/abs/2401.10458)
