"""Training and evaluation from a configuration, and what is done with a run: export, prediction, pictures."""
