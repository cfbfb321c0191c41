"""Text and topology are two spellings of one value."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nfcompile.errors import InputError
from nfcompile.topology import (
    KINDS,
    Butterfly,
    Dense,
    ParallelButterfly,
    RadixNet,
    Topology,
    parse,
)

TOPOLOGIES = [
    Butterfly(1024, 4),
    Butterfly(30, (2, 3, 5)),
    Butterfly(64, 4, out=16),
    ParallelButterfly(1024, 4, 2, skip=True),
    ParallelButterfly(48, 4, 3, skip=False),
    RadixNet((2, 3), (1, 2, 1), skip=True),
]


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=str)
def test_text_reads_back_as_the_same_value(topology):
    assert parse(str(topology)) == topology


def test_the_text_is_the_documented_one():
    assert str(TOPOLOGIES[3]) == "parallel-butterfly(n=1024, radix=4, parallel=2, skip=true)"


def test_order_spaces_and_defaults_are_free():
    text = "  parallel-butterfly( radix = 4,n=1024 ) "
    assert parse(text) == ParallelButterfly(1024, 4, parallel=2, skip=True)
    assert parse("butterfly(radix=[ 2,3 , 5 ], n=30)") == Butterfly(30, (2, 3, 5))


def test_in_and_out_are_the_widths_where_they_differ():
    assert parse("butterfly(in=64, out=16, radix=4)") == Butterfly(64, 4, out=16)
    assert parse("butterfly(in=64, radix=4)") == Butterfly(64, 4)
    assert parse("butterfly(in=64, out=64, radix=4)") == Butterfly(64, 4)


def test_widths_that_the_text_lacks_are_filled_in():
    assert parse("butterfly(radix=4)", in_features=64) == Butterfly(64, 4)
    assert parse("butterfly(radix=4)", in_features=64, out_features=16) == Butterfly(64, 4, out=16)
    assert parse("dense", in_features=4, out_features=4) == Dense(4)
    assert parse("dense()", in_features=4) == Dense(4)
    assert parse("radix-net(radices=[2, 3])", in_features=6, out_features=6) == RadixNet((2, 3))


@pytest.mark.parametrize(
    ("text", "ends", "widths"),
    [
        ("parallel-butterfly(out=64, radix=4)", (256, None), (256, 64)),
        ("parallel-butterfly(out=64, radix=4)", (256, 64), (256, 64)),
        ("butterfly(in=256, radix=4)", (None, 64), (256, 64)),
        ("butterfly(in=256, radix=4)", (256, 64), (256, 64)),
        ("butterfly(in=256, radix=4)", (256, None), (256, 256)),
        ("butterfly(n=256, radix=4)", (256, None), (256, 256)),
        ("butterfly(radix=4)", (256, None), (256, 256)),
    ],
)
def test_each_end_that_is_missing_is_filled_in_by_itself(text, ends, widths):
    found = parse(text, in_features=ends[0], out_features=ends[1])
    assert (found.in_features, found.out_features) == widths


@pytest.mark.parametrize("text", ["butterfly(radix=4)", "butterfly(out=64, radix=4)"])
def test_the_end_that_nobody_gives_is_named(text):
    with pytest.raises(InputError, match=r"^butterfly needs in$"):
        parse(text, out_features=64)


@pytest.mark.parametrize(
    ("text", "ends", "message"),
    [
        ("butterfly(n=16, radix=4)", (64, None), "has 16 inputs, where 64 are needed"),
        ("butterfly(in=64, out=16, radix=4)", (64, 64), "has 16 outputs, where 64 are needed"),
        ("butterfly(n=64, radix=4)", (64, 16), "has 64 outputs, where 16 are needed"),
        ("radix-net(radices=[2, 3])", (8, 8), "has 6 inputs, where 8 are needed"),
        ("butterfly(radix=4)", (17, 17), "n=17 must be a power"),
    ],
)
def test_other_widths_than_are_needed_are_refused(text, ends, message):
    with pytest.raises(InputError, match=message):
        parse(text, in_features=ends[0], out_features=ends[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("buterfly(n=16, radix=4)", "unknown topology 'buterfly'; did you mean '?butterfly"),
        ("ring(n=16)", "unknown topology 'ring'; "),
        ("butterfly(n=16, radx=4)", "no parameter 'radx'; did you mean '?radix"),
        ("butterfly(n=16)", "butterfly needs radix"),
        ("butterfly", "butterfly needs n and radix"),
        ("torus(n=16)", "torus needs dims"),
        ("torus(out=16)", "torus needs in and dims"),
        ("hypercube(n=1125899906842624)", "n must be at most 16777216, got 1125899906842624"),
        ("torus(n=999999999999999989, dims=2)", "n must be at most 16777216, got 9999999999"),
        ("radix-net(radices=[" + ", ".join(["9" * 18] * 300) + "])", "at most 64 integers"),
        ("butterfly(n=16, n=16, radix=4)", "n is given twice"),
        ("butterfly(n=16, in=16, radix=4)", "takes n, or in and out, not both"),
        ("radix-net(radices=[2, 2], n=4)", "radix-net has no parameter 'n'"),
        ("radix-net(radices=[2, 2], in=4)", "radix-net has no parameter 'in'"),
        ("butterfly(16, 4)", "must read name=value, got '16'"),
        ("butterfly(n=x, radix=4)", r"n must be an integer, true, false or a list .* got 'x'"),
        ("butterfly(n=1.5, radix=4)", "got '1.5'"),
        ("butterfly(n=16, radix=[4, x])", "got 'x'"),
        ("butterfly(n=16, radix=[])", "got ''"),
        ("butterfly(n=[16], radix=4)", "n must be an integer of at least 2"),
        ("butterfly(n=16, radix=[4, [4]])", "parameter radix must be"),
        ("butterfly(n=16, radix=[4, true])", "at least 2, got True"),
        ("butterfly(n=true, radix=4)", "n must be an integer of at least 2, got True"),
        ("butterfly(n=-16, radix=4)", "n must be an integer of at least 2, got -16"),
        ("butterfly(n=16, radix=4, skip=2)", "skip must be true or false, got 2"),
        ("butterfly(n=16, radix=4", "topology must read like"),
        ("butterfly n=16", "topology must read like"),
        ("", "topology must read like"),
        ("butterfly(n=17, radix=4)", "n=17 must be a power"),
        ("butterfly(n=" + "9" * 5000 + ", radix=4)", "n must be an integer"),
    ],
)
def test_bad_text_is_refused_with_one_line(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


WORDS = st.sampled_from([*KINDS, *"()[],=-\n ", "n", "in", "out", "radix", "skip", "true", "8"])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=st.lists(WORDS, max_size=14).map("".join) | st.text(max_size=20))
@example("butterfly(n=16,, radix=4)")
@example("butterfly(n=16, radix=[4,4)")
@example("dense(n=8]")
def test_any_text_is_a_topology_or_refused_in_one_line(text):
    try:
        found = parse(text)
    except InputError as error:
        found = str(error)
    assert isinstance(found, Topology) or "\n" not in found
