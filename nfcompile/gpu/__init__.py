"""Kernels for NVIDIA GPUs, in Triton, and their compilation ahead of time.

One file per kernel; `variants` lists what each is specialized for, `python -m nfcompile.gpu.aot`
compiles them, without a GPU, into the images that `libnfcompile_ops_cuda.so` embeds. Of these
modules none needs more than Triton, and `variants` not even that.
"""

__all__: list[str] = []
