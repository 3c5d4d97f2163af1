"""Catalogues of every kind for tests, and what our readers find in them."""

import tarfile
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from galaxy_vision.predict.catalogue import needs_index, open_catalogue, write_index
from galaxy_vision.predict.rows import Columns, Row

FIRST_ID = 587722981736120320  # 18 digits: a float would lose the last
NO_COLUMNS = Columns()


def rows_of(path: Path, columns: Columns = NO_COLUMNS, rows_per_part: int = 16) -> list[Row]:
    """All rows of a catalogue, whose parts have as many as they say."""
    index = path.parent / "_index.arrow"
    if needs_index(str(path)):
        write_index(str(path), index, rows_per_part, columns)
    opened = open_catalogue(str(path), index, rows_per_part, columns)
    parts = [list(opened.rows(part)) for part in range(len(opened.part_rows))]
    assert [len(part) for part in parts] == opened.part_rows
    rows = [row for part in parts for row in part]
    assert len({row.source for row in rows}) == len(rows)
    return rows


def found(path: Path, columns: Columns = NO_COLUMNS) -> list[tuple[str, bytes]]:
    """(id, bytes) of every row, sorted."""
    return sorted((row.id, row.load()) for row in rows_of(path, columns))


def images_in(folder: Path, galaxies) -> Path:
    """60 images in nested folders, one of them damaged, one empty, and labels beside."""
    for index, (data, *_) in enumerate(galaxies):
        inside = folder / ("north" if index < 25 else "south/deep")
        inside.mkdir(parents=True, exist_ok=True)
        (inside / f"{FIRST_ID + index}.jpg").write_bytes({7: data[: len(data) // 2], 30: b""}.get(index, data))
        (inside / f"{FIRST_ID + index}.json").write_text("{}")
    return folder


def make_zip(images: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(images.rglob("*.*")):
            archive.write(file, f"images_gz2/{file.relative_to(images)}")
        archive.writestr(f"__MACOSX/._{FIRST_ID}.jpg", b"not an image")
    return path


def make_tars(images: Path, path: Path) -> Path:
    path.mkdir()
    for number, inside in enumerate(("north", "south")):
        with tarfile.open(path / f"shard-{number:04d}.tar", "w") as archive:
            archive.add(images / inside, ".")
    return path


def make_parquet(images: Path, path: Path, kind: str) -> Path:
    path.mkdir()
    files = sorted(images.rglob("*.jpg"))
    for number, some in enumerate((files[:25], files[25:])):
        data = [{"bytes": file.read_bytes(), "path": None} for file in some]
        if kind == "bytes":
            data = [content["bytes"] for content in data]
        if kind == "paths":
            data = [str(file) for file in some]
        table = pa.table({"id": [int(file.stem) for file in some], "image": data})
        pq.write_table(table, path / f"train-{number}.parquet", row_group_size=7)
    return path


def make_csv(images: Path, path: Path) -> Path:
    files = sorted(images.rglob("*.jpg"))
    table = pd.DataFrame(
        {"id_str": [file.stem for file in files], "file_loc": [file.relative_to(images) for file in files]}
    )
    table.to_csv(path, index=False)
    return path
