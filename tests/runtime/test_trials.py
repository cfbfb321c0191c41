"""On what models are compared."""

import pytest

from nfcompile.errors import InputError
from nfcompile.runtime.trials import Sampling, sample_sizes


def test_sample_sizes_vary_and_include_one() -> None:
    assert 1 in sample_sizes(3)
    assert len(set(sample_sizes(3))) == 3
    assert len(sample_sizes(12)) == 12


@pytest.mark.parametrize(("samples", "seed"), [(0, 0), (1, -1)])
def test_numbers_that_give_no_inputs_are_refused(samples: int, seed: int) -> None:
    with pytest.raises(InputError, match="must be at least"):
        Sampling(samples, seed)
