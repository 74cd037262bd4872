"""The paper's tables beside ours: every cell with its interval and a link to its records."""

from collections.abc import Mapping, Sequence

from . import markdown
from .ablations import TEMPERATURES
from .comparison import HEADS, had_the_device
from .figures import LABELS
from .grid_parts import counts
from .ledger import Ledger
from .metrics import mean_interval
from .paper import LOST, numbers
from .profiles import get_profile
from .readings import ATTACKED, Run, attack_works, main_runs, of_few, readings, timed_steps
from .results import read_runs
from .unlearning import ContrastiveSettings
from .unlearning.contrastive import BATCH_SIZES
from .verification_tables import NOT_RUN

SHARED = "shared device"  # instead of seconds, where every run shared its device with others
SCALES = (("cifar10", "paper"), ("cifar10", "laptop"), ("digits", "laptop"))  # where runs are recorded, largest first
HEADS_HERE = HEADS | {
    "seconds": "seconds",
    "unlearn_score": "unlearn score",
    "forgotten": "called members: forgotten (%)",
    "held_out": "called members: retained (%)",
}
# Table -> data set, kind of task. Tables 6 to 14 have layouts of their own.
METHOD_TABLES = {
    "Table 1": ("cifar10", "class"),
    "Table 2": ("cifar10", "class"),
    "Table 3": ("cifar10", "samples"),
    "Table 4": ("cifar10", "samples"),
    "Table 5": ("cifar10", "samples"),
    "Table 15": ("svhn", "class"),
    "Table 16": ("svhn", "samples"),
    "Table 17": ("svhn", "class"),
    "Table 18": ("svhn", "samples"),
    "Table 19": ("svhn", "samples"),
    "Table 20": ("mini_imagenet", "class"),
    "Table 21": ("mini_imagenet", "samples"),
}


def cell(found: Sequence[tuple[float, Run]], ledger: Ledger) -> str:
    """Mean and 95 % interval, linked to the records; "not run" for none."""
    if not found:
        return NOT_RUN
    return ledger.cite(str(mean_interval([value for value, _ in found])), [run for _, run in found])


def _rows_of(table: str) -> list[str]:
    return list(dict.fromkeys(row for row, _ in numbers()[table]))


def _columns_of(table: str) -> list[str]:
    return list(dict.fromkeys(column for _, column in numbers()[table]))


def _alternating(table: str, row: str | None, ours: Mapping[str, str], columns: Sequence[str]) -> list[str]:
    """The paper's cell and ours for each column; a dash where the paper's table has no such row."""
    made = []
    for column in columns:
        printed = None if row is None else numbers()[table].get((row, column))
        made += ["–" if printed is None else str(printed), ours[column]]
    return made


def _head(columns: Sequence[str]) -> list[str]:
    heads = [HEADS_HERE.get(column, column) for column in columns]
    return [text for head in heads for text in (f"paper: {head}", f"ours: {head}")]


def _our_cells(
    dataset: str, profile: str, kind: str, model: str, method: str, columns: Sequence[str], ledger: Ledger
) -> dict[str, str]:
    """Our cells of one row: "shared device" for seconds that say nothing, "broken" before an attack that fails."""
    made = {}
    for column in columns:
        made[column] = cell(readings(profile, dataset, kind, model, method, column), ledger)
        if made[column] == NOT_RUN and column == "seconds" and main_runs(profile, dataset, kind, model, method):
            made[column] = SHARED
        elif made[column] != NOT_RUN and column in ATTACKED and not attack_works(profile, dataset, kind, model):
            made[column] = f"broken: {made[column]}"
    return made


def method_table(table: str, ledger: Ledger) -> str:
    """One of METHOD_TABLES: the paper's data set at full size first, then what else is recorded, in the same layout.

    Beside seconds stands the same time in Retrain's steps, which a busy machine changes less.
    """
    own, kind = METHOD_TABLES[table]
    columns = _columns_of(table)
    extra = ["ours: time in Retrain's steps"] if "seconds" in columns else []
    scales = [(own, "paper"), *[scale for scale in SCALES if scale != (own, "paper")]]
    rows = []
    for dataset, profile in scales:
        for row in _rows_of(table):
            model, method = row.split()
            ours = _our_cells(dataset, profile, kind, model, method, columns, ledger)
            if (dataset, profile) != (own, "paper") and set(ours.values()) == {NOT_RUN}:
                continue
            few = of_few(main_runs(profile, dataset, kind, model, method), profile, dataset)
            name = LABELS[method] + (f" ({few} samples)" if few else "")
            cells = _alternating(table, row if dataset == own else None, ours, columns)
            if extra:
                cells.append(cell(timed_steps(profile, dataset, kind, model, method), ledger))
            rows.append([dataset, profile, model, name, *cells])
    return markdown.table(["data", "profile", "model", "method", *_head(columns), *extra], rows)


def class_table(table: str, ledger: Ledger) -> str:
    """Table 9 (CIFAR-10) or 10 (SVHN): contrastive unlearning of each class in turn."""
    own = {"Table 9": "cifar10", "Table 10": "svhn"}[table]
    columns = ["retain_test", "forget", "forget_test"]
    rows = []
    for dataset, profile in ((own, "paper"), *[scale for scale in SCALES if scale != (own, "paper")]):
        runs = read_runs(profile, dataset=dataset, method="contrastive", variant="tuned", model="resnet18")
        for row in _rows_of(table):
            found = [run for run in runs if run["task"] == row]
            if not found and (dataset, profile) != (own, "paper"):
                continue
            ours = {name: cell([(run["metrics"][name], run) for run in found], ledger) for name in columns}
            printed = row if dataset == own else None
            label = row.removeprefix("class")
            rows.append([dataset, profile, label, *_alternating(table, printed, ours, columns)])
    return markdown.table(["data", "profile", "class", *_head(columns)], rows)


def count_table(ledger: Ledger) -> str:
    """Table 11: other numbers of forgotten samples, on CIFAR-10 at the paper's size, and where runs are recorded."""
    columns, rows = ["test", "forget"], []
    for dataset, profile in SCALES:
        size = get_profile(profile, dataset)
        recorded = read_runs(profile, dataset=dataset, model="resnet18", table="Table 11")
        if not recorded and (dataset, profile) != SCALES[0]:
            continue
        for number in sorted({*counts(size), size.count}):
            for method in ("retrain", "contrastive", "fisher"):
                variant = None if method == "retrain" else "tuned"
                runs = read_runs(
                    profile, dataset=dataset, model="resnet18", method=method, variant=variant, task=f"samples{number}"
                )
                ours = {name: cell([(run["metrics"][name], run) for run in runs], ledger) for name in columns}
                printed = f"samples{number} {method}" if dataset == "cifar10" else None
                cells = _alternating("Table 11", printed, ours, columns)
                rows.append([dataset, profile, str(number), LABELS[method], *cells])
    return markdown.table(["data", "profile", "samples", "method", *_head(columns)], rows)


def temperature_table(ledger: Ledger) -> str:
    """Table 12: everything but the temperature as the search found it."""
    columns, rows = ["test", "forget", "seconds"], []
    for dataset, profile in SCALES:
        for tau in TEMPERATURES:
            runs = read_runs(profile, dataset=dataset, method="contrastive", variant=f"tau {tau:g}", model="resnet18")
            if not runs and (dataset, profile) != SCALES[0]:
                continue
            ours = {name: cell([(run["metrics"][name], run) for run in runs], ledger) for name in columns[:2]}
            alone = [(float(run["seconds"]), run) for run in runs if had_the_device(run)]
            ours["seconds"] = cell(alone, ledger) if alone or not runs else SHARED
            printed = f"tau {tau:g}" if dataset == "cifar10" else None
            rows.append([dataset, profile, f"{tau:g}", *_alternating("Table 12", printed, ours, columns)])
    return markdown.table(["data", "profile", "τ", *_head(columns)], rows)


def original_table(ledger: Ledger) -> str:
    """Table 8: the original models. Ours measure the training images as forgotten and retained ones."""
    rows = []
    for row in _rows_of("Table 8"):
        dataset, model = row.split()
        rows.append(_original_row(dataset, "paper", model, row, ledger))
    rows += [_original_row(dataset, profile, "resnet18", None, ledger) for dataset, profile in SCALES[1:]]
    return markdown.table(["data", "profile", "model", *_head(["train", "test"])], rows)


def _original_row(dataset: str, profile: str, model: str, row: str | None, ledger: Ledger) -> list[str]:
    runs = {run["seed"]: run for run in read_runs(profile, dataset=dataset, model=model, method="original")}.values()
    ours = {
        "train": cell([(run["metrics"]["retain"], run) for run in runs], ledger),
        "test": cell([(run["metrics"]["test"], run) for run in runs], ledger),
    }
    return [dataset, profile, model, *_alternating("Table 8", row, ours, ["train", "test"])]


def settings_table(table: str) -> str:
    """Tables 6 and 7: the paper's settings, and our `ContrastiveSettings`, whose fields name their source."""
    columns = _columns_of(table)
    rows = []
    for name in _rows_of(table):
        made = []
        for column in columns:
            dataset, kind = column.split() if table == "Table 6" else ("mini_imagenet", "class")
            model = "resnet18" if table == "Table 6" else column
            made += [str(numbers()[table][name, column]), _setting(name, dataset, kind, model)]
        rows.append([name.replace("_", " "), *made])
    return markdown.table(["setting", *[text for column in columns for text in (f"paper: {column}", "ours")]], rows)


def _setting(name: str, dataset: str, kind: str, model: str) -> str:
    size = get_profile("paper", dataset, model)
    if name == "feature_dim":
        return str(size.feature_dim)
    ours = ContrastiveSettings.mini_imagenet(model) if dataset == "mini_imagenet" else ContrastiveSettings()
    value = getattr(ours, name)
    if value is None:
        value = BATCH_SIZES[kind]
    return f"{value:g}"


def lost_share(table: str) -> str:
    """How much of a table of the paper is lost, as a sentence."""
    cells = list(numbers()[table].values())
    gone = sum(number.value is None for number in cells)
    sources = "; ".join(dict.fromkeys(number.source for number in cells))
    return f"{gone} of the paper's {len(cells)} numbers are {LOST}. Source: {sources}."
