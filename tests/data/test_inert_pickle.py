"""Pickled arrays read as numpy would read them; a pickle that wants more than that gets nothing."""

import pickle
import re
import struct
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest

from nfcompile.data import inert_pickle
from nfcompile.data.inert_pickle import PickledArray, read_pickle
from nfcompile.errors import InputError

ARRAY = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "batch"
        path.write_bytes(content)
        return path

    return write


def refusal(path):
    with pytest.raises(InputError) as caught:
        read_pickle(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert len(text) < 500
    return text


def python_2(array):
    """The array as numpy under Python 2 pickles it, opcode by opcode."""
    shape = b"".join(b"J" + struct.pack("<i", size) for size in array.shape) + b"\x86"
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01" + shape + b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + struct.pack("<i", array.nbytes) + array.tobytes() + b"tb."
    )


def test_an_array_of_python_2_reads_as_numpy_reads_it(write):
    content = python_2(ARRAY)
    np.testing.assert_array_equal(pickle.loads(content, encoding="bytes"), ARRAY)
    found = read_pickle(write(content))
    assert isinstance(found, PickledArray)
    np.testing.assert_array_equal(found.numpy(), ARRAY)


@pytest.mark.parametrize("array", [ARRAY, np.asfortranarray(ARRAY)], ids=["rows", "columns"])
@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_of_python_3_are_read_in_either_order(write, array, protocol):
    found = read_pickle(write(pickle.dumps(array, protocol)))
    np.testing.assert_array_equal(found.numpy(), ARRAY)


def test_plain_values_come_back_as_they_were(write):
    value = {b"labels": [1, 2], "text": (None, 1.5, b"x")}
    assert read_pickle(write(pickle.dumps(value))) == value


@pytest.mark.parametrize(
    "array",
    [ARRAY.astype(np.int16), ARRAY.astype(object), ARRAY.astype(np.int8), ARRAY[:0]],
    ids=["int16", "object", "int8", "empty"],
)
def test_arrays_of_anything_but_bytes_are_none(write, array):
    found = read_pickle(write(pickle.dumps(array, 3)))
    with pytest.raises(ValueError, match="not a whole array of uint8"):
        found.numpy()


def test_an_array_whose_shape_does_not_fit_its_values_is_none(write):
    content = python_2(ARRAY).replace(struct.pack("<i", 3), struct.pack("<i", 2**31 - 1))
    with pytest.raises(ValueError, match="not a whole array"):
        read_pickle(write(content)).numpy()


class Touches:
    """Creates a file when unpickled by the standard unpickler."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_that_a_pickle_names_is_run(write, tmp_path, protocol):
    touched = tmp_path / "touched"
    content = pickle.dumps(Touches(touched), protocol)
    assert re.search(r"it names \w+\.open", refusal(write(content)))
    assert not touched.exists()
    pickle.loads(content).close()
    assert touched.exists(), "the pickle would have done nothing anyway"


@pytest.mark.parametrize(
    "content",
    [
        b"cnumpy\nload\n.",
        b"cbuiltins\neval\nU\x011\x85R.",
        b"cnumpy\ndtype\n(U\x02u1tRU\x08__dict__b.",
        b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__class__\x93.",
        b"P1\n.",
        b"\x82\x01.",
    ],
)
def test_other_ways_to_reach_objects_are_refused(write, content):
    if b"__dict__" in content:
        assert type(read_pickle(write(content))).__module__ == inert_pickle.__name__
    else:
        refusal(write(content))


@pytest.mark.parametrize(
    "content",
    [b"", b"\x1f\x8b\x08", b"<html>\n</html>", b"\x80\x09.", b"\xff" * 9, b"]" + b"(" * 9],
)
def test_what_is_no_pickle_is_refused(write, content):
    assert "must be a pickled batch" in refusal(write(content))


def test_a_pickle_that_ends_early_is_refused_wherever_it_ends(write):
    whole = python_2(ARRAY)
    for length in range(len(whole)):
        refusal(write(whole[:length]))


@pytest.mark.parametrize(
    "content",
    [
        b"N" + b"r" + struct.pack("<I", 2**24) + b".",
        b"\x8e" + struct.pack("<Q", 2**40) + b"x.",
        b"T" + struct.pack("<i", 2**31 - 1) + b"x.",
        b"cnumpy\nndarray\n(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ftR.",
    ],
    ids=["memo", "bytes", "string", "shape"],
)
def test_absurd_sizes_cost_no_memory(write, content):
    path = write(content)
    tracemalloc.start()
    try:
        with suppress(InputError):
            read_pickle(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_file_far_larger_than_any_batch_is_not_read(write, monkeypatch):
    monkeypatch.setattr(inert_pickle, "MAX_BYTES", 50)
    assert "at most 50 bytes" in refusal(write(python_2(ARRAY)))


def test_a_path_that_is_no_readable_file_is_refused(tmp_path):
    assert "No such file" in refusal(tmp_path / "absent")
