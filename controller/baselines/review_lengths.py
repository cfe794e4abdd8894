"""Lengths of film reviews as an encoder reads them: a seeded stand-in for the IMDb set, not downloaded here.

Words are drawn from the quantiles of the 50,000 public reviews, interpolated on the log scale; a word is 1.24 WordPiece
tokens, and two special ones are added. That gives back the tokens reported for the set (mean 292, longest 3,045, 12.7 %
above 512; Sun et al. 2019, "How to fine-tune BERT for text classification").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARES = (0.0, 0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 0.999, 1.0)
WORDS = (4, 40, 68, 92, 126, 173, 280, 450, 592, 905, 1300, 2470)
"""Quantiles of words per review (research/parallel_and_jbmp.md, section 8)."""
TOKENS_PER_WORD, SPECIAL_TOKENS = 1.24, 2


def draw_review_tokens(size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the tokens of `size` reviews before any are cut, shape (size,)."""
    words = np.exp(np.interp(rng.random(size), SHARES, np.log(WORDS)))
    return np.rint(TOKENS_PER_WORD * words + SPECIAL_TOKENS).astype(np.int64)
