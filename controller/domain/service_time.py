"""Service times: how long a batch takes, by its size and by memory or token length.

Four kinds of document give one Protocol, `ServiceTimes`. All are seconds from the start of a batch to its answers,
without any wait. The formulas are explained in docs/performance-model.md.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from controller.domain.documents import as_number, as_object, get_matrix, get_number, get_text, get_vector, read_json
from controller.domain.service_table import TableServiceTimes
from controller.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path

MOST_VARIATION = 10.0
"""Largest coefficient of variation; measured ones are around 0.05."""


class ServiceTimes(Protocol):
    """What every kind can answer."""

    @property
    def memories_mb(self) -> tuple[int, ...]:
        """Memories that were measured, ascending; empty where any memory, or none, will do."""
        ...

    def seconds(self, batch_size: int, *, memory_mb: int | None = None, padded_length: int | None = None) -> float:
        """Return the mean service time of one batch.

        Raises:
            BadInputError: the size, memory or length is needed and missing, or outside what was measured.
        """
        ...

    def to_document(self) -> dict[str, object]:
        """Return the service-times document."""
        ...


@dataclass(frozen=True, slots=True)
class AffineServiceTimes:
    """A fixed part and a part per item, whatever the memory."""

    fixed_s: float
    per_item_s: float

    def __post_init__(self) -> None:
        _require_not_negative(asdict(self))

    @property
    def memories_mb(self) -> tuple[int, ...]:
        """None: memory does not matter."""
        return ()

    def seconds(self, batch_size: int, *, memory_mb: int | None = None, padded_length: int | None = None) -> float:
        """See `ServiceTimes.seconds`."""
        del memory_mb, padded_length
        return self.fixed_s + self.per_item_s * batch_size

    def to_document(self) -> dict[str, object]:
        """Return the service-times document."""
        return {"kind": "affine", **asdict(self)}


@dataclass(frozen=True, slots=True)
class PolynomialServiceTimes:
    """A full polynomial in batch size k and memory M (MB), as BATCH fits it (Ali et al. 2020, section IV).

    Attributes:
        coefficients: in the order 1, k, M, k², kM, M², k³, k²M, kM², M³, …; 1, 3, 6, 10 or 15 of them.
    """

    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.coefficients) not in {1, 3, 6, 10, 15}:
            raise BadInputError(
                f"service times: a full polynomial in two variables has 1, 3, 6, 10 or 15 coefficients, "
                f"got {len(self.coefficients)}"
            )

    @property
    def memories_mb(self) -> tuple[int, ...]:
        """None: any memory can be asked for."""
        return ()

    def seconds(self, batch_size: int, *, memory_mb: int | None = None, padded_length: int | None = None) -> float:
        """See `ServiceTimes.seconds`; needs a memory unless the polynomial is constant."""
        del padded_length
        if memory_mb is None and len(self.coefficients) > 1:
            raise BadInputError("memory: these service times depend on it; give --memory-mb")
        k, m = float(batch_size), float(memory_mb or 0)
        powers = [(degree - j, j) for degree in range(5) for j in range(degree + 1)]
        terms = zip(self.coefficients, powers, strict=False)
        value = sum(coefficient * k**a * m**b for coefficient, (a, b) in terms)
        if not value > 0:
            raise BadInputError(
                f"service times: the polynomial gives {value:g} s for batch size {batch_size} at {memory_mb} MB; "
                "it holds only where it was fitted"
            )
        return value

    def to_document(self) -> dict[str, object]:
        """Return the service-times document."""
        return {"kind": "polynomial", "coefficients": list(self.coefficients)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenServiceTimes:
    """The white-box law of an encoder on a CPU; n requests padded to L tokens take, with a share s of a core,

    S(n, L) = fixed_s + k(n) (per_batch_s + per_token_s n L + per_token_pair_s n L²) / s.

    k(n) is 1 unless the law was seen to misfit.
    The share is min(1, vcpu_per_mb · memory / workers) where memory buys CPU (on Lambda 1/1769), else 1.
    """  # noqa: D415  the sentence runs on into the formula

    fixed_s: float = 0.0
    """What CPU does not speed up: hand-over, network."""
    per_batch_s: float = 0.0
    """CPU seconds of one call of the network, whatever is in it."""
    per_token_s: float = 0.0
    """CPU seconds of one padded token: projections and feed-forward."""
    per_token_pair_s: float = 0.0
    """CPU seconds of one pair of tokens in one request: attention."""
    vcpu_per_mb: float | None = None
    """vCPUs that one MB of memory buys; None where each worker has a core of its own."""
    workers: int = 1
    """Workers that share the instance's CPU."""
    cv: float = 0.0
    """Standard deviation over mean of the time of equal batches; lognormal."""
    size_factors: tuple[float, ...] = ()
    """k for 1, 2, … requests, the last for larger batches too; none where the law fits."""

    def __post_init__(self) -> None:
        names = ("fixed_s", "per_batch_s", "per_token_s", "per_token_pair_s", "cv")
        _require_not_negative({name: getattr(self, name) for name in names})
        if self.cv > MOST_VARIATION:
            raise BadInputError(f"service times: cv needs a number of at most {MOST_VARIATION:g}, got {self.cv:g}")
        for factor in self.size_factors:
            if not 0 < factor < math.inf:
                raise BadInputError(f"service times: size_factors must be positive numbers, got {factor!r}")
        if self.vcpu_per_mb is not None and not self.vcpu_per_mb > 0:
            raise BadInputError(f"service times: vcpu_per_mb must be positive, got {self.vcpu_per_mb!r}")
        if self.workers < 1:
            raise BadInputError(f"service times: workers needs a whole number of at least 1, got {self.workers!r}")

    @property
    def memories_mb(self) -> tuple[int, ...]:
        """None: any memory can be asked for."""
        return ()

    def seconds(self, batch_size: int, *, memory_mb: int | None = None, padded_length: int | None = None) -> float:
        """See `ServiceTimes.seconds`; needs the padded length when tokens cost anything."""
        if padded_length is None:
            if self.per_token_s or self.per_token_pair_s:
                raise BadInputError("lengths: these service times depend on tokens; give --lengths FILE")
            padded_length = 0
        tokens = batch_size * padded_length
        work = self.per_batch_s + self.per_token_s * tokens + self.per_token_pair_s * tokens * padded_length
        return self.fixed_s + self.size_factor(batch_size) * work / self.cpu_share(memory_mb)

    def size_factor(self, batch_size: int) -> float:
        """Return what the law's work is multiplied by for batches of a size."""
        return self.size_factors[min(batch_size, len(self.size_factors)) - 1] if self.size_factors else 1.0

    def cpu_share(self, memory_mb: int | None) -> float:
        """Return the share of a core that one worker gets when all are busy, at most 1."""
        if self.vcpu_per_mb is None:
            return 1.0
        if memory_mb is None:
            raise BadInputError("memory: these service times depend on it (vcpu_per_mb); give --memory-mb")
        return min(1.0, self.vcpu_per_mb * memory_mb / self.workers)

    def to_document(self) -> dict[str, object]:
        """Return the service-times document."""
        document = {"kind": "tokens", **asdict(self), "size_factors": list(self.size_factors)}
        return {name: value for name, value in document.items() if value is not None and value != []}


def read_service_times(path: Path) -> ServiceTimes:
    """Read a service-times document.

    Raises:
        BadInputError: unreadable, no JSON, or no valid document.
    """
    remedy = 'give a service-times document such as {"kind": "affine", "fixed_s": 0.01, "per_item_s": 0.03}'
    return service_times_from_document(read_json(path, remedy=remedy), where=str(path))


def service_times_from_document(document: object, *, where: str) -> ServiceTimes:
    """Parse a service-times document; keys it does not need are ignored.

    Raises:
        BadInputError: not an object, unknown kind, missing key, wrong type or value.
    """
    fields = as_object(document, where)
    kind = get_text(fields, "kind", where)
    try:
        return _parse_kind(kind, fields, where)
    except BadInputError as error:
        raise error if str(error).startswith(where) else BadInputError(f"{where}: {error}") from error


def _parse_kind(kind: str, fields: dict[str, object], where: str) -> ServiceTimes:
    match kind:
        case "table":
            return _parse_table(fields, where)
        case "affine":
            return AffineServiceTimes(get_number(fields, "fixed_s", where), get_number(fields, "per_item_s", where))
        case "polynomial":
            return PolynomialServiceTimes(tuple(get_vector(fields, "coefficients", where).tolist()))
        case "tokens":
            return _parse_tokens(fields, where)
        case _:
            raise BadInputError(f"{where}: unknown kind {kind!r}; known are table, affine, polynomial, tokens")


def _parse_table(fields: dict[str, object], where: str) -> TableServiceTimes:
    sizes = get_vector(fields, "batch_size", where)
    if sizes.tolist() != list(range(1, sizes.size + 1)):
        raise BadInputError(f"{where}: batch_size needs 1, 2, … without a hole, got {sizes.tolist()}")
    table = get_matrix(fields, "seconds", where)
    if table.shape[1] != sizes.size:
        raise BadInputError(f"{where}: seconds needs {sizes.size} numbers per memory, got {table.shape[1]}")
    memories = get_vector(fields, "memory_mb", where) if fields.get("memory_mb") else np.zeros(0)
    if (memories != np.rint(memories)).any():
        raise BadInputError(f"{where}: memory_mb needs whole numbers, got {memories.tolist()}")
    return TableServiceTimes(tuple(int(memory) for memory in memories), table)


def _parse_tokens(fields: dict[str, object], where: str) -> TokenServiceTimes:
    names = ("fixed_s", "per_batch_s", "per_token_s", "per_token_pair_s")
    values = {name: get_number(fields, name, where) for name in names}
    cv = get_number(fields, "cv", where) if "cv" in fields else 0.0
    share, workers = fields.get("vcpu_per_mb"), get_number(fields, "workers", where) if "workers" in fields else 1
    if workers != int(workers):
        raise BadInputError(f"{where}: workers needs a whole number of at least 1, got {workers:g}")
    vcpu_per_mb = None if share is None else as_number(share, f"{where}: vcpu_per_mb")
    factors = get_vector(fields, "size_factors", where).tolist() if "size_factors" in fields else []
    return TokenServiceTimes(
        **values, cv=cv, vcpu_per_mb=vcpu_per_mb, workers=int(workers), size_factors=tuple(factors)
    )


def _require_not_negative(values: dict[str, float]) -> None:
    for name, value in values.items():
        if not (np.isfinite(value) and value >= 0):
            raise BadInputError(f"service times: {name} needs a number of at least 0, got {value!r}")
