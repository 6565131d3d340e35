"""Learning rate schedules: functions of the epoch that give a factor for the learning rate.

The epoch is a float: 2.5 is the middle of the third. Any such function will do, `lambda epoch: 0.95 ** epoch` for one; those here are
functions that return one. The factor is a run-time scalar of the optimiser step: nothing is built when it changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from clconv.errors import ClconvError

Schedule = Callable[[float], float]


def _length(name: str, epochs: float) -> float:
    if not epochs > 0:
        raise ClconvError(f"{name}: the number of epochs must be above 0, got {epochs!r}")
    return float(epochs)


def constant() -> Schedule:
    """1 throughout."""
    return lambda epoch: 1.0


def step_decay(every: int | Sequence[float], factor: float = 0.1) -> Schedule:
    """Times `factor` every so many epochs, or at each epoch of a list (He et al. 2016 divide by 10 at two or three such).

    >>> decay = step_decay(30)
    >>> decay(29.9), decay(30.0), round(decay(60.0), 6)
    (1.0, 0.1, 0.01)
    """
    if isinstance(every, Sequence):
        milestones = sorted(every)
        return lambda epoch: factor ** sum(epoch >= milestone for milestone in milestones)
    length = _length("step_decay", every)
    return lambda epoch: factor ** math.floor(epoch / length)


def exponential(factor: float) -> Schedule:
    """factor^epoch, falling smoothly within the epochs too."""
    return lambda epoch: factor**epoch


def cosine(epochs: float, warmup: float = 0.0, final: float = 0.0) -> Schedule:
    """Linearly up to 1 over `warmup` epochs, then half a cosine down to `final` at `epochs` (Loshchilov and Hutter 2017, without restarts).

    >>> down = cosine(10, warmup=2)
    >>> down(1.0), down(2.0), round(down(6.0), 6), down(10.0)
    (0.5, 1.0, 0.5, 0.0)
    """
    length = _length("cosine", epochs)
    if not 0 <= warmup < length:
        raise ClconvError(f"cosine: warmup must lie within the {epochs} epochs, got {warmup!r}")

    def factor(epoch: float) -> float:
        if epoch < warmup:
            return epoch / warmup
        done = min(1.0, (epoch - warmup) / (length - warmup))
        return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * done))

    return factor


def one_cycle(epochs: float, peak: float = 0.3, start: float = 0.04, end: float = 1e-4) -> Schedule:
    """From `start` up to 1 at the fraction `peak` of the epochs, then down to `end`, both along half a cosine (Smith and Topin 2018).

    >>> cycle = one_cycle(10)
    >>> cycle(0.0), cycle(3.0), round(cycle(10.0), 6)
    (0.04, 1.0, 0.0001)
    """
    length = _length("one_cycle", epochs)
    if not 0 < peak < 1:
        raise ClconvError(f"one_cycle: peak is the fraction of the epochs at which the rate is highest, between 0 and 1; got {peak!r}")

    def factor(epoch: float) -> float:
        done = min(1.0, epoch / length)
        low, share = (start, done / peak) if done < peak else (end, (1.0 - done) / (1.0 - peak))
        return low + (1.0 - low) * 0.5 * (1.0 - math.cos(math.pi * share))

    return factor
