"""
From a table to a law and a prediction
======================================

A table of parameters, tokens and test losses is all it takes. This one has 35 runs:
seven sizes at each of five compute budgets.
"""

import scaling

records = scaling.read(
    "../isoflops.csv", columns={"N": "params", "D": "tokens", "L": "loss"}
)
records

# %%
# The table has no compute, so the reader took C = 6 N D, and says so. One law is
# fitted to all rows; a fifth of them, those of the highest compute, is foretold by a
# second fit that does not see them.

law = scaling.fit(records, "chinchilla", holdout=0.2)
law

# %%
# How large a model for 1e23 FLOPs, on how much data, and what loss may one expect? An
# interval says where the law may lie, a wider one where a single new run may.

scaling.predict(law, compute=1e23, codebook=32_000)

# %%
# Every result is an object as well, whose numbers have their full precision.

best = scaling.predict(law, compute=1e23).quantities
print(f"{best['N'].value:.3g} parameters, {best['N'].low:.3g} to {best['N'].high:.3g}")

# %%
# The figures: whether the runs bracket the best size, and whether the law fits them.

figures = scaling.figures(records, ["isoflop", "fit"])
figures["isoflop"]

# %%

figures["fit"]

# %%
# Do other ways of asking give another answer? Where they differ by more than their
# intervals, no single one of them should be believed.

scaling.fit(records, approach="all")
