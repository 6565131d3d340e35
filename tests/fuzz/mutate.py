"""One mutant: a model changed in one to three places, then, now and then, in single bytes of the file.

Which mutant a number stands for depends on nothing but the run's seed and the number. Some mutations keep a model whole (another batch,
hostile names, an operation more); others break one rule each, which is what a careless or hostile file does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.fuzz import edges, harmless, tensors
from tests.fuzz.attributes import add_attribute, change_attribute, drop_attribute, retype_attribute
from tests.fuzz.seeds import SEEDS

Generator = np.random.Generator
Mutation = Callable[[Any, Generator], bool]

MUTATIONS: tuple[tuple[int, Mutation], ...] = (
    (10, harmless.rename_all),
    (9, harmless.other_sizes),
    (9, harmless.insert_operation),
    (6, harmless.insert_identity),
    (6, harmless.other_weights),
    (4, harmless.unused_node),
    (4, harmless.another_output),
    (4, harmless.talk),
    (3, harmless.reorder_initializers),
    (12, change_attribute),
    (3, drop_attribute),
    (2, add_attribute),
    (2, retype_attribute),
    (4, tensors.change_whole_numbers),
    (3, tensors.reshape),
    (2, tensors.retype),
    (2, tensors.truncate),
    (2, tensors.not_numbers),
    (1, tensors.elsewhere),
    (4, edges.change_dimension),
    (5, edges.rewire),
    (2, edges.drop_input),
    (2, edges.repeat_input),
    (2, edges.loop),
    (2, edges.name_twice),
    (3, edges.remove_node),
    (3, edges.repeat_node),
    (2, edges.swap_nodes),
    (4, edges.other_operator),
    (1, edges.unknown_operator),
    (4, edges.other_version),
)
BYTES_SHARE = 0.06
"""Of the mutants that also have bytes flipped, inserted or cut off."""


@dataclass(frozen=True)
class Mutant:
    """The bytes of a file, and how they came about."""

    number: int
    data: bytes
    history: tuple[str, ...]


def mutant(seed: int, number: int) -> Mutant:
    rng = np.random.default_rng((seed, number))
    origin = SEEDS[number % len(SEEDS)]
    proto, history = origin.model(), [origin.name]
    shares = np.array([weight for weight, _ in MUTATIONS], float)
    wanted = int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))
    while len(history) <= wanted:
        mutation = MUTATIONS[rng.choice(len(MUTATIONS), p=shares / shares.sum())][1]
        if mutation(proto, rng):
            history.append(mutation.__name__)
    data = proto.SerializeToString(deterministic=True)
    if rng.random() < BYTES_SHARE:
        data = damaged(data, rng)
        history.append("damaged")
    return Mutant(number, data, tuple(history))


def damaged(data: bytes, rng: Generator) -> bytes:
    """Up to four bytes flipped, inserted or taken out, or the end cut off."""
    changed = bytearray(data)
    if rng.random() < 0.2:
        return bytes(changed[: rng.integers(len(changed))])
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(len(changed)))
        match int(rng.integers(3)):
            case 0:
                changed[place] ^= 1 << int(rng.integers(8))
            case 1:
                changed.insert(place, int(rng.integers(256)))
            case _:
                del changed[place]
    return bytes(changed)
