"""
What ScaMo's laws rest on
=========================

The word ``scamo`` stands for the points that ScaMo's authors printed (CVPR 2025, arXiv
2412.14559): six model sizes from 44M to 3B, seven codebooks from 256 to 65,536.
"""

import scaling

study = scaling.fit("scamo")
study

# %%
# The laws are lines through the envelope, the runs that no cheaper one beats. The
# warnings say where such a line has little to stand on. The paper's own lines stand
# beside ours; where they agree, it is digit for digit.

for each in study.published:
    state = "agrees" if each.agrees else "DIFFERS"
    print(f"{each.equation}, {each.law}: {state}; {each.note}")

# %%
# The loss of the best runs falls by one nat with every decade of compute.

figures = scaling.figures("scamo", ["3a", "3b", "8"])
figures["3b"]

# %%
# The best codebook grows with the model ...

figures["3a"]

# %%
# ... but how clearly? Each curve is one model size over all codebooks; where its lowest
# point is at an end, the best codebook may lie beyond it.

figures["8"]

# %%
# Fitted without the dearest quarter of the envelope, how far do the laws miss it?

held = scaling.fit("scamo", holdout=0.25)
for name, error in held.holdout.errors.items():
    print(f"{name}: {error.n} points, off by {error.mean:+.3f} on average")
