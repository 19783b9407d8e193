"""
A law of your own
=================

A law is its formula and its parameters; gradients and starts follow from the text.
This one has Kaplan's shape with a floor: size and data limit each other.
"""

import scaling
from scaling.analysis.formula import Formula, Parameter
from scaling.analysis.selection import compare_laws

LAW = Formula(
    name="skewed",
    text="E + (A / N**(alpha / beta) + B / D)**beta",
    inputs=("N", "D"),
    parameters=(
        Parameter(name="E", unit="nats", floor=True, lower=0, starts=(1.0, 1.7)),
        Parameter(name="A", scale=True, starts=(1.0,), per="N**(alpha / beta)"),
        Parameter(name="B", scale=True, starts=(1.0,), per="D"),
        Parameter(name="alpha", lower=0.05, upper=1, starts=(0.2, 0.35, 0.5)),
        Parameter(name="beta", lower=0.05, upper=1, starts=(0.2, 0.35, 0.5)),
    ),
)

# %%
# It is fitted as the built-in ones are, here with intervals read off profile
# likelihoods, which need not be symmetric.

records = scaling.read(
    "../isoflops.csv", columns={"N": "params", "D": "tokens", "L": "loss"}
)
scaling.fit(records, LAW, interval="profile")

# %%
# Nothing speaks against it, and yet: does it predict better than Chinchilla's? All laws
# are fitted below several cuts of compute, and scored above them.

compare_laws(records, [LAW, "chinchilla", "chinchilla-tied"])

# %%
# It does not: in these runs what size lacks and what data lack add up. A file that
# declares one ``Formula`` serves the commands as well, as in
# ``scaling fit losses.csv --law my_law.py``.
