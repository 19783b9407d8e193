"""Counts optimiser steps in every process that has this folder on its PYTHONPATH.

A byte is appended to $COUNTED/PID at each step, by torch's own global hook, so that
the steps of all orchestrators are counted alike and what a kill undid is counted too.
"""

import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

OPTIMIZER = "torch.optim.optimizer"


def count(*_: object) -> None:
    """Note one step."""
    path = os.path.join(os.environ["COUNTED"], str(os.getpid()))
    with open(path, "ab", buffering=0) as file:
        file.write(b".")


class Hooking(Loader):
    """Loads torch's optimisers as ever, then hooks in."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Make the module as ever."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, and count from then on."""
        self.loader.exec_module(module)
        module.register_optimizer_step_post_hook(count)


class Finder(MetaPathFinder):
    """Finds torch's optimisers where they are."""

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        """Find the module as ever, with a loader of ours."""
        if name != OPTIMIZER:
            return None
        spec = PathFinder.find_spec(name, path)
        spec.loader = Hooking(spec.loader)
        return spec


if "COUNTED" in os.environ:
    sys.meta_path.insert(0, Finder())
