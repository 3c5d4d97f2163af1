"""The training split is streamed with every row once, in a new order each epoch, and resumed after a kill."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from conftest import CAPTIONER, FEW, in_two_processes, load_script, train

from galaxy_vision import GalaxyImageProcessor, GalaxyResNetForImageClassification
from galaxy_vision.data.batches import cache_pixels, make_loader
from galaxy_vision.data.load import class_counts, load_galaxies
from galaxy_vision.data.streaming import TrainingStream
from galaxy_vision.models.processing_galaxy_captioner import build_tokenizer
from galaxy_vision.models.trees import Trees
from galaxy_vision.training.checkpoints import Progress


def weights(folder):
    return GalaxyResNetForImageClassification.from_pretrained(folder).state_dict()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return the folders of a data set whose training split is in 2 and in 3 files of unequal length."""
    data, folders = load_galaxies("simulated", num_simulated=200), {}
    for files, ends in {2: (110,), 3: (20, 75)}.items():
        folder = tmp_path_factory.mktemp(f"built{files}")
        edges = [0, *ends, len(data["train"])]
        for number, (start, end) in enumerate(zip(edges, edges[1:], strict=False)):
            data["train"].select(range(start, end)).to_parquet(folder / f"train-{number:05d}-of-{files:05d}.parquet")
        for split in ("validation", "test"):
            data[split].to_parquet(folder / f"{split}-00000-of-00001.parquet")
        folders[files] = str(folder)
    return folders


PROCESSOR = GalaxyImageProcessor(size={"height": 32, "width": 32})


def arguments(folder: str, **changes) -> SimpleNamespace:
    settings = {
        "dataset": folder,
        "num_simulated": 200,
        "label_scheme": None,
        "trees": None,
        "seed": 0,
        "batch_size": 16,
        "shuffle_buffer": 32,
    }
    return SimpleNamespace(**settings | changes)


def open_stream(folder: str, progress=None, with_captions: bool = False, **changes) -> TrainingStream:
    names = load_galaxies("simulated", num_simulated=200)["train"].features["label"].names
    progress = progress or Progress()
    run = SimpleNamespace(args=arguments(folder, **changes), accelerator=Accelerator(cpu=True), progress=progress)
    return TrainingStream(run, names, Trees(), PROCESSOR, with_captions)


def seen(batches) -> list[bytes]:
    return [pixels.numpy().tobytes() for batch in batches if "spare" not in batch for pixels in batch["pixels"]]


def test_an_epoch_of_the_stream_is_the_training_split_in_an_order_of_its_own(built):
    cached = cache_pixels(load_galaxies("simulated", num_simulated=200)["train"], PROCESSOR)
    whole = next(iter(make_loader(cached, 32, len(cached), shuffle=False)))
    index_of = {pixels.numpy().tobytes(): index for index, pixels in enumerate(whole["pixels"])}
    progress, orders = Progress(), []
    stream = open_stream(built[3], progress)
    for progress.epoch in (0, 1):
        batches = list(stream.loader())
        assert len(batches) == len(stream) == -(-len(cached) // 16)
        indices = [index_of[pixels] for pixels in seen(batches)]
        orders.append(indices)
        assert sorted(indices) == list(range(len(cached)))
        for name in ("labels", "votes"):
            assert torch.equal(torch.cat([batch[name] for batch in batches]), whole[name][indices])
    assert orders[0] != orders[1] != sorted(orders[1])
    assert seen(open_stream(built[3], seed=1)) != seen(open_stream(built[3])) == seen(open_stream(built[3]))


def test_counts_votes_and_words_are_those_of_the_whole_split(built):
    rows = load_galaxies("simulated", num_simulated=200)["train"]
    stream = open_stream(built[3], with_captions=True)
    assert stream.num_rows == len(rows)
    assert np.array_equal(stream.class_counts, class_counts(rows, len(stream.label_names)))
    assert np.array_equal(np.sort(stream.votes, 0), np.sort(np.array(rows["votes"], dtype=np.float32), 0))
    words = build_tokenizer(text for captions in rows["captions"] for text in captions)
    assert stream.tokenizer.get_vocab() == words.get_vocab()
    batch = next(iter(stream))
    references = stream.tokenizer.batch_decode(batch["input_ids"][0], skip_special_tokens=True)
    assert [
        text.lower() for text in rows["captions"][np.array(rows["votes"]).tolist().index(batch["votes"][0].tolist())]
    ] == references


def test_a_scheme_by_name_makes_the_classes_from_the_votes(built):
    stream = open_stream(built[2], label_scheme="summary")
    loaded = load_galaxies("simulated", "summary", num_simulated=200)["train"]
    assert np.array_equal(stream.class_counts, class_counts(loaded, len(loaded.features["label"].names)))


@pytest.mark.parametrize("step", [1, 2, 3, 6, 10])
def test_a_stream_goes_on_from_any_step(built, tmp_path, step):
    progress = Progress()
    stream, remaining = open_stream(built[3], progress), []
    for number, batch in enumerate(stream.loader()):
        if number >= step:
            remaining.append(batch)
        progress.step_in_epoch += 1
        if progress.step_in_epoch == step:
            stream.save(tmp_path)
    resumed = Progress()
    resumed.step_in_epoch = step
    again = open_stream(built[3], resumed)
    again.load(tmp_path)
    assert seen(again.loader()) == seen(remaining)


def read_together(output: Path, *folders: str) -> None:
    """Write what each of two processes reads in two epochs, as JSON."""
    accelerator, epochs = Accelerator(cpu=True), []
    names = load_galaxies("simulated", num_simulated=200)["train"].features["label"].names
    for folder in folders:
        progress = Progress()
        run = SimpleNamespace(args=arguments(folder), accelerator=accelerator, progress=progress)
        stream = TrainingStream(run, names, Trees(), PROCESSOR)
        for progress.epoch in (0, 1):
            batches = list(stream.loader())
            rows = [int(pixels.long().sum()) for batch in batches if "spare" not in batch for pixels in batch["pixels"]]
            epochs.append([stream.is_distributed_by_file, stream.num_rows, gather_object([[rows, len(batches)]])])
    if accelerator.is_main_process:
        output.write_text(json.dumps(epochs))
    accelerator.end_training()


def test_two_processes_share_the_rows_and_make_as_many_steps(built, tmp_path):
    assert in_two_processes(read_together, tmp_path / "epochs.json", built[2], built[3]) == [0, 0]
    cached = cache_pixels(load_galaxies("simulated", num_simulated=200)["train"], PROCESSOR)
    whole = next(iter(make_loader(cached, 32, len(cached), shuffle=False)))["pixels"]
    expected = Counter(int(pixels.long().sum()) for pixels in whole)
    epochs = json.loads((tmp_path / "epochs.json").read_text())
    assert [dealt for dealt, _, _ in epochs] == [True, True, False, False]  # 2 files, 3 files
    for _, rows, processes in epochs:
        assert rows == len(cached)
        (first, steps), (second, same) = processes
        assert steps == same and first and second
        assert Counter(first + second) == expected


STREAMED = ["--streaming", "--shuffle_buffer", "80"]


def test_a_killed_streaming_run_goes_on_to_the_same_weights(built, tmp_path):
    streamed = [*FEW, *STREAMED, "--dataset", built[3]]
    results = train("train_classifier", *streamed, "--output_dir", str(tmp_path / "whole"))
    rows = load_galaxies("simulated", num_simulated=200)
    assert results["split_rows"] == {split: len(part) for split, part in rows.items()}
    extra = ["--output_dir", str(tmp_path / "killed"), "--checkpoint_every", "2"]
    with pytest.raises(SystemExit, match="130"):
        train("train_classifier", *streamed, *extra, "--stop_after", "8")
    again = train("train_classifier", *streamed, *extra, "--resume")
    assert again["history"][-1]["validation_loss"] == results["history"][-1]["validation_loss"]
    resumed = weights(tmp_path / "killed")
    assert all(torch.equal(value, resumed[name]) for name, value in weights(tmp_path / "whole").items())


def test_a_killed_streaming_captioner_goes_on_to_the_same_scores(built, classifier_run, tmp_path):
    streamed = [*CAPTIONER, *STREAMED, "--dataset", built[2], "--encoder", str(classifier_run[0])]
    results = train("train_captioner", *streamed, "--output_dir", str(tmp_path / "whole"))
    extra = ["--output_dir", str(tmp_path / "killed"), "--checkpoint_every", "3"]
    with pytest.raises(SystemExit, match="130"):
        train("train_captioner", *streamed, *extra, "--stop_after", "7")
    again = train("train_captioner", *streamed, *extra, "--resume")
    assert again["history"][-1]["validation_claim_f1"] == results["history"][-1]["validation_claim_f1"]
    kind = load_script("train_captioner").GalaxyCaptionerForConditionalGeneration
    one, two = (kind.from_pretrained(tmp_path / name).state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_two_streaming_processes_train_and_go_on(built, tmp_path):
    argv = ["train_classifier", *FEW, *STREAMED, "--dataset", built[2], "--output_dir", str(tmp_path)]
    argv += ["--checkpoint_every", "2"]
    assert in_two_processes(train, *argv, "--stop_after", "2") == [130, 130]
    with pytest.raises(SystemExit, match="num_processes=1, then 2"):
        train(*argv, "--resume")
    assert in_two_processes(train, *argv, "--resume") == [0, 0]
    results = json.loads((tmp_path / "metrics.json").read_text())
    assert results["num_processes"] == 2 and len(results["history"]) == 2
    assert results["rows"] == results["split_rows"]["test"]


def test_what_cannot_be_streamed_is_named(built, tmp_path, galaxies):
    (tmp_path / "images" / "spiral").mkdir(parents=True)
    (tmp_path / "images" / "spiral" / "1.jpg").write_bytes(galaxies[0][0])
    with pytest.raises(ValueError, match="streaming reads Parquet"):
        load_galaxies(str(tmp_path / "images"), streaming=True)
    load_galaxies("simulated", num_simulated=200)["train"].to_parquet(
        tmp_path / "other" / "train-00000-of-00001.parquet"
    )
    with pytest.raises(ValueError, match="no split validation and test"):
        load_galaxies(str(tmp_path / "other"), streaming=True)
    with pytest.raises(SystemExit):
        train("train_classifier", *FEW, *STREAMED, "--max_rows", "10", "--output_dir", str(tmp_path / "run"))


@pytest.mark.parametrize(
    "columns, message",
    [
        (["image", "label"], "has no captions, which are learned"),
        (["image", "label", "captions"], "has no votes, which judge the captions"),
        (["image", "label", "votes", "numbers"], "does not hold lists of texts"),
    ],
)
def test_streamed_rows_of_which_no_captioner_can_be_learned_are_refused_in_one_sentence(columns, message, tmp_path):
    for split, rows in load_galaxies("simulated", num_simulated=200).items():
        rows = rows.select(range(4))
        if "numbers" in columns:
            rows = rows.remove_columns("captions").add_column("captions", [[1, 2]] * 4)
        kept = [{"numbers": "captions"}.get(name, name) for name in columns]
        rows.select_columns(kept).to_parquet(tmp_path / f"{split}-00000-of-00001.parquet")
    with pytest.raises(SystemExit, match=message):
        train(
            "train_captioner", *CAPTIONER, "--streaming", "--dataset", str(tmp_path), "--output_dir", f"{tmp_path}/run"
        )
