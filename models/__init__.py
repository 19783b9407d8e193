"""Model core: tokenizer, transformer, sizes, FLOPs, motion; no files, no grids."""
