"""The end of a training whose numbers are no longer finite, by the step and the tensor."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from lsec.core.errors import Untrainable


def require_finite(loss: float, parameters: Mapping[str, Tensor], *, step: int, learning_rate: float) -> None:
    """Untrainable, naming the step and what went wrong in it, unless loss and parameters are finite.

    Looked at after every step, so that what is not finite became so in this one. That is cheap: a tensor's
    sum is finite only if all its values are, and the sums are read together.
    """
    values = {name: each.detach() for name, each in parameters.items() if each.is_floating_point()}
    if math.isfinite(loss) and _sums_are_finite(list(values.values())):
        return
    broken = {name: count for name, each in values.items() if (count := int((~each.isfinite()).sum()))}
    named = ", ".join(f"{name} ({count:,} of {values[name].numel():,})" for name, count in broken.items())
    remedy = f"Lower learning_rate, now {learning_rate:g}."
    if not math.isfinite(loss):
        then = f", and with it the gradients of {named}" if named else ""
        raise Untrainable(f"The loss is {loss} at step {step}{then}.", remedy=remedy)
    if broken:
        raise Untrainable(
            f"The gradients of step {step}, whose loss is {loss:.4g}, leave parameters that are not finite: "
            f"{named}.",
            remedy=remedy,
        )


def _sums_are_finite(tensors: list[Tensor]) -> bool:
    if not tensors:
        return True
    # In single precision also for narrower ones, whose own range a sum may leave.
    sums = torch.stack([tensor.sum(dtype=torch.float32) for tensor in tensors])
    return bool(sums.isfinite().all())
