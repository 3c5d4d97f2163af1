"""Write the table of scores that ends a run, of a classifier or a captioner."""

from .sums import CLASS_SCORES
from .votes import by_campaign, error_of_all

_TITLES = {
    "claim_f1": "claim F1",
    "claim_precision": "precision",
    "claim_recall": "recall",
    "contradicted": "contradicted",
    "ungrounded": "ungrounded",
    "undecided": "undecided",
    "soft_support": "soft support",
    "bleu_1": "BLEU-1",
    "bleu_2": "BLEU-2",
    "bleu_3": "BLEU-3",
    "bleu_4": "BLEU-4",
    "chrf": "chrF",
    "cider_d": "CIDEr-D",
    "distinct": "distinct",
    "commonest_share": "commonest",
}


def summary_table(results: dict) -> str:
    """Return the short table of the scores in metrics.json."""
    return caption_table(results["captions"]) if "captions" in results else classifier_table(results)


def classifier_table(results: dict) -> str:
    """Return the table of a classifier's scores, their 95 % intervals and those of a constant answer."""
    lines = [f"{'':32}{'score':>8}  {'95 % interval':^17}{'constant':>9}"]

    def show(name: str, value, interval=None, baseline=None) -> None:
        between = f"[{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""
        lines.append(f"{name:32}{_shown(value):>8}  {between:^17}{_shown(baseline):>9}")

    if "classes" in results:
        classes = results["classes"]
        for name in CLASS_SCORES:
            show(name, classes[name], classes.get("interval_95", {}).get(name), classes.get("baseline", {}).get(name))
    for row in results.get("labels", {}).get("per_label", ()):
        title = f"{row['label']} ({row['support']} of {row['rows']})"[:31]
        show(title, row["accuracy"], row.get("interval_95"), row["baseline_accuracy"])
    if "labels" in results:
        labels = results["labels"]
        show("accuracy of a label, mean", labels["accuracy"], None, labels["baseline"]["accuracy"])
        show("macro F1", labels["macro_f1"], labels["interval_95"].get("macro_f1"))
        show("mean average precision", labels["mean_average_precision"])
    for row in results.get("numbers", {}).get("per_number", ()):
        show(f"RMSE of {row['number']}"[:31], row["rmse"], row["interval_95"], row["baseline_rmse"])
        show("  bias", row["bias"])
        show("  1 sigma covers", row["coverage_68"])
    campaigns = by_campaign(results.get("votes"))
    for campaign, votes in campaigns.items():
        if len(campaigns) > 1:
            lines.append(f"{campaign}, {votes['rows']} galaxies")
        name, count = error_of_all(votes)
        title = f"RMSE of {count}" + " (Kaggle)" * (campaign in ("gz2", "gz_challenge"))
        show(title, votes[name], votes["interval_95"].get(name), votes["baseline"][name])
        if votes[name] is None:
            show("RMSE of the known answers", votes["rmse_known"])
        show("calibration error of votes", votes["ece"], None, votes["baseline"].get("ece"))
        for key, title in (("coverage_90", "90 % intervals cover"), ("width_90", "90 % intervals, mean width")):
            show(title, votes[key]["predictive"], None, votes["baseline"].get(key))
        lines.append("accuracy where >= 20 were asked")
        for row in votes["questions"]:
            show(f"  {row['question']} ({row['galaxies']})", row["accuracy"], None, row["baseline_accuracy"])
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def caption_table(results: dict[str, dict]) -> str:
    """Return the Markdown table of the captioner and its baselines: a column for each of them, a row for each score."""
    names = list(results)
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for key, title in _TITLES.items():
        values = (results[name][key] for name in names)
        lines.append(f"| {title} | " + " | ".join(map(_cell, values)) + " |")
    return "\n".join(lines)


def _cell(value: float | int | None) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
