"""Median and quantile of few numbers; NumPy's take several times as long, since they look for NaN and weights."""

import numpy as np


def median_of(values: np.ndarray) -> np.ndarray:
    """Median along the last axis, (..., N) to (...)."""
    half = (values.shape[-1] - 1) // 2, values.shape[-1] // 2
    ordered = np.partition(values, half, axis=-1)
    return (ordered[..., half[0]].astype(float) + ordered[..., half[1]]) / 2


def quantile_of(values: np.ndarray, share: float) -> float:
    """Quantile of all values below 1, by linear interpolation."""
    position = share * (values.size - 1)
    below = int(position)
    ordered = np.partition(values.ravel(), (below, min(below + 1, values.size - 1)))
    low, high = float(ordered[below]), float(ordered[min(below + 1, values.size - 1)])
    return low + (position - below) * (high - low)
