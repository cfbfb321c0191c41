"""Rows of digits stay alive through the benchmark's network, sparse random ones die."""

import numpy as np
import pytest

from nfcompile.errors import InputError
from nfcompile.models.graph_challenge import layer_bias, radix_net_weight
from nfcompile.models.graph_challenge_inputs import digit_rows, random_rows


def through(y: np.ndarray, layers: int) -> np.ndarray:
    for layer in range(layers):
        weight = radix_net_weight(1024, layer)
        y = np.clip((weight.T @ y.T).T + layer_bias(1024), 0, 32)
    return y


def test_digits_stay_alive() -> None:
    rows = digit_rows(1024, 64)
    assert rows.dtype == np.float32 and rows.shape == (64, 1024)
    assert set(np.unique(rows)) == {0, 1}
    assert len(np.unique(rows, axis=0)) == 64
    assert through(rows, 120).any(axis=1).all()


def test_random_rows_die_soon() -> None:
    rows = random_rows(1024, 64)
    assert rows.mean() == pytest.approx(0.1, abs=0.01)
    assert not through(rows, 20).any()


@pytest.mark.parametrize("neurons", [1000, 49])
def test_images_need_a_square_width(neurons: int) -> None:
    with pytest.raises(InputError, match="square of 8 or more"):
        digit_rows(neurons, 1)
