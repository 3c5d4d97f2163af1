"""Write rows of galaxies to a folder of Parquet shards with a dataset card, whole or not at all."""

import hashlib
import io
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from ..captions.writing import captions_of
from ..images.decode import FORMATS, read_rgb
from .labels import ANSWERS
from .references import shown_votes
from .schema import Card, Dropped, stored_columns
from .scheme_texts import scheme_table
from .schemes import SCHEMES
from .splits import SPLITS, split_of
from .vote_marks import MARK

ROWS_PER_SHARD = 5000
"""Ours: 75 MB for images of 15 kB."""
ROWS_PER_GROUP = 100
"""Rows of a Parquet row group, which are in memory at once. Ours: 1.5 MB for images of 15 kB."""


def stored_image(data: bytes) -> bytes:
    """Return an image file in the form in which it is stored.

    The file is not changed if every reader decodes it to the pixels of :func:`~galaxy_vision.read_rgb`, as JPEG and
    8-bit files in colour or grey. Others, such as FITS, 16 bits or transparency, become a PNG of these pixels.

    Raises:
        ValueError: the image cannot be read.
    """
    try:
        with PillowImage.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
                return data
            decoded = ImageOps.exif_transpose(image)
            rgb = read_rgb(data)
            if decoded.mode in ("RGB", "L") and np.array_equal(np.asarray(decoded.convert("RGB")), np.asarray(rgb)):
                return data
    except UnidentifiedImageError:  # FITS
        rgb = read_rgb(data)
    file = io.BytesIO()
    rgb.save(file, "PNG")
    return file.getvalue()


class _SplitWriter:
    """Writer of the shards of one split, which are renamed at the end, when their number is known."""

    def __init__(self, folder: Path, split: str, features: Features):
        self.folder, self.split, self.features = folder, split, features
        self.rows, self.pending, self.shards, self.writer = 0, [], [], None

    def add(self, row: dict) -> None:
        """Add a row, in a new shard every :data:`ROWS_PER_SHARD` rows."""
        if self.rows % ROWS_PER_SHARD == 0:
            self.close()
            self.shards.append(self.folder / f"{self.split}-{len(self.shards):05d}.parquet")
            self.writer = pq.ParquetWriter(self.shards[-1], self.features.arrow_schema, compression="snappy")
        self.pending.append(row)
        self.rows += 1
        if len(self.pending) == ROWS_PER_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are in memory."""
        if self.pending:
            self.writer.write_table(pa.Table.from_pylist(self.pending, schema=self.features.arrow_schema))
            self.pending = []

    def close(self) -> None:
        """Finish the current shard."""
        self.flush()
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def finish(self) -> None:
        """Finish the split, and rename its shards to ``train-00000-of-00002.parquet`` and so on."""
        self.close()
        for index, shard in enumerate(self.shards):
            shard.rename(self.folder / f"{self.split}-{index:05d}-of-{len(self.shards):05d}.parquet")


def write_dataset(rows: Iterable[dict | Dropped], output_dir: str | Path, features: Features, card: Card) -> Path:
    """Write rows as they come to a temporary folder, which is renamed to ``output_dir`` as the last step.

    Args:
        rows: :class:`Dropped`, or dicts with the columns of ``features``: ``image`` is the bytes of a file, see
            :func:`stored_image`, and ``label`` is -1 or None if uncertain; ``captions`` are written from ``votes``,
            which are those of ``card.trees``. If the source has splits, ``split`` is that of the row.
        output_dir: must not exist, so that nothing is lost.
        features: from :func:`galaxy_features`.
        card: text of the dataset card.

    Returns:
        ``output_dir``.

    Raises:
        ValueError: ``output_dir`` exists, a label is outside the classes, or no row is left.
    """
    output_dir = Path(output_dir)
    if output_dir.exists():
        raise ValueError(f"output_dir={output_dir} exists already; remove it or give another")
    partial = output_dir.with_name(output_dir.name + ".incomplete")
    shutil.rmtree(partial, ignore_errors=True)  # left by a build that was killed
    (partial / "data").mkdir(parents=True)
    try:
        _write_folder(rows, partial, features, card)
        partial.rename(output_dir)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # exists only if the build failed
    return output_dir


def _write_folder(rows: Iterable[dict | Dropped], folder: Path, features: Features, card: Card) -> None:
    """Write shards, list of dropped rows and card to a folder that has an empty folder ``data`` only."""
    writers = {split: _SplitWriter(folder / "data", split, features) for split in SPLITS}
    dropped: list[Dropped] = []
    balance = {split: Counter() for split in SPLITS}
    seen: set[bytes] = set()
    content = hashlib.blake2b(digest_size=16)
    for row in rows:
        if isinstance(row, Dropped):
            dropped.append(row)
            continue
        key = hashlib.blake2b(row["id"].encode(), digest_size=12).digest()
        if key in seen:
            dropped.append(Dropped(row["id"], "duplicate id: only the first is kept"))
            continue
        seen.add(key)
        row = row | {"image": stored_image(row["image"])}
        label = row["label"] if row["label"] is not None and row["label"] >= 0 else None
        if label is not None and label >= features["label"].num_classes:
            raise ValueError(
                f"galaxy {row['id']} has label {label}, and there are {features['label'].num_classes} classes; mend "
                "the label, or name all classes"
            )
        content.update(b"".join([key, hashlib.blake2b(row["image"]).digest(), repr(label).encode()]))
        if "votes" in row:
            votes = np.asarray(row["votes"], dtype=np.float32)
            row = row | {"captions": captions_of(row["id"], *shown_votes(votes, card.trees))}
            content.update(votes.tobytes() + "\n".join(row["captions"]).encode())
            if MARK in features:
                row = row | {MARK: card.trees.first.name}
                content.update(card.trees.first.name.encode())
            if "votes" not in features:
                values = (None if np.isnan(value) else float(value) for value in row.pop("votes"))
                row |= zip(stored_columns(card.trees), values, strict=True)
        split = row.pop("split", None) or split_of(row["id"])
        if split != split_of(row["id"]):
            content.update(split.encode())  # else datasets would load the cached splits of an earlier build
        balance[split][label] += 1
        writers[split].add(row | {"image": {"bytes": row["image"], "path": None}, "label": label})
    kept = sum(writer.rows for writer in writers.values())
    if not kept:
        counts = Counter(row.reason for row in dropped).most_common(3)
        reasons = "; ".join(f"{count} x {reason}" for reason, count in counts) or "the source has no rows"
        raise ValueError(f"no galaxy is left: {reasons}; check that the inputs belong together")
    for writer in writers.values():
        writer.finish()
    if dropped:
        lines = ["id\treason", *("\t".join(" ".join(text.split()) for text in row) for row in dropped)]
        (folder / "dropped.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    names = features["label"].names
    (folder / "README.md").write_text(
        _render_card(card, names, balance, dropped, kept, list(features), content.hexdigest()), encoding="utf-8"
    )


def _render_card(
    card: Card, names: list[str], balance: dict, dropped: list[Dropped], kept: int, columns: list[str], content: str
) -> str:
    """Return the text of README.md: metadata, the origin of the rows, their counts and the rules of their labels."""
    present = [split for split in SPLITS if sum(balance[split].values())]
    head = [
        "---",
        f"license: {card.licence}",
        "task_categories:",
        "- image-classification",
        "tags:",
        "- astronomy",
        "- galaxy-zoo",
    ]
    # datasets keys its cache of a local folder by the name of the folder and this header, not by the files. Without the
    # fingerprint, the old rows would be loaded after another build in a folder of the same name.
    head += ["configs:", "- config_name: default", f"  description: content {content}", "  data_files:"]
    head += [line for split in present for line in (f"  - split: {split}", f"    path: data/{split}-*.parquet")]
    counts = [f"| class | {' | '.join(present)} |", "|---" * (len(present) + 1) + "|"]
    for label, name in [*enumerate(names), (None, "*uncertain* (no label)")]:
        counts.append(f"| {name} | {' | '.join(str(balance[split][label]) for split in present)} |")
    counts.append(f"| all | {' | '.join(str(sum(balance[split].values())) for split in present)} |")
    body = [f"# {card.title}", card.description, "## Made by", f"```\n{card.command}\n```"]
    rows = f"{kept + len(dropped)} rows in, {kept} out, {len(dropped)} dropped. Columns: {', '.join(columns)}."
    body += ["## Rows", f"{rows} Fingerprint of the content: `{content}`."]
    if dropped:
        reasons = Counter(row.reason.split(":")[0] for row in dropped).most_common()
        table = [f"| {reason} | {count} |" for reason, count in reasons]
        body.append("\n".join(["| dropped because | rows |", "|---|---|", *table]))
        body.append("Every dropped row is listed in `dropped.tsv`.")
    body += [card.splits, "\n".join(counts)]
    if card.label_scheme in (*SCHEMES, ANSWERS):
        body += [f"## Labels: scheme `{card.label_scheme}`", scheme_table(card.label_scheme, card.trees)]
    body += ["## Licence and citation", card.citation]
    return "\n".join([*head, "---", ""]) + "\n\n".join(body) + "\n"
