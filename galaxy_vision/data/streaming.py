"""Read shuffled batches of a training split that does not fit on the disk, during training (``--streaming``)."""

import hashlib
import itertools
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
from ..models.trees import Trees
from ..runtime.hardware import available_cores
from .batches import read_pixels
from .checks import check_labels, check_references, update_content, update_trees
from .load import locate_dataset
from .parquet_folders import parquet_files
from .references import reference_captions
from .votes import votes_and_labels

SAMPLE_ROWS = 200_000
"""Rows whose votes are kept as a sample, for the baseline of constant answers: 30 MB, and quantiles to .1 %."""

ROWS_AT_ONCE = 10_000
"""Rows that are read at once for statistics. Ours: some MB of votes and captions, without images."""


class TrainingStream(torch.utils.data.IterableDataset):
    """Batches of the training split, with each row once an epoch over all processes, from the position of ``progress``.

    The Parquet files are distributed over the processes if their number is a multiple of that of the processes;
    otherwise every process reads all files and keeps every n-th row. The order of the files is drawn anew for each
    epoch. Rows are read into blocks of ``shuffle_buffer`` rows, and a block is shuffled and cut into batches. A
    checkpoint therefore needs only the start of its block (``IterableDataset.state_dict``), where a rolling shuffle
    buffer would have to be saved itself. Threads decode images a few batches ahead while the next block is read, so
    that two blocks are in memory.

    Processes may have different numbers of rows. A process that has finished repeats a batch marked ``spare``, which is
    not learned from, until all have finished.

    Args:
        run: a :class:`~galaxy_vision.training.loop.Run`, with its arguments, its progress, and its accelerator, whose
            checkpoints then contain the position in the stream.
        label_names: classes in label order.
        trees: whose votes are read; None without votes.
        processor: crops and resizes.
        with_captions: batches also have ``input_ids``, by a tokenizer of all words of the captions.

    Raises:
        ValueError: the data set cannot be streamed, has fewer rows than processes or labels outside its classes, or
            lacks captions that are needed.
    """

    def __init__(
        self,
        run,
        label_names: list[str],
        trees: Trees | None,
        processor: GalaxyImageProcessor,
        with_captions: bool = False,
    ):
        super().__init__()
        args, accelerator = run.args, run.accelerator
        self.name, self.label_scheme, self.seed = args.dataset, args.label_scheme, args.seed
        self.label_names, self.trees, self.processor = label_names, trees, processor
        self.batch_size, self.steps_per_block = args.batch_size, -(-args.shuffle_buffer // args.batch_size)
        self.progress, self.device, self.with_captions = run.progress, accelerator.device, with_captions
        self.rank, self.world = accelerator.process_index, accelerator.num_processes
        files, self.features, self.fingerprint = parquet_files(
            locate_dataset(args.dataset, args.num_simulated, trees=args.trees)
        )
        self.files = files["train"]
        self.is_distributed_by_file = len(self.files) % self.world == 0
        self.my_files = np.arange(len(self.files))
        if self.is_distributed_by_file:
            self.my_files = self.my_files[self.rank :: self.world]
        self.block_starts: dict[int, dict] = {}
        self._read_statistics()
        accelerator.register_save_state_pre_hook(lambda models, weights, folder: self.save(folder))
        accelerator.register_load_state_pre_hook(lambda models, folder: self.load(folder))

    def _rows(self, order, columns: list[str] | None = None) -> IterableDataset:
        """Return the rows of this process, of the files in this order, as Arrow tables."""
        kept = {"features": self.features} if columns is None else {"columns": columns}
        stream = load_dataset("parquet", data_files={"train": self.files}, split="train", streaming=True, **kept)
        stream = concatenate_datasets([stream.shard(num_shards=len(self.files), index=int(index)) for index in order])
        if not self.is_distributed_by_file:
            stream = split_dataset_by_node(stream, self.rank, self.world)
        return stream.with_format("arrow")

    def _read_statistics(self) -> None:
        """Count rows and classes, and collect words of captions and a sample of votes, without reading images."""
        digest = hashlib.blake2b(json.dumps([self.label_names, self._sizes()]).encode(), digest_size=16)
        update_trees(digest, self.trees)
        unread = ["image"] if self.with_captions else ["image", "captions"]
        columns = [name for name in self.features if name not in unread]
        rng, keys, sample = np.random.default_rng([self.seed, self.rank]), np.empty(0), None
        rows, counts = 0, np.zeros(len(self.label_names), dtype=np.int64)
        words, lengths = set(), set()
        problem = None
        try:
            for table in self._rows(self.my_files, columns).iter(batch_size=ROWS_AT_ONCE):
                votes, labels = votes_and_labels(table, self.features, self.label_scheme, self.trees)
                check_labels(self.name, "train", labels, len(counts))
                update_content(digest, table, self.trees)
                counts += np.bincount(labels[labels >= 0], minlength=len(counts))
                rows += len(table)
                if votes is not None:  # the rows with the smallest random keys are a random sample
                    keys = np.concatenate([keys, rng.random(len(votes))])
                    sample = votes if sample is None else np.concatenate([sample, votes])
                    kept = np.sort(np.argsort(keys)[: SAMPLE_ROWS // self.world])
                    keys, sample = keys[kept], sample[kept]
                if self.with_captions:
                    captions = reference_captions(table, votes, self.trees)
                    lengths |= set(check_references(self.name, "train", pa.array(captions), 1))
                    words |= build_tokenizer(itertools.chain.from_iterable(captions)).get_vocab().keys()
        except ValueError as error:  # raised below, on all processes
            problem = str(error)
        gathered = gather_object([(problem, rows, counts, sample, words, lengths, digest.hexdigest())])
        problems, all_rows, all_counts, samples, all_words, all_lengths, digests = zip(*gathered, strict=True)
        if message := next(filter(None, problems), None):
            raise ValueError(message)
        self.content = " ".join(digests)
        self.my_steps = -(-rows // self.batch_size)
        self.num_rows, self.steps = sum(all_rows), -(-max(all_rows) // self.batch_size)
        if min(all_rows) == 0:
            raise ValueError(
                f"{self.num_rows} rows in {len(self.files)} files leave a process without rows; use fewer processes"
            )
        self.class_counts = sum(all_counts)
        self.votes = None if samples[0] is None else np.concatenate(samples)
        words = set().union(*all_words) - set(SPECIAL_TOKENS.values())
        self.tokenizer = build_tokenizer(words) if self.with_captions else None
        lengths = set().union(*all_lengths)
        self.captions_per_row = (min(lengths), max(lengths)) if lengths else None

    def _sizes(self) -> list:
        """Return name and size of each local file, and the address of each other one."""
        paths = map(Path, self.files)
        return [[path.name, path.stat().st_size] if path.is_file() else str(path) for path in paths]

    def _batch(self, table: pa.Table, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Make a batch as :class:`PixelBatches` does.

        Args:
            table: a block of rows.
            rows: numbers of the rows of the batch, counted over all blocks of this process in the epoch.
        """
        table = table.take(rows % (self.steps_per_block * self.batch_size))
        names = table["id"].to_pylist() if "id" in table.column_names else ["of the training stream"] * len(table)
        images = zip(table["image"].to_pylist(), names, strict=True)
        votes, labels = votes_and_labels(table, self.features, self.label_scheme, self.trees)
        batch = {
            "pixels": torch.stack([read_pixels(image, name, self.processor) for image, name in images]),
            "labels": torch.from_numpy(labels),
            "row": torch.from_numpy(rows),
        }
        if votes is not None:
            batch["votes"] = torch.from_numpy(votes)
        if self.with_captions:
            captions = reference_captions(table, votes, self.trees)
            texts = list(itertools.chain.from_iterable(captions))
            ids = self.tokenizer(texts, padding=True, return_tensors="pt")["input_ids"]
            batch["input_ids"] = ids.view(len(captions), -1, ids.shape[-1])
        return batch

    def __len__(self) -> int:
        """Return the number of batches of each process in an epoch."""
        return self.steps

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Yield the batches of the epoch that are left; later ones are read and decoded ahead."""
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
        # One thread of torch for each of these; otherwise torch would start a team of threads in each.
        with ThreadPoolExecutor(workers + 1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            next_block, batches = pool.submit(read_block), deque()
            while (read := next_block.result())[0] is not None:
                table, self.block_starts[block + 1] = read
                next_block = pool.submit(read_block)
                order = np.random.default_rng([self.seed, epoch, self.rank, block]).permutation(len(table))
                for start in range(skipped * self.batch_size, len(table), self.batch_size):
                    batch_rows = order[start : start + self.batch_size] + block * block_rows
                    batches.append(pool.submit(self._batch, table, batch_rows))
                    if len(batches) > 2 * workers:
                        yield batches.popleft().result()
                block, skipped = block + 1, 0
                trained = self.progress.step_in_epoch // self.steps_per_block
                self.block_starts = {number: state for number, state in self.block_starts.items() if number >= trained}
            yield from (batch.result() for batch in batches)
        if self.my_steps < self.steps:
            table = next(self._rows(self.my_files).iter(batch_size=self.batch_size))
            spare = self._batch(table, np.arange(len(table)))
            for _ in range(self.steps - max(self.progress.step_in_epoch, self.my_steps)):
                yield spare | {"spare": torch.ones(len(spare["labels"]))}

    def loader(self) -> DataLoaderShard:
        """Make a loader of batches on the device.

        It has a random generator of its own, so that a resumed run draws the same random numbers as an uninterrupted
        one.
        """
        copies = {"_non_blocking": True, "pin_memory": torch.cuda.is_available()}
        loader = DataLoaderShard(self, device=self.device, batch_size=None, generator=torch.Generator(), **copies)
        loader._is_accelerate_prepared = True  # else it is split by process again; accelerate has no public name for it
        return loader

    def save(self, folder: str | Path) -> None:
        """Write the position of this process into the folder of a checkpoint: the start of its current block."""
        block = min(self.progress.step_in_epoch, self.my_steps) // self.steps_per_block
        state = {"block": block, "start": self.block_starts[block] if block else None}
        (Path(folder) / f"stream_{self.rank}.json").write_text(json.dumps(state))

    def load(self, folder: str | Path) -> None:
        """Read what :meth:`save` wrote; the number of processes is the same, else the checkpoint is refused before."""
        state = json.loads((Path(folder) / f"stream_{self.rank}.json").read_text())
        self.block_starts = {state["block"]: state["start"]}
