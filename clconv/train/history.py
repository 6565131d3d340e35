"""What a training run was like, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scores:
    """An evaluation: mean loss, and the share of right answers (None where targets are no class numbers)."""

    loss: float
    accuracy: float | None = None


@dataclass(frozen=True)
class Epoch:
    """One epoch, counted from 1. `loss` is the mean over its examples while training, `learning_rate` that of its last step.

    `seconds` and `examples_per_second` leave evaluation out; in an epoch that was interrupted and resumed they cover the second part.
    """

    number: int
    loss: float
    learning_rate: float
    seconds: float
    examples_per_second: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None

    def __str__(self) -> str:
        parts = [f"epoch {self.number:3d}  loss {self.loss:.4f}"]
        if self.validation_loss is not None:
            parts.append(f"validation {self.validation_loss:.4f}")
        if self.validation_accuracy is not None:
            parts.append(f"accuracy {100 * self.validation_accuracy:.1f} %")
        return "  ".join([*parts, f"{self.seconds:.2f} s", f"{self.examples_per_second:,.0f}/s"])
