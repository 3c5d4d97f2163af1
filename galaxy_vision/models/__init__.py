"""The models, their configurations and processors: what travels with saved weights, and imports its siblings only."""
