"""The law of request lengths in tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAX_TOKENS = 512
"""What a DistilBERT can read; longer requests are cut."""


@dataclass(frozen=True, slots=True)
class TokenLengths:
    """An empirical law: every length is drawn with equal probability.

    Attributes:
        tokens: shape (n,), whole numbers in 1..512.
    """

    tokens: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.tokens.ndim != 1 or self.tokens.size == 0:
            raise BadInputError("token lengths: needs at least one length")
        if self.tokens.min() < 1:
            raise BadInputError(f"token lengths: needs lengths of at least 1, got {self.tokens.min()}")
        capped = np.minimum(self.tokens, MAX_TOKENS)
        capped.flags.writeable = False
        object.__setattr__(self, "tokens", capped)

    @classmethod
    def from_histogram(cls, histogram: dict[int, int]) -> TokenLengths:
        """Build the law from counts by upper edge, as a heartbeat carries them; scaled to at most 1000 draws."""
        edges = np.array(sorted(histogram), dtype=np.int64)
        counts = np.array([histogram[int(edge)] for edge in edges], dtype=np.float64)
        share = np.maximum(np.rint(1000 * counts / counts.sum()), counts > 0).astype(np.int64)
        return cls(np.repeat(edges, share))

    def sample(self, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return `size` lengths, shape (size,)."""
        return rng.choice(self.tokens, size=size)


def read_token_lengths(path: Path) -> TokenLengths:
    """Read one length a line.

    Raises:
        BadInputError: unreadable, empty, or a line that is no whole number of at least 1.
    """
    try:
        lines = path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path}: cannot be read ({error}); give a text file with one length a line") from error
    try:
        return TokenLengths(np.array([int(line) for line in lines], dtype=np.int64))
    except OverflowError as error:
        raise BadInputError(
            f"{path}: needs lengths below 2^63; more than {MAX_TOKENS} tokens are cut anyway"
        ) from error
    except ValueError as error:
        raise BadInputError(f"{path}: needs one whole number a line ({error!s:.200})") from error
    except BadInputError as error:
        raise BadInputError(f"{path}: {error}") from error
