"""The package's own names: light to import, and there when they are asked for."""

import pkgutil
import subprocess
import sys

import pytest

import nfcompile


def fresh(code: str) -> str:
    """What the code prints in a process that has imported nothing else."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_topologies_can_be_used_after_importing_the_package_alone() -> None:
    code = (
        "import nfcompile, sys; print(nfcompile.topology.parse('butterfly(n=16, radix=4)'));"
        "print('torch' in sys.modules)"
    )
    assert fresh(code).splitlines() == ["butterfly(n=16, radix=4)", "False"]


def test_modules_can_be_used_after_importing_the_package_alone() -> None:
    assert fresh("import nfcompile; print(nfcompile.nn.SparseCascade.__name__)") == "SparseCascade"


def test_importing_the_package_and_listing_its_names_loads_nothing_heavy() -> None:
    heavy = {"torch", "onnxruntime", "onnx", "onnx_ir", "numpy", "scipy"}
    code = f"import sys, nfcompile; dir(nfcompile); print(sorted({heavy} & set(sys.modules)))"
    assert fresh(code) == "[]"


@pytest.mark.parametrize("name", sorted(set(dir(nfcompile))))
def test_every_name_that_is_listed_is_there(name: str) -> None:
    assert getattr(nfcompile, name) is not None


def test_every_subpackage_is_listed() -> None:
    found = {module.name for module in pkgutil.iter_modules(nfcompile.__path__) if module.ispkg}
    assert "topology" in found
    assert found - {"cli"} <= set(dir(nfcompile))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'nfcompile' has no attribute 'topologies'"):
        _ = nfcompile.topologies
