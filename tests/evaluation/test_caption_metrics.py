import math

import evaluate
import numpy as np
import pytest
from conftest import REPOSITORY
from known_votes import SPIRAL, votes_of

from galaxy_vision.captions.claims import claims_from_votes
from galaxy_vision.captions.writing import write_captions
from galaxy_vision.data.campaigns import load_campaign
from galaxy_vision.evaluation.caption_metrics import CaptionMetric, best_constants, bleu, cider_d, tokenize
from galaxy_vision.evaluation.tables import caption_table
from galaxy_vision.models.tree import DecisionTree, Question

ROUND = votes_of(a01=0.9, a02=0.1, a16=0.8, a17=0.2, a15=1)


def rows(count: int = 6) -> list[dict]:
    votes = [SPIRAL if row % 2 else ROUND for row in range(count)]
    return [
        {"captions": write_captions(claims_from_votes(row_votes), 5, seed), "votes": row_votes}
        for seed, row_votes in enumerate(votes)
    ]


def test_both_sides_are_tokenised_alike():
    assert (
        tokenize("A smooth, round galaxy with a cigar-like shape.")
        == "a smooth , round galaxy with a cigar-like shape ."
    )
    captions = ["a smooth, round galaxy", "an edge-on galaxy"]
    score, signature = bleu(captions, [[text.replace(",", " ,").upper()] for text in captions], 2)
    assert score == pytest.approx(1) and "tok:none" in signature


def test_bleu_is_the_known_value():
    # 3 of 4 words, 1 of 3 pairs: sqrt(3/4 * 1/3), no brevity penalty
    assert bleu(["a b c d"], [["a b x d"]], 2)[0] == pytest.approx(math.sqrt(3 / 4 * 1 / 3))


def test_cider_d_is_the_value_by_hand():
    # Two galaxies; "ring" in one reference of two, so idf log 2; "a" in both, idf 0. Unigrams agree exactly (1), the
    # pair "a ring" too, and there are no longer n-grams: (1 + 1 + 0 + 0) / 4 * 10. The second caption is "a ring" for
    # "a bar": overlap 0.
    assert cider_d(["a ring", "a ring"], [["a ring"], ["a bar"]]) == pytest.approx(10 * 2 / 4 / 2)
    # One word too many: 1-grams (ring, ring) against (ring): clipped to one, cosine 2*1/(2*1) -> min(2,1)*1/(2*1) =
    # 1/2.
    longer = cider_d(["ring ring", "bar"], [["ring"], ["bar"]])
    assert longer == pytest.approx(10 * (math.exp(-1 / 72) / 2 / 4 + 1 / 4) / 2)


def test_claims_are_counted_against_the_votes():
    predictions = ["a barred spiral galaxy with four loosely wound arms", "a smooth galaxy with a boxy bulge"]
    references = [{"captions": ["x"], "votes": SPIRAL}, {"captions": ["y"], "votes": ROUND}]
    result = CaptionMetric().compute(predictions=predictions, references=references)
    # bar, spiral, loose and smooth are supported; four arms contradicted; a boxy bulge was not asked
    assert result["claim_precision"] == pytest.approx(4 / 6)
    assert result["contradicted"] == result["ungrounded"] == pytest.approx(1 / 6)
    # claimed by the votes: bar, spiral, small bulge, loose, two | smooth, round; of these the captions claim bar,
    # spiral, loose, smooth
    assert result["claim_recall"] == pytest.approx(4 / 7)
    assert result["claim_f1"] == pytest.approx(2 * (4 / 6) * (4 / 7) / (4 / 6 + 4 / 7))
    by_aspect = {row["aspect"]: row for row in result["aspects"]}
    assert by_aspect["arm number"]["precision"] == 0 and by_aspect["bar"]["f1"] == 1
    assert result["distinct"] == 2 and result["commonest_share"] == 0.5


def test_the_template_of_true_votes_is_the_ceiling_and_a_constant_is_not():
    references = rows()
    metric = CaptionMetric()
    ceiling = metric.compute(predictions=[row["captions"][0] for row in references], references=references)
    assert ceiling["claim_f1"] == 1 and ceiling["contradicted"] == 0 and ceiling["bleu_4"] == pytest.approx(1)
    constants = best_constants(references)
    for name, text in constants.items():
        score = metric.compute(predictions=[text] * len(references), references=references)[name]
        assert 0 < score < ceiling[name]
        for row in references:  # no reference is a better constant
            assert (
                metric.compute(predictions=[row["captions"][0]] * len(references), references=references)[name]
                <= score + 1e-9
            )
    assert "claim F1" in caption_table({"ceiling": ceiling})


def test_captions_of_another_tree_are_scored_by_its_aspects():
    questions = load_campaign("gz_desi").tree.questions
    polar = Question("polar", ("yes", "no"), (("bar", "strong"),), words=("a polar ring", ""))
    tree = DecisionTree("mine", (*questions, polar))
    votes = np.zeros(len(tree.answers))
    for question, answer in (
        ("smooth-or-featured", "featured-or-disk"),
        ("disk-edge-on", "no"),
        ("bar", "strong"),
        ("polar", "yes"),
    ):
        votes[tree.index(question, answer)] = 30
    captions = write_captions(claims_from_votes(votes, tree), 5, 0, tree)
    constants = best_constants([{"captions": captions, "votes": votes}], tree=tree)
    texts = [captions[0], constants["claim_f1"], "a weak bar and a minor disturbance", "a polar ring"]
    references = [{"captions": captions, "votes": votes}] * len(texts)
    scores = [
        CaptionMetric(tree).compute(predictions=[text], references=[reference])
        for text, reference in zip(texts, references, strict=True)
    ]
    assert [row["claim_f1"] for row in scores] == pytest.approx([1, 1, 0, 1 / 2])
    assert scores[2]["contradicted"] == scores[2]["ungrounded"] == 1 / 2  # a weak bar; nobody was asked about mergers
    by_aspect = {row["aspect"]: row for row in scores[3]["aspects"]}
    assert by_aspect["own words"]["f1"] == 1 and by_aspect["bar"]["recall"] == 0 and "oddity" not in by_aspect


def test_evaluate_loads_the_file_and_batches_add_up():
    references = rows(4)
    texts = [row["captions"][1] for row in references]
    loaded = evaluate.load(str(REPOSITORY / "galaxy_vision" / "evaluation" / "caption_metrics.py"))
    for text, row in zip(texts, references, strict=True):
        loaded.add(prediction=text, reference=row)
    assert loaded.compute() == CaptionMetric().compute(predictions=texts, references=references)


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ValueError, match="no row was added"):
        CaptionMetric().compute()
    with pytest.raises(ValueError, match="1 predictions and 0 references"):
        CaptionMetric().add_batch(predictions=["a"], references=[])
    with pytest.raises(ValueError, match="no reference captions"):
        CaptionMetric().add_batch(predictions=["a"], references=[{"captions": [], "votes": np.zeros(37)}])


def test_one_text_as_a_reference_is_one_caption_and_not_its_letters():
    votes = [20.0] * 37
    one, listed = (
        CaptionMetric().compute(predictions=["a smooth galaxy"], references=[{"captions": captions, "votes": votes}])
        for captions in ("a smooth galaxy", ["a smooth galaxy"])
    )
    assert one == listed and one["bleu_1"] == pytest.approx(1)
