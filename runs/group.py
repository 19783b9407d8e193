"""The processes of one run: what each does alone, and what they do together.

A run on one process is a group of one, for which everything here is free. Every process
of a larger group must call the same methods in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from scaling.models.batch import Batch
from scaling.models.transformer import PrefixTransformer

Result = TypeVar("Result")

Loss = Callable[[Batch, bool], Tensor]

Kind = Literal["ddp", "fsdp"]
"""`ddp`: each process holds the whole model; `fsdp`: a share of it (FSDP2)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parallel:
    """How many processes a run has, and what they share; a launcher's slot has it."""

    processes: int = 1
    """Processes of each transformer run, on one device each."""
    kind: Kind = "ddp"
    """`ddp`: each holds the whole model; `fsdp`: a share of it (FSDP2)."""


ONE = Parallel()
"""One process per run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """One process's view of the group."""

    rank: int = 0
    """Which process this is; the first one logs and writes."""
    size: int = 1
    """Processes."""
    kind: Kind = "ddp"
    """What is shared."""

    @classmethod
    def join(cls, kind: Kind) -> Group:
        """Meet the other processes that torchrun started."""
        on_gpus = torch.cuda.is_available()
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo")
        return cls(rank=dist.get_rank(), size=dist.get_world_size(), kind=kind)

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        if self.size == 1:
            return flag
        flags = torch.tensor(int(flag))
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags)

    def sum(self, *numbers: float) -> list[float]:
        """Sum each number over the processes."""
        if self.size == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()

    def first(self, act: Callable[[], Result]) -> Result:
        """Let the first process act; all have the result."""
        if self.size == 1:
            return act()
        held = [act() if self.is_first else None]
        dist.broadcast_object_list(held, src=0, device=torch.device("cpu"))
        result: Result = held[0]  # type: ignore[assignment]
        return result

    def place(self, model: PrefixTransformer, device: str) -> Loss:
        """Put a model where it is trained, whole or shared; an optimiser comes after.

        Returns
        -------
        callable
            The model's loss of a batch, summed, whose gradients are averaged over the
            processes; the flag says whether the batch is the last before the update.
        """
        if self.size > 1 and self.kind == "fsdp":
            return _fully_sharded(model, device, self.size)
        model.to(device)
        if self.size > 1:
            return _replicated(model)
        return lambda batch, last: model.loss(batch)


ALONE = Group()
"""A run on one process."""


class _LossModule(nn.Module):
    """A model's loss as a forward pass, which is what DDP hooks into."""

    def __init__(self, model: PrefixTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        return self.model.loss(batch)


def _replicated(model: PrefixTransformer) -> Loss:
    replica = DistributedDataParallel(_LossModule(model), broadcast_buffers=False)

    def loss(batch: Batch, last: bool) -> Tensor:
        # gradients of parts add up where they are, and travel once
        replica.require_backward_grad_sync = last
        out: Tensor = replica(batch)
        return out

    return loss


def _fully_sharded(model: PrefixTransformer, device: str, size: int) -> Loss:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(torch.device(device).type, (size,))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for method in ("loss", "losses"):
        register_fsdp_forward_method(model, method)
    # gradients travel after every part: held whole, they would fill the memory again
    return lambda batch, last: model.loss(batch)
