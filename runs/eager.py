"""What keeps torch's compiler out of processes that compile nothing.

torch's optimizers import `torch._dynamo`, only to tell it what not to compile, and
`torch.use_deterministic_algorithms` its settings: a second and 2,000 modules before the
first step. Here are both without; a run that does compile is to call torch's own.
"""

from __future__ import annotations

from inspect import unwrap

import torch


class AdamW(torch.optim.AdamW):
    """torch's AdamW, bit for bit and state for state."""

    add_param_group = unwrap(torch.optim.AdamW.add_param_group)
    zero_grad = unwrap(torch.optim.AdamW.zero_grad)
    state_dict = unwrap(torch.optim.AdamW.state_dict)
    load_state_dict = unwrap(torch.optim.AdamW.load_state_dict)
    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))


def repeat_bit_by_bit() -> None:
    """Choose algorithms that give the same bits each time; warn where there is none.

    torch would then also fill what is allocated and not yet written with NaN, which
    costs a pass over memory and changes nothing that is computed.
    """
    torch._C._set_deterministic_algorithms(True, warn_only=True)
    torch._C._set_deterministic_fill_uninitialized_memory(False)
