"""Clos: three stages of dense switches, as in Isakov and Kinsy's ClosNets.

`s` ingress switches of `q` inputs and `m` outputs; output k of each goes to middle switch k,
one of `m` with `s` inputs and `s` outputs; those go to `s` egress switches of `m` inputs.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from nfcompile.errors import InputError
from nfcompile.topology.checks import WIDEST, check_size
from nfcompile.topology.digit_cascade import DigitCascade
from nfcompile.topology.digits import Step
from nfcompile.topology.radices import divisors

__all__ = ["Clos"]


@dataclass(frozen=True)
class Clos(DigitCascade):
    """A Clos network of three factors: one path per middle switch for each pair.

    An index has two digits: the port within a switch, and the switch. The ports are mixed, then
    the switches, then the ports again: `s m (q + s + q_out)` weights.

    Attributes:
        n: Width; `in` and `out` in text where they differ. Both must be multiples of `s`.
        m: Number of middle switches, and of paths for each pair; all signals pass from `m = q`.
        q: Inputs of each ingress switch; there are `s = n / q` of them.
    """

    name: ClassVar[str] = "clos"

    m: int
    q: int

    def __post_init__(self) -> None:
        """Refuses widths that the switches do not divide."""
        super().__post_init__()
        check_size(self.name, "m", self.m, at_least=1, at_most=WIDEST)
        check_size(self.name, "q", self.q, at_least=1)
        if self.n % self.q:
            raise InputError(f"{self.name} q={self.q} must divide the input width {self.n}")
        switches = self.n // self.q
        if self.out_features % switches:
            raise InputError(
                f"{self.name} output width must be a multiple of the {switches} switches "
                f"that q={self.q} makes of {self.n} inputs, got {self.out_features}"
            )

    def digits(self) -> tuple[tuple[int, ...], tuple[Step, ...]]:
        """Ports, switches, and ports again."""
        switches = self.n // self.q
        ports = self.out_features // switches
        return (self.q, switches), ((0, self.m), (1, switches), (0, ports))

    @classmethod
    def variants(cls, in_features: int, out_features: int, edges: int) -> Iterator[Self]:
        """For each switch size, the most middle switches that the budget allows."""
        narrow = min(in_features, out_features)
        for switches in divisors(math.gcd(in_features, out_features)):
            if switches in (1, narrow):  # a single switch is dense; switches of one port are wires
                continue
            q, ports = in_features // switches, out_features // switches
            m = min(edges // (switches * (q + switches + ports)), WIDEST)
            if m >= 1:
                yield cls(in_features, m, q, out=out_features)
