"""The answers of models of other tasks than one class of many: several labels at once, and numbers with errors."""

import torch

from ..models.losses import MULTI_LABEL, REGRESSION
from ..models.modeling_galaxy_resnet import GalaxyClassifierOutput


def problem_of_model(model) -> str | None:
    """Return ``config.problem_type`` of a classifier, also of one that several processes share."""
    return getattr(getattr(getattr(model, "module", model), "config", None), "problem_type", None)


def predicts_numbers(model) -> bool:
    """Return whether the answers of a model are numbers, and not classes or labels."""
    return problem_of_model(model) == REGRESSION


def mean_of_views(
    model, outputs: GalaxyClassifierOutput, views: int
) -> tuple[torch.Tensor, torch.Tensor | None] | None:
    """Return the mean answers of turned and mirrored views, (B, C) logits and (B, C) errors or None.

    Probabilities of labels are arithmetic means. The variance of a number is that of the mixture of the views: the mean
    of their variances and the variance of their means.

    Args:
        model: of the outputs.
        outputs: (views * B, ...), the images of a view together.
        views: number of views.

    Returns:
        None for a model of one class of many.
    """
    logits = outputs.logits.float().unflatten(0, (views, -1))
    if problem_of_model(model) == MULTI_LABEL:
        mean = logits.sigmoid().mean(0).clamp(1e-7, 1 - 1e-7)
        return mean.logit(), None
    if not predicts_numbers(model):
        return None
    if outputs.label_errors is None:
        return logits.mean(0), None
    variances = outputs.label_errors.float().unflatten(0, (views, -1)).square()
    return logits.mean(0), (variances.mean(0) + logits.var(0, correction=0)).sqrt()


def own_answers(model, outputs: GalaxyClassifierOutput) -> dict | None:
    """Return what describing adds for the first image of a batch; None for a model of one class of many.

    Returns:
        ``class`` the likeliest label with its ``probability``, and ``probabilities`` of all labels, which need not sum
        to one; or ``numbers``: name -> ``value`` and ``error`` (1 sigma; None where the model has none), and no class.
    """
    problem = problem_of_model(model)
    names = model.config.id2label.values()
    if problem == MULTI_LABEL:
        probabilities = dict(zip(names, outputs.logits[0].float().sigmoid().tolist(), strict=True))
        best = max(probabilities, key=probabilities.get)
        return {"class": best, "probability": probabilities[best], "probabilities": probabilities, "uncertain": None}
    if problem != REGRESSION:
        return None
    values = outputs.logits[0].float().tolist()
    errors = [None] * len(values) if outputs.label_errors is None else outputs.label_errors[0].float().tolist()
    numbers = {name: {"value": value, "error": error} for name, value, error in zip(names, values, errors, strict=True)}
    return {"class": None, "probability": None, "probabilities": {}, "uncertain": None, "numbers": numbers}


def answer_line(description: dict, problem: str | None) -> str | None:
    """Return the line that shows several labels or numbers, of what a describer says; None for one class of many."""
    if problem == MULTI_LABEL:
        ranked = sorted(description["probabilities"].items(), key=lambda item: -item[1])
        return ", ".join(f"{name} ({probability:.0%})" for name, probability in ranked)
    if problem != REGRESSION:
        return None
    return ", ".join(
        f"{name} = {number['value']:.4g}" + ("" if number["error"] is None else f" +- {number['error']:.2g}")
        for name, number in description["numbers"].items()
    )
