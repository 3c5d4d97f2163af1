"""Parameters of simulated galaxies and of their observation, and the population that they are drawn from.

The distributions in :func:`draw_parameters` are ours: they were fitted to the image statistics and the mean votes of
Galaxy Zoo 2 images (lab_notes.md, "Simulation").
"""

import math
from dataclasses import dataclass

import numpy as np

IMAGE_SIZE = 212  # stored pixels: the 424 px cut-out of Willett et al. (2013), halved
PIXELS_PER_R90 = 25.0  # 424 px at 0.02 x petroR90 arcsec (Willett et al. 2013, section 2) are 212 px at 0.04 x petroR90
SDSS_PIXEL = 0.396  # arcsec (Gunn et al. 1998)
MEDIAN_SEEING = 1.3  # arcsec FWHM in r (SDSS DR7, Abazajian et al. 2009)
ZERO_POINT = 22.5  # magnitude of one nanomaggy, the SDSS flux unit
MAGNITUDE_LIMIT = 17.0  # r band, the main sample of Galaxy Zoo 2 (Willett et al. 2013)
MINIMUM_R90 = 3.0  # arcsec, the size cut of Galaxy Zoo 2 (Willett et al. 2013)
KINDS = {
    "elliptical": 0.253,
    "lenticular": 0.11,
    "spiral": 0.26,
    "barred spiral": 0.15,
    "edge-on disc": 0.10,
    "irregular": 0.04,
    "disturbed": 0.03,
    "merger": 0.045,
    "star": 0.012,
}
"""Share of each true morphology. Ours: about half of the votes are then "smooth", as in Galaxy Zoo 2."""
ARTIFACTS = {"none": 0.93, "frame edge": 0.01, "saturated star": 0.025, "satellite trail": 0.015, "dropped line": 0.02}
"""Share of images with each artefact. Ours: a few of a hundred images."""


@dataclass(frozen=True)
class GalaxyParameters:
    """The true parameters of one simulated galaxy and its observation.

    Angles are in radians, lengths in units of the intrinsic R90 unless another unit is named.

    Attributes:
        kind: a key of :data:`KINDS`.
        petro_r90: observed radius of 90 % of the Petrosian flux in r, arcsec; it sets the scale of the image.
        seeing: FWHM of the point spread function, arcsec.
        r_magnitude: apparent magnitude in r.
        color_bulge: g - r of the old light, magnitudes.
        color_disc: g - r of the young light, magnitudes.
        position_angle: angle of the major axis.
        axis_ratio: projected minor over major axis, before the seeing.
        bulge_fraction: share of the flux in the bulge, 1 for an elliptical.
        bulge_radius: half-light radius of the bulge.
        sersic_index: Sersic index of the bulge or elliptical.
        band_shift: misalignment of g and i with respect to r, arcsec.
        noise: factor on the sky noise.
        sky: residual sky after subtraction, nanomaggies per pixel.
        artifact: a key of :data:`ARTIFACTS`.
        artifact_angle: direction of the artefact.
        artifact_offset: distance of the artefact from the centre.
        bulge_shape: ``rounded``, ``boxy`` or ``none``, as seen in edge-on discs.
        arm_count: number of spiral arms, 0 for none; more than 5 make a flocculent disc.
        pitch_angle: pitch angle of the logarithmic arms.
        handedness: sense of the arms, +1 or -1.
        arm_contrast: share of the disc's light that follows the arms, 0 to 1.
        arm_reach: radius at which the arms fade.
        bar_length: semi-major axis of the bar, 0 for none.
        bar_strength: share of the flux in the bar.
        bar_angle: angle of the bar in the plane of the disc.
        ring_radius: radius of the ring.
        ring_strength: share of the flux in the ring.
        dust: optical depth in g, of the lane of an edge-on disc or of the inner edges of arms.
        clumpiness: standard deviation of the log brightness of star-forming clumps.
        asymmetry: offset of the outer light.
        tail_strength: share of the flux in tidal tails.
        arc_strength: share of the flux in a lensed arc.
        companion_distance: distance of a merging galaxy.
        companion_angle: direction of a merging galaxy.
        companion_flux: flux of a merging galaxy relative to the target, 0 for none.
    """

    kind: str
    petro_r90: float
    seeing: float
    r_magnitude: float
    color_bulge: float
    color_disc: float
    position_angle: float
    axis_ratio: float
    bulge_fraction: float
    bulge_radius: float
    sersic_index: float
    band_shift: float
    noise: float
    sky: float
    artifact: str
    artifact_angle: float
    artifact_offset: float
    bulge_shape: str = "rounded"
    arm_count: int = 0
    pitch_angle: float = 0.3
    handedness: int = 1
    arm_contrast: float = 0.0
    arm_reach: float = 1.0
    bar_length: float = 0.0
    bar_strength: float = 0.0
    bar_angle: float = 0.0
    ring_radius: float = 0.8
    ring_strength: float = 0.0
    dust: float = 0.0
    clumpiness: float = 0.0
    asymmetry: float = 0.0
    tail_strength: float = 0.0
    arc_strength: float = 0.0
    companion_distance: float = 1.0
    companion_angle: float = 0.0
    companion_flux: float = 0.0

    @property
    def pixel_scale(self) -> float:
        """Scale of the stored image, arcsec per pixel."""
        return self.petro_r90 / PIXELS_PER_R90

    @property
    def blur(self) -> float:
        """FWHM of the seeing and the SDSS pixel together, in stored pixels."""
        return float(math.hypot(self.seeing, 0.5 * SDSS_PIXEL)) / self.pixel_scale

    @property
    def radius(self) -> float:
        """Intrinsic R90 in stored pixels: the observed one with the seeing subtracted in quadrature."""
        return PIXELS_PER_R90 * math.sqrt(max(1.0 - (0.9 * self.blur / PIXELS_PER_R90) ** 2, 0.2))

    @property
    def flux(self) -> float:
        """Flux in r in nanomaggies, scaled so that its spread over stored pixels is per SDSS pixel area."""
        return 10 ** (0.4 * (ZERO_POINT - self.r_magnitude)) * (SDSS_PIXEL / self.pixel_scale) ** 2


def draw_parameters(rng: np.random.Generator) -> GalaxyParameters:
    """Draw the parameters of one galaxy from a population like that of Galaxy Zoo 2."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    is_disc = kind in ("spiral", "barred spiral", "edge-on disc", "irregular", "disturbed")
    magnitude = max(MAGNITUDE_LIMIT - rng.exponential(0.9), 13.5)
    log_r90 = 0.79 + 0.05 * is_disc + 0.15 * (16.4 - magnitude) + rng.normal(0, 0.14)
    values = dict(
        kind=kind,
        petro_r90=float(np.clip(10**log_r90, MINIMUM_R90, 40.0)),
        seeing=MEDIAN_SEEING * rng.lognormal(0, 0.12),
        r_magnitude=magnitude,
        color_bulge=rng.normal(0.88, 0.09),
        color_disc=rng.normal(0.42, 0.10),
        position_angle=rng.uniform(0, np.pi),
        axis_ratio=rng.uniform(0.28, 1.0),  # discs at random inclinations have a flat distribution
        bulge_fraction=1.0,
        bulge_radius=0.75,
        sersic_index=rng.uniform(2.5, 5.0),
        band_shift=rng.normal(0, 0.05),
        noise=rng.lognormal(0, 0.12),
        sky=rng.normal(0.012, 0.006),
        artifact=str(rng.choice(list(ARTIFACTS), p=list(ARTIFACTS.values()))),
        artifact_angle=rng.uniform(0, 2 * np.pi),
        artifact_offset=rng.uniform(0.5, 2.5),
    )
    if kind == "elliptical":
        values.update(axis_ratio=1.0 - 0.65 * rng.beta(1.1, 2.4), sersic_index=rng.uniform(2.2, 4.5))
        values.update(arc_strength=rng.uniform(0.02, 0.06) if rng.random() < 0.03 else 0.0)
    elif kind == "lenticular":
        values.update(
            axis_ratio=rng.uniform(0.4, 1.0),
            bulge_fraction=rng.uniform(0.25, 0.65),
            bulge_radius=rng.uniform(0.1, 0.2),
            color_disc=rng.normal(0.75, 0.08),
        )
        if rng.random() < 0.2:
            values.update(
                bar_length=rng.uniform(0.35, 0.6), bar_strength=rng.uniform(0.1, 0.25), bar_angle=rng.uniform(0, np.pi)
            )
        if rng.random() < 0.15:
            values.update(ring_strength=rng.uniform(0.1, 0.3), ring_radius=rng.uniform(0.5, 0.9))
    elif kind in ("spiral", "barred spiral"):
        values.update(_draw_spiral(rng, barred=kind == "barred spiral"))
    elif kind == "edge-on disc":
        shape = str(rng.choice(["rounded", "boxy", "none"], p=[0.6, 0.12, 0.28]))
        fraction = 0.0 if shape == "none" else rng.uniform(0.15, 0.5)
        values.update(
            axis_ratio=rng.uniform(0.05, 0.16),
            bulge_shape=shape,
            bulge_fraction=fraction,
            sersic_index=rng.uniform(1, 3),
        )
        values.update(bulge_radius=rng.uniform(0.10, 0.2), color_disc=rng.normal(0.62, 0.12))
        values.update(dust=rng.uniform(0.5, 2.5) if rng.random() < 0.35 else 0.0)
    elif kind == "irregular":
        values.update(
            bulge_fraction=rng.uniform(0, 0.1), bulge_radius=0.1, sersic_index=1.0, color_disc=rng.normal(0.25, 0.1)
        )
        values.update(clumpiness=rng.uniform(0.5, 1.1), asymmetry=rng.uniform(0.1, 0.35))
    elif kind == "disturbed":
        values.update(_draw_spiral(rng, barred=rng.random() < 0.3))
        values.update(
            asymmetry=rng.uniform(0.25, 0.55), clumpiness=rng.uniform(0.2, 0.8), tail_strength=rng.uniform(0.06, 0.25)
        )
    elif kind == "merger":
        values.update(_draw_spiral(rng, barred=False) if rng.random() < 0.5 else {"axis_ratio": rng.uniform(0.5, 1)})
        values.update(tail_strength=rng.uniform(0.03, 0.25), asymmetry=rng.uniform(0.0, 0.4))
        values.update(companion_distance=rng.uniform(0.45, 1.3), companion_angle=rng.uniform(0, 2 * np.pi))
        values.update(companion_flux=rng.uniform(0.25, 1.0))
    return GalaxyParameters(**values)


def _draw_spiral(rng: np.random.Generator, barred: bool) -> dict[str, float | int]:
    """Draw the parameters that make a galaxy a spiral."""
    count = int(rng.choice([1, 2, 3, 4, 5, 7], p=[0.03, 0.55, 0.17, 0.09, 0.05, 0.11]))
    bulge = rng.choice(
        [rng.uniform(0, 0.03), rng.uniform(0.03, 0.15), rng.uniform(0.15, 0.35), rng.uniform(0.35, 0.6)],
        p=[0.1, 0.4, 0.4, 0.1],
    )
    values = dict(
        bulge_fraction=float(bulge),
        bulge_radius=0.06 + 0.2 * float(bulge),
        sersic_index=rng.uniform(1.0, 3.0),
        arm_count=count,
        pitch_angle=math.radians(min(max(rng.gamma(5.0, 3.2), 6.0), 40.0)),
        handedness=int(rng.choice([-1, 1])),
        arm_contrast=rng.uniform(0.3, 0.9),
        arm_reach=rng.uniform(0.75, 1.25),
        bar_angle=rng.uniform(0, np.pi),
        dust=rng.uniform(0, 0.6),
        clumpiness=rng.uniform(0.1, 0.7),
    )
    if barred:
        values.update(bar_length=rng.uniform(0.25, 0.55), bar_strength=rng.uniform(0.08, 0.25))
    if rng.random() < 0.08:
        values.update(ring_strength=rng.uniform(0.1, 0.3), ring_radius=rng.uniform(0.45, 0.9))
    return values
