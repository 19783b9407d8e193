"""
Train a grid and fit it
=======================

A whole study in seconds: two tokenizers for a few hundred procedural motions,
transformers of two sizes on their tokens, and what the losses say. It is far too small
to be believed, and says so itself.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import scaling

GRID = """
study: tiny
corpus: {kind: kinematic, sequences: 200}
tokenizers: {codebooks: [64, 256], width: 16, depth: 1, steps: 20, learning_rate: 0.002}
transformers:
  sizes: [1x1x16, 2x2x32]
  tokens: [2000, 8000]
  batch_size: 8
  evaluations: 3
seeds: [0]
"""

# %%
# A grid is one file. What is trained lands in a folder, the run store; to run the same
# grid again goes on where it stopped.

folder = TemporaryDirectory()
grid = Path(folder.name, "tiny.yaml")
grid.write_text(GRID)
store = scaling.run(grid, Path(folder.name, "tiny"), jobs=1)
scaling.status(store)

# %%
# The store is read as a table is.

records = scaling.read(store)
records

# %%
# The laws of the envelope, and what speaks against them.

scaling.fit(records)

# %%
# The training curves behind them, in the paper's manner.

scaling.figures(records, "2")["2"]

# %%

folder.cleanup()
