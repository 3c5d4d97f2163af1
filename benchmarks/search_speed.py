"""Measure how long searches of large catalogues take, and their memory, each in a process of its own.

    python benchmarks/search_speed.py --folder scratch --rows 1000000
    python benchmarks/search_speed.py --folder scratch --rows 10000000 --without_embedding

The catalogue is made first, unless it is there: parts of 4,096 rows with all columns that `predict` writes for a model
of Galaxy Zoo 2 with captions and 512 features, drawn at random; from the first million on, parts are links to earlier
ones, so that it fits on a disk. "first" includes the start of Python, all imports, and opening the catalogue; "again"
is the same search of a catalogue that is open, in seconds and in seconds of all cores, which a busy machine does not
change. Memory is the largest of the process, and what of it at the end is not pages of mapped files.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from galaxy_vision.models.decision_tree import GALAXY_ZOO_2
from galaxy_vision.models.trees import Trees
from galaxy_vision.predict.column_names import vote_columns
from galaxy_vision.predict.parts import MANIFEST, METADATA_KEY, part_name

ROWS_PER_PART, NEW_PARTS, FEATURES = 4096, 245, 512
SENTENCES = (
    "a bar",
    "a barred spiral with two loosely wound arms, no ring",
    "definitely a merger or a ring",
)


def make_part(number: int, path: Path, metadata: dict, has_embedding: bool) -> None:
    """Write a part of random galaxies."""
    rng, count = np.random.default_rng(number), ROWS_PER_PART
    votes = np.exp(rng.normal(0, 1.5, (count, len(GALAXY_ZOO_2.answers))))
    total = GALAXY_ZOO_2.totals(votes)
    mean = votes / total
    spread = 1.645 * np.sqrt(mean * (1 - mean) / (total + 1))
    reach, values = GALAXY_ZOO_2.reach(mean), []
    for index in range(mean.shape[1]):
        values += [mean[:, index] + sign * spread[:, index] for sign in (0, -1, 1)]
    values += [array[:, answers.start] for array in (reach, total) for answers in GALAXY_ZOO_2.slices.values()]
    ids = [f"{number * count + row:018d}" for row in range(count)]
    text = {"id": ids, "source": [f"images/{name}.jpg" for name in ids], "status": ["ok"] * count}
    text |= {name: [""] * count for name in ("error", "doubts")}
    text |= {
        "reading": ["galaxy at (212, 212), petroR90 40 px; frame left as it is"] * count,
        "class": ["spiral"] * count,
    }
    columns = {name: pa.array(words) for name, words in text.items()}
    for name in metadata["class_columns"]:
        columns[name] = pa.array(rng.random(count, dtype=np.float32))
    columns["uncertain"] = pa.array(rng.random(count, dtype=np.float32))
    for name, value in zip(vote_columns(Trees())["gz2"], values, strict=True):
        columns[name] = pa.array(value.astype(np.float32))
    columns["caption"] = pa.array([f"a barred spiral galaxy with {row} arms and a small bulge" for row in range(count)])
    if has_embedding:
        vectors = np.maximum(rng.normal(0.2, 0.4, (count, FEATURES)).astype(np.float32), 0)
        columns["embedding"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), FEATURES)
    table = pa.table(columns).replace_schema_metadata({METADATA_KEY: json.dumps(metadata | {"part": number})})
    pq.write_table(table, path)


def make_catalogue(folder: Path, rows: int, has_embedding: bool) -> None:
    """Write a catalogue of at least so many rows, and its manifest last."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = -(-rows // ROWS_PER_PART)
    names = ("elliptical", "lenticular", "spiral", "barred spiral", "edge-on disc", "irregular", "merger")
    metadata = {
        "identity": {"parts": parts, "campaigns": ["gz2"]},
        "class_names": names,
        "class_columns": [f"probability_{name.replace(' ', '_').replace('-', '_')}" for name in names],
        "trees": Trees().to_list(),
    }
    for number in range(parts):
        path = folder / part_name(number, parts)
        if number < NEW_PARTS:
            make_part(number, path, metadata, has_embedding)
        else:
            path.hardlink_to(folder / part_name(number % NEW_PARTS, parts))
    (folder / MANIFEST).write_text(json.dumps(metadata))


def measure(folder: str, what: dict, repeats: int) -> None:
    """Search in this process, and print seconds of the first and of later searches, and MiB."""
    start = time.perf_counter()
    from galaxy_vision.search.find import Finder

    finder = Finder(folder)
    first = finder.find(**what)
    seconds, of_cores = [time.perf_counter() - start], []
    for _ in range(repeats):
        start, before = time.perf_counter(), time.process_time()
        again = finder.find(**what)
        seconds.append(time.perf_counter() - start)
        of_cores.append(time.process_time() - before)
    assert list(again.rows["id"]) == list(first.rows["id"])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    anonymous = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    print(
        json.dumps(
            [
                seconds[0],
                float(np.median(seconds[1:])),
                float(np.median(of_cores)),
                memory,
                int(anonymous.split()[1]) / 1024,
            ]
        )
    )


def recall(folder: str, examples: int = 20, wanted: int = 10) -> float:
    """Return the share of the nearest rows by float32 that float16 finds."""
    from galaxy_vision.search.examples import Embeddings
    from galaxy_vision.search.find import Finder

    embeddings, found = Embeddings(Finder(folder).catalogue), []
    for row in np.random.default_rng(0).integers(0, len(embeddings.matrix), examples):
        vector = embeddings.matrix[row].astype(np.float32)
        exact = np.concatenate(
            [
                embeddings.matrix[start : start + 65536].astype(np.float32) @ vector
                for start in range(0, len(embeddings.matrix), 65536)
            ]
        )
        nearest, _ = embeddings.nearest(vector, wanted)
        found.append(len(set(nearest) & set(np.argpartition(-exact, wanted)[:wanted])) / wanted)
    return float(np.mean(found))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True, help="where catalogues are made")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--without_embedding", action="store_true", help="no examples, and a tenth of the disk")
    parser.add_argument("--repeats", type=int, default=5, help="searches after the first (%(default)s)")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    folder = Path(args.folder) / f"rows_{args.rows}{'_plain' if args.without_embedding else ''}"
    if args.measure:
        return measure(str(folder), json.loads(args.measure), args.repeats)
    if not (folder / MANIFEST).exists():
        make_catalogue(folder, args.rows, not args.without_embedding)
    searches = [{"sentence": sentence} for sentence in SENTENCES]
    if not args.without_embedding:
        searches += [{"like": [f"{1234:018d}"]}, {"sentence": "a bar", "like": [f"{1234:018d}"]}]
    print("| search | first, s | again, s | of it on cores, s | memory, MiB | of it not mapped, MiB |")
    print("|---|---|---|---|---|---|")
    for what in searches:
        command = [sys.executable, __file__, "--folder", args.folder, "--rows", str(args.rows)]
        command += ["--without_embedding"] * args.without_embedding + [
            "--repeats",
            str(args.repeats),
            "--measure",
            json.dumps(what),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
        first, again, of_cores, memory, anonymous = json.loads(done.stdout.splitlines()[-1])
        print(
            f"| {json.dumps(what)} | {first:.2f} | {again:.2f} | {of_cores:.2f} | {memory:.0f} | {anonymous:.0f} |",
            flush=True,
        )
    if not args.without_embedding:
        print(f"recall@10 of examples against float32: {recall(str(folder)):.3f}")


if __name__ == "__main__":
    main()
