"""Galaxies drawn from known parameters, and the volunteers who vote on them."""
