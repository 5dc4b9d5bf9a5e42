"""The codes of tokens that are spread over a text whose length nobody knows before it ends."""

from typing import TYPE_CHECKING

import numpy as np

from monosema.kernels import RaggedCodes

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class SpreadSample:
    """Takes the codes of a text, some tokens at a time, and keeps evenly spread ones of them.

    All are kept at first; whenever they are too many, each second one goes, and so does each second one to come.

    Args:
        width: number of features.
        most: tokens that are kept; of a longer text, between half as many and this.
    """

    def __init__(self, width: int, most: int):
        self.width, self.most = width, most
        self._kept: list[RaggedCodes] = []
        self._every, self._seen = 1, 0

    def __len__(self) -> int:
        """Tokens that are kept."""
        return sum(len(codes.offsets) - 1 for codes in self._kept)

    def add(self, codes: RaggedCodes) -> None:
        """Adds the codes of the next tokens; they are kept or left out together."""
        if self._seen % self._every == 0:
            self._kept.append(codes)
            while len(self) > self.most and len(self._kept) > 1:
                self._kept, self._every = self._kept[::2], 2 * self._every
        self._seen += 1

    def fires(self) -> "csr_array":
        """Tokens × width, with a one wherever a feature fires."""
        from scipy.sparse import csr_array

        columns = np.concatenate([codes.columns.cpu().numpy() for codes in self._kept])
        counts = np.concatenate([codes.offsets.diff().cpu().numpy() for codes in self._kept])
        offsets = np.concatenate([[0], np.cumsum(counts)])
        return csr_array((np.ones(len(columns), np.float32), columns, offsets), shape=(len(counts), self.width))
