"""The bins since the last change, as running sums: bounded in length, cheap to extend and to split."""

from __future__ import annotations


class CountWindow:
    """The last bins, at most `capacity` of them.

    Plain lists: for the few dozen sums that a detector looks at, arrays would cost more than the arithmetic.

    Args:
        capacity: bins remembered; older ones are forgotten.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._start = 0
        self.first_bin = 0
        self.sums: list[float] = [0.0]
        """Cumulative counts; the last entry minus the k-th before it is the sum of the last k bins."""
        self.squares: list[float] = [0.0]
        """Cumulative squared counts."""

    def __len__(self) -> int:
        return len(self.sums) - 1 - self._start

    @property
    def next_bin(self) -> int:
        """Index of the bin that comes next."""
        return self.first_bin + len(self)

    @property
    def sum_before(self) -> float:
        """Cumulative counts up to the oldest bin that is remembered."""
        return self.sums[self._start]

    @property
    def squares_before(self) -> float:
        """Cumulative squared counts up to the oldest bin that is remembered."""
        return self.squares[self._start]

    @property
    def mean(self) -> float:
        """Mean count per bin; 0 without bins."""
        return (self.sums[-1] - self.sum_before) / len(self) if len(self) else 0.0

    def append(self, count: float) -> None:
        """Add the count of the next bin."""
        self.sums.append(self.sums[-1] + count)
        self.squares.append(self.squares[-1] + count * count)
        if len(self) > self._capacity:
            self.forget_before(self.next_bin - self._capacity)

    def forget_before(self, first_bin: int) -> None:
        """Make `first_bin` the oldest bin that is remembered."""
        self._start += first_bin - self.first_bin
        self.first_bin = first_bin
        # Dropping the forgotten entries only now and then keeps the cost of one bin constant.
        if self._start > 4 * self._capacity:
            base, base_squares = self.sum_before, self.squares_before
            self.sums = [value - base for value in self.sums[self._start :]]
            self.squares = [value - base_squares for value in self.squares[self._start :]]
            self._start = 0
