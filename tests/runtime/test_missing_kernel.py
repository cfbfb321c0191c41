"""What ONNX Runtime lacks is told by operator, type and node of the user's model."""

import pytest
from support import model

from nfcompile.errors import UnsupportedModelError
from nfcompile.runtime.missing_kernel import explained

IMPLEMENTATION = "9 : Could not find an implementation for Gemm(13) node with name '{}'"
KERNEL = "[ONNXRuntimeError] : 9 : Failed to find kernel for Gemm(13) (node:'{}' ep:'CPU')."
TEXT = "agraph ({0}[b,4] x, {0}[4,4] w) => ({0}[b,4] y) {{ y = Gemm(x, w) }}"


@pytest.mark.parametrize("words", [IMPLEMENTATION, KERNEL])
@pytest.mark.parametrize(
    ("dtype", "advice"),
    [
        ("bfloat16", "Gemm for BFLOAT16 on the CPU (node fc): convert it to float32, and give"),
        ("double", "Gemm for DOUBLE on the CPU (node fc): convert it to float32"),
        ("uint8", "Gemm for UINT8 on the CPU (node fc)"),
    ],
)
def test_the_type_decides_the_advice(words: str, dtype: str, advice: str) -> None:
    source = model(TEXT.format(dtype))
    source.graph[0].name = "fc"
    with pytest.raises(UnsupportedModelError) as told, explained(source, "net.onnx"):
        raise UnsupportedModelError(words.format("fc"))
    start = f"net.onnx cannot be run: ONNX Runtime has no {advice}"
    assert str(told.value).startswith(start)


def test_other_errors_stay_as_they_are() -> None:
    error = UnsupportedModelError("ONNX Runtime cannot load m.onnx: no such opset")
    with pytest.raises(UnsupportedModelError) as told, explained(model(TEXT.format("float")), "m"):
        raise error
    assert told.value is error
