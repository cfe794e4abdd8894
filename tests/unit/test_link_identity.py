"""Tokens as a cluster signs them, and everything that must not pass for one."""

import asyncio
import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from controller.errors import TemporaryError
from controller.telemetry.identity import PodIdentity, TokenIdentity, read_identity, read_keys
from controller.telemetry.reception import RefusedError, bearer_token

NOW_S = 1_790_000_000.0
ISSUER = "https://kubernetes.default.svc"
CLAIMS = {
    "aud": ["tidegate"],
    "exp": NOW_S + 600,
    "iat": NOW_S,
    "nbf": NOW_S,
    "iss": ISSUER,
    "sub": "system:serviceaccount:shop:reviews",
    "kubernetes.io": {
        "namespace": "shop",
        "node": {"name": "node-1", "uid": "n"},
        "pod": {"name": "reviews-00001-abc", "uid": "p"},
        "serviceaccount": {"name": "reviews", "uid": "s"},
        "warnafter": NOW_S + 500,
    },
}
IDENTITY = PodIdentity("shop", "reviews-00001-abc", "p", "reviews")


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def sign(rsa_key):
    def sign(claims=CLAIMS, *, kid="one", key=rsa_key, algorithm="RS256"):
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid} if kid is not None else None)

    return sign


def jwk(key, kid, algorithm="RS256"):
    maker = jwt.algorithms.get_default_algorithms()[algorithm]
    return maker.to_jwk(key.public_key(), as_dict=True) | {"kid": kid, "alg": algorithm, "use": "sig"}


class Cluster:
    """Hands out a set of keys, counts how often, and has a clock."""

    def __init__(self, *keys):
        self.keys = list(keys)
        self.fetched = 0
        self.now_s = NOW_S
        self.error = None

    async def fetch(self):
        self.fetched += 1
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return json.dumps({"keys": self.keys}).encode()

    def identity(self, issuer=ISSUER):
        return TokenIdentity(self.fetch, now=lambda: self.now_s, issuer=issuer)


@pytest.fixture
def cluster(rsa_key):
    return Cluster(jwk(rsa_key, "one"))


async def test_a_projected_token_names_its_pod(cluster, sign):
    assert await cluster.identity().verify(sign()) == IDENTITY


async def test_an_elliptic_key_of_the_cluster_is_as_good(cluster, sign):
    key = ec.generate_private_key(ec.SECP256R1())
    cluster.keys.append(jwk(key, "two", "ES256"))
    assert await cluster.identity().verify(sign(kid="two", key=key, algorithm="ES256")) == IDENTITY


async def test_the_second_time_no_signature_is_checked(cluster, sign, monkeypatch):
    identity, token = cluster.identity(), sign()
    await identity.verify(token)
    monkeypatch.setattr(jwt.PyJWS, "decode", None)
    assert await identity.verify(token) == IDENTITY


async def test_a_token_once_verified_is_refused_after_it_expired(cluster, sign):
    identity, token = cluster.identity(), sign()
    await identity.verify(token)
    cluster.now_s = NOW_S + 611
    with pytest.raises(RefusedError, match="has expired"):
        await identity.verify(token)


async def test_the_memory_of_tokens_is_bounded(cluster, sign, monkeypatch):
    monkeypatch.setattr("controller.telemetry.identity.MOST_CACHED", 3)
    identity = cluster.identity()
    for number in range(5):
        await identity.verify(sign(CLAIMS | {"jti": str(number)}))
    assert len(identity._known) == 3


async def test_a_new_key_of_the_cluster_is_fetched_once_for_all_that_wait(cluster, sign):
    identity = cluster.identity()
    await identity.verify(sign())
    key = ec.generate_private_key(ec.SECP256R1())
    cluster.keys.append(jwk(key, "two", "ES256"))
    cluster.now_s += 10
    token = sign(kid="two", key=key, algorithm="ES256")
    assert await asyncio.gather(*(identity.verify(token) for _ in range(5))) == [IDENTITY] * 5
    assert cluster.fetched == 2


async def test_unknown_keys_do_not_make_us_ask_the_cluster_more_than_once_in_10_s(cluster, sign):
    identity = cluster.identity()
    for number in range(20):
        with pytest.raises(RefusedError, match="not signed by a key of this cluster"):
            await identity.verify(sign(kid=str(number)))
    assert cluster.fetched == 1
    cluster.now_s += 10
    with pytest.raises(RefusedError):
        await identity.verify(sign(kid="x"))
    assert cluster.fetched == 2


async def test_a_key_that_the_cluster_gave_up_is_forgotten_with_the_next_fetch(cluster, sign):
    identity = cluster.identity()
    await identity.verify(sign())
    cluster.keys.clear()
    cluster.keys.append(jwk(ec.generate_private_key(ec.SECP256R1()), "two", "ES256"))
    cluster.now_s += 10
    with pytest.raises(RefusedError):
        await identity.verify(sign(kid="x"))
    with pytest.raises(RefusedError, match="not signed by a key of this cluster"):
        await identity.verify(sign(CLAIMS | {"jti": "another"}))


@pytest.mark.parametrize("error", [ConnectionRefusedError(), TimeoutError(), TemporaryError("away")])
async def test_a_cluster_that_is_away_is_no_fault_of_the_sender(cluster, sign, error):
    identity, cluster.error = cluster.identity(), error
    with pytest.raises(TemporaryError):
        await identity.verify(sign())
    with pytest.raises(TemporaryError, match="not known yet"):
        await identity.verify(sign())
    assert cluster.fetched == 1
    cluster.error = None
    cluster.now_s += 10
    assert await identity.verify(sign()) == IDENTITY


async def test_known_keys_serve_while_the_cluster_is_away(cluster, sign):
    identity = cluster.identity()
    await identity.verify(sign())
    cluster.error = ConnectionRefusedError()
    assert await identity.verify(sign(CLAIMS | {"jti": "another"})) == IDENTITY


def without(*path):
    claims = json.loads(json.dumps(CLAIMS))
    within = claims
    for name in path[:-1]:
        within = within[name]
    del within[path[-1]]
    return claims


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        (CLAIMS | {"aud": ["vault"]}, "audience tidegate"),
        (CLAIMS | {"aud": "tidegate-other"}, "audience tidegate"),
        (without("aud"), "audience tidegate"),
        (CLAIMS | {"iss": "https://elsewhere"}, "issuer https://kubernetes"),
        (without("iss"), "issuer https://kubernetes"),
        (CLAIMS | {"exp": NOW_S - 11}, "has expired"),
        (CLAIMS | {"exp": "never"}, "has expired"),
        (CLAIMS | {"exp": float("inf")}, "has expired"),
        (without("exp"), "has expired"),
        (CLAIMS | {"nbf": NOW_S + 11}, "not valid yet"),
        (without("kubernetes.io"), "namespace is missing"),
        (without("kubernetes.io", "namespace"), "namespace is missing"),
        (without("kubernetes.io", "pod"), r"pod\.name is missing; only tokens bound to a pod"),
        (without("kubernetes.io", "pod", "uid"), r"pod\.uid is missing"),
        (without("kubernetes.io", "serviceaccount"), r"serviceaccount\.name is missing"),
        (CLAIMS | {"kubernetes.io": "shop"}, "namespace is missing"),
    ],
)
def test_claims_that_are_not_for_us_are_refused_with_the_reason(claims, why):
    with pytest.raises(RefusedError, match=why):
        read_identity(claims, issuer=ISSUER, now_s=NOW_S)


@pytest.mark.parametrize("claims", [CLAIMS | {"exp": NOW_S - 9}, CLAIMS | {"nbf": NOW_S + 9}, without("nbf")])
def test_clocks_may_be_a_little_apart(claims):
    assert read_identity(claims, issuer=ISSUER, now_s=NOW_S) == IDENTITY


def test_an_audience_may_be_one_text_and_any_issuer_will_do_where_none_is_asked_for():
    assert read_identity(CLAIMS | {"aud": "tidegate", "iss": "x"}, issuer=None, now_s=NOW_S) == IDENTITY


async def test_a_forged_signature_is_refused_without_showing_the_token(cluster, sign):
    forged = sign(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    with pytest.raises(RefusedError) as caught:
        await cluster.identity().verify(forged)
    assert str(caught.value) == "token: its signature is wrong"
    assert caught.value.__cause__ is None


async def test_changed_claims_are_refused(cluster, sign):
    head, _, signature = sign().split(".")
    claims = base64.urlsafe_b64encode(json.dumps(CLAIMS | {"sub": "admin"}).encode()).rstrip(b"=").decode()
    with pytest.raises(RefusedError, match="signature is wrong"):
        await cluster.identity().verify(f"{head}.{claims}.{signature}")


async def test_an_unsigned_token_is_refused(cluster, sign):
    with pytest.raises(RefusedError, match="signature is wrong"):
        await cluster.identity().verify(sign(key=None, algorithm="none"))


async def test_the_public_key_is_no_shared_secret(cluster, rsa_key):
    public = rsa_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    def part(document):
        return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=")

    signed = part({"alg": "HS256", "kid": "one"}) + b"." + part(CLAIMS)
    hmac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = base64.urlsafe_b64encode(hmac.sign(signed, public)).rstrip(b"=")
    with pytest.raises(RefusedError, match="signature is wrong"):
        await cluster.identity().verify((signed + b"." + signature).decode())


async def test_a_key_signs_only_by_its_own_algorithm(cluster, sign):
    with pytest.raises(RefusedError, match="signature is wrong"):
        await cluster.identity().verify(sign(algorithm="PS256"))


def test_secrets_and_unknown_kinds_of_keys_are_left_out_of_a_set(rsa_key):
    rows = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret", "alg": "HS256"},
        {"kty": "quantum", "kid": "new"},
        {"kty": "RSA"},
        jwk(rsa_key, "one"),
    ]
    assert list(read_keys(json.dumps({"keys": rows}).encode())) == ["one"]


@pytest.mark.parametrize("document", [b"", b"<html>", b"[]", b"{}", b'{"keys": 1}', b'{"keys": [1]}', b"[" * 100_000])
def test_what_is_no_set_of_keys_is_refused(document):
    with pytest.raises(TemporaryError, match="/openid/v1/jwks"):
        read_keys(document)


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "e30.e30.", "\udcff.x.y", "." * 5000, "eyJhbGciOiJub25lIn0.e30."])
async def test_nonsense_is_no_token_and_costs_the_cluster_nothing(cluster, token):
    with pytest.raises(RefusedError, match=r"is no JSON web token|names no key"):
        await cluster.identity().verify(token)
    assert cluster.fetched == 0


async def test_a_token_that_names_no_key_is_refused(cluster, sign):
    with pytest.raises(RefusedError, match="names no key"):
        await cluster.identity().verify(sign(kid=None))


def test_the_token_follows_the_word_bearer():
    assert bearer_token("Bearer abc") == bearer_token("bearer  abc ") == "abc"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "abc", "Bearer \udcff"])
def test_a_header_without_a_token_is_refused(header):
    with pytest.raises(RefusedError, match="needs a bearer token"):
        bearer_token(header)
