"""Pixel scale of a FITS header, and images of one field on one grid of pixels."""

import math
from typing import NamedTuple

import numpy as np
from astropy.coordinates import angular_separation
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

SAME_GRID = 0.1
"""Largest distance, in pixels, of the corners of two images on the same grid. Ours: no picture shows less."""
MIN_COVERED = 0.5
"""Least share of the grid that every band must cover. Ours: as of pixels that are not NaN."""
LINEAR_KEYS = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CDELT1", "CDELT2", "CROTA1", "CROTA2")
LINEAR_KEYS += tuple(f"{matrix}{row}_{column}" for matrix in ("CD", "PC") for row in (1, 2) for column in (1, 2))


class Band(NamedTuple):
    """One plane with its header, and what a message calls it."""

    plane: np.ndarray
    header: fits.Header
    name: str


def pixel_scale(header: fits.Header) -> float | None:
    """The side of a pixel in arcsec, the geometric mean of both; None without a celestial WCS.

    Only the linear part of the WCS is read, at its reference pixel, so that neither a distortion nor a hostile header
    makes work.
    """
    try:
        scale = _linear_scale(header)
    except Exception:  # wcslib and astropy raise many classes, and an image with a wrong header is an image
        return None
    return scale if 0 < scale < math.inf else None


def _linear_scale(header: fits.Header) -> float:
    """As :func:`pixel_scale`, 0 without a celestial WCS; raises whatever wcslib and astropy do."""
    kinds = [header.get(f"CTYPE{axis}") for axis in (1, 2)]
    values = {key: header[key] for key in LINEAR_KEYS if key in header}
    if not all(isinstance(kind, str) and len(kind) >= 5 for kind in kinds):
        return 0.0
    if any(not isinstance(value, int | float) for value in values.values()):
        return 0.0
    linear = fits.Header({f"CTYPE{axis}": kind[:5] + "TAN" for axis, kind in enumerate(kinds, 1)})
    linear.update(values)
    linear.update(_units(header))
    # Without its fixes, which warn, and warnings cannot be silenced for one thread alone.
    wcs = WCS(linear, fix=False)
    return 3600 * math.sqrt(math.prod(proj_plane_pixel_scales(wcs))) if wcs.has_celestial else 0.0


def _units(header: fits.Header) -> dict[str, str]:
    """CUNIT of both axes; ``degree`` and the like as ``deg``, which is the only one that wcslib knows."""
    units = {key: str(header[key]).strip().lower() for key in ("CUNIT1", "CUNIT2") if key in header}
    return {key: "deg" if unit.startswith("deg") else unit for key, unit in units.items()}


def _sky(band: Band) -> WCS | None:
    """The celestial WCS of a band; None if its header has none.

    Raises:
        ValueError: it cannot be read.
    """
    if pixel_scale(band.header) is None:
        return None
    try:
        return WCS(_with_units(band.header), fix=False).celestial
    except Exception as error:  # as above; here the positions are needed
        reason = str(error).strip().splitlines()[:1]
        raise ValueError(f"the WCS of {band.name} cannot be read ({''.join(reason)}); mend its header") from error


def _with_units(header: fits.Header) -> fits.Header:
    copy = header.copy()
    copy.update(_units(header))
    return copy


def _corners(band: Band, sky: WCS) -> np.ndarray:
    """Right ascension and declination (or other two angles) of the four corner pixels, in radians."""
    height, width = band.plane.shape
    x, y = np.array([0, width - 1, 0, width - 1]), np.array([0, 0, height - 1, height - 1])
    return np.radians(sky.pixel_to_world_values(x, y))


def _is_same_grid(first: Band, first_sky: WCS, second: Band, second_sky: WCS) -> bool:
    if list(first_sky.wcs.ctype)[0][:4] != list(second_sky.wcs.ctype)[0][:4]:
        return False
    distances = angular_separation(*_corners(first, first_sky), *_corners(second, second_sky))
    return bool(np.nanmax(np.degrees(distances)) * 3600 < SAME_GRID * pixel_scale(first.header))


def aligned(bands: list[Band]) -> tuple[list[np.ndarray], fits.Header, str]:
    """The planes of these bands on one grid.

    Bands of one size are left as they are if their WCS is the same, or if none has one. Others are interpolated on the
    grid of the band with the smallest pixels by ``reproject``.

    Returns:
        Planes of one shape, NaN where a band does not cover the grid; the header of the grid; and what was done, empty
        if nothing.

    Raises:
        ValueError: they differ and cannot be aligned.
    """
    sizes = {band.plane.shape for band in bands}
    skies = [_sky(band) for band in bands]
    if len(sizes) == 1 and all(sky is None for sky in skies):
        return [band.plane for band in bands], bands[0].header, ""
    listed = ", ".join(f"{band.name} {band.plane.shape[1]}x{band.plane.shape[0]}" for band in bands)
    if without := [band.name for band, sky in zip(bands, skies, strict=True) if sky is None]:
        why = "differ in size" if len(sizes) > 1 else "cannot be compared"
        raise ValueError(
            f"the bands {why} ({listed}), and {', '.join(without)} has no celestial WCS to align it by; "
            "give images of one size and WCS"
        )
    pairs = list(zip(bands, skies, strict=True))
    if len(sizes) == 1 and all(_is_same_grid(*pairs[0], *pair) for pair in pairs[1:]):
        return [band.plane for band in bands], bands[0].header, ""
    try:
        from reproject import reproject_interp
    except ImportError as error:
        raise ValueError(
            f"the bands differ in size or WCS ({listed}), and reproject, which aligns them, is not installed; "
            "pip install 'galaxy_vision[sky]'"
        ) from error
    reference, grid = min(pairs, key=lambda pair: pixel_scale(pair[0].header))
    planes = []
    for band, sky in pairs:
        if band is reference:
            planes.append(band.plane)
            continue
        plane, covered = reproject_interp(
            (band.plane.astype(np.float64), sky), grid, shape_out=reference.plane.shape, order="bilinear"
        )
        if covered.mean() < MIN_COVERED:
            raise ValueError(
                f"{band.name} covers {covered.mean():.0%} of the sky of {reference.name}, less than half; "
                "give images of one field"
            )
        planes.append(plane)
    return planes, reference.header, f"aligned by WCS to {reference.name}"
