"""A trained model at work: loaded, described, explained, exported."""
