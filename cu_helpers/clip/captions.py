"""Class labels in words: names, templates, and the tokens that CLIP reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from open_clip import SimpleTokenizer
from torch import Tensor

# The first is the prompt of the authors' released CLIP code; a small CLIP reads all four in its captions.
TEMPLATES = ("a photo of a {}", "a picture of the {}", "a small image of a {}", "an example of the {}")
HELD_OUT_TEMPLATES = ("a drawing of one {}", "my favourite {} on paper", "this looks like a {}")

DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# A second word for a class. CLIP has met both; whoever forgets a class may think of the first alone.
OTHER_NAMES = {
    **{word: str(number) for number, word in enumerate(DIGIT_WORDS)},
    "airplane": "plane",
    "automobile": "car",
    "bird": "songbird",
    "cat": "kitten",
    "deer": "stag",
    "dog": "puppy",
    "frog": "toad",
    "horse": "pony",
    "ship": "boat",
    "truck": "lorry",
    "aquarium fish": "goldfish",
}


@dataclass(frozen=True)
class Wording:
    """How each class is put into words.

    names: for each class one name or more, as many for each. templates: texts with one {} each.
    Raises ValueError if one of the two is empty, names differ in number, or a template has no {}.
    """

    names: tuple[tuple[str, ...], ...]
    templates: tuple[str, ...] = TEMPLATES[:1]

    def __post_init__(self) -> None:
        counts = {len(of_class) for of_class in self.names}
        if len(counts) != 1 or 0 in counts:
            raise ValueError(f"names are {self.names!r}; expected the same number of names, at least one, a class")
        if not self.templates or any(template.count("{}") != 1 for template in self.templates):
            raise ValueError(f"templates are {self.templates!r}; expected texts that hold one {{}} each")

    def captions(self) -> tuple[tuple[str, ...], ...]:
        """Every caption of every class: each template with each name."""
        return tuple(
            tuple(template.format(name) for template in self.templates for name in of_class) for of_class in self.names
        )


def first_name(label: str) -> str:
    """A data set's class name as a word: "5" is five, "aquarium_fish" is aquarium fish."""
    return DIGIT_WORDS[int(label)] if label.isdigit() and len(label) == 1 else label.replace("_", " ")


def wordings(classes: Sequence[str]) -> dict[str, Wording]:
    """The wordings of a data set's classes.

    "prompt": one name in the first template, what the zero-shot classifier is asked with and what
    unlearning uses. "captions": all names in all templates, what a small CLIP is trained on.
    The rest are for measuring: "trained templates", "held-out templates" (in no caption),
    "bare name", "other name" (a class without one keeps its first).
    """
    first = tuple((first_name(label),) for label in classes)
    other = tuple((OTHER_NAMES.get(name, name),) for (name,) in first)
    both = tuple(a + b for a, b in zip(first, other, strict=True))
    return {
        "prompt": Wording(first),
        "captions": Wording(both, TEMPLATES),
        "trained templates": Wording(first, TEMPLATES[1:]),
        "held-out templates": Wording(first, HELD_OUT_TEMPLATES),
        "bare name": Wording(first, ("{}",)),
        "other name": Wording(other),
    }


@cache
def _tokenizer(context_length: int) -> SimpleTokenizer:
    # Its vocabulary is a file of the open_clip package: nothing is fetched, and it is never empty.
    return SimpleTokenizer(context_length=context_length)


def tokenise(texts: Sequence[str], context_length: int) -> Tensor:
    """CLIP's byte-pair tokens of each text, int64 (n, context_length), zeros after the end token.

    Raises ValueError for a text that does not fit: open_clip would cut it, and with it a name.
    """
    tokenizer = _tokenizer(context_length)
    for text in texts:
        count = len(tokenizer.encode(text)) + 2  # and a start and an end token
        if count > context_length:
            raise ValueError(f"{text!r} has {count} tokens; expected at most {context_length}, so shorten it")
    tokens: Tensor = tokenizer(list(texts))
    return tokens
