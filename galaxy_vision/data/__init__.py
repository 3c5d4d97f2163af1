"""Data sets: their columns, votes and labels; how they are loaded, written, cached and made into batches."""
