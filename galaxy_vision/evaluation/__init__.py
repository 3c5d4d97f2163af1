"""Scores of a split, and what is written of them: tables, figures, model card."""
