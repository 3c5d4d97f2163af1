"""Label galaxies of a catalogue in the browser, in the order that teaches most."""
