"""Made-up functions to try tuners on: how long a call takes and how much memory it needs, drawn from families by seed.

Forms and middles are those of research/parallel_and_jbmp.md (2.9 for ResNet, 4 for VGG) and research/perf.md (the int8
DistilBERT); parameters vary by about a quarter around them. A function either keeps its model (warm) or loads it for
every call and process, as JBMP's does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import ndtri

from controller.domain.cost import MB_PER_VCPU
from controller.domain.function_times import FunctionSample
from controller.performance_model.poisson_calls import CallTimes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from controller.domain.function_grid import FunctionGrid, FunctionSetting

Network = Literal["resnet", "distilbert short", "distilbert long", "vgg", "stepped", "cliff", "roofline", "pressure"]
NETWORKS: tuple[Network, ...] = ("resnet", "distilbert short", "distilbert long", "vgg")
SPREAD = 0.25
"""Standard deviation of the logarithm of each parameter around its middle."""
ATOMS = 12
NEIGHBOUR_SHARE, NEIGHBOUR_FACTOR = 0.125, 1.35
"""A noisy neighbour slows one call in eight by a third."""
PROFILE_CALLS = 2
"""Calls that are timed at one setting; a third one before them is cold and dropped (JBMP's sampler)."""


@dataclass(frozen=True, slots=True, eq=False)
class FunctionSurface:
    """One function: the truth that tuners do not see.

    Attributes:
        name: family and variant.
        calls: how long they take; infinitely where memory does not suffice.
        memory_used_mb: what a call needs, shape (b, c).
    """

    name: str
    calls: CallTimes
    memory_used_mb: NDArray[np.float64]

    def sample(
        self, setting: FunctionSetting, rng: np.random.Generator, *, calls: int = PROFILE_CALLS
    ) -> FunctionSample:
        """Return what full calls took; nothing where they ran out of memory."""
        mean_s = float(self.calls.seconds.flat[self.calls.grid.place(setting)])
        if not np.isfinite(mean_s):
            return FunctionSample(setting, (), None)
        times = mean_s * rng.choice(self.calls.noise, calls)
        used_mb = float(self.memory_used_mb[setting.per_process - 1, setting.processes - 1])
        return FunctionSample(setting, tuple(times.tolist()), used_mb)


@dataclass(frozen=True, slots=True)
class SurfaceKind:
    """A family and its variant."""

    network: Network
    loads_model: bool
    has_neighbour: bool = False

    @property
    def name(self) -> str:
        """The kind in words."""
        neighbour = ", noisy neighbour" if self.has_neighbour else ""
        return f"{self.network}, {'model loaded per call' if self.loads_model else 'warm'}{neighbour}"


KINDS: tuple[SurfaceKind, ...] = (
    *(SurfaceKind(network, loads_model=loads) for network in NETWORKS for loads in (False, True)),
    SurfaceKind("resnet", loads_model=False, has_neighbour=True),
    SurfaceKind("distilbert short", loads_model=True, has_neighbour=True),
    *(
        SurfaceKind(network, loads_model=loads)
        for network in ("stepped", "cliff", "roofline", "pressure")
        for loads in (False, True)
    ),
)
"""Stepped: batches padded to a multiple of four, and CPU that helps less and less. Cliff: large batches fall out of the
cache at once, threads obey Amdahl. Roofline: batches padded to a power of two, as many threads as there is CPU, until
bandwidth is the limit. Pressure: calls slow down as memory runs short; no constant of ours was chosen on it."""


def draw_surface(kind: SurfaceKind, grid: FunctionGrid, rng: np.random.Generator) -> FunctionSurface:
    """Return a function of a kind."""
    b, c, memory_mb = grid.axes
    vcpus = memory_mb / MB_PER_VCPU / c

    def about(middle: float) -> float:
        return middle * float(rng.lognormal(0.0, SPREAD))

    # Drawn in any case, so that a seed gives the same function with and without loading.
    load_cpu_s = about(0.35) * kind.loads_model
    contention = 1 + about(0.05) * (c - 1)
    share = np.minimum(1.0, vcpus)
    overhead_s = about(0.025)
    match kind.network:
        case "resnet":
            work = (about(0.06) + about(0.045) * b ** min(1.0, about(0.93))) / share
            needs_mb = about(180.0) + c * (about(190.0) + about(9.0) * b)
        case "vgg":
            work = _vgg_seconds(b, vcpus, about)
            needs_mb = about(120.0) + c * (about(690.0) + about(36.6) * b)
        case "stepped":
            work = (about(0.03) + about(0.03) * 4 * np.ceil(b / 4)) / np.minimum(1.0, vcpus) ** 0.85
            needs_mb = about(180.0) + c * (about(160.0) + about(12.0) * 4 * np.ceil(b / 4))
        case "cliff":
            speed = np.where(vcpus > 1, 1 / (0.4 + 0.6 / np.maximum(vcpus, 1.0)), vcpus)
            work = (about(0.02) + about(0.04) * b * (1 + about(0.3) * (b > 6))) / speed
            needs_mb = about(200.0) + c * (about(150.0) + about(10.0) * b)
        case "roofline":
            padded = 2 ** np.ceil(np.log2(b))
            compute, transfer = about(0.035) * padded / vcpus**0.9, about(0.022) * padded
            work = about(0.03) / share + np.maximum(compute, transfer)
            needs_mb = about(200.0) + c * (about(150.0) + about(8.0) * padded)
        case "pressure":
            needs_mb = about(180.0) + c * (about(170.0) + about(10.0) * b)
            short = np.exp(-np.maximum(memory_mb - needs_mb, 0.0) / about(250.0))
            work = (about(0.03) + about(0.035) * b**1.1) / share * (1 + about(0.3) * short)
        case _:
            length = about(24.0) if kind.network == "distilbert short" else min(512.0, about(300.0))
            item = about(0.00019) * length + about(1.7e-7) * length**2
            # Large batches of long texts leave the cache: up to 18 % slower (research/perf.md).
            cache = 1 + about(0.12) * np.clip(b * length / 4096, 0.0, 1.5)
            work = (about(0.0025) + item * b * cache) / share
            needs_mb = about(150.0) + c * (about(170.0) + about(0.03) * length * b)
    seconds = overhead_s + (work + load_cpu_s / share) * contention
    seconds = np.where(np.broadcast_to(memory_mb, grid.shape) >= needs_mb, seconds, np.inf)
    return FunctionSurface(kind.name, CallTimes(grid, seconds, _noise(kind, about(0.045))), needs_mb[..., 0])


def _vgg_seconds(
    b: NDArray[np.float64], vcpus: NDArray[np.float64], about: Callable[[float], float]
) -> NDArray[np.float64]:
    """Return the time of VGG19 on a multi-threaded function by HarmonyBatch's law a_b exp(-cpu / 0.46) + g_b.

    Coefficients were published for b of 1 to 4; a_b and g_b are nearly linear there and go on so.
    """
    scale, bend = about(1.0), about(0.46)
    alpha, gamma = 1.826 + 2.33 * (b - 1), 0.180 + 0.192 * (b - 1)
    return scale * (alpha * np.exp(-vcpus / bend) + gamma)


def _noise(kind: SurfaceKind, cv: float) -> NDArray[np.float64]:
    """Return equally likely factors of mean 1: lognormal, some of them slowed by a neighbour."""
    shares = (np.arange(ATOMS * 2) + 0.5) / (ATOMS * 2)
    factors = np.exp(cv * ndtri(shares))
    if kind.has_neighbour:
        # Every eighth place of the sorted factors, so that slow and fast calls are hit alike.
        slowed = np.arange(factors.size) % round(1 / NEIGHBOUR_SHARE) == round(1 / NEIGHBOUR_SHARE) // 2
        factors = np.where(slowed, factors * NEIGHBOUR_FACTOR, factors)
    return factors / factors.mean()
