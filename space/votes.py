"""The votes as one path: what most volunteers are asked, as wide as the share of them, and what branches off."""

from html import escape
from typing import NamedTuple

from galaxy_vision.captions.grammar import ADJECTIVES, ARM_NUMBERS, ARM_WINDINGS, PROBLEMS, THINGS
from galaxy_vision.inference.answer_names import answer_names, answer_words, question_text
from galaxy_vision.inference.describe import MIN_REACH
from galaxy_vision.models.tree import DecisionTree, Question

SHORT = {
    "featured": "features",
    "not-edge-on": "not edge-on",
    "odd-none": "nothing odd",
    "odd": "something odd",
    "arms-cant-tell": "arms not countable",
    "merging-none": "not merging",
    "no-clumps": "no clumps",
    "merger": "merger",
}
"""Concepts of which captions say nothing, or too much, in the few words of the path."""
LEGEND = """<dl class="gv-legend"><dt><span class="gv-iv" style="--lo:10%;--hi:90%;--v:60%"><i></i><em></em></span></dt>
<dd>share of those asked, with its 90&nbsp;% interval</dd>
<dt><span class="gv-iv gv-open" style="--lo:5%;--hi:95%;--v:50%"><i></i><em></em></span></dt>
<dd>hollow: the interval reaches below one half</dd></dl>"""


class Answer(NamedTuple):
    """An answer as the page shows it; shares are from 0 to 1."""

    name: str
    words: str
    short: str
    fraction: float
    lower: float
    upper: float


class Step(NamedTuple):
    """A question with its answers, the most frequent first."""

    name: str
    text: str
    reach: float
    answers: list[Answer]


def words_of(tree: DecisionTree) -> dict[str, str]:
    """Return name -> words of every answer, as the page spells them: ``"a37_cant_tell"`` -> ``"can't tell"``."""
    return {name: words.replace("cant tell", "can't tell") for name, words in answer_words(tree).items()}


def short_words(concept: str | None, words: str, question: str) -> str:
    """Return what an answer says without its question: ``"no bar"``, ``"two arms"``; of no concept, both."""
    tables = {**ADJECTIVES, **PROBLEMS, **ARM_WINDINGS, **THINGS}
    if concept in SHORT:
        return SHORT[concept]
    if concept in ARM_NUMBERS:
        return f"{ARM_NUMBERS[concept][0]} arm{'s' if concept != 'arms-1' else ''}"
    if concept in tables:
        first = tables[concept][0]
        return first.split(" ", 1)[1] if first.startswith(("a ", "an ")) else first
    return f"{question} {words}"


def steps_of(votes: dict[str, dict[str, float]], tree: DecisionTree) -> list[Step]:
    """Return all questions of a tree with the predicted answers, parents before what follows from them."""
    names, words = answer_names(tree), words_of(tree)
    steps = []
    for question in _parents_first(tree):
        part = tree.slices[question.name]
        concepts = question.concepts or (None,) * len(question.answers)
        text = question_text(tree, question)
        answers = [
            Answer(
                name,
                words[name],
                short_words(concept, words[name], text),
                *(votes[name][key] for key in ("fraction", "lower", "upper")),
            )
            for name, concept in zip(names[part], concepts, strict=True)
        ]
        answers.sort(key=lambda answer: -answer.fraction)
        steps.append(Step(question.name, text, votes[names[part.start]]["reach"], answers))
    return steps


def path_of(steps: list[Step]) -> list[Step]:
    """Return the questions that at least half of the volunteers would be asked."""
    return [step for step in steps if step.reach >= MIN_REACH]


def _parents_first(tree: DecisionTree) -> list[Question]:
    """Return the questions so that those which follow from one stand directly behind it, where they can."""
    left, done, place_of = list(tree.questions), [], {}
    while left:
        asked = {question.name for question in done}
        ready = [question for question in left if all(parent in asked for parent, _ in question.parents)]
        latest = max(ready, key=lambda question: max((place_of[parent] for parent, _ in question.parents), default=0))
        left.remove(latest)
        place_of[latest.name] = len(done)
        done.append(latest)
    return done


def chain(votes: dict[str, dict[str, float]], tree: DecisionTree) -> str:
    """Return the path in one line: the leading answer of each question."""
    best = [step.answers[0] for step in path_of(steps_of(votes, tree))]
    items = "".join(
        f'<li><i class="gv-pt{" gv-open" if answer.lower < 0.5 else ""}"></i>{escape(answer.short)}</li>'
        for answer in best
    )
    return f'<ol class="gv-chain" aria-label="Path through the decision tree">{items}</ol>'


def path(votes: dict[str, dict[str, float]], tree: DecisionTree, campaign: str = "", is_hidden: bool = False) -> str:
    """Return the section of the votes.

    Args:
        votes: name of an answer -> its numbers, as :class:`~galaxy_vision.inference.describe.Describer` gives them.
        tree: whose answers these are.
        campaign: whose volunteers these are, to be told; empty where there is one campaign only.
        is_hidden: until it is asked for, as of a doubtful image.
    """
    whose = f" of {escape(campaign)}" if campaign else ""
    if not votes:
        return '<p class="gv-lead">This classifier was trained without votes.</p>'
    steps = steps_of(votes, tree)
    on_path = path_of(steps)
    rows = "".join(
        _step(step, is_last=step is on_path[-1]) + "".join(_branches(step, steps, tree, votes)) for step in on_path
    )
    return f"""<section class="gv-votes" id="gv-path" aria-labelledby="gv-path-title"{" hidden" if is_hidden else ""}>
<div class="gv-sechead"><div><h2 id="gv-path-title">What volunteers{whose} would have answered</h2>
<p class="gv-lead">The questions in the order they are asked. The line is as wide as the share of volunteers who get
that far. Open a row for its other answers.</p></div>{LEGEND}</div>
<div class="gv-cols" aria-hidden="true"><span>asked of</span><span>question and leading answer</span>
<span class="gv-axis"><span>0</span><span>50</span><span>100 %</span></span><span>share (90 %)</span></div>
{rows}</section>"""


def interval(answer: Answer) -> str:
    """Return the share of an answer as a dot on its interval; the numbers stand beside it."""
    low, high, share = (f"{100 * value:.1f}%" for value in (answer.lower, answer.upper, answer.fraction))
    is_open = " gv-open" if answer.lower < 0.5 else ""
    return f'<span class="gv-iv{is_open}" style="--lo:{low};--hi:{high};--v:{share}"><i></i><em></em></span>'


def percent(value: float) -> str:
    return f"{100 * value:.0f}&nbsp;%"


def _value(answer: Answer) -> str:
    limits = f"{100 * answer.lower:.0f} to {100 * answer.upper:.0f}"
    return f'<span class="gv-val">{percent(answer.fraction)}<small>{limits}</small></span>'


def _step(step: Step, is_last: bool) -> str:
    best, *others = step.answers
    rest = []
    if others and others[0].fraction >= 0.1:
        words = others[0].short if others[0].words[0].isdigit() else others[0].words  # "three arms 10 %"
        rest.append(f"{escape(words)} {percent(others[0].fraction)}")
    if more := len(others) - len(rest):
        rest.append(f"{more} more")
    last = " gv-last" if is_last else ""
    return f"""<details class="gv-step{last}" data-question="{escape(step.name)}" style="--reach:{step.reach:.3f}">
<summary><span class="gv-node">{percent(step.reach)}</span><span class="gv-ask"><span class="gv-q">{escape(step.text)}
</span><span class="gv-ans">{escape(best.words)}</span> <span class="gv-rest">{", ".join(rest)}</span></span>
{interval(best)}{_value(best)}</summary>{_answers(others)}</details>"""


def _answers(answers: list[Answer]) -> str:
    rows = "".join(
        f"<li><span>{escape(answer.words)}</span>{interval(answer)}{_value(answer)}</li>" for answer in answers
    )
    return f'<ul class="gv-all">{rows}</ul>'


def _branches(step: Step, steps: list[Step], tree: DecisionTree, votes: dict) -> list[str]:
    """Return what leaves the path at a question: those that fewer than half are asked, each with what follows it."""
    names, html = answer_names(tree), []
    by_name = {other.name: other for other in steps}
    for question in tree.questions:
        leading = [answer for parent, answer in question.parents if parent == step.name]
        if by_name[question.name].reach >= MIN_REACH or not leading:
            continue
        if _first_parent_on_path(question, by_name) != step.name:
            continue  # it hangs where it leaves the path first
        indices = [tree.index(step.name, answer) for answer in leading]
        share = sum(votes[names[index]]["fraction"] for index in indices)
        words = " or ".join(words_of(tree)[names[index]] for index in indices)
        branch = by_name[question.name]
        later = "".join(_later(other) for other in _descendants(question.name, tree, by_name))
        html.append(
            f"""<details class="gv-branch" data-question="{escape(branch.name)}" style="--reach:{step.reach:.3f}">
<summary><strong>{escape(words)} {percent(share)}</strong> would go on to: {escape(branch.text)}</summary>
{_answers(branch.answers)}{later}</details>"""
        )
    return html


def _first_parent_on_path(question: Question, by_name: dict[str, Step]) -> str | None:
    return next((parent for parent, _ in question.parents if by_name[parent].reach >= MIN_REACH), None)


def _later(step: Step) -> str:
    question = f"then {percent(step.reach)} of all: {escape(step.text)}"
    return f'<p class="gv-later" data-question="{escape(step.name)}">{question}</p>{_answers(step.answers)}'


def _descendants(name: str, tree: DecisionTree, by_name: dict[str, Step]) -> list[Step]:
    """Return the questions off the path that can only be reached through one that is off it too."""
    found, names = [], {name}
    for step in by_name.values():  # parents first
        question = tree.question(step.name)
        parents = {parent for parent, _ in question.parents}
        is_off = step.reach < MIN_REACH and _first_parent_on_path(question, by_name) is None
        if is_off and parents & names:
            names.add(step.name)
            found.append(step)
    return found
