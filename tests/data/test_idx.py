"""idx files read as they were written, and broken ones are refused by name, cheaply."""

import gzip
import re
import struct
import tracemalloc

import numpy as np
import pytest

from nfcompile.data.idx import MAX_BYTES, read_idx
from nfcompile.errors import InputError

IMAGES = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5)


def idx(array, *, magic=None, sizes=None):
    magic = bytes((0, 0, 8, array.ndim)) if magic is None else magic
    sizes = array.shape if sizes is None else sizes
    return magic + b"".join(struct.pack(">I", size) for size in sizes) + array.tobytes()


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "images"
        path.write_bytes(content)
        return path

    return write


def refusal(path, rank=3):
    with pytest.raises(InputError) as caught:
        read_idx(path, rank)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_an_array_reads_as_it_was_written(write, pack):
    array = read_idx(write(pack(idx(IMAGES))), 3)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, IMAGES)


def test_more_values_than_one_read_gives_are_all_read(write):
    large = np.random.default_rng(0).integers(0, 256, (3, 1000, 1001), np.uint8)
    np.testing.assert_array_equal(read_idx(write(gzip.compress(idx(large), 1)), 3), large)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "magic number 0x00000803 .* got 0x$"),
        (idx(IMAGES[0]), "magic number 0x00000803 .* got 0x00000802"),
        (idx(IMAGES, magic=b"\0\0\x0d\x03"), "got 0x00000d03"),
        (b"<html>not found</html>", "got 0x3c68746d"),
        (idx(IMAGES)[:10], "ends inside its header"),
        (idx(IMAGES)[:-1], "must hold the 30 values .* got 29"),
        (idx(IMAGES) + b"\0", "must hold the 30 values .* got more"),
        (idx(IMAGES, sizes=(0, 3, 5)), "its header says 0x3x5"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_what_is_no_whole_array_is_refused_by_name(write, pack, content, message):
    assert re.search(message, refusal(write(pack(content))))


@pytest.mark.parametrize("sizes", [(2**32 - 1,) * 3, (MAX_BYTES, 1, 2), (MAX_BYTES, 1, 1)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_header_with_absurd_sizes_costs_no_memory(write, pack, sizes):
    path = write(pack(idx(IMAGES, sizes=sizes)))
    tracemalloc.start()
    try:
        refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_a_small_gzip_of_endless_zeros_is_read_no_further_than_its_header_says(write):
    bomb = gzip.compress(idx(IMAGES) + bytes(64 * 2**20))
    path = write(bomb)
    tracemalloc.start()
    try:
        assert "got more" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_a_gzip_that_ends_early_is_refused_wherever_it_ends(write):
    whole = gzip.compress(idx(IMAGES))
    for length in range(2, len(whole)):
        refusal(write(whole[:length]))


def test_damage_to_a_gzip_is_refused_unless_it_changes_no_value(write):
    whole = gzip.compress(idx(IMAGES), mtime=0)
    refused = 0
    for index in range(len(whole)):
        path = write(whole[:index] + bytes([whole[index] ^ 0x20]) + whole[index + 1 :])
        try:
            np.testing.assert_array_equal(read_idx(path, 3), IMAGES)
        except InputError:
            refused += 1
    assert refused >= len(whole) - 8  # seven bytes of flags, time and hints, one with padding


def test_a_path_that_is_no_readable_file_is_refused(tmp_path):
    assert "No such file" in refusal(tmp_path / "absent")
    assert "directory" in refusal(tmp_path)
