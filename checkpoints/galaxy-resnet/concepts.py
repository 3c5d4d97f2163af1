"""Concepts: what answers mean, whatever a campaign calls them.

Galaxy Zoo has asked much the same in a dozen wordings ("round", "completely"; "no", "none", "no-bulge", "neither"). A
tree says of each answer which concept it is, so that captions, classes and the simulation speak of concepts and serve
every campaign. Campaigns cut some concepts elsewhere: a bar may be "strong or weak", and a bulge "obvious" in one
campaign is "moderate" or "large" in another; :data:`PARTS` says which concept contains which.
"""

ASPECTS = {
    "kind": ("smooth", "featured", "not-a-galaxy", "bad-image"),
    "edge-on": ("edge-on", "not-edge-on"),
    "bar": ("bar", "bar-strong", "bar-weak", "bar-none"),
    "spiral": ("spiral", "spiral-none"),
    "bulge": ("bulge-none", "bulge-small", "bulge-obvious", "bulge-moderate", "bulge-large", "bulge-dominant"),
    "oddity": ("odd", "odd-none"),
    "roundness": ("round", "in-between", "cigar-shaped"),
    "odd feature": ("ring", "lens-or-arc", "disturbed", "irregular", "odd-other", "merger", "dust-lane", "overlapping"),
    "edge-on bulge": (
        "edge-on-bulge-rounded",
        "edge-on-bulge-boxy",
        "edge-on-bulge-none",
        "edge-on-bulge-any-shape",
    ),
    "winding": ("winding-tight", "winding-medium", "winding-loose"),
    "arm number": ("arms-1", "arms-2", "arms-3", "arms-4", "arms-more-than-4", "arms-cant-tell"),
    "merging": ("merging-none", "disturbance-minor", "disturbance-major"),
    "clumps": ("mostly-clumpy", "bright-clumps", "no-clumps"),
    "problem": ("star", "artifact", "bad-zoom"),
}
"""Aspect of a galaxy -> its concepts. Aspects and concepts stand in the order in which captions take them up, that of
the tasks of Galaxy Zoo 2; the equivalences of campaigns are in ``data/campaigns.json``."""

CONCEPTS = tuple(concept for concepts in ASPECTS.values() for concept in concepts)
"""All concepts in their order."""

ASPECT_OF = {concept: aspect for aspect, concepts in ASPECTS.items() for concept in concepts}
"""Concept -> its aspect."""

PARTS = {"bar": ("bar-strong", "bar-weak"), "bulge-obvious": ("bulge-moderate", "bulge-large")}
"""Concept -> the finer concepts that it consists of. Both pairs are approximate across campaigns: weak bars that GZ2
volunteers did not see are "weak" in GZ DECaLS (Walmsley et al. 2022, MNRAS 509, 3966, section 3.2), and the borders of
bulge sizes differ."""

WELL_SAMPLED = {
    "smooth": 0.469,
    "featured": 0.430,
    "edge-on": 0.602,
    "not-edge-on": 0.715,
    "spiral": 0.619,
    "odd": 0.420,
}
"""Concept -> least fraction of it for which the votes on the next question are well sampled.

Willett et al. (2013, MNRAS 435, 2835), table 3, for the main sample of Galaxy Zoo 2 and at least 20 votes on the
question; taken for other campaigns too.
"""

MIN_VOTES = 20
"""Votes on a question below which Willett et al. (2013) do not use its fractions (table 3)."""
