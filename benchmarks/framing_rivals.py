"""Compare the radii of images/radii.py with those of sep and photutils: scatter, failures and speed.

    pip install sep photutils
    python benchmarks/framing_rivals.py --dataset galaxy_zoo_challenge

All get the same light and sky, and one factor that makes their median right. The image is enlarged to 424 px, the side
of Galaxy Zoo's own files, where petroR90 is 50 px. Galaxies are of the validation split.
"""

import argparse
import math
import time

import numpy as np
import sep
from photutils.segmentation import SourceCatalog, detect_sources
from PIL import Image

from galaxy_vision.data.load import load_galaxies
from galaxy_vision.images import sources
from galaxy_vision.images.radii import SOFTENING

SIDE = 424
SMALL = 212  # px, what sep and photutils see
THRESHOLD = 3  # noise sigmas
LEAST_AREA = 12  # px
PROMINENT = 0.25  # share of the area of the largest source, below which a source is not taken


def light(image: Image.Image) -> tuple[np.ndarray, float]:
    """(SMALL, SMALL) float32 without sky, and its noise."""
    small, _ = sources._resized(image, (0, 0, SIDE, SIDE), SMALL)
    sums = sources._sums(small)
    sky = sources._sky(sums) / 3
    plane, levels = sources._light(sums, sky)
    noise = sources._noise(levels) * math.cosh(sky / SOFTENING) / SOFTENING
    return np.ascontiguousarray(plane, np.float32), noise


def nearest(x, y, areas) -> int:
    distances = np.hypot(x - SMALL / 2, y - SMALL / 2)
    return int(np.argmin(np.where(areas >= PROMINENT * areas.max(), distances, np.inf)))


def ours(image: Image.Image) -> tuple[float, float, float]:
    galaxy = sources.find_galaxies(image)[0]
    return galaxy.x, galaxy.y, galaxy.petro_r90


def _sep_source(image: Image.Image):
    plane, noise = light(image)
    found, labels = sep.extract(plane, THRESHOLD * noise, minarea=LEAST_AREA, deblend_cont=0.02, segmentation_map=True)
    return plane, labels, found, nearest(found["x"], found["y"], found["npix"])


def sep_kron(image: Image.Image) -> tuple[float, float, float]:
    plane, labels, found, best = _sep_source(image)
    x, y, a, b, theta = (found[name][[best]] for name in ("x", "y", "a", "b", "theta"))
    kron, _ = sep.kron_radius(plane, x, y, a, b, theta, 6.0, seg_id=np.array([best + 1]), segmap=labels)
    return 2 * found["xpeak"][best], 2 * found["ypeak"][best], 2 * float(kron[0] * np.sqrt(a[0] * b[0]))


def sep_flux_radius(image: Image.Image) -> tuple[float, float, float]:
    plane, labels, found, best = _sep_source(image)
    x, y, a = (found[name][[best]] for name in ("x", "y", "a"))
    radius, _ = sep.flux_radius(plane, x, y, 6 * a, 0.9, seg_id=np.array([best + 1]), segmap=labels)
    return 2 * found["xpeak"][best], 2 * found["ypeak"][best], 2 * float(radius[0])


def photutils_flux_radius(image: Image.Image) -> tuple[float, float, float]:
    """Without deblending, which needs scikit-image and takes longer than everything else."""
    plane, noise = light(image)
    catalog = SourceCatalog(plane, detect_sources(plane, THRESHOLD * noise, LEAST_AREA))
    best = catalog[nearest(catalog.x_centroid, catalog.y_centroid, catalog.area.value)]
    return 2 * float(best.x_centroid), 2 * float(best.y_centroid), 2 * float(np.squeeze(best.flux_radius(0.9).value))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help="folder of the challenge, from datasets_scripts")
    parser.add_argument("--rows", type=int, default=120)
    args = parser.parse_args()
    rows = load_galaxies(args.dataset)["validation"].select(range(args.rows))
    images = [row["image"].convert("RGB").resize((SIDE, SIDE)) for row in rows]
    print("| method | factor | scatter of log radius | off by more than 1.5 | failures | images/s a core |")
    print("|---|---|---|---|---|---|")
    for method in (ours, sep_kron, sep_flux_radius, photutils_flux_radius):
        start, errors = time.process_time(), []
        for image in images:
            x, y, radius = method(image)
            if np.isfinite(radius) and radius > 0 and np.hypot(x - SIDE / 2, y - SIDE / 2) < sources.FIELD * 3:
                errors.append(np.log(radius / (SIDE / sources.FIELD)))
        speed = len(images) / (time.process_time() - start)
        middle = np.median(errors)
        off = np.abs(errors - middle)
        print(
            f"| {method.__name__} | {np.exp(-middle):.2f} | {np.std(errors):.3f} | {np.mean(off > np.log(1.5)):.1%} | "
            f"{1 - len(errors) / len(images):.1%} | {speed:.0f} |"
        )


if __name__ == "__main__":
    main()
