"""What a captioner is told of the galaxy by the classifier beside it."""

from ..models.modeling_galaxy_captioner import GalaxyCaptionerForConditionalGeneration
from ..models.modeling_galaxy_resnet import GalaxyClassifierOutput, GalaxyResNetForImageClassification
from ..models.tree import DecisionTree
from ..models.vote_fractions import expected_fractions


def votes_to_say(
    captioner: GalaxyCaptionerForConditionalGeneration,
    classifier: GalaxyResNetForImageClassification,
    outputs: GalaxyClassifierOutput,
    campaign: str | None = None,
) -> dict:
    """Return the arguments by which ``generate`` says what a classifier predicts.

    They are empty where the captioner does not read votes, or those of other questions.

    Args:
        captioner: that writes.
        classifier: whose votes are said.
        outputs: of the classifier, for the same images.
        campaign: one of the classifier's trees; None for the first.
    """
    if outputs.vote_concentration is None or not captioner.reads(classifier.trees.named(campaign)):
        return {}
    concentration = classifier.trees.part(outputs.vote_concentration, campaign)
    return {"votes": expected_fractions(concentration, classifier.trees.named(campaign))}


def campaign_to_say(captioner: GalaxyCaptionerForConditionalGeneration, tree: DecisionTree) -> dict:
    """Return the arguments by which ``generate`` says the votes of a campaign that the captioner predicts itself.

    They are empty where it does not read votes, or not those of this campaign.
    """
    return {"campaign": tree.name} if captioner.reads(tree) and tree.name in captioner.encoder.trees else {}
