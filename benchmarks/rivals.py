"""Measure what users would otherwise run: for every line on standard input, run one form once and print its rate.

    python benchmarks/rivals.py trainer --images FOLDER --model FOLDER    # then press Enter for "RATE images seconds"

``run.py`` starts every form in a process of its own. Training forms are timed between the ends of two steps, so that
start-up does not count; prediction forms over all files. The forms of Zoobot run in its own environment (``pip install
'zoobot[pytorch]'``), which ``run.py --zoobot PYTHON`` names.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import torch

MEAN, STD = [0.11, 0.10, 0.08], [0.15, 0.13, 0.12]  # of pixels; ours, and without effect on speed
WARM_STEPS = 4
"""Steps before the clock starts. Ours: workers have filled their queues by then."""


class Clock:
    """The times at which steps were finished."""

    def __init__(self):
        self.ends = []

    def tick(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    def measured(self, args) -> tuple[int, float]:
        """Return the number of images and the seconds of the steps after the warm ones."""
        return args.steps * args.batch_size, self.ends[WARM_STEPS + args.steps - 1] - self.ends[WARM_STEPS - 1]


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


# ------------------------------------------------------------------------------------------------------------- training


def trainer(args, tuned: bool = False):
    """Train with the Trainer of transformers as its guide to image classification does.

    The guide is huggingface.co/docs/transformers/tasks/image_classification.

    Args:
        args: the command line.
        tuned: with channels last, a fused optimiser, bf16 if asked for, and a worker for each core.
    """
    from datasets import load_dataset
    from torchvision.transforms import Compose, Normalize, RandomResizedCrop, ToTensor
    from transformers import AutoModelForImageClassification, Trainer, TrainerCallback, TrainingArguments

    import galaxy_vision  # noqa: F401 (registers the model)

    transforms = Compose([RandomResizedCrop(args.image_size), ToTensor(), Normalize(MEAN, STD)])

    def transform(examples):
        examples["pixel_values"] = [transforms(image.convert("RGB")) for image in examples["image"]]
        del examples["image"]
        return examples

    def collate(examples):
        pixels = torch.stack([example["pixel_values"] for example in examples])
        return {"pixel_values": pixels, "labels": torch.tensor([example["label"] for example in examples])}

    data = load_dataset("imagefolder", data_dir=args.images, split="train").with_transform(transform)
    model = AutoModelForImageClassification.from_pretrained(args.model, trust_remote_code=False)
    settings = {"optim": "adamw_torch"}  # without fused
    if tuned:
        model = model.to(memory_format=torch.channels_last)
        settings = {"optim": "adamw_torch_fused", "bf16": args.bf16, "dataloader_num_workers": cores()}
        settings["use_cpu"] = device() == "cpu"  # without it, bf16 requires a GPU

    def measure():
        clock = Clock()

        class Ticks(TrainerCallback):
            def on_step_end(self, *_, **__):
                clock.tick()

        arguments = TrainingArguments(
            output_dir=args.work,
            per_device_train_batch_size=args.batch_size,
            max_steps=WARM_STEPS + args.steps,
            remove_unused_columns=False,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            **settings,
        )
        Trainer(model=model, args=arguments, train_dataset=data, data_collator=collate, callbacks=[Ticks()]).train()
        return clock.measured(args)

    return measure


def plain_loop(args, tuned: bool = False):
    """Train a timm model with torchvision's ImageFolder, a DataLoader and AdamW."""
    import timm
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import Compose, Normalize, RandomHorizontalFlip, RandomResizedCrop, ToTensor

    transforms = Compose([RandomResizedCrop(args.image_size), RandomHorizontalFlip(), ToTensor(), Normalize(MEAN, STD)])
    data = ImageFolder(args.images, transforms)
    model = timm.create_model(args.backbone, num_classes=len(data.classes)).to(device()).train()
    if tuned:
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=tuned)
    # Without tuning there are four workers, as in timm's script.
    loader = torch.utils.data.DataLoader(data, args.batch_size, shuffle=True, num_workers=cores() if tuned else 4)

    def measure():
        clock, batches = Clock(), iter(loader)
        for _ in range(WARM_STEPS + args.steps):
            images, labels = next(batches)
            images, labels = images.to(device()), labels.to(device())
            if tuned:
                images = images.contiguous(memory_format=torch.channels_last)
            with torch.autocast(device(), torch.bfloat16, enabled=tuned and args.bf16):
                loss = torch.nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            clock.tick()
        return clock.measured(args)

    return measure


def zoobot(args):
    """Fine-tune all blocks with Zoobot, its own data module and its default view."""
    import lightning as L
    import pandas as pd
    import timm
    from galaxy_datasets.pytorch.galaxy_datamodule import CatalogDataModule
    from galaxy_datasets.transforms import default_view_config, get_galaxy_transform
    from zoobot.pytorch.training.finetune import FinetuneableZoobotClassifier

    files = sorted(Path(args.images).rglob("*.jpg"))
    labels = {name: index for index, name in enumerate(sorted({file.parent.name for file in files}))}
    columns = {"id_str": [file.stem for file in files], "file_loc": map(str, files)}
    catalogue = pd.DataFrame(columns | {"label": [labels[file.parent.name] for file in files]})
    view = default_view_config()
    view.output_size = args.image_size
    transform = get_galaxy_transform(view)
    encoder = timm.create_model(args.backbone, num_classes=0)
    settings = {"num_classes": len(labels), "label_col": "label", "training_mode": "full"}
    model = FinetuneableZoobotClassifier(encoder=encoder, **settings)

    def measure():
        clock = Clock()

        class Ticks(L.Callback):
            def on_train_batch_end(self, *_, **__):
                clock.tick()

        data = CatalogDataModule(
            train_catalog=catalogue,
            val_catalog=catalogue[: args.batch_size],
            test_catalog=catalogue[: args.batch_size],
            label_cols=["label"],
            batch_size=args.batch_size,
            train_transform=transform,
            test_transform=transform,
        )
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "limit_val_batches": 0}
        steps = {"max_steps": WARM_STEPS + args.steps, "max_epochs": -1}
        L.Trainer(**steps, callbacks=[Ticks()], accelerator="auto", **quiet).fit(model, data)
        return clock.measured(args)

    return measure


# ----------------------------------------------------------------------------------------------------------- prediction


def image_pipeline(args, **settings):
    """Predict with ``pipeline("image-classification")`` over a list of paths; with ``settings``, it is tuned."""
    from transformers import pipeline

    import galaxy_vision  # noqa: F401 (registers the model)

    files = [str(file) for file in sorted(Path(args.images).rglob("*.jpg"))][: args.predicted]
    classify = pipeline("image-classification", args.model, trust_remote_code=False, device=device())
    if settings:
        classify.model.to(memory_format=torch.channels_last)
        if args.bf16:
            classify.model.to(torch.bfloat16)

    def measure():
        started = time.perf_counter()
        predictions = classify(files, **settings)
        return len(predictions), time.perf_counter() - started

    return measure


def plain_predict(args):
    """Predict with PIL, torchvision's transforms and a timm model, 32 images at a time, without workers."""
    import timm
    from PIL import Image
    from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor

    files = sorted(Path(args.images).rglob("*.jpg"))[: args.predicted]
    transforms = Compose([CenterCrop(254), Resize(args.image_size), ToTensor(), Normalize(MEAN, STD)])
    model = timm.create_model(args.backbone, num_classes=7).to(device()).eval()

    @torch.no_grad()
    def measure():
        started = time.perf_counter()
        for start in range(0, len(files), 32):
            images = torch.stack([transforms(Image.open(file).convert("RGB")) for file in files[start : start + 32]])
            model(images.to(device())).softmax(-1).cpu()
        return len(files), time.perf_counter() - started

    return measure


def zoobot_predict(args):
    """Predict a catalogue with Zoobot, its data module, its default view and its CSV file."""
    import pandas as pd
    import timm
    from galaxy_datasets.transforms import default_view_config, get_galaxy_transform
    from zoobot.pytorch.predictions.predict_on_catalog import predict
    from zoobot.pytorch.training.finetune import FinetuneableZoobotClassifier

    files = sorted(Path(args.images).rglob("*.jpg"))[: args.predicted]
    names = sorted(file.name for file in Path(args.images).iterdir())
    catalogue = pd.DataFrame({"id_str": [file.stem for file in files], "file_loc": map(str, files)})
    view = default_view_config()
    view.output_size = args.image_size
    transform = get_galaxy_transform(view)
    encoder = timm.create_model(args.backbone, num_classes=0)
    model = FinetuneableZoobotClassifier(encoder=encoder, num_classes=len(names), label_col="label")
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    Path(args.work).mkdir(parents=True, exist_ok=True)

    def measure():
        started = time.perf_counter()
        predictions = predict(
            catalogue,
            model,
            str(Path(args.work) / "predictions.csv"),
            label_cols=names,
            inference_transform=transform,
            datamodule_kwargs={"batch_size": args.batch_size},
            trainer_kwargs=quiet,
        )
        return len(predictions), time.perf_counter() - started

    return measure


FORMS = {
    "trainer": trainer,
    "trainer_tuned": lambda args: trainer(args, tuned=True),
    "plain_loop": plain_loop,
    "plain_loop_tuned": lambda args: plain_loop(args, tuned=True),
    "zoobot": zoobot,
    "pipeline": image_pipeline,
    "pipeline_tuned": lambda args: image_pipeline(args, batch_size=32, num_workers=cores()),
    "plain_predict": plain_predict,
    "zoobot_predict": zoobot_predict,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("form", choices=FORMS)
    parser.add_argument("--images", required=True, help="folder with a folder of JPEG images for each class")
    parser.add_argument("--model", help="saved classifier")
    parser.add_argument("--work", default="rival", help="scratch folder")
    parser.add_argument("--backbone", default="resnet10t")
    parser.add_argument("--image_size", type=int, default=64)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10, help="timed steps of a training form")
    parser.add_argument("--predicted", type=int, default=512, help="images of a prediction form")
    parser.add_argument("--bf16", action="store_true", help="compute tuned forms in bf16")
    args = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")  # what libraries print goes to standard error instead
    os.dup2(2, 1)
    measure = FORMS[args.form](args)
    print("READY", file=answers, flush=True)
    for _ in sys.stdin:
        print("RATE", *measure(), file=answers, flush=True)


if __name__ == "__main__":
    main()
