"""The torch twin of controller.core.network: the same forward pass, to be differentiated. Weights go out as float32.

Every head begins at zero output: training starts at the law `adaptive`, and what it does not earn it does not say.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from controller.core import network
from controller.line.description import Array

Weights = dict[str, npt.NDArray[np.float32]]

USUAL_STEP = 0.015  # of a batch in areal density: what is believed where nobody has learnt better
FIRST_WEIGHT2 = 0.05  # variance of the predictors' weights that training begins with
WEIGHT2 = (1e-4, 0.9)  # bounds of what it may make of it
INNER = ("w1", "b1", "w2", "b2", "w3", "b3")


class Head(nn.Module):
    """A head of gated filters; see controller.core.network.coefficients."""

    centre: Tensor
    scale: Tensor

    def __init__(self, context: int, outputs: int, hidden: int, bound: float, generator: torch.Generator) -> None:
        super().__init__()
        self.bound = bound
        self.register_buffer("centre", torch.zeros(context))
        self.register_buffer("scale", torch.ones(context))
        self.w1 = nn.Parameter(torch.randn(context, hidden, generator=generator) / math.sqrt(context))
        self.b1 = nn.Parameter(torch.zeros(hidden))
        self.w2 = nn.Parameter(torch.randn(hidden, hidden, generator=generator) / math.sqrt(hidden))
        self.b2 = nn.Parameter(torch.zeros(hidden))
        self.w3 = nn.Parameter(torch.zeros(hidden, outputs))
        self.b3 = nn.Parameter(torch.zeros(outputs))

    def usual(self, context: Tensor) -> None:
        """Take the centre and scale of what is usual from samples (samples, context)."""
        self.centre.copy_(context.mean(dim=0))
        self.scale.copy_(context.std(dim=0).clamp(min=0.05))

    def coefficients(self, context: Tensor, taps: int) -> Tensor:
        """(..., predictors, taps) by context (..., context)."""
        hidden = torch.tanh(((context - self.centre) / self.scale) @ self.w1 + self.b1)
        hidden = torch.tanh(hidden @ self.w2 + self.b2)
        raw = hidden @ self.w3 + self.b3
        raw = raw.reshape(*raw.shape[:-1], -1, taps)
        return self.bound * raw / (1.0 + raw.abs().sum(dim=-1, keepdim=True))

    def forward(self, context: Tensor, taps: Tensor) -> Tensor:
        """What the head makes of taps (..., taps), by context (..., context): (..., predictors)."""
        return (self.coefficients(context, taps.shape[-1]) * taps[..., None, :]).sum(dim=-1)

    def exported(self, name: str) -> Weights:
        tensors = {"centre": self.centre, "scale": self.scale, **{part: getattr(self, part) for part in INNER}}
        return {f"{name}.{part}": _single(tensor) for part, tensor in tensors.items()}


class Heads(nn.Module):
    """The network as it is trained. weight, weight2 (MEAN_PREDICTORS,): of the predictors, and how far a line's own
    weights lie from them; batch_sd (KNOWN_STEPS,), log."""

    def __init__(self, hidden: int, batch_hidden: int, seed: int) -> None:
        super().__init__()
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        outputs = network.MEAN_PREDICTORS * network.MEAN_TAPS
        self.mean = Head(network.MEAN_CONTEXT, outputs, hidden, network.MEAN_BOUND, generator)
        self.batch = Head(network.BATCH_CONTEXT, network.BATCH_TAPS, batch_hidden, network.BATCH_BOUND, generator)
        self.weight = nn.Parameter(torch.eye(1, network.MEAN_PREDICTORS)[0])
        self.weight2_log = nn.Parameter(torch.full((network.MEAN_PREDICTORS,), math.log(FIRST_WEIGHT2)))
        self.batch_sd = nn.Parameter(torch.full((network.KNOWN_STEPS,), math.log(USUAL_STEP)))

    @classmethod
    def silent(cls, like: Heads) -> Heads:
        """Heads of the same shapes that know the same of batches and of what is usual, and foresee nothing."""
        heads = cls(like.mean.b1.numel(), like.batch.b1.numel(), like.seed)
        heads.batch.load_state_dict(like.batch.state_dict())
        heads.mean.centre.copy_(like.mean.centre)
        heads.mean.scale.copy_(like.mean.scale)
        heads.batch_sd.data.copy_(like.batch_sd.data)
        return heads

    @property
    def prior(self) -> Tensor:
        """The predictors' weights before a line has taught anything, within +-1."""
        return self.weight.clamp(-1.0, 1.0)

    @property
    def weight2(self) -> Tensor:
        return self.weight2_log.exp().clamp(*WEIGHT2)

    @classmethod
    def of(cls, tensors: Weights) -> Heads:
        """Heads with these weights, to be trained further; the inverse of `exported`."""
        heads = cls(tensors["mean.b1"].size, tensors["batch.b1"].size, 0)
        state = {name: np.array(tensors[name]) for name in heads.state_dict() if name in tensors}
        state |= {"weight": tensors["mean.weight"], "weight2_log": np.log(tensors["mean.weight2"])}
        state |= {"batch_sd": tensors["batch.sd"]}
        heads.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
        return heads

    def exported(self) -> Weights:
        """Tensors by the names that controller.core.network.from_tensors reads."""
        return {
            **self.mean.exported("mean"),
            "mean.weight": _single(self.prior),
            "mean.weight2": _single(self.weight2),
            **self.batch.exported("batch"),
            "batch.sd": _single(self.batch_sd),
        }


def plain(heads: Heads) -> network.Network:
    """The network as the controller runs it, with the weights as they would be exported."""
    return network.from_tensors({name: tensor.astype(np.float64) for name, tensor in heads.exported().items()})


def beside(heads: Heads) -> network.Network:
    """The network that sits beside while lines are recorded: it knows batches, and says nothing else."""
    learnt = plain(heads)
    return network.blank()._replace(batch=learnt.batch, batch_sd=learnt.batch_sd)


def _single(tensor: Tensor) -> npt.NDArray[np.float32]:
    return np.array(tensor.detach().numpy(), dtype=np.float32)


def tensor(values: Array) -> Tensor:
    """Single precision, as training reckons."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
