"""Training on real data: the accuracy that a topology reaches, everything else being equal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nfcompile.data import Dataset
from nfcompile.errors import InputError
from nfcompile.models.cascade_mlp import cascade_mlp
from nfcompile.nn.init import Init
from nfcompile.topology import Topology

__all__ = ["Trained", "one_thread", "standardize", "train", "train_topology"]

BATCH = 64
RATE = 5e-3


@dataclass(frozen=True)
class Trained:
    """What a training run reached.

    Attributes:
        accuracy: Share of the test set that is classified right after the last epoch.
        losses: Mean training loss of each epoch, nats.
        parameters: Number of trained weights and biases.
    """

    accuracy: float
    losses: tuple[float, ...]
    parameters: int


@contextmanager
def one_thread() -> Iterator[None]:
    """Layers this small are not worth sharing between threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def standardize(dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Training and test inputs, shifted and scaled by the training set's mean and deviation.

    Both are one number for all features. Returns float32 `[N, features]` and `[M, features]`.
    """
    x, test_x = torch.from_numpy(dataset.train_x), torch.from_numpy(dataset.test_x)
    mean, deviation = x.mean(), x.std()
    return (x - mean) / deviation, (test_x - mean) / deviation


def train(
    module: nn.Module,
    dataset: Dataset,
    *,
    epochs: int = 20,
    rate: float = RATE,
    seed: int = 0,
    progress: Callable[[int], None] = lambda epoch: None,
) -> Trained:
    """Trains a classifier on standardized inputs with Adam, one cycle, batches of 64; tests it.

    Args:
        module: Maps `[N, features]` to scores `[N, classes]`; trained in place.
        dataset: What to train and test on.
        epochs: Passes over the training set.
        rate: Highest learning rate of the cycle.
        seed: Of the order of the samples.
        progress: Called after each epoch with its number, from one.

    Returns:
        Accuracy on the test set, and losses. A run that diverges has losses that are not
        numbers, and its accuracy is what the last weights give.

    Raises:
        InputError: If there is no epoch.
    """
    if epochs < 1:
        raise InputError(f"epochs must be at least 1, got {epochs}")
    x, test_x = standardize(dataset)
    y = torch.from_numpy(dataset.train_y)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(module.parameters())
    steps = epochs * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    losses: list[float] = []
    module.train()
    with one_thread():
        for epoch in range(epochs):
            total = 0.0
            order = torch.randperm(len(x), generator=generator)
            for rows in order.split(BATCH):  # type: ignore[no-untyped-call]
                loss = nn.functional.cross_entropy(module(x[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                total += loss.item() * len(rows)
            losses.append(total / len(x))
            progress(epoch + 1)
        module.eval()
        scores = _scores(module, test_x)
    accuracy = (scores.argmax(1) == torch.from_numpy(dataset.test_y)).double().mean().item()
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return Trained(accuracy, tuple(losses), parameters)


@torch.no_grad()
def _scores(module: nn.Module, x: Tensor) -> Tensor:
    return torch.cat([module(part) for part in x.split(1024)])  # type: ignore[no-untyped-call]


def train_topology(
    topology: Topology,
    dataset: Dataset,
    *,
    layers: int = 2,
    epochs: int = 20,
    seed: int = 0,
    init: Init = "fan_in",
) -> Trained:
    """Trains a classifier of `layers` cascades with ReLU and a dense head.

    Args:
        topology: Of every cascade; inputs are repeated evenly to its width.
        dataset: What to train and test on.
        layers: Number of cascades.
        epochs: Passes over the training set.
        seed: Of weights and order.
        init: Variance of the initial weights.

    Raises:
        InputError: If the data set has more features than the topology has inputs, or a number
            is not positive.
    """
    module = cascade_mlp(dataset.features, dataset.classes, layers, topology, init=init, seed=seed)
    return train(module, dataset, epochs=epochs, seed=seed)
