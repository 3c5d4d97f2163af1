"""Write the table of a classifier's scores that ends a run."""

from ..models.decision_tree import KAGGLE_COLUMNS
from .sums import CLASS_SCORES


def summary_table(results: dict) -> str:
    """Return the short table of scores, their 95 % intervals and those of a constant answer."""
    lines = [f"{'':32}{'score':>8}  {'95 % interval':^17}{'constant':>9}"]

    def show(name: str, value, interval=None, baseline=None) -> None:
        between = f"[{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""
        lines.append(f"{name:32}{_shown(value):>8}  {between:^17}{_shown(baseline):>9}")

    if "classes" in results:
        classes = results["classes"]
        for name in CLASS_SCORES:
            show(name, classes[name], classes.get("interval_95", {}).get(name), classes.get("baseline", {}).get(name))
    if "votes" in results:
        votes = results["votes"]
        show(
            f"RMSE of {len(KAGGLE_COLUMNS)} (Kaggle)",
            votes["rmse_37"],
            votes["interval_95"].get("rmse_37"),
            votes["baseline"]["rmse_37"],
        )
        show("calibration error of votes", votes["ece"], None, votes["baseline"].get("ece"))
        for key, name in (("coverage_90", "90 % intervals cover"), ("width_90", "90 % intervals, mean width")):
            show(name, votes[key]["predictive"], None, votes["baseline"].get(key))
        lines.append("accuracy where >= 20 were asked")
        for row in votes["questions"]:
            show(f"  {row['question']} ({row['galaxies']})", row["accuracy"], None, row["baseline_accuracy"])
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
