"""Which pod speaks: a projected service-account token, checked against the cluster's own keys, becomes an identity.

The signature and claims are checked once per token; a heartbeat a second with the same token costs a look-up.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import jwt

from controller.errors import TemporaryError
from controller.telemetry.reception import RefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

AUDIENCE = "tidegate"
ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)  # signatures only: with HS* the public key would be the secret
LEEWAY_S = 10.0
"""How far the clocks of the API server and of the operator's node may be apart."""
FETCH_PAUSE_S = 10.0
"""Unknown keys make us ask the cluster at most this often, whoever sends how many of them."""
FETCH_TIMEOUT_S = 5.0
MOST_CACHED = 4096
"""Tokens remembered; each pod shows a new one every few minutes."""


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """Who the cluster says that a sender is."""

    namespace: str
    pod: str
    uid: str
    service_account: str


class TokenIdentity:
    """Turns tokens into identities.

    Args:
        fetch_keys: returns the cluster's JWKS (GET /openid/v1/jwks); raises OSError or TemporaryError when it is away.
        now: wall clock, seconds.
        issuer: what the tokens' `iss` has to be; None: any, as all keys are the cluster's own.
    """

    def __init__(
        self, fetch_keys: Callable[[], Awaitable[bytes]], *, now: Callable[[], float], issuer: str | None = None
    ) -> None:
        self._fetch_keys = fetch_keys
        self._now = now
        self._issuer = issuer
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at_s = float("-inf")
        self._fetching = asyncio.Lock()
        self._known: dict[bytes, tuple[PodIdentity, float]] = {}

    async def verify(self, token: str) -> PodIdentity:
        """Return whose token this is.

        Raises:
            RefusedError: it is not a valid token of a pod of this cluster for us; the reason never holds the token.
            TemporaryError: the cluster's keys cannot be fetched.
        """
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        known = self._known.get(digest)
        if known is not None and self._now() < known[1]:
            return known[0]
        self._known.pop(digest, None)
        claims = _open(token, await self._key(_key_id(token)))
        identity = read_identity(claims, issuer=self._issuer, now_s=self._now())
        while len(self._known) >= MOST_CACHED:
            del self._known[next(iter(self._known))]
        self._known[digest] = identity, float(claims["exp"]) + LEEWAY_S
        return identity

    async def _key(self, key_id: str) -> jwt.PyJWK:
        if key_id not in self._keys:
            async with self._fetching:  # many senders with a new key wait for one answer
                if key_id not in self._keys and self._now() >= self._fetched_at_s + FETCH_PAUSE_S:
                    await self._fetch()
        if not self._keys:
            raise TemporaryError("token: the cluster's keys are not known yet; wait for its API")
        if key_id not in self._keys:
            raise RefusedError("token: not signed by a key of this cluster")
        return self._keys[key_id]

    async def _fetch(self) -> None:
        self._fetched_at_s = self._now()
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                self._keys = read_keys(await self._fetch_keys())
        except OSError as error:
            raise TemporaryError("token: the cluster's keys cannot be fetched; wait for its API") from error


def read_keys(document: bytes) -> dict[str, jwt.PyJWK]:
    """Return the keys of a JWKS by their id; those that cannot verify a signature are left out.

    Raises:
        TemporaryError: it is no JWKS.
    """
    keys: dict[str, jwt.PyJWK] = {}
    try:
        rows = [cast("dict[str, Any]", {**row}) for row in json.loads(document)["keys"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TemporaryError("token: what the cluster answers is no set of keys; check /openid/v1/jwks") from error
    for row in rows:
        try:
            key = jwt.PyJWK(row)
        except (jwt.PyJWTError, ValueError, TypeError):  # a kind of key that this library does not know
            continue
        if key.algorithm_name in ALGORITHMS and isinstance(row.get("kid"), str):
            keys[row["kid"]] = key
    return keys


def read_identity(claims: Mapping[str, Any], *, issuer: str | None, now_s: float) -> PodIdentity:
    """Return whom verified claims name.

    Raises:
        RefusedError: they are not, or no longer, for us; or they name no pod.
    """
    if issuer is not None and claims.get("iss") != issuer:
        raise RefusedError(f"token: needs the issuer {issuer}")
    audience = claims.get("aud")
    if AUDIENCE not in (audience if isinstance(audience, list) else [audience]):
        raise RefusedError(f"token: needs the audience {AUDIENCE}; project one with it into the pod")
    expires_s, begins_s = _seconds(claims, "exp"), _seconds(claims, "nbf")
    if expires_s is None or now_s >= expires_s + LEEWAY_S:
        raise RefusedError("token: has expired; the server must read its file anew, and clocks must agree")
    if begins_s is not None and now_s < begins_s - LEEWAY_S:
        raise RefusedError("token: is not valid yet; set the clocks")
    bound = claims.get("kubernetes.io")
    return PodIdentity(
        namespace=_text(bound, "namespace"),
        pod=_text(bound, "pod", "name"),
        uid=_text(bound, "pod", "uid"),
        service_account=_text(bound, "serviceaccount", "name"),
    )


def _key_id(token: str) -> str:
    try:
        key_id = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise RefusedError("token: is no JSON web token") from None  # the cause could show parts of it
    if not isinstance(key_id, str):
        raise RefusedError("token: names no key")
    return key_id


def _open(token: str, key: jwt.PyJWK) -> dict[str, Any]:
    """Return the claims of a token that this key has signed."""
    try:
        # Only the algorithm of the cluster's key: never the one that the token proposes.
        text = jwt.PyJWS().decode(token, key, algorithms=[key.algorithm_name])
        claims: object = json.loads(text)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise RefusedError("token: its signature is wrong") from None
    if not isinstance(claims, dict):
        raise RefusedError("token: holds no claims")
    return cast("dict[str, Any]", claims)


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    # The bound keeps NaN, infinity and numbers too long for a float away.
    return float(value) if isinstance(value, int | float) and 0 <= value < 2**53 else None


def _text(value: object, *path: str) -> str:
    for name in path:
        value = cast("dict[str, object]", value).get(name) if isinstance(value, dict) else None
    if not isinstance(value, str) or not value:
        raise RefusedError(f"token: kubernetes.io.{'.'.join(path)} is missing; only tokens bound to a pod are taken")
    return value
