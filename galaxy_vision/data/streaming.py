"""A training split that is larger than the disk -> shuffled batches, read while training (``--streaming``)."""

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from accelerate.data_loader import DataLoaderShard
from accelerate.utils import gather_object
from datasets import IterableDataset, concatenate_datasets, load_dataset
from datasets.distributed import split_dataset_by_node

from ..models.image_processing_galaxy import GalaxyImageProcessor
from ..models.processing_galaxy_captioner import SPECIAL_TOKENS, build_tokenizer
from ..runtime.hardware import available_cores
from .batches import read_pixels
from .checks import check_labels, check_references, update_content
from .load import locate_dataset
from .parquet_folders import parquet_files
from .votes import reference_captions, votes_and_labels

SAMPLE_ROWS = 200_000
"""Votes that are held for the constant answers: 30 MB, and quantiles to .1 %."""

ROWS_AT_ONCE = 10_000


class TrainingStream(torch.utils.data.IterableDataset):
    """Batches of the training split, each row once an epoch over all processes, from where ``progress`` has come to.

    The Parquet files are dealt to the processes if that comes out even; else every process reads all of them and keeps
    each n-th row. Files are read in an order that is drawn anew for each epoch, into blocks of ``shuffle_buffer`` rows;
    a block is shuffled and cut into batches. So a checkpoint needs only where its block began
    (``IterableDataset.state_dict``), which a rolling shuffle buffer does not allow. Images are decoded a few batches
    ahead, by threads; the next block is read meanwhile: two are in memory.

    Processes may have different numbers of rows. One that is through repeats a batch that is marked ``spare``, which is
    not learned from, until the last one is.

    Args:
        run: a :class:`~galaxy_vision.training.loop.Run`: its arguments, its progress, and its accelerator, whose
            checkpoints will hold the position in the stream.
        label_names: classes in label order.
        processor: cuts and resizes.
        with_captions: batches also have ``input_ids``, of the words that the captions have.

    Raises:
        ValueError: the data set cannot be streamed, has too few rows for so many processes, labels that are none of its
            classes, or rows without captions where they are wanted.
    """

    def __init__(self, run, label_names: list[str], processor: GalaxyImageProcessor, with_captions: bool = False):
        super().__init__()
        args, accelerator = run.args, run.accelerator
        self.name, self.label_scheme, self.seed = args.dataset, args.label_scheme, args.seed
        self.label_names, self.processor = label_names, processor
        self.batch_size, self.steps_per_block = args.batch_size, -(-args.shuffle_buffer // args.batch_size)
        self.progress, self.device, self.with_captions = run.progress, accelerator.device, with_captions
        self.rank, self.world = accelerator.process_index, accelerator.num_processes
        files, self.features, self.fingerprint = parquet_files(locate_dataset(args.dataset, args.num_simulated))
        self.files = files["train"]
        self.dealt = len(self.files) % self.world == 0
        self.my_files = (
            np.arange(len(self.files))[self.rank :: self.world] if self.dealt else np.arange(len(self.files))
        )
        self.block_starts: dict[int, dict] = {}
        self._read_statistics()
        accelerator.register_save_state_pre_hook(lambda models, weights, folder: self.save(folder))
        accelerator.register_load_state_pre_hook(lambda models, folder: self.load(folder))

    def _rows(self, order, columns: list[str] | None = None) -> IterableDataset:
        """This process's rows of the files in this order, as Arrow tables."""
        kept = {"features": self.features} if columns is None else {"columns": columns}
        stream = load_dataset("parquet", data_files={"train": self.files}, split="train", streaming=True, **kept)
        stream = concatenate_datasets([stream.shard(num_shards=len(self.files), index=int(index)) for index in order])
        if not self.dealt:
            stream = split_dataset_by_node(stream, self.rank, self.world)
        return stream.with_format("arrow")

    def _read_statistics(self) -> None:
        """Count rows and classes, and collect a sample of votes and the words of captions, without reading images."""
        digest = hashlib.blake2b(json.dumps([self.label_names, self._sizes()]).encode(), digest_size=16)
        left_out = ["image"] if self.with_captions else ["image", "captions"]
        columns = [name for name in self.features if name not in left_out]
        chance, rows, words, sample, keys = np.random.default_rng([self.seed, self.rank]), 0, set(), None, np.empty(0)
        counts, lengths = np.zeros(len(self.label_names), dtype=np.int64), set()
        problem = None
        try:
            for table in self._rows(self.my_files, columns).iter(batch_size=ROWS_AT_ONCE):
                votes, labels = votes_and_labels(table, self.features, self.label_scheme)
                check_labels(self.name, "train", labels, len(counts))
                update_content(digest, table)
                counts += np.bincount(labels[labels >= 0], minlength=len(counts))
                rows += len(table)
                if votes is not None:  # the rows with the smallest random keys are a random sample
                    keys = np.concatenate([keys, chance.random(len(votes))])
                    sample = votes if sample is None else np.concatenate([sample, votes])
                    kept = np.sort(np.argsort(keys)[: SAMPLE_ROWS // self.world])
                    keys, sample = keys[kept], sample[kept]
                if self.with_captions:
                    captions = reference_captions(table, votes)
                    lengths |= set(check_references(self.name, "train", pa.array(captions), 1))
                    words |= build_tokenizer(text for each in captions for text in each).get_vocab().keys()
        except ValueError as error:  # of one process; all of them end
            problem = str(error)
        gathered = gather_object([(problem, rows, counts, sample, words, lengths, digest.hexdigest())])
        problems, every_rows, every_counts, samples, every_words, every_lengths, digests = zip(*gathered, strict=True)
        if found := [each for each in problems if each]:
            raise ValueError(found[0])
        self.content = " ".join(digests)
        self.my_steps = -(-rows // self.batch_size)
        self.num_rows, self.steps = sum(every_rows), -(-max(every_rows) // self.batch_size)
        if min(every_rows) == 0:
            raise ValueError(
                f"{self.num_rows} rows in {len(self.files)} files leave a process without any; use fewer processes"
            )
        self.class_counts = sum(every_counts)
        self.votes = None if samples[0] is None else np.concatenate(samples)
        words = set().union(*every_words) - set(SPECIAL_TOKENS.values())
        self.tokenizer = build_tokenizer(words) if self.with_captions else None
        lengths = set().union(*every_lengths)
        self.captions_per_row = (min(lengths), max(lengths)) if lengths else None

    def _sizes(self) -> list:
        """List name and size of each file that is here, and the address of the others."""
        paths = map(Path, self.files)
        return [[path.name, path.stat().st_size] if path.is_file() else str(path) for path in paths]

    def _batch(self, table: pa.Table, places: np.ndarray) -> dict[str, torch.Tensor]:
        """Make a batch as :class:`PixelBatches` does; ``row`` is the number among this process's rows of the epoch."""
        table = table.take(places % (self.steps_per_block * self.batch_size))
        names = table["id"].to_pylist() if "id" in table.column_names else ["of the training stream"] * len(table)
        images = zip(table["image"].to_pylist(), names, strict=True)
        votes, labels = votes_and_labels(table, self.features, self.label_scheme)
        batch = {
            "pixels": torch.stack([read_pixels(image, name, self.processor) for image, name in images]),
            "labels": torch.from_numpy(labels),
            "row": torch.from_numpy(places),
        }
        if votes is not None:
            batch["votes"] = torch.from_numpy(votes)
        if self.with_captions:
            captions = reference_captions(table, votes)
            ids = self.tokenizer([text for each in captions for text in each], padding=True, return_tensors="pt")[
                "input_ids"
            ]
            batch["input_ids"] = ids.view(len(captions), -1, ids.shape[-1])
        return batch

    def __len__(self) -> int:
        """Batches of each process in an epoch."""
        return self.steps

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        epoch, step = self.progress.epoch, min(self.progress.step_in_epoch, self.my_steps)
        block, skipped = divmod(step, self.steps_per_block)
        block_rows = self.steps_per_block * self.batch_size
        rows = self._rows(np.random.default_rng([self.seed, epoch]).permutation(self.my_files))
        self.block_starts = {block: self.block_starts[block]} if block else {}
        if block:
            rows.load_state_dict(self.block_starts[block])
        tables = rows.iter(batch_size=block_rows)

        def read_block() -> tuple[pa.Table | None, dict]:
            return next(tables, None), rows.state_dict()

        workers = max(1, available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        # torch would otherwise start a team of threads for each of these.
        with ThreadPoolExecutor(workers + 1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            coming, ahead = pool.submit(read_block), deque()
            while (read := coming.result())[0] is not None:
                table, self.block_starts[block + 1] = read
                coming = pool.submit(read_block)
                places = np.random.default_rng([self.seed, epoch, self.rank, block]).permutation(len(table))
                for start in range(skipped * self.batch_size, len(table), self.batch_size):
                    chosen = places[start : start + self.batch_size] + block * block_rows
                    ahead.append(pool.submit(self._batch, table, chosen))
                    if len(ahead) > 2 * workers:
                        yield ahead.popleft().result()
                block, skipped = block + 1, 0
                trained = self.progress.step_in_epoch // self.steps_per_block
                self.block_starts = {known: state for known, state in self.block_starts.items() if known >= trained}
            yield from (each.result() for each in ahead)
        if self.my_steps < self.steps:
            table = next(self._rows(self.my_files).iter(batch_size=self.batch_size))
            spare = self._batch(table, np.arange(len(table)))
            for _ in range(self.steps - max(self.progress.step_in_epoch, self.my_steps)):
                yield spare | {"spare": torch.ones(len(spare["labels"]))}

    def loader(self) -> DataLoaderShard:
        """Make a loader of batches on the device.

        Its random generator is its own: a resumed run must not draw one number more than an unkilled one.
        """
        copied = {"_non_blocking": True, "pin_memory": torch.cuda.is_available()}
        loader = DataLoaderShard(self, device=self.device, batch_size=None, generator=torch.Generator(), **copied)
        loader._is_accelerate_prepared = True  # else it is split by process again; accelerate has no public name for it
        return loader

    def save(self, folder: str | Path) -> None:
        """Write this process's position into the folder of a checkpoint: where the block began that it trains on."""
        block = min(self.progress.step_in_epoch, self.my_steps) // self.steps_per_block
        state = {"block": block, "start": self.block_starts[block] if block else None}
        (Path(folder) / f"stream_{self.rank}.json").write_text(json.dumps(state))

    def load(self, folder: str | Path) -> None:
        """Read what :meth:`save` wrote, for the same number of processes: the checkpoint is refused otherwise."""
        state = json.loads((Path(folder) / f"stream_{self.rank}.json").read_text())
        self.block_starts = {state["block"]: state["start"]}
