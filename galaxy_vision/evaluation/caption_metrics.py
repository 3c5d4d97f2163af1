# ruff: noqa: I001 (evaluate.load reads this file and follows one import a line)
"""Scores of captions, as an ``evaluate.Metric``: what they say (claims against votes), and how (BLEU, chrF, CIDEr-D).

``evaluate.load("galaxy_vision/caption_metrics.py")`` works too. A caption metric says nothing without the score of one
constant caption beside it: see :func:`best_constants`.
"""

import math
import re
from collections import Counter

import datasets
import evaluate
import numpy as np
from sacrebleu.metrics import BLEU
from sacrebleu.metrics import CHRF

from galaxy_vision.captions.claims import claims_from_votes
from galaxy_vision.captions.reading import parse_claims
from galaxy_vision.captions.claims import score_claims
from galaxy_vision.captions.writing import write_captions
from galaxy_vision.models.decision_tree import QUESTIONS

_TOKEN = re.compile(r"[\w'-]+|[^\w\s]")
COUNTS = ("claims", "supported", "contradicted", "ungrounded", "undecided")
CIDER_ORDER, CIDER_SIGMA = 4, 6.0  # Vedantam et al. 2015 (CVPR), section 4 and equation 6 (CIDEr-D)


def tokenize(text: str) -> str:
    """The one tokenisation of both sides: lower case, words (hyphens inside) and punctuation apart."""
    return " ".join(_TOKEN.findall(text.lower()))


def _grams(words: list[str], order: int) -> Counter:
    return Counter(tuple(words[at : at + order]) for at in range(len(words) - order + 1))


def _places(references: list[list[str]]) -> list[list[str | None]]:
    """As sacrebleu wants them: one list for each place of a reference, None where a row has fewer."""
    most = max(map(len, references))
    return [[tokenize(row[place]) if place < len(row) else None for row in references] for place in range(most)]


def bleu(predictions: list[str], references: list[list[str]], order: int) -> tuple[float, str]:
    """BLEU of n-grams up to ``order`` (0 to 1) and sacrebleu's signature; both sides go through :func:`tokenize`."""
    metric = BLEU(max_ngram_order=order, tokenize="none", force=True)
    score = metric.corpus_score([tokenize(text) for text in predictions], _places(references)).score / 100
    return score, str(metric.get_signature())


def cider_d(predictions: list[str], references: list[list[str]]) -> float:
    """Compute CIDEr-D (Vedantam et al. 2015, equation 6), times 10 as usual.

    Similarity in n-grams of 1 to 4 words, weighted by how rare they are among the galaxies; 10 for a caption that is
    its only reference (if any of its words is rare).
    """
    words = [tokenize(text).split() for text in predictions]
    reference_words = [[tokenize(text).split() for text in texts] for texts in references]
    total = 0.0
    for order in range(1, CIDER_ORDER + 1):
        grams = [[_grams(each, order) for each in texts] for texts in reference_words]
        found_in = Counter(gram for texts in grams for gram in set().union(*texts))

        def weighted(counts: Counter, found_in=found_in) -> dict:
            return {gram: n * math.log(len(references) / max(found_in[gram], 1)) for gram, n in counts.items()}

        for said, texts, counted in zip(words, reference_words, grams, strict=True):
            ours = weighted(_grams(said, order))
            norm = math.hypot(*ours.values())
            for text, counts in zip(texts, counted, strict=True):
                theirs = weighted(counts)
                both = norm * math.hypot(*theirs.values())
                overlap = sum(
                    min(weight, theirs.get(gram, 0.0)) * theirs.get(gram, 0.0) for gram, weight in ours.items()
                )
                if both > 0:
                    penalty = math.exp(-((len(said) - len(text)) ** 2) / (2 * CIDER_SIGMA**2))
                    total += penalty * overlap / both / len(texts)
    return 10 * total / CIDER_ORDER / len(predictions)


def _f1(precision: float | None, recall: float | None) -> float | None:
    """0 if nothing was claimed though something should be, or the other way round; None if neither."""
    if precision is None and recall is None:
        return None
    return 2 * precision * recall / (precision + recall) if precision and recall else 0.0


def _share(above: float, below: float) -> float | None:
    return float(above / below) if below else None


class CaptionMetric(evaluate.Metric):
    """Scores of captions: predictions are texts, references are ``{"captions": [text, ...], "votes": (37,)}``.

    Precision is the share of claims that the votes support; recall the share of the answers that the votes claim
    (:func:`claims_from_votes`) which the caption gives, hedged or not.
    """

    def __init__(self, **kw):
        super().__init__(**kw)
        self.rows: list[tuple[str, list[str], np.ndarray]] = []

    def _info(self) -> evaluate.MetricInfo:
        reference = {
            "captions": datasets.Sequence(datasets.Value("string")),
            "votes": datasets.Sequence(datasets.Value("float32")),
        }
        features = {"predictions": datasets.Value("string"), "references": reference}
        return evaluate.MetricInfo(description=__doc__, citation="", features=datasets.Features(features))

    def add_batch(self, *, predictions, references, **kw) -> None:
        """Add rows.

        Raises:
            ValueError: not as many references as predictions, or a row without reference captions.
        """
        if len(predictions) != len(references):
            raise ValueError(
                f"{len(predictions)} predictions and {len(references)} references; give one for each galaxy"
            )
        for said, known in zip(predictions, references, strict=True):
            if not known["captions"]:
                raise ValueError(f"row {len(self.rows)} has no reference captions; leave it out")
            captions = [known["captions"]] if isinstance(known["captions"], str) else list(known["captions"])
            self.rows.append((said, captions, np.asarray(known["votes"], dtype=np.float64)))

    def add(self, *, prediction=None, reference=None, **kw) -> None:
        """Add one row."""
        self.add_batch(predictions=[prediction], references=[reference])

    def compute(self, *, predictions=None, references=None, **kw) -> dict:
        """Scores of everything added, as plain Python (None where undefined); starts anew afterwards.

        Raises:
            ValueError: no row was added.
        """
        if predictions is not None:
            self.add_batch(predictions=predictions, references=references)
        if not self.rows:
            raise ValueError("no row was added; call add_batch(predictions=..., references=...) first")
        result = self._what() | self._how()
        self.rows = []
        return result

    def _what(self) -> dict:
        stems = [question.stem for question in QUESTIONS]
        verdicts = {stem: Counter() for stem in stems}
        wanted, given, soft, unread = Counter(), Counter(), 0.0, 0
        for text, _, votes in self.rows:
            said, known = parse_claims(text), claims_from_votes(votes)
            unread += len(said.unread)
            for claim in said:
                scored = score_claims([claim], votes)
                verdicts[claim.question].update({name: scored[name] for name in COUNTS})
                soft += scored["soft_support"]
            answers = {claim.answer for claim in said}
            wanted.update(claim.question for claim in known)
            given.update(claim.question for claim in known if claim.answer in answers)
        total = sum(verdicts.values(), Counter())
        precision, recall = _share(total["supported"], total["claims"]), _share(given.total(), wanted.total())
        questions = []
        for stem in stems:
            here = verdicts[stem]
            row = {name: here[name] for name in COUNTS} | {"wanted": wanted[stem]}
            row |= {"precision": _share(here["supported"], here["claims"]), "recall": _share(given[stem], wanted[stem])}
            questions.append({"question": stem} | row | {"f1": _f1(row["precision"], row["recall"])})
        return {
            "rows": len(self.rows),
            "claim_precision": precision,
            "claim_recall": recall,
            "claim_f1": _f1(precision, recall),
            "contradicted": _share(total["contradicted"], total["claims"]),
            "ungrounded": _share(total["ungrounded"], total["claims"]),
            "undecided": _share(total["undecided"], total["claims"]),
            "claims_per_caption": total["claims"] / len(self.rows),
            "soft_support": _share(soft, total["claims"]),
            "unread_words": unread,
            "questions": questions,
        }

    def _how(self) -> dict:
        predictions, references = [row[0] for row in self.rows], [row[1] for row in self.rows]
        result = {}
        for order in (1, 2, 3, 4):
            result[f"bleu_{order}"], result["bleu_signature"] = bleu(predictions, references, order)
        chrf = CHRF()
        result["chrf"] = chrf.corpus_score([tokenize(text) for text in predictions], _places(references)).score / 100
        result |= {"chrf_signature": str(chrf.get_signature()), "cider_d": cider_d(predictions, references)}
        commonest = Counter(predictions).most_common(1)[0]
        return result | {
            "distinct": len(set(predictions)),
            "commonest_share": commonest[1] / len(predictions),
            "commonest": commonest[0],
        }


def best_constants(references: list[dict], candidates: int = 40) -> dict[str, str]:
    """Find the one caption for all galaxies with the best claim F1, and that with the best BLEU-4.

    Both are out of the commonest reference captions of these rows: ``candidates`` by frequency, and as many by the
    frequency of what they claim.
    """
    texts = Counter(text for row in references for text in row["captions"])
    by_claims: dict[frozenset, Counter] = {}
    for text, count in texts.items():
        by_claims.setdefault(parse_claims(text), Counter())[text] = count
    common = sorted(by_claims.values(), key=lambda group: -group.total())[:candidates]
    tried = dict.fromkeys(
        [text for text, _ in texts.most_common(candidates)] + [g.most_common(1)[0][0] for g in common]
    )
    known = [row["captions"] for row in references]
    scores = {}
    for text in tried:
        metric = CaptionMetric()
        metric.add_batch(predictions=[text] * len(references), references=references)
        scores[text] = {
            "claim_f1": metric._what()["claim_f1"] or 0.0,
            "bleu_4": bleu([text] * len(references), known, 4)[0],
        }
    return {name: max(tried, key=lambda text: scores[text][name]) for name in ("claim_f1", "bleu_4")}


def score_beside_rivals(
    captions: dict[str, list[str]], references: list[dict], validation: list[dict]
) -> tuple[dict[str, dict], dict[str, str]]:
    """Score captions beside those that any captioner must beat, and that none can.

    Args:
        captions: of each describer by name, one text for each row.
        references: ``{"captions": [text, ...], "votes": (37,)}`` of each row.
        validation: those of the rows on which the constant captions are chosen.

    Returns:
        Scores by name, of ``captions``, of two constant captions and of sentences written from the true votes; and the
        constants.
    """
    constants = best_constants(validation)
    captions = captions | {
        "constant, best claims": [constants["claim_f1"]] * len(references),
        "constant, best BLEU": [constants["bleu_4"]] * len(references),
        # Sentences of their own, so that BLEU does not find the very references.
        "template, true votes": [
            write_captions(claims_from_votes(row["votes"]), 1, seed=place)[0] for place, row in enumerate(references)
        ],
    }
    metric = CaptionMetric()
    scores = {name: metric.compute(predictions=texts, references=references) for name, texts in captions.items()}
    return scores, constants


_COLUMNS = {
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


def caption_table(results: dict[str, dict]) -> str:
    """The Markdown table of the captioner and its rivals: one column for each, one row for each score."""
    names = list(results)
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for key, title in _COLUMNS.items():
        values = (results[name][key] for name in names)
        shown = (
            "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value) for value in values
        )
        lines.append(f"| {title} | " + " | ".join(shown) + " |")
    return "\n".join(lines)
