"""Contrastive unlearning against a queue of keys: the paper's appendix D.7, with the loss of Eq. 11."""

from dataclasses import dataclass, field

import torch
from torch.nn import functional as F

from ..data import ForgetTask
from ..devices import autocast, generator
from ..errors import check_settings
from ..inference import embed
from ..losses import check_temperature, queue_unlearning_loss
from ..models import EmbeddingClassifier
from ..training import sgd
from .contrastive import BATCH_SIZES
from .loop import Observer, UnlearningLoop, UnlearningResult
from .queue import KeyQueue, key_encoder, momentum_update
from .stopping import Stopping


@dataclass(frozen=True)
class ContrastiveQueueSettings:
    """Settings of contrastive unlearning with a queue. The paper prints none; Table 14 is lost.

    batch_size None means 64 for a class and 128 for samples.
    """

    lambda_ul: float = 0.5  # weight of Eq. 11 (authors' comparison script)
    lambda_ce: float = 0.5  # weight of the cross-entropy on retained images (authors' comparison script)
    queue_size: int = 2000  # authors' code: keys that an anchor is compared with
    key_momentum: float = 0.999  # of the key encoder (authors' comparison script; He et al. 2020)
    omega: int = 4  # retained batches per forget batch (as in contrastive unlearning)
    temperature: float = 0.7  # tau (Tables 7 and 12)
    learning_rate: float = 1e-3  # Table 6
    momentum: float = 0.9  # Table 6
    weight_decay: float = 5e-4  # Table 6
    batch_size: int | None = None  # Table 6: 64 for a class, 128 for samples
    max_rounds: int = 30  # as in contrastive unlearning
    precision: str = "auto"
    stopping: Stopping = field(default_factory=Stopping)

    def __post_init__(self) -> None:
        check_settings(
            self,
            ["temperature", "queue_size", "omega", "learning_rate", "max_rounds", "batch_size"],
            ["lambda_ul", "lambda_ce", "momentum", "weight_decay", "key_momentum"],
        )
        check_temperature(self.temperature)
        if self.key_momentum > 1:
            raise ValueError(
                f"ContrastiveQueueSettings: key_momentum is {self.key_momentum!r}; expected a number from 0 to 1"
            )


def full_queue(
    key: EmbeddingClassifier, task: ForgetTask, settings: ContrastiveQueueSettings, draw: torch.Generator
) -> KeyQueue:
    """A queue that holds the keys of `queue_size` different retained images, drawn by `draw`.

    Raises ValueError if fewer are retained.
    """
    size = settings.queue_size
    if size > len(task.retain):
        raise ValueError(
            f"queue_size is {size} and {len(task.retain)} images are retained; expected no more places than images, "
            "since the queue starts with a different one in each"
        )
    chosen = task.retain.select(torch.randperm(len(task.retain), generator=draw, device=draw.device)[:size])
    queue = KeyQueue(size, key.config.feature_dim, task.retain.device)
    queue.enqueue(embed(key, chosen, settings.precision), chosen.labels)
    return queue


def contrastive_queue(
    model: EmbeddingClassifier,
    task: ForgetTask,
    settings: ContrastiveQueueSettings,
    seed: int = 0,
    observer: Observer | None = None,
) -> UnlearningResult:
    """Change `model` in place by Algorithm 1 with Eq. 11 in place of Eq. 5 or 6.

    Each forget batch X^u meets omega retained batches X^r of its own size. The key encoder embeds
    X^r, these keys enter the queue, and the anchors of X^u are compared with all that is in it. The
    step descends lambda_CE * CE(H(E(X^r)), Y^r) + lambda_UL * L_UL; after it the key encoder moves
    a little towards the model. Keys carry no gradient: L_UL moves forgotten embeddings alone.
    X^r passes both encoders, and both passes count as samples seen, as do the queue's first keys.
    """
    size = settings.batch_size or BATCH_SIZES[task.kind]
    model.train()
    draw = generator(seed, task.forget.device)
    optimizer = sgd(model, settings.learning_rate, settings.momentum, settings.weight_decay)
    loop = UnlearningLoop("contrastive_queue", model, task, settings.stopping, observer)
    key = key_encoder(model)
    queue = full_queue(key, task, settings, draw)
    loop.samples_seen += len(queue)
    for index in loop.batches(len(task.forget), size, settings.max_rounds, draw, forgets=True):
        x_u, y_u = task.forget.batch(index)
        for _ in range(settings.omega):
            x_r, y_r = task.retain.batch(
                torch.randint(len(task.retain), (len(index),), generator=draw, device=draw.device)
            )
            with autocast(x_r.device, settings.precision):
                with torch.no_grad():
                    queue.enqueue(key.encode(x_r), y_r)
                z = model.encode(torch.cat([x_u, x_r]))
                l_ce = F.cross_entropy(model.classify(z[len(index) :]).float(), y_r)
            l_ul = queue_unlearning_loss(z[: len(index)], y_u, *queue.contents(), settings.temperature)
            loop.step(optimizer, settings.lambda_ce * l_ce + settings.lambda_ul * l_ul, 3 * len(index))
            momentum_update(key, model, settings.key_momentum)
    return loop.result(settings)
