"""From any file to checked pixels: limits, decoding, FITS, the stretch, archives, and a test for galaxy-likeness."""
