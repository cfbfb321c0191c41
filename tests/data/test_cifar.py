"""CIFAR-10 reads from its six batches in order; a batch that breaks a rule is refused by name."""

import pickle

import numpy as np
import pytest

from nfcompile.data.cifar import load_cifar_10
from nfcompile.errors import InputError

RNG = np.random.default_rng(0)
NAMES = [*(f"data_batch_{index}" for index in range(1, 6)), "test_batch"]
PIXELS = {
    name: RNG.integers(0, 256, (2 + index, 3072), np.uint8) for index, name in enumerate(NAMES)
}
LABELS = {name: RNG.integers(0, 10, 2 + index).tolist() for index, name in enumerate(NAMES)}


def write(folder, **changes):
    """All six batches; `test_batch=...` replaces what one of them holds."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        batch = {
            b"batch_label": name.encode(),
            b"data": PIXELS[name],
            b"labels": LABELS[name],
            b"filenames": [b"%d.png" % index for index in range(len(LABELS[name]))],
        }
        content = changes.get(name, batch)
        (folder / name).write_bytes(pickle.dumps(content, 3))
    return folder


@pytest.mark.parametrize("inner", [".", "cifar-10-batches-py"])
def test_the_batches_are_joined_in_order(tmp_path, inner):
    write(tmp_path / inner)
    data = load_cifar_10(tmp_path)
    pixels = np.concatenate([PIXELS[name] for name in NAMES[:5]])
    np.testing.assert_allclose(data.train_x, pixels / 255, rtol=1e-6)
    np.testing.assert_allclose(data.test_x, PIXELS["test_batch"] / 255, rtol=1e-6)
    assert data.train_y.tolist() == [label for name in NAMES[:5] for label in LABELS[name]]
    assert data.test_y.tolist() == LABELS["test_batch"]
    assert data.image_shape == (3, 32, 32)
    assert data.name == "cifar-10"


def test_without_a_folder_it_says_which_files_it_needs():
    with pytest.raises(InputError, match=r"cifar-10 needs .*data_batch_3.*test_batch.*-batches-py"):
        load_cifar_10(None)


def test_a_missing_batch_is_named(tmp_path):
    (write(tmp_path) / "data_batch_4").unlink()
    with pytest.raises(InputError, match="data_batch_4 is missing"):
        load_cifar_10(tmp_path)


def test_a_batch_that_ends_early_is_refused_by_name(tmp_path):
    path = write(tmp_path) / "data_batch_2"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=f"{path} must be a pickled batch"):
        load_cifar_10(tmp_path)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([1, 2], "dict with data and labels"),
        ({b"data": PIXELS["test_batch"]}, "dict with data and labels"),
        ({b"data": b"x", b"labels": []}, r"data of uint8 \[N, 3072\], got bytes"),
        ({b"data": np.ones((1, 3072)), b"labels": [1]}, "not a whole array of uint8"),
        ({b"data": np.ones((3072, 1), np.uint8), b"labels": [1]}, r"3072\], got \[3072, 1\]"),
        ({b"data": np.ones(3072, np.uint8), b"labels": [1]}, r"got \[3072\]"),
        ({b"data": PIXELS["test_batch"], b"labels": [1] * 6}, "one label for each of 7 .* got 6"),
        ({b"data": PIXELS["test_batch"], b"labels": None}, "one label .* got NoneType"),
        ({b"data": PIXELS["test_batch"], b"labels": [1] * 6 + [10]}, "labels of 0 to 9, got 10"),
        ({b"data": PIXELS["test_batch"], b"labels": [-1] * 7}, "labels of 0 to 9, got -1"),
        ({b"data": PIXELS["test_batch"], b"labels": [10**5000] * 7}, "0 to 9, got int"),
        ({b"data": PIXELS["test_batch"], b"labels": [True] * 7}, "0 to 9, got bool"),
    ],
)
def test_a_batch_that_breaks_a_rule_is_refused_by_name(tmp_path, batch, message):
    with pytest.raises(InputError, match=f"test_batch must .*{message}"):
        load_cifar_10(write(tmp_path, test_batch=batch))
