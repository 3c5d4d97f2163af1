"""Find galaxies of a predicted catalogue: by a sentence, by an example, with a probability for each claim."""
