"""The limits of the device and our own loops, as forms: functions that do their work once and time it."""

import shutil
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import torch
from caption_generation import matrix_floor
from timm.utils import ModelEmaV3
from transformers import GPT2Config, GPT2LMHeadModel, VisionEncoderDecoderModel, ViTConfig, ViTModel
from transformers.modeling_outputs import BaseModelOutput

from galaxy_vision import (
    GalaxyCaptionerConfig,
    GalaxyCaptionerForConditionalGeneration,
    GalaxyImageProcessor,
    GalaxyResNetConfig,
    GalaxyResNetForImageClassification,
)
from galaxy_vision.data.batches import cache_pixels, make_loader
from galaxy_vision.data.schemes import get_scheme
from galaxy_vision.evaluation.objectives import CLASSIFIER
from galaxy_vision.images.decode import read_rgb
from galaxy_vision.predict.arguments import Arguments
from galaxy_vision.predict.catalogue import open_catalogue, write_index
from galaxy_vision.predict.columns import schema
from galaxy_vision.predict.models import Models
from galaxy_vision.predict.parts import PartWriter
from galaxy_vision.predict.rows import Columns
from galaxy_vision.predict.run import describe_parts
from galaxy_vision.runtime.accelerator import WORTHWHILE, make_accelerator, settle_precision, training_gain
from galaxy_vision.runtime.hardware import available_cores, decoding_threads, has_native_bf16
from galaxy_vision.runtime.orderly_end import Termination
from galaxy_vision.training.arguments import TrainingRun
from galaxy_vision.training.checkpoints import Progress
from galaxy_vision.training.loop import RunState, train_one_epoch
from galaxy_vision.training.run import parameter_groups

Form = Callable[[], tuple[int, float]]
"""Does its work once; returns the number of images and the seconds."""
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CLASSES = get_scheme("hubble").class_names


def timed(work: Callable, images: int) -> Form:
    """Return a form that times ``work``, which processes ``images`` images."""

    def form() -> tuple[int, float]:
        started = time.perf_counter()
        work()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        return images, time.perf_counter() - started

    return form


def classifier(args) -> GalaxyResNetForImageClassification:
    """Return an untrained classifier of the backbone and image size of the command line."""
    names = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: index for index, name in enumerate(CLASSES)}}
    config = GalaxyResNetConfig(backbone=args.backbone, image_size=args.image_size, **names)
    return GalaxyResNetForImageClassification(config)


def precisions() -> dict[str, tuple[bool, torch.memory_format]]:
    """Return (bf16, layout) of the forms of a limit, by name; the fastest of them is the limit."""
    forms = {
        "fp32": (False, torch.contiguous_format),
        "fp32, channels last": (False, torch.channels_last),
    }
    return forms | ({"bf16, channels last": (True, torch.channels_last)} if has_native_bf16() else {})


def bf16_pays(args) -> bool:
    """Return whether rivals are tuned with bf16, which is slower on some CPUs that support it."""
    if not has_native_bf16():
        return False
    pixels = torch.randn(args.batch_size, 3, args.image_size, args.image_size)
    inputs = {"pixel_values": pixels, "labels": torch.zeros(args.batch_size, dtype=torch.int64)}
    return training_gain(classifier(args).to(DEVICE, memory_format=torch.channels_last), inputs) >= WORTHWHILE


def training_forms(args, jpegs: list[bytes], labels: list[int], votes, work: Path) -> dict[str, Form]:
    """Return the limits of a training step, our epoch with and without decoding, and decoding alone."""
    processor = GalaxyImageProcessor(size={"height": args.image_size, "width": args.image_size})
    columns = {"image": [{"bytes": jpeg, "path": None} for jpeg in jpegs], "label": labels, "votes": votes.tolist()}
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)}
    features["votes"] = datasets.List(datasets.Value("float32"))
    datasets.Dataset.from_dict(columns, datasets.Features(features)).to_parquet(str(work / "galaxies.parquet"))
    galaxies = datasets.load_dataset("parquet", data_files=str(work / "galaxies.parquet"), split="train")
    cached = cache_pixels(galaxies, processor)
    forms = {}
    batch = next(iter(make_loader(cached, args.image_size, args.batch_size, shuffle=False)))
    batch = {name: value.to(DEVICE) for name, value in batch.items()}
    pixels = processor.normalize_pixels(batch["pixels"])
    for name, (bf16, layout) in precisions().items():
        forms[f"limit, {name}"] = timed(step_of(args, batch, pixels, bf16, layout), args.steps * args.batch_size)
    inputs = {"pixel_values": pixels, "labels": batch["labels"], "votes": batch["votes"]}
    epoch = our_epoch(args, processor, work, inputs)
    images = args.steps * args.batch_size
    warm = make_loader(cached.select(range(images)), args.image_size, args.batch_size, shuffle=True)
    forms["ours, warm epoch"] = timed(epoch(warm), images)

    def decoded():
        datasets.disable_caching()  # otherwise the second round would reuse the pixels of the first
        try:
            return cache_pixels(galaxies, processor)
        finally:
            datasets.enable_caching()

    def cold():
        epoch(make_loader(decoded(), args.image_size, args.batch_size, shuffle=True))()

    forms["ours, cold epoch"] = timed(cold, len(jpegs))
    forms["ours, pixel cache alone"] = timed(decoded, len(jpegs))
    forms["decoding alone"] = timed(lambda: decode_all(processor, jpegs), len(jpegs))
    return forms


def step_of(args, batch: dict, pixels: torch.Tensor, bf16: bool, layout: torch.memory_format) -> Callable:
    """Return a function that does the steps of a round on one batch in memory: forward, backward, optimiser."""
    model = classifier(args).to(DEVICE, memory_format=layout).train()
    run = TrainingRun(batch_size=args.batch_size)
    optimizer = torch.optim.AdamW(parameter_groups(model, run), lr=run.learning_rate, fused=True)
    pixels = pixels.contiguous(memory_format=layout)

    def steps():
        for _ in range(args.steps):
            with torch.autocast(DEVICE, torch.bfloat16, enabled=bf16):
                loss = model(pixel_values=pixels, labels=batch["labels"], votes=batch["votes"]).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return steps


def our_epoch(args, processor: GalaxyImageProcessor, work: Path, inputs: dict) -> Callable:
    """Return a function that makes an epoch of ``train_classifier.py`` of a loader.

    The epoch has augmentation, clipping, schedule and averaged weights. Its precision is chosen by a measurement on the
    batch ``inputs``, as in the script.
    """
    run = TrainingRun(output_dir=str(work / "run"), batch_size=args.batch_size)
    accelerator = make_accelerator("auto", 1, None, work / "run")
    model = classifier(args).to(accelerator.device, memory_format=torch.channels_last)
    settle_precision(accelerator, "auto", lambda: training_gain(model, inputs))
    ema = ModelEmaV3(model, decay=run.ema_decay, use_warmup=True)
    optimizer = torch.optim.AdamW(parameter_groups(model, run), lr=run.learning_rate, fused=True)
    model, optimizer = accelerator.prepare(model, optimizer)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    bar = SimpleNamespace(update=lambda count: None, set_postfix=lambda **values: None)

    def targets(batch: dict, pixels: torch.Tensor, generator: torch.Generator) -> dict:
        return {"labels": batch["labels"], "votes": batch["votes"], "class_weights": None}

    def over(loader) -> Callable:
        loader = accelerator.prepare(loader)

        def epoch():
            torch.use_deterministic_algorithms(True, warn_only=True)  # as in the script; limits and rivals run without
            state = RunState(
                args=run,
                accelerator=accelerator,
                termination=Termination(),
                progress=Progress(),
                started=time.perf_counter(),
                model=model,
                ema=ema,
                optimizer=optimizer,
                scheduler=scheduler,
                loaders={"train": loader},
                processor=processor,
                objective=CLASSIFIER,
                targets=targets,
                checkpoints=None,
                bar=bar,
            )
            train_one_epoch(state)
            torch.use_deterministic_algorithms(False)

        return epoch

    return over


def decode_all(processor: GalaxyImageProcessor, jpegs: list[bytes]) -> None:
    """Decode, crop and resize JPEGs on all cores by the functions of the package, and do nothing else."""

    def decode(data: bytes) -> torch.Tensor:
        return processor.crop_and_resize(torch.from_numpy(np.array(read_rgb(data))).permute(2, 0, 1))

    with decoding_threads(available_cores()) as pool:
        list(pool.map(decode, jpegs))


def prediction_forms(args, files: Path, model_folder: Path, work: Path) -> dict[str, Form]:
    """Return the limits of model and decoding, and our prediction of a catalogue.

    The prediction reads and decodes files, runs the model, and writes votes with intervals to Parquet.
    """
    forms = {}
    for name, (bf16, layout) in precisions().items():
        for size in (32, 256):
            forms[f"model alone, {name}, {size} at once"] = timed(*passes_of(args, bf16, layout, size))
    write_index(str(files), work / "index.arrow", args.predicted, Columns())
    catalogue = open_catalogue(str(files), work / "index.arrow", args.predicted, Columns())
    identity = {"identity": {"parts": 1}}
    backends = {"ours": "torch"} | ({"ours, OpenVINO": "openvino"} if DEVICE == "cpu" and find_spec("openvino") else {})
    for name, backend in backends.items():
        output = work / f"predicted_{backend}"
        accelerator = make_accelerator("auto", 1, None, work)
        models = Models(
            Arguments(str(files), str(output), str(model_folder), backend=backend, frame="as_is", doubts=False),
            accelerator,
        )
        settle_precision(accelerator, "auto", lambda models=models: models.bf16_gain(catalogue))
        models.compute = models.compute_in(accelerator.mixed_precision)

        def predicted(models=models, output=output):
            shutil.rmtree(output, ignore_errors=True)
            output.mkdir()
            writer = PartWriter(output, schema(models.columns), identity, args.predicted)
            describe_parts(catalogue, [0], models, writer, models.workers, SimpleNamespace(update=lambda count: None))

        forms[name] = timed(predicted, args.predicted)
    jpegs = [row.load() for row in catalogue.rows(0)]
    forms["decoding alone"] = timed(lambda: decode_all(models.processors[0], jpegs), len(jpegs))
    return forms


def passes_of(args, bf16: bool, layout: torch.memory_format, size: int) -> tuple[Callable, int]:
    """Return a function that predicts batches of ``size`` images in memory, and its number of images."""
    model = classifier(args).to(DEVICE, memory_format=layout).eval()
    pixels = torch.randn(size, 3, args.image_size, args.image_size, device=DEVICE).contiguous(memory_format=layout)
    count = max(1, args.predicted // size)

    @torch.inference_mode()
    def passes():
        with torch.autocast(DEVICE, torch.bfloat16, enabled=bf16):
            for _ in range(count):
                model(pixel_values=pixels)

    return passes, count * size


def caption_forms(args) -> dict[str, Form]:
    """Return greedy and beam search of our captioner and of a rival, and the matrix products of ours alone.

    The rival is a GPT-2 decoder with about as many weights. Both get the encoder's output for 32 images and write
    ``args.words`` words each, so that random weights suffice.
    """
    config = GalaxyCaptionerConfig(backbone=args.backbone, image_size=64, vocab_size=128)
    ours = GalaxyCaptionerForConditionalGeneration(config).eval().to(DEVICE)
    size = config.hidden_size
    tokens = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 1}
    gpt2 = GPT2Config(vocab_size=128, n_embd=size, n_layer=1, n_head=4, add_cross_attention=True, **tokens)
    vit = ViTConfig(hidden_size=size, num_hidden_layers=1, num_attention_heads=4, intermediate_size=size, image_size=64)
    rival = VisionEncoderDecoderModel(encoder=ViTModel(vit, add_pooling_layer=False), decoder=GPT2LMHeadModel(gpt2))
    rival = rival.eval().to(DEVICE)
    rival.generation_config.update(decoder_start_token_id=2, pad_token_id=1, eos_token_id=3)
    encoded = torch.randn(32, 1 + config.grid_size**2, size, device=DEVICE)

    @torch.inference_mode()
    def write(model, beams: int) -> None:
        outputs = BaseModelOutput(last_hidden_state=encoded)
        lengths = {"min_new_tokens": args.words, "max_new_tokens": args.words}
        model.generate(encoder_outputs=outputs, num_beams=beams, do_sample=False, **lengths)

    @torch.inference_mode()
    def floor(beams: int) -> None:
        matrix_floor(ours, 32 * beams, args.words, encoded)

    forms = {}
    for name, beams in (("greedy", 1), ("beam 4", 4)):
        forms[f"{name}, ours"] = timed(lambda beams=beams: write(ours, beams), 32)
        forms[f"{name}, matrix products of ours"] = timed(lambda beams=beams: floor(beams), 32)
        forms[f"{name}, VisionEncoderDecoder"] = timed(lambda beams=beams: write(rival, beams), 32)
    own_weights = sum(weight.numel() for weight in (*ours.decoder.parameters(), *ours.words.parameters()))
    rival_weights = sum(weight.numel() for weight in rival.decoder.transformer.h.parameters())
    print(
        f"captions: decoder of {own_weights / 1e6:.2f} M weights (ours), {rival_weights / 1e6:.2f} M "
        "(GPT-2 without its embeddings)"
    )
    return forms
