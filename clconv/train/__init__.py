"""Training: optimisers, learning rate schedules, data sets, checkpoints, and the Trainer that joins them.

>>> from clconv.nn import models
>>> from clconv.train import SGD, Trainer, digits, random_shift, schedule
>>> train, test = digits(random_shift(1))                                                          # doctest: +SKIP
>>> trainer = Trainer(models.lenet5(), optimiser=SGD(lr=0.05, momentum=0.9))                       # doctest: +SKIP
>>> trainer.fit(train, epochs=10, validation=test, schedule=schedule.cosine(10, warmup=1))         # doctest: +SKIP
"""

from clconv.train import schedule
from clconv.train.checkpoint import load_weights, save_weights
from clconv.train.data import Dataset, random_shift
from clconv.train.digits import digits
from clconv.train.history import Epoch, Scores
from clconv.train.idx import idx_dataset, read_idx
from clconv.train.images import Preparation, image_folder, read_image
from clconv.train.optimiser import SGD, Adam, AdamW, Optimiser
from clconv.train.step import auxiliary, training_graph
from clconv.train.trainer import Trainer

__all__ = [
    "Adam", "AdamW", "Dataset", "Epoch", "Optimiser", "Preparation", "SGD", "Scores", "Trainer", "auxiliary", "digits",
    "idx_dataset", "image_folder", "load_weights", "random_shift", "read_idx", "read_image", "save_weights", "schedule",
    "training_graph",
]  # fmt: skip
