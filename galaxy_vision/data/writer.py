"""Rows of galaxies -> a folder of Parquet shards with a dataset card, complete or not there at all."""

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
from .labels import SCHEMES, scheme_table
from .schema import Card, Dropped
from .splits import SPLITS, split_of

ROWS_PER_SHARD = 5000
ROWS_PER_GROUP = 100  # what is in memory at once: 100 images of 15 kB


def stored_image(data: bytes) -> bytes:
    """Return an image file as it is kept.

    As it came, if every reader decodes it to what :func:`~galaxy_vision.read_rgb` sees (8 bits, in colour or grey);
    otherwise, as for FITS, 16 bits or transparency, these pixels as a PNG.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        with PillowImage.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
                return data
            plain = ImageOps.exif_transpose(image)
            seen = read_rgb(data)
            if plain.mode in ("RGB", "L") and np.array_equal(np.asarray(plain.convert("RGB")), np.asarray(seen)):
                return data
    except UnidentifiedImageError:  # FITS
        seen = read_rgb(data)
    file = io.BytesIO()
    seen.save(file, "PNG")
    return file.getvalue()


class _SplitWriter:
    """Shards of one split; their names get the number of shards once it is known."""

    def __init__(self, folder: Path, split: str, features: Features):
        self.folder, self.split, self.features = folder, split, features
        self.rows, self.pending, self.shards, self.writer = 0, [], [], None

    def add(self, row: dict) -> None:
        if self.rows % ROWS_PER_SHARD == 0:
            self.close()
            self.shards.append(self.folder / f"{self.split}-{len(self.shards):05d}.parquet")
            self.writer = pq.ParquetWriter(self.shards[-1], self.features.arrow_schema, compression="snappy")
        self.pending.append(row)
        self.rows += 1
        if len(self.pending) == ROWS_PER_GROUP:
            self.flush()

    def flush(self) -> None:
        if self.pending:
            self.writer.write_table(pa.Table.from_pylist(self.pending, schema=self.features.arrow_schema))
            self.pending = []

    def close(self) -> None:
        self.flush()
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def finish(self) -> None:
        self.close()
        for index, shard in enumerate(self.shards):
            shard.rename(self.folder / f"{self.split}-{index:05d}-of-{len(self.shards):05d}.parquet")


def write_dataset(rows: Iterable[dict | Dropped], output_dir: str | Path, features: Features, card: Card) -> Path:
    """Write the rows as they come, and rename the finished folder to ``output_dir`` as the last step.

    Args:
        rows: dicts with the columns of ``features`` (``image`` as the bytes of a file, see :func:`stored_image`;
            ``label`` -1 or None for uncertain; ``captions`` are written from ``votes``), or :class:`Dropped`. ``split``
            is that of the row, if the source has any.
        output_dir: must not exist, so that nothing is lost.
        features: from :func:`galaxy_features`.
        card: text of the dataset card.

    Raises:
        ValueError: ``output_dir`` exists, or no row is left.
    """
    output_dir = Path(output_dir)
    if output_dir.exists():
        raise ValueError(f"output_dir={output_dir} exists already; remove it or give another")
    partial = output_dir.with_name(output_dir.name + ".incomplete")
    shutil.rmtree(partial, ignore_errors=True)  # what a killed build left
    (partial / "data").mkdir(parents=True)
    try:
        _write_folder(rows, partial, features, card)
        partial.rename(output_dir)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # not there any more if all went well
    return output_dir


def _write_folder(rows: Iterable[dict | Dropped], folder: Path, features: Features, card: Card) -> None:
    """Shards, list of dropped rows and card, in an empty folder with an empty ``data``."""
    writers = {split: _SplitWriter(folder / "data", split, features) for split in SPLITS}
    dropped: list[Dropped] = []
    balance = {split: Counter() for split in SPLITS}
    seen: set[bytes] = set()
    content = hashlib.blake2b(digest_size=16)
    for row in rows:
        if (
            not isinstance(row, Dropped)
            and (key := hashlib.blake2b(row["id"].encode(), digest_size=12).digest()) in seen
        ):
            row = Dropped(row["id"], "duplicate id: only the first is kept")
        if isinstance(row, Dropped):
            dropped.append(row)
            continue
        seen.add(key)
        row = row | {"image": stored_image(row["image"])}
        label = row["label"] if row["label"] is not None and row["label"] >= 0 else None
        if label is not None and label >= features["label"].num_classes:
            raise ValueError(
                f"galaxy {row['id']} has label {label}, and there are {features['label'].num_classes} classes"
            )
        content.update(b"".join([key, hashlib.blake2b(row["image"]).digest(), repr(label).encode()]))
        if "votes" in row:
            row = row | {"captions": captions_of(row["id"], row["votes"])}
            content.update(np.asarray(row["votes"], dtype=np.float32).tobytes() + "\n".join(row["captions"]).encode())
        split = row.pop("split", None) or split_of(row["id"])
        balance[split][label] += 1
        writers[split].add(row | {"image": {"bytes": row["image"], "path": None}, "label": label})
    kept = sum(writer.rows for writer in writers.values())
    if not kept:
        reasons = "; ".join(f"{n} x {reason}" for reason, n in Counter(each.reason for each in dropped).most_common(3))
        raise ValueError(
            f"no galaxy is left: {reasons or 'the source has no rows'}; check that the inputs belong together"
        )
    for writer in writers.values():
        writer.finish()
    if dropped:
        lines = ["id\treason", *("\t".join(" ".join(text.split()) for text in each) for each in dropped)]
        (folder / "dropped.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    names = features["label"].names
    (folder / "README.md").write_text(
        _render_card(card, names, balance, dropped, kept, list(features), content.hexdigest()), encoding="utf-8"
    )


def _render_card(
    card: Card, names: list[str], balance: dict, dropped: list[Dropped], kept: int, columns: list[str], content: str
) -> str:
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
    # datasets keys its cache of a local folder by the folder's name and this header, not by the files: without the
    # fingerprint another build in a folder of the same name would load the old rows.
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
        reasons = Counter(each.reason.split(":")[0] for each in dropped).most_common()
        body.append(
            "\n".join(["| dropped because | rows |", "|---|---|", *(f"| {reason} | {n} |" for reason, n in reasons)])
        )
        body.append("Every dropped row is listed in `dropped.tsv`.")
    body += [card.splits, "\n".join(counts)]
    if card.label_scheme in SCHEMES:
        body += [f"## Labels: scheme `{card.label_scheme}`", scheme_table(card.label_scheme)]
    body += ["## Licence and citation", card.citation]
    return "\n".join([*head, "---", ""]) + "\n\n".join(body) + "\n"
