"""Files that are spoiled at random, and builders that must either refuse them or count every row."""

import contextlib
import io
import os
import time
import zipfile

import numpy as np
import pandas as pd
from conftest import builder, jpeg
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from limits import soon
from PIL import Image

from galaxy_vision.models.decision_tree import KAGGLE_COLUMNS

EXAMPLES = int(os.environ.get("GALAXY_VISION_FUZZ", "25"))
fuzz = settings(
    max_examples=EXAMPLES,
    phases=[Phase.explicit, Phase.generate],  # a failing file is shown as it is: making it small takes minutes
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8))


@st.composite
def spoiled(draw, files: list[bytes]) -> bytes:
    """One of the files with bytes changed, cut out, repeated, put in or cut off."""
    data = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(1, 6))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        length = draw(st.integers(1, 40))
        kind = draw(st.sampled_from(["change", "cut", "repeat", "insert", "end", "number"]))
        if kind == "change":
            data[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del data[at : at + length]
        elif kind == "repeat":
            data[at:at] = data[at : at + length] * draw(st.integers(1, 50))
        elif kind == "insert":
            data[at:at] = draw(
                st.sampled_from([b"\0", b"\n", b'"', b",", b"nan", b"-1e999", b"\xff\xfe", b"{", b"[", b"\r"])
            )
        elif kind == "end":
            del data[at:]
        else:
            data[at : at + 4] = draw(st.sampled_from([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"9999"]))
    return bytes(data)


def zipped(names: list[str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, jpeg(PICTURE))
    return file.getvalue()


def run_builder(name: str, folder, **files) -> None:
    """Build; it must end with a data set that counts every row, or with status 2 and one line."""
    printed, target = io.StringIO(), folder / f"out-{time.monotonic_ns()}"
    argv = [part for key, value in files.items() for part in (f"--{key}", str(value))]
    with soon(), contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
        try:
            builder(name)([*argv, "--output_dir", str(target)])
        except SystemExit as stop:
            assert stop.code == 2
            lines = [line for line in printed.getvalue().replace("\r", "\n").splitlines() if line.startswith("error: ")]
            assert len(lines) == 1 and len(lines[0]) < 1500
            assert not target.exists()
            return
    assert " rows in, " in (target / "README.md").read_text()


def write(folder, name: str, data: bytes):
    path = folder / name
    path.write_bytes(data)
    return path


def challenge_table() -> bytes:
    rows = pd.DataFrame(0.25, index=range(3), columns=list(KAGGLE_COLUMNS))
    rows.insert(0, "GalaxyID", [100008, 100023, 100053])
    return rows.to_csv(index=False).encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=8), values, max_size=3),
    max_leaves=5,
)
