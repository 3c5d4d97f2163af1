"""Arguments of a prediction."""

from dataclasses import dataclass, field

from ..images.bands import as_bands
from ..images.framing import parse_frame
from ..images.limits import FRAME_HELP, STRETCHES, SURVEY_NAMES
from ..inference.rotations import check_rotations
from ..runtime.arguments import arg
from ..runtime.hardware import PRECISIONS
from ..runtime.shipped import CLASSIFIER
from ..sky.services import HIPS_EXAMPLE, SERVICES, check_survey
from ..sky.write_tables import FORMATS

BACKENDS = ("torch", "openvino")


@dataclass
class Arguments:
    """Arguments of a prediction; also the keys of a JSON arguments file."""

    catalogue: str = field(
        metadata={
            "help": "folder of images, zip, tar (or folder of tars, as WebDataset), Parquet (file or folder), CSV of "
            "paths (separated by commas, semicolons, tabs or bars), or the id of a Hub data set, which is streamed"
        }
    )
    output_dir: str = field(
        metadata={
            "help": "folder for the output files; if it holds some of the same run, only missing ones are written"
        }
    )
    format: str = arg(
        "parquet",
        f"of a file that is written beside the parts when all are complete: {', '.join(FORMATS)} (parquet: the parts)",
    )
    model: str = arg(CLASSIFIER, "trained classifier: folder or Hub id; the default comes with the package")
    id_column: str | None = arg(None, "of a table; default id or id_str, or the number of the row if there is neither")
    image_column: str | None = arg(
        None,
        "of a table: the column of bytes, images or paths; default image, path, file_loc, file_name or filename. Of a "
        "tar: the extension of the images, such as jpg where a.mask.png lies beside a.jpg",
    )
    image_root: str | None = arg(None, "where relative paths of a table start (default: the folder of the table)")
    split: str | None = arg(
        None, "only this split of a Hub data set, or only Parquet files whose names or folders start with it"
    )
    config: str | None = arg(None, "configuration of a Hub data set that has several")
    captioner: str | None = arg(
        None, "trained captioner for captions too: folder or Hub id, or galaxy-captioner, which comes with the package"
    )
    hdu: str | None = arg(None, "FITS extension, by number or name (default: the first with an image)")
    bands: list[str] | None = arg(
        None, "of FITS files: one, or red, green, blue: names of extensions or filters, or planes of a cube from 0"
    )
    stretch: str = arg("auto", f"of FITS and other deep images: {', '.join(STRETCHES)}")
    survey: str | None = arg(
        None,
        f"whose bands, stretch and pixel scale FITS files have: {', '.join(SURVEY_NAMES)}; or, for a table of "
        f"positions, whose cut-outs are fetched: {', '.join(SERVICES)}, or the id of a HiPS such as {HIPS_EXAMPLE}",
    )
    ra_column: str | None = arg(None, "of a table of positions (default: by UCD and usual names)")
    dec_column: str | None = arg(None, "of a table of positions (default: by UCD and usual names)")
    radius_column: str | None = arg(
        None, "of a table of positions: petroR90, in arcsec or its unit (default: petroR90_r, else it is measured)"
    )
    frame: str = arg("auto", FRAME_HELP)
    doubts: bool = arg(True, "say why answers may mean nothing; without it, and as_is, twice as fast on a CPU")
    campaign: str | None = arg(
        None, "of a classifier of several trees: whose votes become columns, separated by commas (default: all)"
    )
    embedding: bool = arg(False, "also write the features of the backbone")
    rotations: int = arg(
        1, "average over this many rotated and mirrored copies of each image (1, 4 or 8) at as many times the cost"
    )
    batch_size: int = arg(0, "images per batch (0: 256 on a GPU, and 32 on a CPU, whose caches hold them)")
    rows_per_part: int = arg(
        4096, "rows per output file, which each process loses when it is killed; a resumed run must not change it"
    )
    num_workers: int = arg(
        0, "threads that read and decode images, and on a CPU also run the models (0: one per core of the process)"
    )
    backend: str = arg("torch", "of the classifier: torch, or openvino on a CPU (pip install 'galaxy_vision[export]')")
    mixed_precision: str = arg(
        "auto", "auto (the launch flag, else fp32 or bf16, whichever is faster here), no, bf16 or fp16"
    )

    def __post_init__(self):
        for name, least in (("batch_size", 0), ("rows_per_part", 1), ("num_workers", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} is below {least}")
        parse_frame(self.frame)
        if not self.doubts and self.frame != "as_is":
            raise ValueError(f"doubts=False does not go with frame={self.frame!r}, which measures images; give as_is")
        check_rotations(self.rotations)
        if self.backend not in BACKENDS:
            raise ValueError(f"backend={self.backend!r} is not one of {', '.join(BACKENDS)}")
        if self.format not in FORMATS:
            raise ValueError(f"format={self.format!r} is not one of {', '.join(FORMATS)}")
        as_bands(self.bands)
        check_survey(self.survey)
        if self.stretch not in STRETCHES:
            raise ValueError(f"stretch={self.stretch!r} is not one of {', '.join(STRETCHES)}")
        if self.mixed_precision not in PRECISIONS:
            raise ValueError(f"mixed_precision={self.mixed_precision!r} is not one of {', '.join(PRECISIONS)}")

    def reading(self) -> dict:
        """Those options of :func:`galaxy_vision.read_rgb` that are not its defaults; values of rows depend on them."""
        bands = self.bands and list(as_bands(self.bands))
        stretch = None if self.stretch == "auto" else self.stretch
        survey = self.survey if self.survey in SURVEY_NAMES else None
        given = {"hdu": self.hdu, "bands": bands, "stretch": stretch, "survey": survey}
        return {name: value for name, value in given.items() if value is not None}
