"""Checks of the rows before the first step: that they teach something, and that an epoch can be chosen by them."""

from collections.abc import Callable

import numpy as np
from datasets import Dataset, Value

from ..captions.claims import claims_from_votes
from ..data.checks import check_labels, check_number_of_captions, check_references
from ..data.labels import class_names_for, default_scheme
from ..data.scheme_texts import thin_votes, undecidable
from ..data.vote_marks import is_listed
from ..data.votes import votes_of
from ..evaluation.metrics import published_values
from ..models.tree import DecisionTree
from ..models.trees import Trees


def check_classifier_rows(
    args, data: dict, trees: Trees | None, open_stream: Callable | None = None
) -> tuple[bool, list[str]]:
    """Refuse rows of which no classifier can be learned, or by which no epoch can be chosen.

    Args:
        args: names the data set, and says whether votes are to be learned and which score selects the epoch.
        data: rows by split, those to train on among them unless they are streamed.
        trees: whose votes they have; None without votes.
        open_stream: opens the :class:`~galaxy_vision.data.streaming.TrainingStream` of the training rows, if they are
            streamed; last, since that reads all of them.

    Returns:
        Whether votes are learned, and lines of doubt to be shown.

    Raises:
        ValueError: a split has no row; a label is none of the classes; votes are negative or infinite; no training row
            has a label or votes; all have one label and there are no votes; or the score that selects the epoch is not
            defined for the validation rows.
    """
    if isinstance(data["test"].features["label"], dict):  # several labels, or numbers: cleaned when they were read
        if empty := [split for split, rows in data.items() if not len(rows)]:
            raise ValueError(f"dataset={args.dataset!r} has no row in its {empty[0]} split; label more images")
        return False, []
    dataset, select_by, class_names = args.dataset, args.select_by, data["test"].features["label"].names
    labels, votes = {}, {}
    for split, rows in data.items():
        if not len(rows):
            raise ValueError(
                f"dataset={dataset!r} has no row in its {split} split; each of the three splits needs some"
            )
        labels[split] = labels_of(rows)
        check_labels(dataset, split, labels[split], len(class_names))
        votes[split] = _votes_of(rows, trees) if args.predict_votes else None
    if open_stream is not None:
        stream = open_stream()
        votes["train"] = stream.votes if args.predict_votes else None
        counts, rows = stream.class_counts, stream.num_rows
    else:
        counts, rows = (
            np.bincount(labels["train"][labels["train"] >= 0], minlength=len(class_names)),
            len(labels["train"]),
        )
    doubts = _unlabelled(args, class_names, trees, votes["train"])
    voted = votes["train"] is not None and bool(_answered(votes["train"], trees).any())
    if votes["train"] is not None and not voted:
        doubts.append("the votes of the training rows are all unknown or 0, so votes are not learned")
    if not voted and not counts.any():
        also = "" if votes["train"] is None else " or votes"
        raise ValueError(
            f"none of the {rows} training rows of dataset={dataset!r} has a label{also}, so nothing can be learned; "
            "label some of them, or give another data set"
        )
    if not voted and np.count_nonzero(counts) == 1:
        raise ValueError(
            f"all {counts.sum()} labelled training rows of dataset={dataset!r} are of the class "
            f"{class_names[int(counts.argmax())]!r}, and votes are not learned, so there is nothing to tell apart; "
            "give a data set of two classes or more"
        )
    if not counts.any():
        doubts.append(
            "no training row has a class, so votes alone are learned: the classes that this model names mean nothing"
        )
    judged = votes["validation"] if voted else None
    if not (labels["validation"] >= 0).any() and (judged is None or not _answered(judged, trees).any()):
        raise ValueError(
            f"no row of the validation split of dataset={dataset!r} has a label{' or votes' if voted else ''}, "
            "so no epoch can be chosen; label some of them"
        )
    if select_by != "loss" and not voted:
        raise ValueError(f"select_by={select_by} needs votes, and dataset={dataset!r} has none to learn; use loss")
    if voted and (without := [split for split, known in votes.items() if known is None]):
        raise ValueError(
            f"the {' and '.join(without)} split of dataset={dataset!r} has no votes; give them, or --no_predict_votes"
        )
    if select_by == "rmse_37" and not is_listed(trees):
        raise ValueError(
            f"select_by=rmse_37 is the error of the Galaxy Challenge, and dataset={dataset!r} has votes of "
            f"{', '.join(trees)}; use rmse_known or loss"
        )
    known = np.zeros((0, 1), dtype=bool)
    if voted:
        by_campaign = [published_values(trees.part(judged, campaign), tree)[1] for campaign, tree in trees.items()]
        known = np.concatenate(by_campaign, axis=1)
    if select_by == "rmse_37" and not known.all(1).any():
        raise ValueError(
            "select_by=rmse_37 needs rows in which all 37 answers are known, and no row of the validation split of "
            f"dataset={dataset!r} is such; use rmse_known, which is over the answers that are known, or loss"
        )
    if select_by == "rmse_known" and not known.any():
        raise ValueError(
            f"select_by=rmse_known needs votes, and the validation split of dataset={dataset!r} has none; use loss"
        )
    return voted, doubts


def _unlabelled(args, class_names: list[str], trees: Trees | None, votes: np.ndarray | None) -> list[str]:
    """Return why classes of a scheme, or most galaxies, are left out, where the classes are those of a scheme."""
    if trees is None or trees == Trees():
        return []
    scheme = args.label_scheme or default_scheme(trees)
    if class_names != class_names_for(scheme, trees):
        return []
    return undecidable(scheme, trees) + (thin_votes(votes, scheme, trees) if votes is not None else [])


def labels_of(rows: Dataset) -> np.ndarray:
    """Return the (N,) int64 labels, -1 where there is none."""
    column = rows.select_columns(["label"]).with_format("arrow")[:]["label"].combine_chunks()
    return column.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def _votes_of(rows: Dataset, trees: Trees | None) -> np.ndarray | None:
    if "votes" not in rows.column_names:
        return None
    return votes_of(rows.select_columns(["votes"]).with_format("arrow")[:], trees)


def _answered(votes: np.ndarray, trees: Trees) -> np.ndarray:
    """Return (N, answers) bool: whether the question of an answer was answered, so that the loss learns from it."""
    totals = [tree.totals(trees.part(votes, campaign)) for campaign, tree in trees.items()]
    return np.concatenate(totals, 1) > 0  # NaN is not


def check_captioner_rows(
    args, data: dict, trees: Trees | None, open_stream: Callable | None = None
) -> tuple[bool, list[str]]:
    """Refuse rows of which no captioner can be learned, or by which no epoch can be chosen.

    Args:
        args: names the data set, and says how many captions of a row are drawn from.
        data: rows by split, those to train on among them unless they are streamed.
        trees: whose votes they have; None without votes.
        open_stream: opens the :class:`~galaxy_vision.data.streaming.TrainingStream` of the training rows, if they are
            streamed; last, since that reads all of them.

    Returns:
        As :func:`check_classifier_rows`: that votes are known, and no doubts.

    Raises:
        ValueError: there are no captions, or no votes, by which captions are judged; a row has none, or fewer than are
            drawn from; or the votes of the validation rows claim nothing.
    """
    dataset = args.dataset
    for split, rows in data.items():
        for column, purpose in (("captions", "are learned"), ("votes", "judge the captions")):
            if column not in rows.column_names:
                raise ValueError(
                    f"dataset={dataset!r} has no {column}, which {purpose}; build one with votes by datasets_scripts"
                )
        kind = getattr(rows.features["captions"], "feature", None)
        if kind not in (Value("string"), Value("large_string")):
            raise ValueError(
                f"column `captions` of dataset={dataset!r} does not hold lists of texts; put each text in a list"
            )
        if not len(rows):
            raise ValueError(
                f"dataset={dataset!r} has no row in its {split} split; each of the three splits needs some"
            )
        captions = rows.select_columns(["captions"]).with_format("arrow")[:]["captions"]
        check_references(dataset, split, captions, args.num_references if split == "train" else 1)
    if len(trees) > 1:
        raise ValueError(
            f"dataset={dataset!r} has votes of {', '.join(trees)}, and captions are judged by those of one campaign; "
            "name only one by --campaign"
        )
    if not any(len(claims_from_votes(votes, trees.first)) for votes in _votes_of(data["validation"], trees)):
        raise ValueError(
            f"the votes of the validation split of dataset={dataset!r} claim nothing, so claim F1, which judges "
            "captions, is not defined; give a data set in which some questions were answered"
        )
    if open_stream is not None:
        check_number_of_captions(dataset, "train", *open_stream().captions_per_row, args.num_references)
    return True, []


def check_captioner_start(args, tree: DecisionTree, tokenizer, start, processor, classifier) -> None:
    """Refuse a captioner to start from that has other words, and models that predict votes of other campaigns.

    Args:
        args: names them, and the data set.
        tree: that of the data set.
        tokenizer: that of the data set.
        start: the captioner to start from; None without one.
        processor: of that captioner; None without one.
        classifier: the trained classifier; None without one.

    Raises:
        SystemExit: one of them is refused.
    """
    if processor is not None and processor.tokenizer.get_vocab() != tokenizer.get_vocab():
        raise SystemExit(
            f"error: init_from={args.init_from!r} has other words than dataset={args.dataset!r}; leave it out"
        )
    read = (start.config.decision_trees if start else None) or {}
    if read and tree.name not in read:
        raise SystemExit(
            f"error: init_from={args.init_from!r} reads votes of {', '.join(read)}, and dataset={args.dataset!r} has "
            f"those of {tree.name}; leave it out"
        )
    if read and args.frozen_epochs < args.epochs:
        raise SystemExit(
            f"error: init_from={args.init_from!r} predicts the votes that it reads from features that must not change, "
            f"and frozen_epochs={args.frozen_epochs}; give --frozen_epochs {args.epochs}"
        )
    if classifier is not None and (missing := [campaign for campaign in read if campaign not in classifier.trees]):
        raise SystemExit(
            f"error: init_from={args.init_from!r} reads votes of {missing[0]}, and encoder={args.encoder!r} predicts "
            f"those of {', '.join(classifier.trees)}; leave one of them out"
        )
    if classifier is not None and classifier.config.predict_votes and tree not in classifier.trees.values():
        raise SystemExit(
            f"error: encoder={args.encoder!r} predicts votes of {', '.join(classifier.trees)}, and "
            f"dataset={args.dataset!r} has those of {tree.name}; give another model"
        )
