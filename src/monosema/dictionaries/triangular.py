"""A decoder of cross-layer features: those of one layer write to that layer and to all later ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from monosema.dictionaries.maps import maps
from monosema.errors import InputError
from monosema.kernels import RaggedCodes, SparseCodes, sparse_decode
from monosema.kernels.rows import ROWS

if TYPE_CHECKING:
    from typing_extensions import Self


@maps.register("triangular")
@dataclass(frozen=True)
class Triangular:
    """`n` blocks of features and `n` parts of the output, of which block i writes to part i and to those behind it.

    Stored are the pairs alone, as `[n (n + 1) / 2, rows / n, columns / n]`, first all that write to part 0, then to
    part 1, and so on, in the order of their blocks: what writes to a part is one matrix. All equations below are those
    of the dense map with the matrix `matrix(weight)`, which has zeros where a later layer would write to an earlier
    one. A feature's norm is that of all it writes (Ameisen et al. 2025, Circuit Tracing).
    """

    n: int

    @classmethod
    def of(cls, blocks: int, sizes: Sequence[int]) -> "Self":
        """The map of so many blocks."""
        return cls(blocks)

    def shape(self, rows: int, columns: int) -> tuple[int, ...]:
        """`(n (n + 1) / 2, rows / n, columns / n)`."""
        return (self.n * (self.n + 1) // 2, rows // self.n, columns // self.n)

    def matrix(self, weight: Shaped[Tensor, "pairs own d"]) -> Shaped[Tensor, "rows columns"]:
        """The whole matrix, with its zeros."""
        _, own, d = weight.shape
        whole = weight.new_zeros(self.n * own, self.n * d)
        for part, rows in enumerate(self._writers(weight)):
            whole[: len(rows), part * d : (part + 1) * d] = rows
        return whole

    def apply(
        self, x: Float[Tensor, "*batch rows"], weight: Tensor, bias: Float[Tensor, " columns"] | None = None
    ) -> Float[Tensor, "*batch columns"]:
        """`x @ matrix(weight) + bias`."""
        out = torch.cat([x[..., : len(rows)] @ rows for rows in self._writers(weight)], dim=-1)
        return out if bias is None else out + bias.to(out.dtype)

    def apply_sparse(self, codes: SparseCodes | RaggedCodes, weight: Tensor) -> Float[Tensor, "batch columns"]:
        """`codes.to_dense() @ matrix(weight)`, over the active rows alone."""
        entries = codes.ragged() if isinstance(codes, SparseCodes) else codes
        parts = []
        for rows in self._writers(weight):
            before = entries if len(rows) == codes.width else entries.only(entries.columns < len(rows))
            parts.append(sparse_decode(before._replace(width=len(rows)), rows))
        return torch.cat(parts, 1)

    def apply_parts(self, codes: RaggedCodes, weight: Tensor, ends: Sequence[int]) -> tuple[Tensor, ...]:
        """As for blocks: a prefix has the first features of every layer."""
        place = self.n * (codes.columns % weight.shape[1])
        starts = (0, *ends[:-1])
        return tuple(
            self.apply_sparse(codes.only((place >= start) & (place < end)), weight)
            for start, end in zip(starts, ends, strict=True)
        )

    def prefix_errors(
        self, codes: SparseCodes, weight: Tensor, target: Float[Tensor, "batch columns"], ends: Sequence[int]
    ) -> Float[Tensor, " prefixes"]:
        """For each end: the squared distance from the target without the entries from there on."""
        prefixes = (SparseCodes(codes.indices[:, :end], codes.values[:, :end], codes.width) for end in ends)
        return torch.stack([(target - self.apply_sparse(prefix, weight)).square().sum() for prefix in prefixes])

    def apply_some(
        self, codes: Float[Tensor, "batch some"] | SparseCodes, weight: Tensor, features: Int[Tensor, " some"]
    ) -> Float[Tensor, "batch columns"]:
        """`codes @ matrix(weight)[features]`."""
        codes = codes.to_dense() if isinstance(codes, SparseCodes) else codes
        parts = []
        for rows in self._writers(weight):
            write = features < len(rows)
            parts.append(codes[:, write] @ rows[features[write]])
        return torch.cat(parts, 1)

    def some(self, x: Tensor, weight: Tensor, bias: Tensor, features: Tensor) -> Tensor:
        """Refused: it belongs to encoders."""
        raise InputError("a triangular encoder", expected="a triangular map as a decoder alone")

    def row_norms(self, weight: Tensor) -> Float[Tensor, " rows"]:
        """The norm of all that each feature writes."""
        return self._squares(weight).sqrt()

    def site_norms(self, weight: Tensor) -> Float[Tensor, "rows sites"]:
        """The norm of what each feature writes to each part; zero where it writes nothing."""
        norms = weight.new_zeros(self.n * weight.shape[1], self.n)
        for part, rows in enumerate(self._writers(weight)):
            norms[: len(rows), part] = rows.norm(dim=1)
        return norms

    @torch.no_grad()
    def normalise_(self, weight: Tensor) -> None:
        """Divides each row by its norm, in place."""
        factors = 1 / self.row_norms(weight).clamp_min(torch.finfo(weight.dtype).tiny)
        for rows in self._writers(weight):
            rows.mul_(factors[: len(rows), None])

    def scale_columns_(self, weight: Tensor, factors: Float[Tensor, " columns"]) -> None:
        """`matrix(weight) *= factors`."""
        for rows, own in zip(self._writers(weight), factors.chunk(self.n), strict=True):
            rows.mul_(own)

    def turn_(self, weight: Tensor, axes: Float[Tensor, "n d d"]) -> None:
        """`matrix(weight) @ block_diag(*axes)`, in place."""
        for rows, own in zip(self._writers(weight), axes, strict=True):
            rows.copy_(rows @ own)

    @torch.no_grad()
    def project_(self, grad: Tensor, weight: Tensor) -> None:
        """Removes from a gradient, in place, its part along each row."""
        along = weight.new_zeros(self.n * weight.shape[1])
        pairs = list(zip(self._writers(grad), self._writers(weight), strict=True))
        for g, w in pairs:
            for at in range(0, len(w), ROWS):
                part = slice(at, min(at + ROWS, len(w)))
                along[part] += (g[part] * w[part]).sum(1)
        for g, w in pairs:
            g.addcmul_(along[: len(w), None], w, value=-1)

    def unit(
        self, vectors: Float[Tensor, "some d"], features: Int[Tensor, " some"], width: int
    ) -> Float[Tensor, "some d"]:
        """The vectors from their features' layers on, divided by their norms."""
        layer, part = features // (width // self.n), torch.arange(self.n, device=vectors.device)
        cut = vectors.unflatten(1, (self.n, -1)) * (part >= layer[:, None])[..., None]
        return F.normalize(cut.flatten(1))

    def set_rows_(self, weight: Tensor, features: Int[Tensor, " some"], rows: Shaped[Tensor, "some d"]) -> None:
        """Gives some features new rows, in place, as far as they reach."""
        for own, new in zip(self._writers(weight), rows.chunk(self.n, 1), strict=True):
            write = features < len(own)
            own[features[write]] = new[write]

    def set_columns_(self, weight: Tensor, features: Tensor, columns: Tensor) -> None:
        """Refused: it belongs to encoders."""
        raise InputError("a triangular encoder", expected="a triangular map as a decoder alone")

    def parts(self, y: Float[Tensor, "batch columns"]) -> Sequence[Float[Tensor, "batch _"]]:
        """What each layer's features write to: its own part and those behind it."""
        d = y.shape[1] // self.n
        return [y[:, layer * d :] for layer in range(self.n)]

    def _writers(self, weight: Shaped[Tensor, "pairs own d"]) -> list[Shaped[Tensor, "rows d"]]:
        """For each part of the output, the rows of all features that write to it."""
        return [rows.flatten(0, 1) for rows in weight.split(list(range(1, self.n + 1)))]

    def _squares(self, weight: Tensor) -> Float[Tensor, " rows"]:
        """In the order of features; written without changing anything in place, for gradients."""
        _, own, _ = weight.shape
        squares = [F.pad(rows.square().sum(1), (0, self.n * own - len(rows))) for rows in self._writers(weight)]
        return torch.stack(squares).sum(0)
