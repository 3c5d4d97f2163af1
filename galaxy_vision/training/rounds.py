"""Several runs for one question: the folds of a cross-validation, and the steps of a learning curve.

They are runs of their own in folders of ``output_dir``, and the same command goes on where a kill has left it: those
that are complete are not repeated.
"""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..data.batches import label_array
from ..data.load import load_galaxies
from ..runtime.orderly_end import refusals_in_one_line
from .checkpoints import checkpoint_steps
from .classifier_arguments import ClassifierRun
from .own_rows import arrange
from .run import training_run

STEPS = (10, 30, 100, 300, 1000)
"""Labels of each class of a learning curve, as far as there are more."""
SAME = ("dataset", "label_columns", "task", "init_from", "seed", "probe")
"""Arguments of a complete run in a folder that must be those of this one."""


def in_rounds(args: ClassifierRun, train: Callable) -> dict | None:
    """Train once, after the folds and the steps of a learning curve that the arguments ask for.

    Args:
        args: of the run.
        train: ``train(run)`` trains, tests and saves.

    Returns:
        The content of metrics.json on the main process; None on the others.

    Raises:
        SystemExit: a folder holds another run, or as the runs do.
    """
    held_out = f"1/{args.folds}" if args.folds else args.fold
    for fold in range(1, args.folds + 1):
        print_round(f"fold {fold} of {args.folds}")
        one_round(args, train, fold_folder(args, fold), fold=f"{fold}/{args.folds}")
    for count in steps_of(args, held_out) if args.learning_curve else ():
        print_round(f"learning curve: {count} labels of each class")
        one_round(args, train, Path(args.output_dir) / f"labels_{count}", fold=held_out, labels_per_class=count)
    if args.folds:
        args.take({"fold": f"0/{args.folds}"})  # of the whole model, which learns from all rows
    with training_run(args) as run:
        return train(run)


def print_round(line: str) -> None:
    """Say which run begins."""
    if os.environ.get("RANK", "0") == "0":
        print(f"\n--- {line}")


def fold_folder(args: ClassifierRun, fold: int) -> Path:
    """Return the folder of the run that holds out a fold."""
    return Path(args.output_dir) / f"fold_{fold}"


def one_round(args: ClassifierRun, train: Callable, folder: Path, **changes) -> dict:
    """Train with some arguments changed in a folder of its own, unless that is done; return its metrics.json."""
    finished = folder / "metrics.json"
    if not finished.is_file():
        alone = {"folds": 0, "learning_curve": False, "push_to_hub": False, "tracker": None, "resume": False}
        alone |= {"resume": any(checkpoint_steps(folder)), "output_dir": str(folder)}
        round_args = replace(args, **(alone | changes))
        round_args.given, round_args.reports = set(args.given), False
        with training_run(round_args) as run:
            train(run)
    results = json.loads(finished.read_text())
    if other := [name for name in SAME if results["arguments"].get(name) != getattr(args, name)]:
        raise SystemExit(
            f"error: {folder} holds a run with {other[0]}={results['arguments'].get(other[0])!r}, and "
            f"{getattr(args, other[0])!r} was given; give another --output_dir"
        )
    return results


def steps_of(args: ClassifierRun, fold: str | None) -> list[int]:
    """Return the numbers of labels of a learning curve: those of :data:`STEPS` below that of the commonest class."""
    with refusals_in_one_line():
        data = load_galaxies(args.dataset, args.label_scheme, args.num_simulated, trees=args.trees, own=args.own)
        train = arrange(replace(args, fold=fold, folds=0), data)["train"]
    labels = label_array(train.select_columns(["label"]).with_format("arrow")[:]["label"])
    most = len(labels) if labels.ndim > 1 else int(np.bincount(labels[labels >= 0]).max(initial=0))
    return [count for count in STEPS if count < most]


def curve_of(args: ClassifierRun, results: dict) -> list[dict] | None:
    """Return the points of a learning curve: rows that were learned from, score and interval; None without one.

    Args:
        args: of the whole run.
        results: of the whole run, which is the last point; with folds the first of them is, whose test rows it has.
    """
    folders = sorted(Path(args.output_dir).glob("labels_*"), key=lambda path: int(path.name.rpartition("_")[2]))
    if not args.learning_curve or not folders:
        return None
    runs = [json.loads((folder / "metrics.json").read_text()) for folder in folders]
    runs.append(json.loads((fold_folder(args, 1) / "metrics.json").read_text()) if args.folds else results)
    return [{"rows": found["split_rows"]["train"]} | point_of(found) for found in runs]


def point_of(results: dict) -> dict:
    """Return name, value and interval of the score that a learning curve shows."""
    if "numbers" in results:
        first = results["numbers"]["per_number"][0]
        return {"score": f"RMSE of {first['number']}", "value": first["rmse"], "interval": first["interval_95"]}
    if "labels" in results:
        labels = results["labels"]
        return {"score": "macro F1", "value": labels["macro_f1"], "interval": labels["interval_95"].get("macro_f1")}
    classes = results["classes"]
    return {"score": "accuracy", "value": classes["accuracy"], "interval": classes["interval_95"]["accuracy"]}
