"""The loss does not depend on how rows are divided into batches, accumulated, or assigned to processes."""

from argparse import Namespace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import in_two_processes
from timm.layers import freeze_batch_norm_2d
from torch.nn import functional as F
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from galaxy_vision import (
    GalaxyCaptionerConfig,
    GalaxyCaptionerForConditionalGeneration,
    GalaxyResNetConfig,
    GalaxyResNetForImageClassification,
)
from galaxy_vision.evaluation.evaluate import evaluate
from galaxy_vision.evaluation.metrics import GalaxyMetric
from galaxy_vision.evaluation.objectives import CAPTIONER, CLASSIFIER, class_nll, mean_loss
from galaxy_vision.evaluation.votes import VoteMetrics
from galaxy_vision.models.losses import dirichlet_multinomial_nll
from galaxy_vision.models.trees import Trees
from galaxy_vision.runtime.accelerator import make_accelerator
from galaxy_vision.runtime.orderly_end import Termination
from galaxy_vision.training.checkpoints import Progress
from galaxy_vision.training.loop import train_one_epoch

ROWS, CLASSES = 16, 3
PROCESSOR = SimpleNamespace(normalize_pixels=lambda pixels: pixels.float() / 255)


class Toy(torch.nn.Module):
    """A classifier without batch statistics: 3 x 4 x 4 pixels to classes and votes."""

    def __init__(self):
        super().__init__()
        self.config, self.trees = GalaxyResNetConfig(num_labels=CLASSES), Trees()
        self.head = torch.nn.Linear(48, CLASSES + 37)
        torch.nn.init.normal_(self.head.weight, std=0.1, generator=torch.Generator().manual_seed(1))
        torch.nn.init.zeros_(self.head.bias)

    def forward(self, pixel_values):
        scores = self.head(pixel_values.flatten(1))
        return SimpleNamespace(logits=scores[:, :CLASSES], vote_concentration=scores[:, CLASSES:].exp())


def resnet() -> GalaxyResNetForImageClassification:
    """The classifier itself, with frozen batch statistics and without dropout: a row does not depend on the others."""
    names = [str(index) for index in range(CLASSES)]
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}
    config = GalaxyResNetConfig(backbone="test_resnet", image_size=32, drop_rate=0.0, **labels)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return freeze_batch_norm_2d(GalaxyResNetForImageClassification(config))


def rows(size: int = 4) -> list[dict]:
    """16 rows of ``size`` px, of which few are decided, most of them in the beginning, and some have no answer."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (ROWS, 3, size, size), generator=generator, dtype=torch.uint8)
    votes = torch.randint(0, 20, (ROWS, 37), generator=generator).float()
    votes[3:7, 18:25] = float("nan")
    labels = torch.tensor([0, 2, 1, 0, -1, -1, 1, -1, -1, -1, -1, -1, -1, -1, 2, -1])
    return [
        {"pixels": pixels[row], "labels": labels[row], "votes": votes[row], "row": torch.tensor(row)}
        for row in range(ROWS)
    ]


def known_loss() -> float:
    """Return the class loss of the rows with a class plus the vote loss of all rows, by hand in one batch."""
    batch = torch.utils.data.default_collate(rows())
    output = Toy()(PROCESSOR.normalize_pixels(batch["pixels"]))
    decided = batch["labels"] >= 0
    classes = F.cross_entropy(output.logits[decided], batch["labels"][decided])
    return (classes + dirichlet_multinomial_nll(output.vote_concentration.double(), batch["votes"]).mean()).item()


@pytest.mark.parametrize("batch_size", range(1, ROWS + 1))
def test_the_validation_loss_does_not_depend_on_the_batch_size(batch_size, tmp_path):
    accelerator = make_accelerator("no", 1, None, tmp_path)
    loader = accelerator.prepare(DataLoader(rows(), batch_size))
    metrics = {"classes": GalaxyMetric("classes"), "votes": VoteMetrics(Trees(), np.zeros((1, 37)))}
    results = evaluate(accelerator, Toy(), loader, PROCESSOR, metrics, "validation")
    assert results["loss"] == pytest.approx(known_loss(), rel=1e-6)
    assert results["rows"] == ROWS


def test_a_loss_of_nothing_is_none_and_not_zero(tmp_path):
    accelerator = make_accelerator("no", 1, None, tmp_path)
    unlabelled = [row | {"labels": torch.tensor(-1)} for row in rows()]
    results = evaluate(
        accelerator, Toy(), DataLoader(unlabelled, 4), PROCESSOR, {"classes": GalaxyMetric("classes")}, ""
    )
    assert results["loss"] is None


def one_epoch(accelerator, batch_size: int, accumulated: int, model=None, size: int = 4, learning_rate: float = 0.1):
    """(loss of an epoch, weights after it) of :class:`Toy` or a model of images of ``size`` px."""
    model = Toy() if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    loader, model, optimizer = accelerator.prepare(DataLoader(rows(size), batch_size), model, optimizer)
    args = Namespace(
        seed=0, accumulation_steps=accumulated, augmentation=False, max_grad_norm=1e9, checkpoint_every=0, stop_after=0
    )

    def targets(batch, pixels, generator):
        return {"labels": batch["labels"], "votes": batch["votes"], "class_weights": torch.tensor([1.0, 0.5, 2.0])}

    scheduler, bar = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0), tqdm(disable=True)
    parts = {"ema": None, "processor": PROCESSOR, "objective": CLASSIFIER, "targets": targets, "progress": Progress()}
    parts |= {"termination": Termination(), "loaders": {"train": loader}, "optimizer": optimizer}
    parts |= {"keeps_statistics": False}
    run = Namespace(args=args, accelerator=accelerator, model=model, scheduler=scheduler, bar=bar, **parts)
    loss = train_one_epoch(run)
    return loss, {name: value.detach() for name, value in accelerator.unwrap_model(model).named_parameters()}


def difference(weights: dict, known: dict) -> float:
    """The largest of any weight."""
    assert weights.keys() == known.keys()
    return max((value - known[name]).abs().max().item() for name, value in weights.items())


@pytest.mark.parametrize("batch_size, accumulated", [(8, 2), (4, 4), (3, 6), (5, 4), (1, 16), (7, 100)])
def test_accumulated_batches_teach_what_one_large_batch_does(batch_size, accumulated, tmp_path):
    loss, weights = one_epoch(make_accelerator("no", 1, None, tmp_path), ROWS, 1)
    in_parts = one_epoch(make_accelerator("no", accumulated, None, tmp_path), batch_size, accumulated)
    assert in_parts[0] == pytest.approx(loss, rel=1e-5)
    assert difference(in_parts[1], weights) < 1e-5


def learn_together(output) -> None:
    results = [
        one_epoch(make_accelerator("no", accumulated, None, output), 16 // 2 // accumulated, accumulated)
        for accumulated in (1, 2)
    ]
    results.append(one_epoch(make_accelerator("no", 1, None, output), 4, 1, resnet(), 32, 1e-3))
    torch.save(results, output.with_suffix(f".{torch.distributed.get_rank()}"))


@pytest.fixture(scope="module")
def learned_together(tmp_path_factory):
    """What both processes learned: the toy in one batch, the toy in two, the classifier in two steps."""
    output = tmp_path_factory.mktemp("together") / "learned"
    assert in_two_processes(learn_together, output) == [0, 0]
    return [torch.load(output.with_suffix(f".{rank}")) for rank in (0, 1)]


def test_two_processes_teach_what_one_does(learned_together, tmp_path):
    known_loss, known_weights = one_epoch(make_accelerator("no", 1, None, tmp_path), ROWS, 1)
    for results in learned_together:
        for loss, weights in results[:2]:
            assert loss == pytest.approx(known_loss, rel=1e-5)
            assert difference(weights, known_weights) < 1e-5


def test_two_processes_teach_the_classifier_what_one_does(learned_together, tmp_path):
    accelerator = make_accelerator("no", 1, None, tmp_path)
    known_loss, known_weights = one_epoch(accelerator, 8, 1, resnet(), 32, 1e-3)
    assert difference(dict(resnet().named_parameters()), known_weights) > 1e-3  # it did learn
    for *_, (loss, weights) in learned_together:
        assert loss == pytest.approx(known_loss, rel=1e-5)
        assert difference(weights, known_weights) < 1e-5


def test_the_objectives_are_the_losses_of_the_models():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(5, 3, 32, 32, generator=generator)
    labels, votes = torch.tensor([0, -1, 1, 1, -1]), torch.randint(0, 9, (5, 37), generator=generator).float()
    config = GalaxyResNetConfig(
        backbone="test_resnet", image_size=32, id2label={0: "a", 1: "b"}, label2id={"a": 0, "b": 1}
    )
    model = GalaxyResNetForImageClassification(config).eval()
    for optional_votes in (votes, None):
        inputs = {
            "pixel_values": pixels,
            "labels": labels,
            "votes": optional_votes,
            "class_weights": torch.tensor([1.0, 3.0]),
        }
        loss = mean_loss(CLASSIFIER.sums(model, inputs), CLASSIFIER.counts(inputs))
        assert loss.item() == pytest.approx(model(**inputs).loss.item(), rel=1e-5)
    captioner = GalaxyCaptionerForConditionalGeneration(
        GalaxyCaptionerConfig(backbone="test_resnet", image_size=32, hidden_size=8, vocab_size=9)
    ).eval()
    inputs = {"pixel_values": pixels, "labels": torch.randint(3, 9, (5, 7), generator=generator)}
    inputs["labels"][1:, 4:] = -100
    loss = mean_loss(CAPTIONER.sums(captioner, inputs), CAPTIONER.counts(inputs))
    assert loss.item() == pytest.approx(captioner(**inputs).loss.item(), rel=1e-6)


def test_the_loss_of_known_probabilities():
    probabilities = torch.tensor([[0.5, 0.5], [0.25, 0.75], [0.1, 0.9]])
    total, count = class_nll(probabilities, torch.tensor([0, -1, 1]))
    assert total.item() == pytest.approx(-torch.log(torch.tensor(0.45)).item(), rel=1e-6) and count == 2
