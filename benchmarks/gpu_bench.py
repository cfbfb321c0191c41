"""One case on the GPU: its contenders, checked and then timed in turns."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gpu_cases import Case
from gpu_clock import Clock, HostClock, Sample, Timing, copies_beyond_cache, take_turns
from gpu_network import BYTES, Network, relative_error, torch_type
from gpu_ort import ort_dense

__all__ = ["LIMITS", "ROUNDS", "Bench", "Result"]

ROUNDS = 9
LIMITS = {"f32": 3e-5, "tf32": 3e-3, "f16": 3e-3, "bf16": 2e-2}
"""Of the norm of the error over that of the exact result, by what is multiplied."""
_CEILING_WIDTH = 8192
_COPIED_BYTES = 1 << 30


@dataclass
class Result:
    """One case at one batch size.

    Attributes:
        case: Its name.
        group: Its group.
        types: Of activations and of stored values.
        batch: Rows.
        kernels: Symbols that ran.
        timings: By contender; ours is `nfcompile`.
        errors: Norm of the error over that of the exact result, by contender.
        reasons: Why a contender has no timing.
        matrix_share: Our arithmetic on stored values, as a share of the measured matrix rate.
        memory_share: The bytes that we must move, as a share of the measured bandwidth.
        cold: Whether copies outgrow the second-level cache, so that bytes come from memory.
        edges_per_s: Of the network that the case stands for; 0 if it is not told so.
    """

    case: str
    group: str
    types: tuple[str, str]
    batch: int
    kernels: list[str] = field(default_factory=list)
    timings: dict[str, Timing] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    matrix_share: float = 0.0
    memory_share: float = 0.0
    cold: bool = True
    edges_per_s: float = 0.0


@dataclass(frozen=True)
class Bench:
    """What cases are measured with.

    Attributes:
        torch: The module.
        cuda: The module `nfcompile._native.cuda`, or one like it.
        device: `cuda`, or `cpu` in tests.
        clock: Times calls of kernels.
        l2_bytes: Size of the second-level cache.
        rounds: Samples per contender.
    """

    torch: Any
    cuda: Any
    device: str
    clock: Clock
    l2_bytes: int
    rounds: int = ROUNDS

    def ceilings(
        self, width: int = _CEILING_WIDTH, nbytes: int = _COPIED_BYTES
    ) -> dict[str, float]:
        """Measured limits: rates of dense products by type, and bytes of memory a second.

        `memory` is a copy's, read and written, `read` a sum's.
        """
        torch = self.torch
        source = torch.randn(nbytes // 4, device=self.device)
        target = torch.empty_like(source)
        samples = {
            "memory": self.clock([lambda: target.copy_(source)]),
            "read": self.clock([lambda: torch.sum(source)]),
        }
        for kind in ("bf16", "f16", "f32"):
            a, b = (
                torch.randn((width, width), device=self.device).to(torch_type(torch, kind))
                for _ in range(2)
            )
            samples[kind] = self.clock([lambda a=a, b=b: torch.matmul(a, b)])
        timings = take_turns(samples, self.rounds)
        flops = 2.0 * width**3
        found = {kind: flops / timings[kind].median_us * 1e6 for kind in ("bf16", "f16", "f32")}
        bytes_per_us = {name: nbytes / timings[name].median_us for name in ("memory", "read")}
        return {"memory": 2e6 * bytes_per_us["memory"], "read": 1e6 * bytes_per_us["read"], **found}

    def measure(
        self, case: Case, network: Network, batch: int, ceilings: dict[str, float]
    ) -> Result:
        """Checks all contenders, then times those that are right."""
        result = Result(case.name, case.group, case.types, batch)
        samples: dict[str, Sample] = {}
        inputs: list[Any] = []
        moved = batch * network.moved * BYTES[case.types[0]]
        stored = {"nfcompile": network.stored_bytes}
        for name in ("nfcompile", *case.peers):
            nbytes = stored.get(name, network.dense_bytes) + moved
            copies, cold = copies_beyond_cache(nbytes, self.l2_bytes)
            inputs += network.inputs(batch, copies)[len(inputs) :]
            try:
                calls, right = self._contender(name, case, network, batch, copies, result)
                limit = LIMITS[_arithmetic(name, case.types)]
                x = inputs[0]
                result.errors[name] = relative_error(self.torch, x, calls[0](x), right)
                if not result.errors[name] <= limit:
                    raise ValueError(f"wrong: relative error {result.errors[name]:.2g}")
                clock = HostClock() if name == "ort" else self.clock
                pairs = zip(calls, itertools.cycle(inputs[:copies]))
                samples[name] = clock([lambda f=f, x=x: f(x) for f, x in pairs])
                result.cold = cold if name == "nfcompile" else result.cold
            except Exception as error:  # a peer's own code raises anything
                result.reasons[name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        result.timings = take_turns(samples, self.rounds)
        if "nfcompile" in result.timings:
            seconds = result.timings["nfcompile"].median_us / 1e6
            peak = _peak(ceilings, case.types)
            result.matrix_share = 2.0 * network.nonzeros * batch / peak / seconds
            nbytes = network.stored_bytes + moved
            result.memory_share = nbytes / ceilings["memory"] / seconds
            result.edges_per_s = case.edges * batch / seconds
        return result

    def _contender(
        self, name: str, case: Case, network: Network, batch: int, copies: int, result: Result
    ) -> tuple[list[Callable[[Any], Any]], Callable[[Any], Any]]:
        """Calls, one per copy of the weights, and what they are compared with."""
        if name == "nfcompile":
            made = [network.ours(batch, copy) for copy in range(copies)]
            result.kernels = made[0][1]
            return [call for call, _ in made], network.exact
        if name == "torch 2:4":
            packed = [network.torch_two_to_four() for _ in range(copies)]
            weight = packed[0][1].double()
            return [call for call, _ in packed], lambda x: x.double() @ weight.T
        if name == "ort":
            return [ort_dense(self.torch, network.dense_array(), case.types[0])], network.exact
        make = {"dense": network.dense, "torch bsr": network.torch_bsr}[name]
        return [make() for _ in range(copies)], network.exact


def _arithmetic(name: str, types: tuple[str, str]) -> str:
    """In what a contender multiplies."""
    if name == "nfcompile":
        return types[1]
    return "tf32" if types[0] == "f32" else types[0]


def _peak(ceilings: dict[str, float], types: tuple[str, str]) -> float:
    """The rate of the matrix units: three products in TF32 make one in fp32."""
    return ceilings["f32"] / 3 if types == ("f32", "f32") else ceilings[types[1]]
