# ruff: noqa: I001 (evaluate.load reads this file, and follows imports of one name per line only)
"""Scores of captions, as an ``evaluate.Metric``: of claims against votes, and of words (BLEU, chrF, CIDEr-D).

``evaluate.load("galaxy_vision/evaluation/caption_metrics.py")`` works too. Scores of captions mean something only
beside those of one constant caption: see :func:`best_constants`.
"""

import math
import re
from collections import Counter

import datasets
import evaluate
import numpy as np
from sacrebleu.metrics import BLEU
from sacrebleu.metrics import CHRF

from galaxy_vision.captions.claims import OWN_WORDS
from galaxy_vision.captions.claims import claims_from_votes
from galaxy_vision.captions.claims import score_claims
from galaxy_vision.captions.plan import plan_of
from galaxy_vision.captions.reading import parse_claims
from galaxy_vision.captions.writing import write_captions
from galaxy_vision.evaluation.sums import BatchedMetric
from galaxy_vision.evaluation.sums import ratio
from galaxy_vision.models.concepts import ASPECTS
from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.models.tree import DecisionTree

_TOKEN = re.compile(r"[\w'-]+|[^\w\s]")
COUNTS = ("claims", "supported", "contradicted", "ungrounded", "undecided")
CIDER_ORDER, CIDER_SIGMA = 4, 6.0  # Vedantam et al. 2015 (CVPR), section 4 and equation 6 (CIDEr-D)


def tokenize(text: str) -> str:
    """Return words (with inner hyphens) and punctuation in lower case, separated by spaces; for all scores of words."""
    return " ".join(_TOKEN.findall(text.lower()))


def _grams(words: list[str], order: int) -> Counter:
    return Counter(tuple(words[start : start + order]) for start in range(len(words) - order + 1))


def _transposed(references: list[list[str]]) -> list[list[str | None]]:
    """Return the first reference of every row, the second, and so on, as sacrebleu needs them; None where missing."""
    most = max(map(len, references))
    return [[tokenize(row[index]) if index < len(row) else None for row in references] for index in range(most)]


def bleu(predictions: list[str], references: list[list[str]], order: int) -> tuple[float, str]:
    """Return BLEU (0 to 1) of :func:`tokenize`'s words with n-grams up to ``order``, and the signature of sacrebleu."""
    metric = BLEU(max_ngram_order=order, tokenize="none", force=True)
    score = metric.corpus_score([tokenize(text) for text in predictions], _transposed(references)).score / 100
    return score, str(metric.get_signature())


def cider_d(predictions: list[str], references: list[list[str]]) -> float:
    """Return CIDEr-D (Vedantam et al. 2015, equation 6), times 10 as usual.

    It is the similarity in n-grams of 1 to 4 words, weighted by how rare they are among the galaxies: 10 for a caption
    that is equal to its only reference (unless all references have all of its words).
    """
    words = [tokenize(text).split() for text in predictions]
    reference_words = [[tokenize(text).split() for text in texts] for texts in references]
    total = 0.0
    for order in range(1, CIDER_ORDER + 1):
        grams = [[_grams(text, order) for text in texts] for texts in reference_words]
        rows_with = Counter(gram for texts in grams for gram in set().union(*texts))

        def weighted(counts: Counter, rows_with=rows_with) -> dict:
            return {gram: n * math.log(len(references) / max(rows_with[gram], 1)) for gram, n in counts.items()}

        for prediction, texts, text_grams in zip(words, reference_words, grams, strict=True):
            predicted = weighted(_grams(prediction, order))
            norm = math.hypot(*predicted.values())
            for text, counts in zip(texts, text_grams, strict=True):
                reference = weighted(counts)
                norms = norm * math.hypot(*reference.values())
                pairs = ((weight, reference.get(gram, 0.0)) for gram, weight in predicted.items())
                overlap = sum(min(pair) * pair[1] for pair in pairs)
                if norms > 0:
                    penalty = math.exp(-((len(prediction) - len(text)) ** 2) / (2 * CIDER_SIGMA**2))
                    total += penalty * overlap / norms / len(texts)
    return 10 * total / CIDER_ORDER / len(predictions)


def _f1(precision: float | None, recall: float | None) -> float | None:
    """Return the F1 score; 0 if either of them is 0 or undefined, None if both are undefined."""
    if precision is None and recall is None:
        return None
    return 2 * precision * recall / (precision + recall) if precision and recall else 0.0


class CaptionMetric(BatchedMetric, evaluate.Metric):
    """Scores of captions: predictions are texts, references are ``{"captions": [text, ...], "votes": (answers,)}``.

    Precision is the share of the claims that the votes support. Recall is the share of the concepts claimed by the
    votes (:func:`claims_from_votes`) that the captions claim too, hedged or not. Both are also given by aspect, in the
    order of :data:`~galaxy_vision.models.concepts.ASPECTS`. The votes are those of the answers of ``tree``.
    """

    def __init__(self, tree: DecisionTree = GALAXY_ZOO_2, **kw):
        super().__init__(**kw)
        self.tree = tree
        self.held: list[tuple[str, list[str], np.ndarray]] = []

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
            ValueError: there are not as many references as predictions, or a row has no reference captions.
        """
        if len(predictions) != len(references):
            raise ValueError(f"{len(predictions)} predictions and {len(references)} references; give one per galaxy")
        for text, reference in zip(predictions, references, strict=True):
            captions = reference["captions"]
            if not captions:
                raise ValueError(f"row {len(self.held)} has no reference captions; leave it out")
            captions = [captions] if isinstance(captions, str) else list(captions)
            self.held.append((text, captions, np.asarray(reference["votes"], dtype=np.float64)))

    def _scores(self) -> dict:
        return self._claim_scores() | self._word_scores()

    def _claim_scores(self) -> dict:
        sayable = plan_of(self.tree).sayable
        aspects = [aspect for aspect, concepts in ASPECTS.items() if sayable.intersection(concepts)]
        aspects += [OWN_WORDS] if plan_of(self.tree).words else []
        verdicts = {aspect: Counter() for aspect in aspects}
        expected, recalled, soft, unread = Counter(), Counter(), 0.0, 0
        for text, _, votes in self.held:
            claims, true_claims = parse_claims(text, self.tree), claims_from_votes(votes, self.tree)
            unread += len(claims.unread)
            for claim in claims:
                scored = score_claims([claim], votes, self.tree)
                verdicts[claim.aspect].update({name: scored[name] for name in COUNTS})
                soft += scored["soft_support"]
            concepts = {claim.concept for claim in claims}
            expected.update(claim.aspect for claim in true_claims)
            recalled.update(claim.aspect for claim in true_claims if claim.concept in concepts)
        total = sum(verdicts.values(), Counter())
        precision, recall = ratio(total["supported"], total["claims"]), ratio(recalled.total(), expected.total())
        rows = []
        for aspect in aspects:
            counts = verdicts[aspect]
            row = {name: counts[name] for name in COUNTS} | {"wanted": expected[aspect]}
            row["precision"] = ratio(counts["supported"], counts["claims"])
            row["recall"] = ratio(recalled[aspect], expected[aspect])
            rows.append({"aspect": aspect} | row | {"f1": _f1(row["precision"], row["recall"])})
        return {
            "rows": len(self.held),
            "claim_precision": precision,
            "claim_recall": recall,
            "claim_f1": _f1(precision, recall),
            "contradicted": ratio(total["contradicted"], total["claims"]),
            "ungrounded": ratio(total["ungrounded"], total["claims"]),
            "undecided": ratio(total["undecided"], total["claims"]),
            "claims_per_caption": total["claims"] / len(self.held),
            "soft_support": ratio(soft, total["claims"]),
            "unread_words": unread,
            "aspects": rows,
        }

    def _word_scores(self) -> dict:
        predictions, references = [row[0] for row in self.held], [row[1] for row in self.held]
        result = {}
        for order in (1, 2, 3, 4):
            result[f"bleu_{order}"], result["bleu_signature"] = bleu(predictions, references, order)
        chrf = CHRF()
        result["chrf"] = (
            chrf.corpus_score([tokenize(text) for text in predictions], _transposed(references)).score / 100
        )
        result |= {"chrf_signature": str(chrf.get_signature()), "cider_d": cider_d(predictions, references)}
        commonest = Counter(predictions).most_common(1)[0]
        return result | {
            "distinct": len(set(predictions)),
            "commonest_share": commonest[1] / len(predictions),
            "commonest": commonest[0],
        }


def best_constants(references: list[dict], candidates: int = 40, tree: DecisionTree = GALAXY_ZOO_2) -> dict[str, str]:
    """Return the caption that has the best claim F1 as that of all galaxies, and the one with the best BLEU-4.

    Both are chosen among the most frequent reference captions of these rows: ``candidates`` by their own frequency, and
    as many by the frequency of their claims.
    """
    texts = Counter(text for row in references for text in row["captions"])
    by_claims: dict[frozenset, Counter] = {}
    for text, count in texts.items():
        by_claims.setdefault(parse_claims(text, tree), Counter())[text] = count
    common = sorted(by_claims.values(), key=lambda group: -group.total())[:candidates]
    frequent = [text for text, _ in texts.most_common(candidates)]
    tried = dict.fromkeys(frequent + [group.most_common(1)[0][0] for group in common])
    captions = [row["captions"] for row in references]
    scores = {}
    for text in tried:
        metric = CaptionMetric(tree)
        metric.add_batch(predictions=[text] * len(references), references=references)
        scores[text] = {
            "claim_f1": metric._claim_scores()["claim_f1"] or 0.0,
            "bleu_4": bleu([text] * len(references), captions, 4)[0],
        }
    return {name: max(tried, key=lambda text: scores[text][name]) for name in ("claim_f1", "bleu_4")}


def score_beside_rivals(
    captions: dict[str, list[str]],
    references: list[dict],
    validation: list[dict],
    tree: DecisionTree = GALAXY_ZOO_2,
) -> dict:
    """Score captions beside constant captions, a lower bound, and captions of the true votes, an upper bound.

    Args:
        captions: one text per row, by the name of the captioner, ``"captioner"`` among them.
        references: ``{"captions": [text, ...], "votes": (answers,)}`` of every row.
        validation: references of the rows on which the constant captions are chosen.
        tree: of the votes.

    Returns:
        ``captions``: scores by name, of the given ones, of two constant captions and of captions written from the true
        votes; ``constants``: the constant captions; ``examples``: the captions of ``"captioner"``; and ``rows``.
    """
    constants = best_constants(validation, tree=tree)
    rivals = {
        "constant, best claims": [constants["claim_f1"]] * len(references),
        "constant, best BLEU": [constants["bleu_4"]] * len(references),
        # Written with other seeds than the references, which would otherwise have a BLEU of 1.
        "template, true votes": [
            write_captions(claims_from_votes(row["votes"], tree), 1, index, tree)[0]
            for index, row in enumerate(references)
        ],
    }
    metric = CaptionMetric(tree)
    scores = {
        name: metric.compute(predictions=texts, references=references) for name, texts in (captions | rivals).items()
    }
    return {"captions": scores, "constants": constants, "examples": captions["captioner"], "rows": len(references)}
