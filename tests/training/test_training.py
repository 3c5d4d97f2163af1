"""The real main([...]) for a few steps, on simulated galaxies."""

import json
import os
import platform
import shutil
import subprocess
import sys
from argparse import Namespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FEW, REPOSITORY, train
from datasets import Dataset, DatasetDict, Image
from torch.nn.utils import clip_grad_norm_
from tqdm.auto import tqdm
from transformers import pipeline

from galaxy_vision import GalaxyResNetConfig, GalaxyResNetForImageClassification
from galaxy_vision.data.augmentation import Augmentation
from galaxy_vision.data.batches import cache_pixels, make_loader
from galaxy_vision.data.labels import assign_labels
from galaxy_vision.data.load import load_galaxies
from galaxy_vision.data.schemes import get_scheme
from galaxy_vision.data.votes import with_votes_column
from galaxy_vision.evaluation.objectives import CLASSIFIER
from galaxy_vision.evaluation.saved import evaluate_saved
from galaxy_vision.models.decision_tree import answer_index, hub_columns
from galaxy_vision.models.image_processing_galaxy import GalaxyImageProcessor
from galaxy_vision.runtime.accelerator import make_accelerator
from galaxy_vision.runtime.orderly_end import Termination
from galaxy_vision.training.checkpoints import Progress
from galaxy_vision.training.loop import _clip_gradients, train_one_epoch


def train_classifier(*argv: str):
    return train("train_classifier", *argv)


def weights(folder):
    return GalaxyResNetForImageClassification.from_pretrained(folder).state_dict()


def test_a_run_ends_with_a_model_metrics_and_figures(classifier_run, tmp_path):
    folder, results = classifier_run
    assert json.loads((folder / "metrics.json").read_text())["votes"]["rmse_37"] == results["votes"]["rmse_37"]
    for name in ("confusion_matrix.png", "reliability.png", "training_curves.png", "mistakes.png", "heat_maps.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    galaxy = load_galaxies("simulated", num_simulated=200)["test"][0]["image"]
    galaxy.save(tmp_path / "galaxy.jpg")
    answers = pipeline("image-classification", str(folder), trust_remote_code=False)(str(tmp_path / "galaxy.jpg"))
    assert answers[0]["label"] in results["classes"]["labels"]
    assert results["rows"] == results["split_rows"]["test"]
    assert results["history"][1]["train_loss"] < results["history"][0]["train_loss"]


def test_the_same_seed_gives_the_same_weights(classifier_run, tmp_path):
    train_classifier(*FEW, "--output_dir", str(tmp_path))
    again = weights(tmp_path)
    assert all(torch.equal(value, again[name]) for name, value in weights(classifier_run[0]).items())


def test_a_killed_run_goes_on_to_the_same_weights(classifier_run, tmp_path):
    extra = ["--output_dir", str(tmp_path), "--checkpoint_every", "3"]
    with pytest.raises(SystemExit, match="130"):
        train_classifier(*FEW, *extra, "--stop_after", "7")
    assert not (tmp_path / "metrics.json").exists()
    with pytest.raises(SystemExit, match="--resume"):
        train_classifier(*FEW, *extra)  # an unfinished run is not overwritten
    results = train_classifier(*FEW, *extra, "--resume")
    resumed = weights(tmp_path)
    assert all(torch.equal(value, resumed[name]) for name, value in weights(classifier_run[0]).items())
    assert results["history"][-1]["validation_loss"] == classifier_run[1]["history"][-1]["validation_loss"]


def test_two_processes_of_half_the_batch_learn_the_same_and_see_every_test_row_once(classifier_run, tmp_path):
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
    ]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    done = subprocess.run(
        [*launch, str(REPOSITORY / "train_classifier.py"), *FEW, "--batch_size", "20", "--output_dir", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((tmp_path / "metrics.json").read_text())
    assert results["num_processes"] == 2
    for one, two in zip(classifier_run[1]["history"], results["history"], strict=True):
        for name in (
            "train_loss",
            "validation_loss",
        ):  # the rows are the same; views and batch statistics are of each process
            assert two[name] == pytest.approx(one[name], rel=0.1)
    assert results["rows"] == results["split_rows"]["test"] == classifier_run[1]["rows"]
    assert results["votes"]["rows"] == classifier_run[1]["votes"]["rows"]
    matrix = np.array(results["classes"]["confusion_matrix"])
    assert matrix.sum(1).tolist() == np.array(classifier_run[1]["classes"]["confusion_matrix"]).sum(1).tolist()


@pytest.mark.parametrize("script", ["train_classifier", "train_captioner"])
def test_a_single_row_can_be_trained_on_at_the_smallest_size(script, tmp_path):
    argv = [*FEW[:6], "--max_rows", "1", "--epochs", "1", "--output_dir", str(tmp_path)]
    results = train(script, *argv, report=True)
    assert results["split_rows"] == {"train": 1, "validation": 1, "test": 1}
    assert np.isfinite(results["history"][0]["train_loss"])


def test_a_last_batch_of_one_row_is_trained_on_and_each_row_stands_in_one_batch(tmp_path, galaxies):
    files = [{"bytes": data, "path": None} for data, _, _ in galaxies[:5]]
    rows = Dataset.from_dict({"image": files, "label": [0, 1, 0, 1, 0]}).cast_column("image", Image())
    processor = GalaxyImageProcessor(size={"height": 32, "width": 32})
    accelerator = make_accelerator("no", 1, None, tmp_path)
    model = GalaxyResNetForImageClassification(
        GalaxyResNetConfig(backbone="test_resnet", image_size=32, predict_votes=False)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    loader = make_loader(cache_pixels(rows, processor), 32, batch_size=2, shuffle=True)
    loader, model, optimizer = accelerator.prepare(loader, model, optimizer)
    seen = []

    def targets(batch, pixels, generator):
        assert len(pixels) == len(batch["labels"]) == 2
        seen.append(set(batch["row"].tolist()))
        return {"labels": batch["labels"], "votes": None, "class_weights": None}

    settings = {"max_grad_norm": 1.0, "checkpoint_every": 0, "stop_after": 0, "views": Augmentation(), "image_size": 32}
    args = Namespace(seed=0, accumulation_steps=1, augmentation=True, **settings)
    scheduler, bar = torch.optim.lr_scheduler.ConstantLR(optimizer), tqdm(disable=True)
    parts = {"ema": None, "processor": processor, "objective": CLASSIFIER, "targets": targets, "progress": Progress()}
    parts |= {"termination": Termination(), "loaders": {"train": loader}, "optimizer": optimizer}
    parts |= {"keeps_statistics": False}
    run = Namespace(args=args, accelerator=accelerator, model=model, scheduler=scheduler, bar=bar, **parts)
    loss = train_one_epoch(run)
    assert np.isfinite(loss)
    assert sorted(map(len, seen)) == [1, 2, 2] and set().union(*seen) == set(range(5))


def test_class_folders_train_a_classifier_without_votes(tmp_path, galaxies):
    for index, (jpeg, _, _) in enumerate(galaxies):
        folder = tmp_path / "images" / ("spiral" if index % 2 else "smooth")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index}.jpg").write_bytes(jpeg)
    argv = [*FEW, "--dataset", str(tmp_path / "images"), "--output_dir", str(tmp_path / "run"), "--epochs", "1"]
    results = train("train_classifier", *argv, report=True)
    assert results["classes"]["labels"] == ["smooth", "spiral"]
    assert "votes" not in results
    assert "The data set has no card that says how to cite it" in (tmp_path / "run" / "README.md").read_text()


def test_arguments_come_from_a_json_file(tmp_path):
    arguments = {
        "num_simulated": 200,
        "image_size": 32,
        "backbone": "test_resnet",
        "epochs": 1,
        "output_dir": str(tmp_path / "run"),
    }
    (tmp_path / "run.json").write_text(
        json.dumps(arguments | {"max_rows": 20, "ema_decay": 0.0, "class_weighting": "balanced"})
    )
    results = train_classifier(str(tmp_path / "run.json"), "--batch_size", "10")
    assert results["arguments"]["class_weighting"] == "balanced"
    assert results["arguments"]["batch_size"] == 10  # the command line has the last word
    assert results["split_rows"]["train"] == 20


def test_an_unknown_argument_in_a_file_is_named(capsys, tmp_path):
    (tmp_path / "typo.json").write_text(json.dumps({"epoch": 3}))
    with pytest.raises(SystemExit):
        train_classifier(str(tmp_path / "typo.json"))
    assert "unknown argument 'epoch'" in capsys.readouterr().err


WRONG_ARGUMENTS = {
    "--patience -1": "patience=-1 is below 0",
    "--max_rows -5": "max_rows=-5 is below 0",
    "--label_scheme hubbel": "label_scheme='hubbel' is not one of hubble, summary, threshold",
    "--mixed_precision fp17": "mixed_precision='fp17'",
    "--tracker paper": "tracker='paper'",
    "--image_size 16": "image_size=16",
    "--image_size 5000": "image_size=5000 is not an integer from 32 to 4096",
    "--crop_fraction 1.5": "crop_fraction=1.5",
    "--epochs 0": "epochs=0",
    "--backbone vit_tiny_patch16_224": "backbone='vit_tiny_patch16_224' does not give feature maps",
    "--class_weighting cubic": "class_weighting='cubic'",
    "--streaming --also more": "also='more' does not go with streaming",
    "--select_by luck": "select_by='luck' is not one of loss, rmse_37",
    "--epoch 3": "--epoch",
}


@pytest.mark.parametrize(("argument", "message"), WRONG_ARGUMENTS.items(), ids=WRONG_ARGUMENTS)
def test_wrong_arguments_are_named(argument, message, capsys):
    with pytest.raises(SystemExit):
        train_classifier(*argument.split())
    assert message in capsys.readouterr().err


def test_the_epoch_with_the_best_chosen_score_is_kept(tmp_path):
    """A learning rate so high that the scores go up and down."""
    argv = [*FEW, "--max_rows", "60", "--epochs", "4", "--learning_rate", "0.03", "--ema_decay", "0"]
    for score in ("loss", "rmse_37"):
        results = train_classifier(*argv, "--select_by", score, "--output_dir", str(tmp_path / score))
        values = [epoch[f"validation_{score}"] for epoch in results["history"]]
        assert results["best_epoch"] == 1 + values.index(min(values))


def test_votes_cannot_select_where_there_are_none(tmp_path):
    with pytest.raises(SystemExit, match="select_by=rmse_37 needs votes"):
        argv = [*FEW, "--max_rows", "20", "--predict_votes", "false", "--select_by", "rmse_37"]
        train_classifier(*argv, "--output_dir", str(tmp_path))


def test_a_data_set_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SystemExit, match="nobody/nothing"):
        train_classifier(*FEW, "--dataset", "nobody/nothing", "--output_dir", str(tmp_path))
    (tmp_path / "file.parquet").write_bytes(b"PAR1")
    with pytest.raises(SystemExit, match="file.parquet' is a file; give the folder that holds it"):
        train_classifier(*FEW, "--dataset", str(tmp_path / "file.parquet"), "--output_dir", str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="neither Parquet files, class folders nor metadata.csv"):
        train_classifier(*FEW, "--dataset", str(tmp_path / "empty"), "--output_dir", str(tmp_path))


def test_a_data_set_with_a_damaged_file_is_named(tmp_path, galaxies):
    files = [{"bytes": data, "path": None} for data, _, _ in galaxies]
    rows = Dataset.from_list([{"image": file, "label": index % 2} for index, file in enumerate(files)])
    for name in ("whole", "middle", "footer", "name [1]"):
        (tmp_path / name).mkdir()
        rows.cast_column("image", Image()).to_parquet(tmp_path / name / "train.parquet")
    for name in ("whole", "name [1]"):
        assert sum(map(len, load_galaxies(str(tmp_path / name)).values())) == len(galaxies)
    content = (tmp_path / "whole" / "train.parquet").read_bytes()
    (tmp_path / "middle" / "train.parquet").write_bytes(content[:2000] + b"\xff" * 60_000 + content[62_000:])
    (tmp_path / "footer" / "train.parquet").write_bytes(content[:-9])
    for name in ("middle", "footer"):
        with pytest.raises(
            ValueError, match=rf"dataset='.*{name}' has a damaged file \(.+; download it or build it again"
        ):
            load_galaxies(str(tmp_path / name))
    shutil.copytree(tmp_path / "whole", tmp_path / "card [1]")
    (tmp_path / "card [1]" / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files: train.parquet\n---\n"
    )
    with pytest.raises(ValueError, match="rename it without .*, . and ."):
        load_galaxies(str(tmp_path / "card [1]"))


def test_a_model_to_start_from_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SystemExit, match="init_from='.*nowhere' cannot be loaded"):
        train_classifier(*FEW, "--init_from", str(tmp_path / "nowhere"), "--output_dir", str(tmp_path))


def test_columns_of_the_hub_become_votes_and_what_is_not_there_stays_unknown():
    names = [name for name in hub_columns("gz2") if name]
    rows = Dataset.from_dict({"image": [None, None], **{name: [1, 3] for name in names}}).cast_column("image", Image())
    rows = rows.map(lambda row: row | {"smooth-or-featured-gz2_smooth": 30, "bulge-size-gz2_dominant": 7})
    votes = np.array(with_votes_column(rows, "hubble")["votes"])
    assert votes[0, answer_index("a01")] == 30
    assert votes[1, answer_index("a13")] == 7
    assert votes[1, answer_index("a10")] == 3
    assert np.isnan(votes[:, answer_index("a19")]).all()
    assert np.isnan(votes).sum() == 2 * 7


def parquet(folder, galaxies, labels, **columns):
    """A data set of somebody else: one Parquet file, ``label`` as it comes."""
    files = [{"bytes": data, "path": None} for data, _, _ in galaxies]
    rows = Dataset.from_dict({"image": files, "label": labels} | columns).cast_column("image", Image())
    folder.mkdir()
    rows.to_parquet(folder / "train.parquet")
    return str(folder)


def test_labels_of_strings_and_of_integers_become_classes_by_their_sorted_names(tmp_path, galaxies):
    words = [("spiral", "elliptical", None)[index % 3] for index in range(60)]
    data = load_galaxies(parquet(tmp_path / "words", galaxies, words, id_str=[f"g{index}" for index in range(60)]))
    rows = {row["id_str"]: row["label"] for part in data.values() for row in part.select_columns(["id_str", "label"])}
    assert data["test"].features["label"].names == ["elliptical", "spiral"]
    assert rows == {f"g{index}": (1, 0, None)[index % 3] for index in range(60)}
    known = {split: [label for label in part["label"] if label is not None] for split, part in data.items()}
    assert {split: np.bincount(labels).tolist() for split, labels in known.items()} == {
        "train": [14, 14],
        "validation": [2, 2],
        "test": [4, 4],
    }  # of few rows every class has its share
    integers = [(10, 2, -1)[index % 3] for index in range(60)]
    data = load_galaxies(parquet(tmp_path / "integers", galaxies, integers, id=list(range(60))))
    assert data["train"].features["label"].names == ["2", "10"]
    assert all(row["label"] == (1, 0, None)[row["id"] % 3] for row in data["train"].select_columns(["id", "label"]))


@pytest.mark.parametrize(
    "label, reason",
    [
        (lambda index: 0.5, "row 0 of train of .* has label 0.5, which does not name a class"),
        (lambda index: None, "null"),
        (lambda index: [index], "holds list values"),
    ],
)
def test_labels_that_are_no_classes_are_refused(tmp_path, galaxies, label, reason):
    name = parquet(tmp_path / "data", galaxies, [label(index) for index in range(60)])
    with pytest.raises(ValueError, match=reason):
        load_galaxies(name)


def test_a_folder_of_images_with_metadata_is_a_data_set(tmp_path, galaxies):
    folder = tmp_path / "images"
    folder.mkdir()
    lines = ["file_name,label,id"]
    for index, (data, _, _) in enumerate(galaxies):
        (folder / f"{index}.jpg").write_bytes(data)
        lines.append(f"{index}.jpg,{'spiral' if index % 2 else 'elliptical'},{index}")
    (folder / "metadata.csv").write_text("\n".join(lines))
    data = load_galaxies(str(folder))
    assert sum(map(len, data.values())) == 60 and data["train"].features["label"].names == ["elliptical", "spiral"]
    assert all(row["label"] == int(row["id"]) % 2 for row in data["train"].select_columns(["id", "label"]))
    in_parquet = tmp_path / "in_parquet"
    shutil.copytree(folder, in_parquet)
    (in_parquet / "metadata.csv").unlink()
    pd.read_csv(folder / "metadata.csv").to_parquet(in_parquet / "metadata.parquet")
    assert {split: rows["id"][:] for split, rows in load_galaxies(str(in_parquet)).items()} == {
        split: rows["id"][:] for split, rows in data.items()
    }
    other = tmp_path / "more"
    shutil.copytree(folder, other)
    (other / "7.jpg").unlink()
    with pytest.raises(
        ValueError, match=r"row 7 of metadata.csv names '7.jpg', which is not an image there; remove the row"
    ):
        load_galaxies(str(other))


def test_metadata_without_labels_leave_them_to_the_class_folders(tmp_path, galaxies):
    lines = ["file_name,redshift"]
    for index, (data, _, _) in enumerate(galaxies):
        path = tmp_path / "images" / ("round" if index % 2 else "arms") / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        lines.append(f"{path.parent.name}/{index}.jpg,0.1")
    (tmp_path / "images" / "metadata.csv").write_text("\n".join(lines))
    data = load_galaxies(str(tmp_path / "images"))
    assert data["train"].features["label"].names == ["arms", "round"]
    assert sorted(sum((part["label"][:] for part in data.values()), [])) == [0] * 30 + [1] * 30


def test_votes_without_labels_are_labelled_by_the_scheme():
    rows = load_galaxies("simulated", num_simulated=200)["test"]
    again = with_votes_column(rows.remove_columns(["label", "captions"]), "hubble")
    assert again["label"] == rows["label"]
    assert again["captions"] == rows["captions"]
    assert again.features["label"].names == rows.features["label"].names


def test_a_named_scheme_makes_the_classes_anew_from_the_votes_and_none_keeps_those_of_the_data_set():
    own, summary = (load_galaxies("simulated", scheme, num_simulated=200)["test"] for scheme in (None, "summary"))
    assert own.features["label"].names == get_scheme("hubble").class_names
    assert summary.features["label"].names == get_scheme("summary").class_names
    known = assign_labels(np.array(own["votes"], dtype=np.float64), "summary")
    assert [-1 if label is None else label for label in summary["label"]] == known.tolist()
    assert summary["id"] == own["id"] and summary["captions"] == own["captions"]


def test_batches_hold_each_row_with_its_own_votes_and_label(galaxies):
    data = load_galaxies("simulated", num_simulated=200)
    assert isinstance(data, DatasetDict)
    processor = GalaxyImageProcessor(size={"height": 32, "width": 32})
    batch = next(iter(make_loader(cache_pixels(data["test"], processor), 32, 8, shuffle=True)))
    for index, row in enumerate(batch["row"].tolist()):
        galaxy = data["test"][row]
        assert np.allclose(batch["votes"][index].numpy(), galaxy["votes"])
        assert batch["labels"][index] == (-1 if galaxy["label"] is None else galaxy["label"])
        known = processor(galaxy["image"], return_tensors="pt").pixel_values[0]
        assert torch.allclose(processor.normalize_pixels(batch["pixels"])[index], known, atol=1e-6)


def test_decoding_threads_leave_torch_as_many_threads_as_it_had():
    code = (
        "import threading, torch\n"
        "from galaxy_vision.runtime.hardware import decoding_threads\n"
        "torch.set_num_threads(2)\n"
        "with decoding_threads(3) as pool:\n"
        "    print(*pool.map(lambda _: torch.get_num_threads(), range(3)))\n"
        "print(torch.get_num_threads())\n"
        "late = threading.Thread(target=lambda: print(torch.get_num_threads()))\n"
        "late.start(), late.join()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["1 1 1", "2", "2"], done.stderr[-2000:]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library is left as it is")
def test_memory_that_tensors_free_is_kept_for_the_next_ones():
    code = (
        "import resource, torch\n"
        "from galaxy_vision.runtime.hardware import keep_freed_memory\n"
        "keep_freed_memory()\n"
        "for step in range(20):\n"
        "    if step == 10:\n"
        "        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    torch.ones(16, 1024, 1024)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert int(done.stdout) < 10 * 1000, done.stderr[-2000:]  # 10 x 16,384 pages of 4 KB otherwise


@pytest.mark.parametrize("max_norm", [0.5, 1e9, 0.0])
def test_gradients_are_clipped_as_torch_does(max_norm, tmp_path):
    accelerator, clipped = make_accelerator("no", 1, None, tmp_path), []
    for clip in (
        lambda model: _clip_gradients(accelerator, model, max_norm),
        lambda model: clip_grad_norm_(model.parameters(), max_norm),
    ):
        model = torch.nn.Linear(3, 4)
        for index, weight in enumerate(model.parameters()):
            weight.grad = torch.linspace(-1, 2, weight.numel()).view(weight.shape) + index
        clip(model)
        clipped.append(model)
    assert all(torch.equal(one.grad, two.grad) for one, two in zip(*(m.parameters() for m in clipped), strict=True))


def test_votes_and_augmentation_can_be_left_out(tmp_path):
    results = train_classifier(
        *FEW, "--output_dir", str(tmp_path), "--epochs", "1", "--no_predict_votes", "--no_augmentation"
    )
    assert "votes" not in results and results["classes"]["rows"] > 0
    model = GalaxyResNetForImageClassification.from_pretrained(tmp_path)
    assert model.vote_head is None


def test_an_image_that_cannot_be_read_ends_with_one_line(galaxies, tmp_path):
    for index, (data, _, _) in enumerate(galaxies):
        folder = tmp_path / "images" / ("a" if index % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index}.jpg").write_bytes(data[: len(data) // 2] if index == 3 else data)
    with pytest.raises(
        SystemExit, match="error: row [0-9]+: .*remove the row, or build the data set with datasets_scripts"
    ):
        train("train_classifier", "--dataset", str(tmp_path / "images"), "--output_dir", str(tmp_path / "run"))


def test_a_run_with_margin_and_every_change_of_light_learns_and_is_evaluated_on_the_crop(tmp_path):
    views = ["--max_zoom", "1.4", "--max_shift", "0.1", "--margin", "1.6", "--max_blur", "1", "--max_noise", "0.05"]
    views += ["--max_brightness", "1.5", "--max_colour", "1.2", "--grey_share", "0.2"]
    results = train_classifier(*FEW, "--output_dir", str(tmp_path), "--epochs", "2", *views)
    losses = [row["train_loss"] for row in results["history"]]
    assert losses[1] < losses[0]
    scores = evaluate_saved(str(tmp_path), "simulated", num_simulated=results["arguments"]["num_simulated"])
    assert scores["loss"] == pytest.approx(results["loss"], abs=1e-5)  # of the crop alone
