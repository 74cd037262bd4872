"""What forgetting leaves behind: every look inside unlearned models, as dictionaries of numbers."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from .answers import calibration_error, confidence, other_answers, shares, total_variation
from .data import ForgetTask, ImageData
from .geometry import class_centres, cohesion, margins
from .models import EmbeddingClassifier
from .probes import centre_accuracy, class_neighbours, class_probe, label_neighbours, label_probe, two_sample_auc
from .relearning import RelearnSettings, relearn
from .similarity import inner_structure, linear_cka, mmd_test
from .training import accuracy
from .views import View, draw_from, joined, like, view

Audit = dict[str, float | list[float]]

LIMIT, FORGET_LIMIT = 2000, 500  # images of a set; a share of 500 is known to two points
SHOTS = 5  # images behind each centre
SHOWN_OF_CLASS = 10  # forgotten images from which a class is relearned; as many retained ones keep the rest
SHOWN_SAMPLES = 100  # forgotten samples that are relearned
MEASURED = 100  # unseen images at most that say whether a class is back; a tenth of `limit` if that is fewer
CLASS_TARGET, SAMPLE_TARGET = 0.9, 0.99  # share of the original's accuracy that counts as relearned
CLASS_RELEARNING = RelearnSettings(steps=60, learning_rate=3e-3)
SAMPLE_RELEARNING = RelearnSettings(steps=40, learning_rate=1e-3)


@dataclass(frozen=True)
class Sets:
    """The images that are looked at, the same for every model.

    relearned: unseen images that tell whether a forgotten class is back; None if samples are forgotten.
    """

    forget: ImageData
    retain: ImageData
    unseen: ImageData
    relearned: ImageData | None


def draw_sets(task: ForgetTask, seed: int, limit: int = LIMIT) -> Sets:
    """At most FORGET_LIMIT forgotten, `limit` retained and `limit` unseen images of a task."""
    return Sets(
        draw_from(task.forget, FORGET_LIMIT, seed),
        draw_from(task.retain, limit, seed),
        draw_from(task.test, limit, seed),
        None if task.forget_test is None else draw_from(task.forget_test, min(MEASURED, limit // 10), seed),
    )


@dataclass(frozen=True)
class Look:
    """One model's views of the sets; alike: the unseen images that forgotten ones are compared with."""

    forget: View
    unseen: View
    alike: View


def look(model: EmbeddingClassifier, sets: Sets, label: int | None) -> Look:
    """What `model` makes of forgotten and unseen images; label: the forgotten class or None."""
    unseen = view(model, sets.unseen)
    chosen = like(sets.forget.labels, unseen.labels) if label is None else unseen.labels == label
    return Look(view(model, sets.forget), unseen, unseen.where(chosen))


def audit(
    model: EmbeddingClassifier,
    task: ForgetTask,
    original: EmbeddingClassifier,
    retrained: EmbeddingClassifier,
    seed: int = 0,
) -> Audit:
    """Look inside `model` after it has forgotten `task.forget`; what JSON can hold. See `audit_all`."""
    return audit_all({"model": model}, task, original, retrained, seed)["model"]


def audit_all(
    models: Mapping[str, EmbeddingClassifier],
    task: ForgetTask,
    original: EmbeddingClassifier,
    retrained: EmbeddingClassifier,
    seed: int = 0,
    limit: int = LIMIT,
    relearning: bool = True,
) -> dict[str, Audit]:
    """Look inside each model after it has forgotten `task.forget`, on the device of the task's images.

    At most FORGET_LIMIT forgotten, `limit` retained and `limit` test images are looked at, the same for every model of
    a seed. Shares, accuracies and AUCs are in percent. "Forgotten" images are training images; "unseen" ones are
    test images: of the forgotten class, or with the class proportions of the forgotten samples. Every audit has

    - centroid: accuracy of the nearest class centre on unseen images of the class, whose centre comes from SHOTS
      forgotten ones (class), or on the forgotten samples, from SHOTS retained images a class (samples);
    - relearn_steps, relearn_curve (see `relearning.relearn`): for a class from SHOWN_OF_CLASS images, measured on
      unseen ones, until CLASS_TARGET of the original's accuracy; for samples on themselves, until SAMPLE_TARGET;
    - answers (shares by class), answers_distance, answers_agreement: the best answer other than the own label on
      forgotten images; total variation to Retrain's shares; share of images that get Retrain's answer;
    - confidence, confidence_unseen, and calibration: the error on test images of what is retained;
    - cohesion, nearest, margin, margin_unseen: cosines of forgotten images, see `geometry`;
    - mmd, mmd_limit, mmd_p, told_apart: forgotten against unseen images in z; the same with _retained: training
      images that stay (for a class, those of the next class) against unseen ones of their classes;
    - cka_forget, cka_unseen: alignment of z with Retrain's on forgotten images, on test images;
    - structure, structure_unseen: `inner_structure` of z with the original's, on forgotten and on unseen images;
      structure_retrain, structure_unseen_retrain: with Retrain's.

    A class also has, of test images: probe_z, probe_features (balanced accuracy, the class against the rest), knn_z,
    knn_features (share of the class that its neighbours vote for), centroid_retain (accuracy on the other classes).
    Samples also have, fitted on retained images: probe_z, probe_features, knn_z, knn_features (accuracy on the
    forgotten samples); and on unseen ones probe_unseen, knn_unseen, centroid_unseen, relearn_unseen (and _curve).

    relearning: False leaves out the numbers of relearning, which take half of the time. Raises ValueError for a model
    whose output is not finite, or sets that are too small (five images for a probe).
    """
    sets = draw_sets(task, seed, limit)
    before, reference = (look(one, sets, task.label) for one in (original, retrained))
    found = {}
    for name, model in models.items():
        found[name] = _audit(model, task, sets, before, reference, seed)
        if relearning and sets.relearned is not None:
            found[name] |= _relearn_class(model, task, original, sets.relearned, seed)
        elif relearning:
            found[name] |= _relearn_samples(model, task, original, seed)
    return found


def _audit(model: EmbeddingClassifier, task: ForgetTask, sets: Sets, before: Look, reference: Look, seed: int) -> Audit:
    classes, label = len(task.classes), task.label
    ours, retain = look(model, sets, label), view(model, sets.retain)
    found = _answers(ours, reference, classes, label) | _likeness(ours, retain, classes, label, seed)
    found["cka_forget"] = linear_cka(ours.forget.z, reference.forget.z)
    found["cka_unseen"] = linear_cka(ours.unseen.z, reference.unseen.z)
    for end, other in (("", before), ("_retrain", reference)):
        found[f"structure{end}"] = inner_structure(ours.forget.z, other.forget.z, ours.forget.labels)
        found[f"structure_unseen{end}"] = inner_structure(ours.alike.z, other.alike.z, ours.alike.labels)
    if label is None:
        return found | _sample_readings(ours, retain, classes, seed)
    return found | _class_readings(ours, retain, label, classes, seed)


def _answers(ours: Look, reference: Look, classes: int, label: int | None) -> Audit:
    answers, theirs = (other_answers(one.forget.logits, one.forget.labels) for one in (ours, reference))
    spread = shares(answers, classes)
    kept = ours.unseen if label is None else ours.unseen.where(ours.unseen.labels != label)
    return {
        "answers": spread.tolist(),
        "answers_distance": total_variation(spread, shares(theirs, classes)),
        "answers_agreement": 100 * float((answers == theirs).double().mean()),
        "confidence": 100 * float(confidence(ours.forget.logits).mean()),
        "confidence_unseen": 100 * float(confidence(ours.alike.logits).mean()),
        "calibration": calibration_error(kept.logits, kept.labels),
    }


def _likeness(ours: Look, retain: View, classes: int, label: int | None, seed: int) -> Audit:
    centres = class_centres(ours.unseen.z, ours.unseen.labels, classes)
    others = class_centres(retain.z, retain.labels, classes)
    margin, nearest = margins(ours.forget.z, ours.forget.labels, centres, others)
    found: Audit = {
        "cohesion": cohesion(ours.forget.z),
        "nearest": float(nearest.mean()),
        "margin": float(margin.mean()),
        "margin_unseen": float(margins(ours.alike.z, ours.alike.labels, centres, others)[0].mean()),
    }
    if label is None:
        kept = retain.where(torch.arange(min(len(retain.z), len(ours.forget.z)), device=retain.z.device))
        stays = ours.unseen.where(like(kept.labels, ours.unseen.labels))
    else:
        other = (label + 1) % classes
        kept, stays = retain.where(retain.labels == other), ours.unseen.where(ours.unseen.labels == other)
    for end, seen, new in (("", ours.forget, ours.alike), ("_retained", kept, stays)):
        test = mmd_test(seen.z, seen.labels, new.z, new.labels, seed=seed)
        found |= {f"mmd{end}": test.squared, f"mmd_limit{end}": test.limit, f"mmd_p{end}": test.p}
        found[f"told_apart{end}"] = two_sample_auc(seen.z, new.z, seed)
    return found


def _class_readings(ours: Look, retain: View, label: int, classes: int, seed: int) -> Audit:
    unseen = ours.unseen
    found: Audit = {}
    for name, x in (("z", unseen.z), ("features", unseen.features)):
        found[f"probe_{name}"] = class_probe(x, unseen.labels, label, seed)
        found[f"knn_{name}"] = class_neighbours(x, unseen.labels, label, seed)
    known, few = (retain.z, retain.labels), (ours.forget.z, ours.forget.labels)
    for name, part in (("centroid", ours.alike), ("centroid_retain", unseen.where(unseen.labels != label))):
        found[name] = centre_accuracy(known, few, (part.z, part.labels), classes, SHOTS, seed=seed)
    return found


def _sample_readings(ours: Look, retain: View, classes: int, seed: int) -> Audit:
    held_out = [(one.z, one.labels) for one in (ours.forget, ours.alike)]
    features = (ours.forget.features, ours.forget.labels)
    found: Audit = {}
    for name, read in (("probe", label_probe), ("knn", label_neighbours)):
        found[f"{name}_z"], found[f"{name}_unseen"] = read(retain.z, retain.labels, *held_out)
        (found[f"{name}_features"],) = read(retain.features, retain.labels, features)
    for name, part in zip(("centroid", "centroid_unseen"), held_out, strict=True):
        found[name] = centre_accuracy((retain.z, retain.labels), None, part, classes, SHOTS, seed=seed)
    return found


def _relearn_class(
    model: EmbeddingClassifier, task: ForgetTask, original: EmbeddingClassifier, measured: ImageData, seed: int
) -> Audit:
    few = draw_from(task.forget, SHOWN_OF_CLASS, seed)
    shown = joined(few, draw_from(task.retain, len(few), seed))
    target = CLASS_TARGET * accuracy(original, measured, "float32")
    found = relearn(model, shown, target, measured, CLASS_RELEARNING, task.label)
    return {"relearn_steps": float(found.steps), "relearn_curve": list(found.curve)}


def _relearn_samples(model: EmbeddingClassifier, task: ForgetTask, original: EmbeddingClassifier, seed: int) -> Audit:
    shown = draw_from(task.forget, SHOWN_SAMPLES, seed)
    target = SAMPLE_TARGET * accuracy(original, shown, "float32")
    fresh = draw_from(task.test.select(like(shown.labels, task.test.labels, seed)), len(shown), seed)
    found, unseen = (relearn(model, images, target, settings=SAMPLE_RELEARNING) for images in (shown, fresh))
    return {
        "relearn_steps": float(found.steps),
        "relearn_curve": list(found.curve),
        "relearn_unseen": float(unseen.steps),
        "relearn_unseen_curve": list(unseen.curve),
    }
