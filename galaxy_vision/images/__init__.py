"""From any file to checked pixels: what is an image, decoding, FITS, the stretch, archives, and whether it looks like a galaxy."""
