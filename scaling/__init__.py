"""Find scaling laws of tokenized data: train a grid, fit laws, draw figures."""

__version__ = "0.1.0"
