"""MNIST reads from the layouts it comes in; files that do not belong together are refused."""

import gzip
import struct

import numpy as np
import pytest

from nfcompile.data.mnist import load_fashion_mnist, load_mnist
from nfcompile.errors import InputError

RNG = np.random.default_rng(0)
TRAIN = RNG.integers(0, 256, (5, 28, 28), np.uint8)
TEST = RNG.integers(0, 256, (3, 28, 28), np.uint8)
TRAIN_LABELS = np.array([3, 0, 9, 1, 1], np.uint8)
TEST_LABELS = np.array([7, 2, 2], np.uint8)
FILES = {
    "train-images-idx3-ubyte": TRAIN,
    "train-labels-idx1-ubyte": TRAIN_LABELS,
    "t10k-images-idx3-ubyte": TEST,
    "t10k-labels-idx1-ubyte": TEST_LABELS,
}


def write(folder, *, zipped=False, **changes):
    """All four files; `train_images=...` puts another array into one."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in FILES.items():
        array = changes.get("_".join(name.split("-")[:2]), array)  # noqa: PLW2901
        header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
        content = header + array.tobytes()
        path = folder / (name + ".gz" * zipped)
        path.write_bytes(gzip.compress(content) if zipped else content)
    return folder


def assert_is_written(data):
    np.testing.assert_allclose(data.train_x, TRAIN.reshape(5, 784) / 255, rtol=1e-6)
    np.testing.assert_allclose(data.test_x, TEST.reshape(3, 784) / 255, rtol=1e-6)
    np.testing.assert_array_equal(data.train_y, TRAIN_LABELS)
    np.testing.assert_array_equal(data.test_y, TEST_LABELS)
    assert data.image_shape == (1, 28, 28)


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("load", "name", "inner"),
    [
        (load_mnist, "mnist", "."),
        (load_mnist, "mnist", "MNIST/raw"),
        (load_fashion_mnist, "fashion-mnist", "."),
        (load_fashion_mnist, "fashion-mnist", "FashionMNIST/raw"),
    ],
)
def test_both_sets_are_read_from_each_layout(tmp_path, load, name, inner, zipped):
    write(tmp_path / inner, zipped=zipped)
    data = load(tmp_path)
    assert data.name == name
    assert_is_written(data)


def test_the_two_sets_below_one_folder_are_not_mixed_up(tmp_path):
    write(tmp_path / "MNIST/raw")
    write(tmp_path / "FashionMNIST/raw", train_labels=TRAIN_LABELS[::-1].copy())
    assert_is_written(load_mnist(tmp_path))
    np.testing.assert_array_equal(load_fashion_mnist(tmp_path).train_y, TRAIN_LABELS[::-1])


def test_a_set_below_the_folder_is_not_mistaken_for_the_other_one_in_it(tmp_path):
    write(tmp_path / "FashionMNIST/raw")
    write(tmp_path, train_labels=TRAIN_LABELS[::-1].copy())
    np.testing.assert_array_equal(load_fashion_mnist(tmp_path).train_y, TRAIN_LABELS)
    np.testing.assert_array_equal(load_mnist(tmp_path).train_y, TRAIN_LABELS[::-1])


def test_a_folder_that_has_some_plain_and_some_gzipped_files_is_read(tmp_path):
    write(tmp_path, zipped=True)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
    assert_is_written(load_mnist(tmp_path))


def refusal(folder):
    with pytest.raises(InputError) as caught:
        load_mnist(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_a_folder_it_says_which_files_it_needs():
    text = refusal(None)
    assert all(name in text for name in FILES)
    assert ".gz" in text
    assert "MNIST/raw" in text


def test_a_folder_that_is_not_there_or_has_nothing_is_refused(tmp_path):
    assert f"got {tmp_path / 'absent'}" in refusal(tmp_path / "absent")
    text = refusal(tmp_path)
    assert str(tmp_path) in text
    assert "t10k-labels-idx1-ubyte" in text


@pytest.mark.parametrize("name", FILES)
def test_one_missing_file_is_named(tmp_path, name):
    (write(tmp_path) / name).unlink()
    assert refusal(tmp_path).endswith(f"{name} is missing")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": TRAIN_LABELS[:4]}, "train-labels-idx1-ubyte must hold one label .* 5"),
        ({"t10k_labels": TRAIN_LABELS}, "t10k-labels-idx1-ubyte .* the 3 images .* got 5"),
        ({"t10k_labels": TEST_LABELS + 4}, "t10k-labels-idx1-ubyte .* labels of 0 to 9, got 11"),
        ({"train_images": TRAIN[:, :27]}, "train-images-idx3-ubyte .* 28x28 pixels, got 27x28"),
        ({"train_images": TRAIN_LABELS}, "train-images-idx3-ubyte .* magic"),
    ],
)
def test_files_that_do_not_belong_together_are_refused_by_name(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        load_mnist(write(tmp_path, **changes))
