"""The core of the Contrastive Unlearning book: data, models, losses, unlearning and measurements."""

__version__ = "0.1.0"
