"""The one set-up call of every notebook."""

from dataclasses import dataclass
from pathlib import Path

import torch

from . import experiments
from .checkpoints import cache_folder, versions
from .data import Dataset, ForgetTask, load_dataset
from .devices import pick_device, resolve_precision
from .profiles import Profile, get_profile
from .results import describe_device
from .training import TrainedModel


@dataclass(frozen=True)
class Lab:
    """What a chapter works with: its profile, its data on the device, and its seed."""

    profile: Profile
    dataset: Dataset
    device: torch.device
    seed: int

    def class_task(self) -> ForgetTask:
        """The task of forgetting the profile's class."""
        return experiments.make_task(self.dataset, self.profile, "class", self.seed)

    def sample_task(self, seed: int | None = None) -> ForgetTask:
        """The task of forgetting the profile's number of samples, drawn by `seed` (None: the lab's)."""
        return experiments.make_task(self.dataset, self.profile, "samples", self.seed if seed is None else seed)

    def original(self, seed: int | None = None) -> TrainedModel:
        """The original model of a seed (None: the lab's), trained once and then read from the cache."""
        return experiments.original_model(self.dataset, self.profile, self.seed if seed is None else seed)

    def retrained(self, task: ForgetTask, seed: int | None = None) -> TrainedModel:
        """The retrained reference of a task, trained once and then read from the cache."""
        return experiments.retrained_model(task, self.profile, self.seed if seed is None else seed)


def setup(
    profile: str | None = None,
    dataset: str = "digits",
    model: str | None = None,
    seed: int | None = None,
    root: str | Path | None = None,
    device: str | None = None,
) -> Lab:
    """Load what a chapter needs and print what it runs on.

    profile: smoke, laptop or paper; None means $CU_PROFILE, else laptop. seed: None means 0.
    root: the data folder, see `data.load_dataset`. Raises ValueError for unknown names and
    DataFileError if the data set cannot be read.
    """
    chosen = get_profile(profile, dataset, model)
    where = pick_device(device)
    data = chosen.shrink(load_dataset(dataset, root, where))
    lab = Lab(chosen, data, where, 0 if seed is None else seed)
    numbers = ", ".join(f"{name} {version}" for name, version in versions().items())
    print(f"profile  {chosen.name}, seed {lab.seed}")
    print(
        f"data     {dataset}: {len(data.train)} training, {len(data.validation)} validation, "
        f"{len(data.test)} test images, {len(data.classes)} classes"
    )
    print(f"model    {chosen.config(len(data.classes)).describe()}")
    print(f"device   {describe_device(where)}, {resolve_precision('auto', where)}")
    print(f"versions {numbers}")
    print(f"cache    {_short(cache_folder())}")
    return lab


def _short(path: Path) -> str:
    """A path with the home folder as ~, so that published outputs name no user."""
    try:
        return str(Path("~") / path.resolve().relative_to(Path.home().resolve()))
    except ValueError:
        return path.name
