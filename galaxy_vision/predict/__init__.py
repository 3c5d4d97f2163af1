"""Describe every galaxy of a catalogue in numbered Parquet parts, resumably."""
