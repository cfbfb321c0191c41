"""What every topology is: a value with a name, parsable text, and the masks of its factors."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from scipy.sparse import csr_array

from nfcompile.errors import InputError
from nfcompile.topology.checks import MOST_ENTRIES, WIDEST, check_flag, check_size
from nfcompile.topology.stacking import stack

__all__ = ["Mask", "Sized", "Topology"]

Mask: TypeAlias = "csr_array[np.int64, tuple[int, int]]"


@dataclass(frozen=True)
class Topology(ABC):
    """A fixed pattern of connections: branches of sparse factors, summed.

    Subclasses are frozen dataclasses whose fields are integers, booleans and tuples of
    integers, so a topology is hashable and `parse(str(topology)) == topology`.

    Attributes:
        name: What the text form calls this kind of topology.
        skip: Whether the input is added to the output.
    """

    name: ClassVar[str]
    skip: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Refuses parameters that break their rules."""
        check_flag(self.name, "skip", self.skip)
        if self.skip and self.in_features != self.out_features:
            raise InputError(
                f"{self.name} skip adds the input to the output: widths must be equal, "
                f"got in={self.in_features} and out={self.out_features}"
            )

    @property
    @abstractmethod
    def in_features(self) -> int:
        """Number of inputs."""

    @property
    @abstractmethod
    def out_features(self) -> int:
        """Number of outputs."""

    def branches(self) -> list[list[Mask]]:
        """Cascades that run side by side on the same input and are summed.

        Returns:
            For each branch the masks of its factors in order of application, the first
            `[_, in_features]`, the last `[out_features, _]`; stored values are ones.

        Raises:
            InputError: If the masks would have more than 2^31 entries.
        """
        if self.edges > MOST_ENTRIES:
            raise InputError(
                f"the masks of {self} must have at most {MOST_ENTRIES} entries to be built, got "
                f"{self.edges}: take a smaller member of the same kind"
            )
        return self.build()

    @abstractmethod
    def build(self) -> list[list[Mask]]:
        """Makes what `branches` returns, whatever it takes; callers want `branches`."""

    @classmethod
    @abstractmethod
    def variants(cls, in_features: int, out_features: int, edges: int) -> Iterator[Self]:
        """Members of this kind of these widths that have at most `edges` weights.

        All join every input with every output, as far as the kind can; those that come close
        to the budget are among them.
        """

    def factors(self) -> list[Mask]:
        """The whole topology as one cascade, skip apart.

        Returns:
            Masks in order of application; rows are outputs. `F[-1] @ ... @ F[0]` counts the
            paths from each input (column) to each output (row). Where branches differ in
            length, identities carry the shorter ones to the end; these are not weights.
        """
        return stack(self.branches())

    @cached_property
    def edges(self) -> int:
        """Number of weights: the entries of all masks of all branches."""
        return sum(mask.nnz for branch in self.build() for mask in branch)

    @cached_property
    def depth(self) -> int:
        """Number of factors of the longest branch."""
        return max(map(len, self.build()))

    @cached_property
    def layer_widths(self) -> list[int]:
        """Numbers of neurons from input to output, those of all branches together."""
        return [self.in_features, *(mask.shape[0] for mask in self.factors())]

    @property
    def density(self) -> float:
        """Weights as a share of the dense layer's."""
        return self.edges / (self.in_features * self.out_features)

    def _parameters(self) -> dict[str, Any]:
        """What the text form shows, in order."""
        shown = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        skip = shown.pop("skip")
        given = {key: value for key, value in shown.items() if value is not None}
        absent = type(self).__dataclass_fields__["skip"].default
        return {**given, "skip": skip} if skip is not absent else given

    def __str__(self) -> str:
        """The text that `nfcompile.topology.parse` reads back."""
        items = (f"{key}={_text(value)}" for key, value in self._parameters().items())
        return f"{self.name}({', '.join(items)})"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower()


@dataclass(frozen=True)
class Sized(Topology):
    """A topology whose widths are parameters.

    Attributes:
        n: Number of inputs, and of outputs unless `out` says otherwise.
        out: Number of outputs where it differs from `n`. In text the two are `in` and `out`.
    """

    n: int
    out: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Refuses widths that are no positive integers, or too large to be factorized."""
        check_size(self.name, "n", self.n, at_least=2, at_most=WIDEST)
        if self.out is not None:
            check_size(self.name, "out", self.out, at_least=2, at_most=WIDEST)
            if self.out == self.n:
                object.__setattr__(self, "out", None)
        super().__post_init__()

    @property
    def in_features(self) -> int:
        """Number of inputs."""
        return self.n

    @property
    def out_features(self) -> int:
        """Number of outputs."""
        return self.n if self.out is None else self.out

    def _parameters(self) -> dict[str, Any]:
        parameters = super()._parameters()
        n, out = parameters.pop("n"), parameters.pop("out", None)
        widths = {"n": n} if out is None else {"in": n, "out": out}
        return {**widths, **parameters}
