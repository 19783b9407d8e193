"""Runs: corpora, the grid, training, evaluation, the run store, the launcher."""
