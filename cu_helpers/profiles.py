"""How large a run is: smoke (seconds), laptop (CPU minutes), paper (GPU)."""

import os
from dataclasses import dataclass, field, replace
from typing import Any

from .data import DATASETS, Dataset
from .errors import choose
from .models import MODELS, ModelConfig
from .training import TrainSettings
from .unlearning import (
    METHODS,
    BoundaryExpansionSettings,
    BoundaryShrinkSettings,
    ContrastiveQueueSettings,
    ContrastiveSettings,
    FinetuneSettings,
    FisherSettings,
    GradientAscentSettings,
    LcodecSettings,
    NegGradPlusSettings,
    RetrainSettings,
    SalunSettings,
    ScrubSettings,
    SsdSettings,
    Stopping,
    UnsirSettings,
)
from .unlearning.contrastive import MINI_IMAGENET_DIM

PROFILES = ("smoke", "laptop", "paper")


@dataclass(frozen=True)
class Profile:
    """The size of everything a chapter does, for one data set and model.

    train_images, test_images: None keeps all. class_settings, sample_settings: method name -> settings, where
    they differ from the method's defaults. class_seeds, sample_seeds: the seeds of tables.
    """

    name: str
    dataset: str
    model: str = "resnet18"
    width: int = 64
    feature_dim: int = 128
    train_images: int | None = None
    test_images: int | None = None  # fewer only at smoke, where measuring took longer than unlearning
    training: TrainSettings = field(default_factory=TrainSettings)
    label: int = 5  # the paper forgets class 5 by default
    count: int = 500  # and 500 samples
    class_seeds: tuple[int, ...] = (0, 1, 2)
    sample_seeds: tuple[int, ...] = (0, 1, 2, 3, 4)  # the paper repeats sample unlearning five times
    class_settings: dict[str, Any] = field(default_factory=dict)
    sample_settings: dict[str, Any] = field(default_factory=dict)

    def config(self, num_classes: int) -> ModelConfig:
        """The model's architecture for a data set with `num_classes` classes."""
        return ModelConfig(self.model, num_classes, 3, self.width, self.feature_dim)

    def shrink(self, dataset: Dataset) -> Dataset:
        """The data set with this profile's numbers of training and test images."""
        return dataset.with_train(self.train_images).with_test(self.test_images)

    def task_name(self, kind: str) -> str:
        """The main comparison's task of this kind as records name it: "class5", "samples500"."""
        return f"class{self.label}" if kind == "class" else f"samples{self.count}"

    def settings(self, method: str, kind: str) -> Any:
        """The settings of `method` for a task of this kind: this profile's own, else the method's defaults.

        Retrain always takes the training that made the original model. Raises ValueError for an unknown method.
        """
        choose("method", method, list(METHODS))
        if method == "retrain":
            return RetrainSettings(self.training)
        own = (self.class_settings if kind == "class" else self.sample_settings).get(method)
        return METHODS[method].settings() if own is None else own


EVERY_BATCH = Stopping(check_every=1)


def _digits(name: str) -> Profile:
    """180 scans train in seconds, so laptop and paper are the same here.

    lambda_ul and the learning rate come from a search on validation images (seed 0; class: ten
    settings, samples: twelve). The paper's values overshoot on so small a retained set.
    """
    smoke = name == "smoke"
    small = 6  # three batches of a class's eighteen images, so that the stop rule has a say
    # A smoke run shows that everything works, also where the stop rule never holds.
    limit: dict[str, Any] = {"max_rounds": 3} if smoke else {}
    ours = {"stopping": EVERY_BATCH, **limit}
    # The queue starts with as many different retained scans: of 162 beside a class, of 144 beside the samples.
    queue = ContrastiveQueueSettings(learning_rate=3e-3, queue_size=128, **ours)
    # The authors' batches are larger than a class of digits, and their noise than all retained scans.
    baselines: dict[str, Any] = {
        "boundary_shrink": BoundaryShrinkSettings(batch_size=small, **limit),
        "boundary_expansion": BoundaryExpansionSettings(batch_size=small, **limit),
        # The lengths, weights and temperature of the authors' small-scale notebook; SGD in place of its Adam.
        "scrub": ScrubSettings(
            forget_batch_size=small,
            retain_batch_size=32,
            max_rounds=3 if smoke else 10,
            max_steps=3,
            temperature=2.0,
            gamma=1.0,
            decay_epochs=(5, 8, 9),
        ),
        # As many images as contrastive unlearning's thirty rounds pass through the model.
        "finetune": FinetuneSettings(batch_size=64, max_rounds=3 if smoke else 30),
        "unsir": UnsirSettings(noise_size=32, noise_copies=3, batch_size=32),
        "neggrad_plus": NegGradPlusSettings(batch_size=18, max_rounds=1 if smoke else 5),
        "ssd": SsdSettings(batch_size=small),
        "salun": SalunSettings(batch_size=18, max_rounds=1 if smoke else 10),
        "lcodec": LcodecSettings(perturbations=60 if smoke else 200, max_units=8),
    }
    return Profile(
        name,
        "digits",
        width=16,
        test_images=320 if smoke else None,
        training=TrainSettings(epochs=15 if smoke else 40, batch_size=32 if smoke else 64, learning_rate=0.05),
        count=36,  # accuracy on 36 images moves in steps of 2.8 points
        class_seeds=(0, 1) if smoke else (0, 1, 2),
        sample_seeds=(0, 1) if smoke else (0, 1, 2, 3, 4),
        class_settings={
            **baselines,
            "contrastive": ContrastiveSettings(lambda_ul=1.0, batch_size=small, **ours),
            "contrastive_queue": replace(queue, batch_size=small),
            "gradient_ascent": GradientAscentSettings(batch_size=small, **limit),
        },
        sample_settings={
            **baselines,
            "contrastive": ContrastiveSettings(lambda_ul=0.3, learning_rate=3e-3, **ours),
            "contrastive_queue": queue,
            "gradient_ascent": GradientAscentSettings(batch_size=small, **limit),
        },
    )


def _images(name: str, dataset: str) -> Profile:
    """CIFAR, SVHN and Mini-ImageNet: the paper's sizes, or what a CPU trains in minutes."""
    if name == "smoke":
        queue = ContrastiveQueueSettings(queue_size=256)  # of 360 retained images
        return Profile(
            name,
            dataset,
            width=4,
            train_images=400,
            test_images=400,
            training=TrainSettings(epochs=4, batch_size=64, learning_rate=0.05),
            count=40,
            class_seeds=(0, 1),
            sample_seeds=(0, 1),
            class_settings={"contrastive_queue": queue},
            sample_settings={"contrastive_queue": queue},
        )
    shorter = {"neggrad_plus": NegGradPlusSettings(max_rounds=1), "salun": SalunSettings(max_rounds=2)}
    # From a search on CIFAR-10's validation images at profile laptop (thirteen settings for a class,
    # fifteen for samples of another draw, two to four for each baseline). Profile paper takes them
    # over: a search at that size would cost a GPU many times what the reported runs cost.
    class_settings: dict[str, Any] = {
        **shorter,
        "contrastive": ContrastiveSettings(lambda_ul=1.0, learning_rate=3e-3, omega=2, max_rounds=3),
        "contrastive_queue": ContrastiveQueueSettings(learning_rate=3e-3, omega=2, max_rounds=3),
        "finetune": FinetuneSettings(
            learning_rate=0.03, batch_size=128, max_rounds=1, stopping=Stopping(check_every=4)
        ),
        "gradient_ascent": GradientAscentSettings(learning_rate=1e-3, max_rounds=3, stopping=EVERY_BATCH),
        "fisher": FisherSettings(directions=1),  # one derivative an image instead of nine
    }
    sample_settings: dict[str, Any] = {
        **shorter,
        "contrastive": ContrastiveSettings(lambda_ul=0.5, learning_rate=1e-2, max_rounds=6, stopping=EVERY_BATCH),
        "contrastive_queue": ContrastiveQueueSettings(learning_rate=1e-2, max_rounds=6, stopping=EVERY_BATCH),
        "finetune": FinetuneSettings(learning_rate=0.03, max_rounds=3),
        "gradient_ascent": GradientAscentSettings(learning_rate=1e-3, max_rounds=15),
        "lcodec": LcodecSettings(perturbations=200, max_units=8),
        "fisher": FisherSettings(directions=1),
    }
    if name == "laptop":
        return Profile(
            name,
            dataset,
            width=16,
            train_images=20_000,
            # Enough steps for near 100 % training accuracy; the decay is what a short schedule needs.
            training=TrainSettings(epochs=15, batch_size=64, weight_decay=5e-4),
            class_settings=class_settings,
            sample_settings=sample_settings,
        )
    few = {"fisher": FisherSettings(directions=1, max_images=10_000)}  # a share of the images, to save time
    return Profile(
        name,
        dataset,
        # A fifth of the released code's hundred epochs fits the training images as well; the decay is laptop's.
        training=TrainSettings(epochs=20, weight_decay=5e-4),
        class_settings=class_settings | few,
        sample_settings=sample_settings | few,
    )


# Without convolutions 180 scans take longer: 99 % of them and 83 % of the validation images of seed 100, where
# forty epochs at the paper's rate of 3e-4 reach 50 % of the scans at most.
VIT_ON_DIGITS: dict[str, Any] = {"epochs": 150, "batch_size": 64, "learning_rate": 1e-3}


def get_profile(name: str | None = None, dataset: str = "digits", model: str | None = None) -> Profile:
    """The profile `name` for a data set; None means $CU_PROFILE, else laptop.

    model: None means resnet18. Mini-ImageNet takes Table 7's feature dimensions and settings.
    Raises ValueError for an unknown profile, data set or model.
    """
    chosen = name or os.environ.get("CU_PROFILE") or "laptop"
    choose("profile", chosen, PROFILES)
    choose("data set", dataset, DATASETS)
    profile = _digits(chosen) if dataset == "digits" else _images(chosen, dataset)
    if model is not None:
        choose("model", model, MODELS)
        training = profile.training
        if not model.startswith("resnet"):
            training = TrainSettings.for_model(model, epochs=training.epochs)
            if dataset == "digits" and chosen != "smoke":
                training = replace(training, **VIT_ON_DIGITS)
        profile = replace(profile, model=model, training=training)
        if dataset == "digits" and model != "resnet18":
            profile = replace(profile, width=8)  # half of ResNet-18's, for an architecture up to five times as slow
    if dataset == "mini_imagenet" and profile.model in MINI_IMAGENET_DIM:
        table = ContrastiveSettings.mini_imagenet(profile.model)
        settings = {"contrastive": table}
        profile = replace(
            profile,
            feature_dim=MINI_IMAGENET_DIM[profile.model],
            class_settings={**profile.class_settings, **settings},
            sample_settings={**profile.sample_settings, **settings},
        )
    return profile
