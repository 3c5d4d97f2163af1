r"""Write the five rows of results into README.md, from the scores of the models in checkpoints/.

Scores are those of docs/scores, which are of the test split of the challenge; without them, of each model's own test.

galaxy-vision evaluate --model galaxy-resnet --dataset galaxy_zoo_challenge --output docs/scores/galaxy-resnet.json
galaxy-vision evaluate --model galaxy-captioner --dataset galaxy_zoo_challenge \
    --output docs/scores/galaxy-captioner.json
python docs/make_results.py
"""

import json
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
TABLE = re.compile(r"(<!-- made by `python docs/make_results.py`.*? -->\n)(.*?)(\n\n)", re.DOTALL)

WINNER = ".0749 winner of the challenge, 17 networks, 61,578 training galaxies (Dieleman et al. 2015)"
ZOOBOT = "{} Zoobot, Euclidised Hubble (Euclid Collaboration: Aussel et al. 2024)"
PEERS = {"t01_smooth_or_features": ".885", "t03_bar": ".878", "t04_spiral": ".916"}
"""Published accuracy of Zoobot on the question; docs/report.md says what is comparable."""
NAMES = {"gz2": "Galaxy Zoo 2", "gz_challenge": "Galaxy Challenge"}
QUESTIONS = {"t01_smooth_or_features": "smooth or features", "t03_bar": "bar", "t04_spiral": "spiral arms"}


def rows(classifier: dict, captioner: dict) -> list[str]:
    """Return the lines of the table.

    Args:
        classifier: content of its metrics.json; of several campaigns that of the challenge is taken.
        captioner: content of its metrics.json.
    """
    votes = classifier["votes"]
    campaigns = votes.get("campaigns", {})
    votes = campaigns.get("gz_challenge") or next(iter(campaigns.values()), votes)
    low, high = votes["interval_95"]["rmse_37"]
    error = f"{number(votes['rmse_37'], 4)} ({number(low, 4)} to {number(high, 4)})"
    constant = number(votes["baseline"]["rmse_37"], 4)
    campaign = NAMES.get(votes.get("campaign"), "Galaxy Zoo")
    lines = [
        f"| {campaign}, {votes['rows']} test galaxies | this | constant | others |",
        "|---|---|---|---|",
        f"| error of the 37 vote fractions (RMSE, lower is better) | {error} | {constant} | {WINNER} |",
    ]
    for row in votes["questions"]:
        if name := QUESTIONS.get(row["question"]):
            scores = f"{number(row['accuracy'])} | {number(row['baseline_accuracy'])}"
            peer = ZOOBOT.format(PEERS[row["question"]])
            lines.append(f"| {name}, right answer ({row['galaxies']} were asked) | {scores} | {peer} |")
    captions = captioner["captions"]
    scores = [number(captions[name]["claim_f1"]) for name in ("captioner", "constant, best claims")]
    template = f"{number(captions['template, predicted votes']['claim_f1'])} template filled with the predicted votes"
    lines.append(f"| what captions claim, against the votes (F1) | {' | '.join(scores)} | {template} |")
    return lines


def number(value: float, digits: int = 3) -> str:
    """Return a share as in the tables of the field, ``.096``."""
    return f"{value:.{digits}f}".removeprefix("0")


def scores_of(name: str, checkpoints: Path) -> dict:
    """Return the scores of a shipped model, on the challenge where docs/scores has them."""
    scored = REPOSITORY / "docs" / "scores" / f"{name}.json"
    return json.loads((scored if scored.is_file() else checkpoints / name / "metrics.json").read_text())


def with_results(readme: str, checkpoints: Path = REPOSITORY / "checkpoints") -> str:
    """Return README.md with the table of the models in ``checkpoints``."""
    scores = [scores_of(name, checkpoints) for name in ("galaxy-resnet", "galaxy-captioner")]
    return TABLE.sub(lambda found: found[1] + "\n".join(rows(*scores)) + found[3], readme, count=1)


if __name__ == "__main__":
    path = REPOSITORY / "README.md"
    path.write_text(with_results(path.read_text()))
