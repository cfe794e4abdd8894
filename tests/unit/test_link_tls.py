"""The authority, its certificates, and a handshake that believes them."""

import ssl
import tempfile
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from controller.errors import BadInputError
from controller.telemetry.tls import Authority, is_due, load, make_authority, server_context

NOW = 1_790_000_000.0
DAY = 86_400.0
NAMES = ("tidegate-controller.tidegate.svc", "localhost")


@pytest.fixture(scope="module")
def authority():
    return make_authority(NOW)


def shake_hands(server, client, name):
    """A whole handshake in memory; returns what the client negotiated."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(to_server, to_client, server_side=True)
    here = client.wrap_bio(to_client, to_server, server_hostname=name)
    done = set()
    for _ in range(10):
        for side in (here, there):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
    assert len(done) == 2
    return here


def client_context(authority):
    context = ssl.create_default_context(cadata=authority.to_pem()["ca.crt"].decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@pytest.fixture
def now_authority(wall_s):
    return make_authority(wall_s)


@pytest.fixture(scope="module")
def wall_s():
    return time.time()


@pytest.mark.parametrize("name", NAMES)
def test_a_client_with_the_authority_believes_the_certificate_for_each_name(now_authority, wall_s, name):
    context = server_context(now_authority.issue(NAMES, wall_s))
    here = shake_hands(context, client_context(now_authority), name)
    assert here.version() == "TLSv1.3"


def test_another_name_is_not_believed(now_authority, wall_s):
    context = server_context(now_authority.issue(NAMES, wall_s))
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(context, client_context(now_authority), "elsewhere")


def test_another_authority_is_not_believed(now_authority, wall_s):
    context = server_context(make_authority(wall_s).issue(NAMES, wall_s))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context, client_context(now_authority), "localhost")


def test_a_renewed_certificate_is_shown_by_the_context_in_use(now_authority, wall_s):
    context = server_context(now_authority.issue(["old"], wall_s))
    load(context, now_authority.issue(["new"], wall_s))
    shake_hands(context, client_context(now_authority), "new")


def test_nothing_older_than_tls_1_2_is_spoken(now_authority, wall_s):
    context = server_context(now_authority.issue(NAMES, wall_s))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_no_private_key_stays_on_the_disk(authority, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server_context(authority.issue(NAMES, NOW))
    assert list(tmp_path.iterdir()) == []


def test_the_lifetimes_are_ten_years_and_ninety_days(authority):
    issued = authority.issue(NAMES, NOW)
    assert authority.certificate.not_valid_after_utc.timestamp() == NOW + 3650 * DAY
    assert issued.certificate.not_valid_after_utc.timestamp() == NOW + 90 * DAY
    assert issued.certificate.not_valid_before_utc.timestamp() == NOW - 300


def test_a_certificate_does_not_outlive_its_authority(authority):
    issued = authority.issue(NAMES, NOW + 3640 * DAY)
    assert issued.certificate.not_valid_after_utc == authority.certificate.not_valid_after_utc


@pytest.mark.parametrize(("day", "due"), [(0, False), (59, False), (61, True), (91, True)])
def test_a_certificate_is_due_when_a_third_of_its_life_is_left(authority, day, due):
    assert is_due(authority.issue(NAMES, NOW).certificate, NOW + day * DAY) is due


def test_an_authority_comes_back_from_its_secret(authority):
    again = Authority.from_pem(authority.to_pem(), NOW)
    assert again.certificate == authority.certificate
    assert again.to_pem() == authority.to_pem()


def test_the_private_key_is_not_shown(authority):
    assert "PRIVATE" not in repr(authority)
    assert "key" not in repr(authority.issue(NAMES, NOW))


PLAIN = serialization.NoEncryption()


def pem_of(key, password=PLAIN):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, password)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"ca.crt": b""}, r"ca\.crt needs a certificate in PEM; delete the Secret"),
        ({"ca.crt": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, r"ca\.crt needs a certificate"),
        ({"ca.crt": make_authority(NOW).to_pem()["ca.crt"]}, r"ca\.key does not belong to ca\.crt"),
        ({"ca.key": b""}, r"ca\.key needs an EC private key"),
        ({"ca.key": b"\xff"}, r"ca\.key needs an EC private key"),
        ({"ca.key": pem_of(rsa.generate_private_key(public_exponent=65537, key_size=2048))}, r"ca\.key needs an EC"),
        (
            {"ca.key": pem_of(ec.generate_private_key(ec.SECP256R1()), serialization.BestAvailableEncryption(b"x"))},
            r"ca\.key needs an EC private key in PEM, without password",
        ),
    ],
)
def test_a_broken_secret_is_refused_by_the_name_of_its_key(authority, change, why):
    with pytest.raises(BadInputError, match=why):
        Authority.from_pem(authority.to_pem() | change, NOW)


def test_a_missing_key_of_the_secret_is_named():
    with pytest.raises(BadInputError, match=r"ca\.crt needs"):
        Authority.from_pem({}, NOW)


def test_a_server_certificate_is_no_authority(authority):
    issued = authority.issue(NAMES, NOW)
    with pytest.raises(BadInputError, match=r"ca\.crt needs a certificate of an authority"):
        Authority.from_pem(Authority(issued.certificate, issued.key).to_pem(), NOW)


def test_an_expired_authority_is_refused_with_the_day(authority):
    with pytest.raises(BadInputError, match=r"ca\.crt expired 2036-"):
        Authority.from_pem(authority.to_pem(), NOW + 3650 * DAY)


@pytest.mark.parametrize("names", [[], [""], ["a", ""], ["zürich"]])
def test_names_that_a_certificate_cannot_hold_are_refused(authority, names):
    with pytest.raises(BadInputError, match="needs DNS names"):
        authority.issue(names, NOW)
