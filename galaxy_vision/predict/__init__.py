"""Every galaxy of a catalogue into numbered Parquet parts, restartable."""
