"""Use trained models: load them, describe images, explain predictions, export."""
