"""Simulated galaxies as FITS files of five surveys: how often they have the class of their Galaxy Zoo picture.

    python benchmarks/survey_conventions.py --galaxies 60
    python benchmarks/survey_conventions.py --galaxies 60 --surveys hst euclid

Each galaxy is drawn once, and observed with the pixels, seeing and noise of each survey by GalSim. The files are read
with and without the preset of the survey. Galaxies above 9 arcsec are left out, since their fields are large. Those of
HST and Euclid are smaller on the sky than those of SDSS (:data:`SMALLER`).
"""

import argparse
import io

import galsim
import numpy as np
import torch
from astropy.io import fits
from PIL import Image

from galaxy_vision import read_rgb
from galaxy_vision.images.surveys import SURVEYS
from galaxy_vision.inference.classes import class_probabilities
from galaxy_vision.inference.loading import load_classifier
from galaxy_vision.simulation.parameters import IMAGE_SIZE, SDSS_PIXEL, GalaxyParameters, draw_parameters
from galaxy_vision.simulation.render import render
from galaxy_vision.simulation.structures import draw_galaxy

SEEING = {
    "sdss": (1.3, 1.3, 1.3),
    "legacy": (1.2, 1.2, 1.2),
    "panstarrs": (1.19, 1.19, 1.19),
    "hst": (0.1, 0.1, 0.1),
    "euclid": (0.5, 0.5, 0.17),  # NISP is undersampled, and sharper than this
}
"""Width of the point spread function in red, green and blue, arcsec."""
GROUND = ("sdss", "legacy", "panstarrs")
BRIGHTER = {"euclid": (2.1, 1.45, 1.0)}
"""Flux in red, green and blue in units of that in the band of the simulation that stands for it.

Ours: NISP's H and Y of a usual galaxy are .8 and .4 mag brighter than i, and VIS is between r and i.
"""
SMALLER = {"hst": 8, "euclid": 4}
"""How many times smaller than in SDSS the galaxies are that a survey is read for, at the same surface brightness.

Ours: the widths of the point spread functions, in units of petroR90, are then about those of SDSS.
"""
BANDS = {"euclid": ([2], [2], [1, 2])}
"""Bands of the simulation (0 to 2 for g, r, i) whose mean stands for red, green and blue; else i, r, g."""


def observed(scene: np.ndarray, parameters: GalaxyParameters, name: str, rng: np.random.Generator) -> bytes:
    """A FITS file with an extension for each band; z of the Legacy Surveys is i here.

    Args:
        scene: (3, H, W) in g, r, i before the atmosphere, nanomaggies per SDSS pixel.
        parameters: of the galaxy.
        name: of the survey.
        rng: of the noise.
    """
    survey, scale = SURVEYS[name], parameters.pixel_scale / SMALLER.get(name, 1)
    side = round(IMAGE_SIZE * scale / survey.pixel_scale)
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for index, bands in enumerate(BANDS.get(name, ([2], [1], [0]))):
        factor = BRIGHTER.get(name, (1, 1, 1))[index] * (scale / SDSS_PIXEL) ** 2
        flux = factor * scene[bands].mean(0, dtype=float)
        light = galsim.InterpolatedImage(galsim.Image(flux, scale=scale), x_interpolant="linear", flux=flux.sum())
        profile = galsim.Kolmogorov if name in GROUND else galsim.Gaussian
        seen = galsim.Convolve(light, profile(fwhm=SEEING[name][index]))
        pixels = seen.drawImage(nx=side, ny=side, scale=survey.pixel_scale).array
        pixels = pixels + rng.normal(0, survey.noise[index] * survey.pixel_scale, pixels.shape)
        hdus.append(fits.ImageHDU(pixels.astype(np.float32), name=survey.bands[index]))
    file = io.BytesIO()
    hdus.writeto(file)
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="checkpoints/galaxy-resnet", help="trained classifier (%(default)s)")
    parser.add_argument("--galaxies", type=int, default=60, help="that are drawn (%(default)s)")
    parser.add_argument("--surveys", nargs="+", choices=SEEING, default=list(SEEING), help="(all)")
    parser.add_argument("--largest", type=float, default=9.0, help="petroR90 in arcsec (%(default)s)")
    parser.add_argument("--seed", type=int, default=77, help="(%(default)s)")
    args = parser.parse_args()
    model, processor = load_classifier(args.model)
    found = {}
    for index in range(args.galaxies):
        rng = np.random.default_rng([args.seed, index])
        parameters = draw_parameters(rng)
        if parameters.kind == "star" or parameters.petro_r90 > args.largest:
            continue
        images = {("Galaxy Zoo", ""): Image.fromarray(render(parameters, np.random.default_rng([args.seed, index, 1])))}
        scene = draw_galaxy(parameters, np.random.default_rng([args.seed, index, 1]))
        for name in args.surveys:
            data = observed(scene, parameters, name, rng)
            images[name, "none"] = read_rgb(data)
            images[name, "preset"] = read_rgb(data, survey=name)
        pixels = processor(list(images.values()), return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            rows = class_probabilities(model, model(pixels)).probabilities.float().numpy()
        for key, row in zip(images, rows, strict=True):
            found.setdefault(key, []).append(row)
    known = np.array(found.pop(("Galaxy Zoo", "")))
    print(f"{len(known)} galaxies; class of the Galaxy Zoo picture, distance of the probabilities (total variation)")
    print("| survey | preset | same class | distance |\n|---|---|---|---|")
    for (name, preset), rows in found.items():
        same = (np.argmax(rows, 1) == known.argmax(1)).mean()
        print(f"| {name} | {preset} | {same:.2f} | {np.abs(rows - known).sum(1).mean() / 2:.3f} |")


if __name__ == "__main__":
    main()
