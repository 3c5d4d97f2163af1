"""Galaxy images to morphological classes, Galaxy Zoo votes, captions and heat maps."""

__version__ = "0.1.0"
