"""Text and topology are two spellings of one value."""

import pytest

from nfcompile.errors import InputError
from nfcompile.topology import Butterfly, ParallelButterfly, parse

TOPOLOGIES = [
    Butterfly(1024, 4),
    ParallelButterfly(1024, 4, 2, skip=True),
    ParallelButterfly(48, 4, 3, skip=False),
]


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=str)
def test_text_reads_back_as_the_same_value(topology):
    assert parse(str(topology)) == topology


def test_the_text_is_the_documented_one():
    assert str(TOPOLOGIES[1]) == "parallel-butterfly(n=1024, radix=4, parallel=2, skip=true)"


def test_order_spaces_and_defaults_are_free():
    text = "  parallel-butterfly( radix = 4,n=1024 ) "
    assert parse(text) == ParallelButterfly(1024, 4, parallel=2, skip=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("buterfly(n=16, radix=4)", "unknown topology 'buterfly'; did you mean 'butterfly'"),
        ("torus(n=16)", "unknown topology 'torus'; known: butterfly, parallel-butterfly"),
        ("butterfly(n=16, radx=4)", "no parameter 'radx'; did you mean 'radix'"),
        ("butterfly(n=16)", "butterfly needs radix"),
        ("butterfly(n=16, n=16, radix=4)", "n is given twice"),
        ("butterfly(16, 4)", "must read name=value, got '16'"),
        ("butterfly(n=x, radix=4)", "parameter n must be an integer, true or false, got 'x'"),
        ("butterfly(n=true, radix=4)", "n must be an integer of at least 2, got True"),
        ("butterfly", "topology must read like"),
        ("", "topology must read like"),
        ("butterfly(n=17, radix=4)", "n=17 must be a power"),
    ],
)
def test_bad_text_is_refused_with_one_line(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
