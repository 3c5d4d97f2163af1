"""Scores of a split, and the tables, figures and model cards that show them."""
