"""Simulated galaxies, drawn from known parameters, and simulated volunteers who vote on them."""
