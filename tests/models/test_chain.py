"""Chains and feed-forward parts are what their weights say, and keep the scale of their input."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import erf
from support import evaluate

from nfcompile.models.chain import chain, feed_forward, unstructured_weight, weight_of

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 8)).astype(np.float32)


@pytest.mark.parametrize("stored", [np.asarray, csr_array])
def test_a_chain_is_products_biases_and_activations(stored: type) -> None:
    weights = [unstructured_weight(shape, 0.5, 1) for shape in ((12, 8), (5, 12))]
    model = chain([stored(w) for w in weights], bias=-0.1, clip=(0, 1), input_name="z")
    expected = X.astype(np.float64)
    for weight in weights:
        expected = np.clip(expected @ weight.T - 0.1, 0, 1)
    (got,) = evaluate(model, z=X)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_a_feed_forward_part_has_gelu_between_and_tokens() -> None:
    up, down = unstructured_weight((12, 8), 0.5, 0), unstructured_weight((8, 12), 0.5, 1)
    x = RNG.standard_normal((2, 5, 8)).astype(np.float32)
    hidden = x.astype(np.float64) @ up.T + 0.01
    hidden *= (1 + erf(hidden / np.sqrt(2))) / 2
    (got,) = evaluate(feed_forward(up, down, tokens=5), x=x)
    np.testing.assert_allclose(got, hidden @ down.T + 0.01, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("pattern", "density"),
    [("dense", 1), ("unstructured 0.1", 0.1), ("blocks 16 0.1", 0.1), ("strips 8 0.1", 0.1),
     ("butterfly 4", 1 / 64), ("shuffled 4", 1 / 64)],
)  # fmt: skip
def test_a_pattern_has_its_density_and_scale(pattern: str, density: float) -> None:
    weight = weight_of(pattern, 256, seed=0)
    assert weight.dtype == np.float32
    assert np.mean(weight != 0) == pytest.approx(density, rel=0.3)
    assert (weight.astype(np.float64) ** 2).sum() == pytest.approx(2 * 256, rel=0.2)
