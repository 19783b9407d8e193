"""Imported last by the forkserver: what it holds now is for its children to share."""

from __future__ import annotations

import gc
import sys

if any("forkserver" in word for word in sys.orig_argv):
    gc.freeze()  # to look for garbage among imports would copy their pages
    gc.enable()
