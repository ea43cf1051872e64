# SPDX-License-Identifier: Apache-2.0
"""As much of X.509 and ECDSA as section 7.2 of docs/formats.md wants; consortium.py uses it.

Only keys on P-256 are known, for authorities too: a chain over another key does not count here.
"""
from __future__ import annotations

import base64
import binascii
import hashlib
import re
from datetime import datetime, timedelta
from typing import Iterator, NamedTuple, Optional

from formats import Bad, need

# ---- ECDSA on P-256 -----------------------------------------------------------------------------------------------------

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
     0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)
Point = Optional[tuple[int, int]]


def add(a: Point, b: Point) -> Point:
    """The sum of two points; None is the neutral one."""
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, P) % P
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def times(k: int, a: Point) -> Point:
    """k times a."""
    result: Point = None
    while k:
        if k & 1:
            result = add(result, a)
        a, k = add(a, a), k >> 1
    return result


def verify(key: tuple[int, int], message: bytes, signature: bytes, hash_name: str = "sha256") -> bool:
    """Whether signature is one of the message."""
    try:
        r, s = integers(signature)
    except Bad:
        return False
    if not (0 < r < N and 0 < s < N):
        return False
    e = int.from_bytes(hashlib.new(hash_name, message).digest()[:32], "big")
    w = pow(s, -1, N)
    point = add(times(e * w % N, G), times(r * w % N, key))
    return point is not None and point[0] % N == r


def integers(signature: bytes) -> tuple[int, int]:
    """r and s."""
    outer = list(elements(signature))
    need(len(outer) == 1 and outer[0].tag == 0x30, "signature")
    inner = list(elements(outer[0].value))
    need(len(inner) == 2, "signature")
    return inner[0].integer(), inner[1].integer()


def verify_low(key: tuple[int, int], message: bytes, signature: bytes) -> bool:
    """Section 7.2.5: with SHA-256, in low-S."""
    try:
        return integers(signature)[1] <= N // 2 and verify(key, message, signature)
    except Bad:
        return False


# ---- DER ----------------------------------------------------------------------------------------------------------------

class Element(NamedTuple):
    """One element: its tag, its content, and all its bytes."""
    tag: int
    value: bytes
    raw: bytes

    def integer(self) -> int:
        """An INTEGER in the shortest form."""
        v = self.value
        need(self.tag == 2 and v and not (len(v) > 1 and v[0] in (0, 255) and (v[0] == 255) == (v[1] >= 128)), "integer")
        return int.from_bytes(v, "big", signed=True)


def elements(data: bytes) -> Iterator[Element]:
    """The elements one behind the other, with lengths in the shortest form."""
    while data:
        need(len(data) >= 2 and data[0] & 31 != 31, "DER")
        size, head = data[1], 2
        if size >= 128:
            count = size & 127
            need(1 <= count <= 4 and len(data) >= 2 + count, "DER")
            size, head = int.from_bytes(data[2:2 + count], "big"), 2 + count
            need(size >= 128 and size >> (8 * (count - 1)), "DER")
        need(len(data) >= head + size, "DER")
        yield Element(data[0], data[head:head + size], data[:head + size])
        data = data[head + size:]


def sequence(element: Element) -> list[Element]:
    """The elements of a SEQUENCE."""
    need(element.tag == 0x30, "SEQUENCE")
    return list(elements(element.value))


def only(data: bytes) -> Element:
    """The one element that data is."""
    found = list(elements(data))
    need(len(found) == 1, "DER")
    return found[0]


def moment(element: Element) -> int:
    """A time in seconds since 1970."""
    text = element.value.decode("ascii", "replace")
    if element.tag == 0x17:
        text = ("19" if text >= "50" else "20") + text
    need(re.fullmatch("[0-9]{14}Z", text), "time")
    try:
        return (datetime.strptime(text, "%Y%m%d%H%M%SZ") - datetime(1970, 1, 1)) // timedelta(seconds=1)
    except ValueError as e:
        raise Bad("time") from e


def unpem(text: bytes, label: str) -> bytes:
    """The bytes of one PEM block with nothing behind it."""
    blank = rb"[ \t\r\n]"
    found = re.fullmatch(rb"-----BEGIN ([A-Z0-9 ]+)-----%b+((?:[A-Za-z0-9+/=]|%b)+)-----END ([A-Z0-9 ]+)-----%b*"
                         % (blank, blank, blank), text)
    if found is None or found[1] != found[3] or found[1].decode() != label:
        raise Bad("PEM")
    try:
        return base64.b64decode(re.sub(blank, b"", found[2]), validate=True)
    except binascii.Error as e:
        raise Bad("PEM") from e


HASHES = {bytes.fromhex("2a8648ce3d040302"): "sha256", bytes.fromhex("2a8648ce3d040303"): "sha384",
          bytes.fromhex("2a8648ce3d040304"): "sha512"}
EC_P256 = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
ORGANISATIONAL_UNIT = bytes.fromhex("55040b")
KEY_IDENTIFIER, KEY_USAGE, BASIC_CONSTRAINTS, AUTHORITY = b"\x55\x1d\x0e", b"\x55\x1d\x0f", b"\x55\x1d\x13", b"\x55\x1d\x23"


def extensions(element: Optional[Element]) -> dict[bytes, bytes]:
    """Extensions by identifier."""
    result: dict[bytes, bytes] = {}
    for item in sequence(only(element.value)) if element else []:
        parts = sequence(item)
        need(len(parts) >= 2 and parts[0].tag == 6 and parts[-1].tag == 4 and parts[0].value not in result, "extension")
        result[parts[0].value] = parts[-1].value
    return result


def authority_key(data: bytes) -> bytes:
    """The key identifier of an authority key identifier."""
    return next((e.value for e in sequence(only(data)) if e.tag == 0x80), b"")


class Signed:
    """What an authority signed: a certificate or a revocation list."""

    def __init__(self, der: bytes) -> None:
        self.der = der
        parts = sequence(only(der))
        need(len(parts) == 3 and parts[2].tag == 3 and parts[2].value[:1] == b"\0", "signed")
        self.body, self.signature = parts[0], parts[2].value[1:]
        algorithm = sequence(parts[1])
        self.hash = HASHES.get(algorithm[0].value) if algorithm else None
        self.fields = sequence(self.body)

    def signed_by(self, issuer: Certificate) -> bool:
        """Whether that is so."""
        key = issuer.key
        return key is not None and self.hash is not None and verify(key, self.body.raw, self.signature, self.hash)


class Certificate(Signed):
    """A certificate."""

    def __init__(self, pem: bytes) -> None:
        super().__init__(unpem(pem, "CERTIFICATE"))
        rest = self.fields[1:] if self.fields[0].tag == 0xA0 else self.fields
        need(len(rest) >= 6, "certificate")
        self.serial = rest[0].integer()
        self.issuer, self.subject = rest[2].raw, rest[4].raw
        self.not_before, self.not_after = (moment(e) for e in sequence(rest[3]))
        self.spki = rest[5].raw
        self.units = [kind[1].value.decode("utf-8", "replace") for name in sequence(rest[4]) for one in elements(name.value)
                      for kind in [sequence(one)] if kind[0].value == ORGANISATIONAL_UNIT]
        known = extensions(next((e for e in rest[6:] if e.tag == 0xA3), None))
        basic = sequence(only(known[BASIC_CONSTRAINTS])) if BASIC_CONSTRAINTS in known else []
        self.authority = bool(basic) and basic[0].tag == 1 and basic[0].value == b"\xff"
        usage = only(known[KEY_USAGE]).value if KEY_USAGE in known else None
        self.may_issue = self.authority and (usage is None or len(usage) > 1 and bool(usage[1] & 4))
        self.key_identifier = only(known[KEY_IDENTIFIER]).value if KEY_IDENTIFIER in known else b""

    @property
    def key(self) -> Optional[tuple[int, int]]:
        """The key, if it is one on P-256."""
        algorithm, bits = list(elements(only(self.spki).value))
        if algorithm.raw != EC_P256 or bits.value[:2] != b"\0\x04" or len(bits.value) != 66:
            return None
        x, y = int.from_bytes(bits.value[2:34], "big"), int.from_bytes(bits.value[34:], "big")
        return (x, y) if x < P and y < P and (y * y - x * x * x + 3 * x - B) % P == 0 else None

    def valid_at(self, at: float) -> bool:
        """Whether its period includes the time."""
        return self.not_before <= at <= self.not_after

    def same(self, other: Certificate) -> bool:
        """Section 7.2.5: the same apart from the signature."""
        return self.body.raw == other.body.raw


class RevocationList(Signed):
    """A revocation list."""

    def __init__(self, pem: bytes) -> None:
        super().__init__(unpem(pem, "X509 CRL"))
        known = extensions(next((e for e in self.fields if e.tag == 0xA0), None))
        self.authority_key = authority_key(known[AUTHORITY]) if AUTHORITY in known else b""
        # version, algorithm, issuer, one or two times; then the entries, if there are any
        rest = [e for e in self.fields[2:] if e.tag == 0x30][1:] if self.fields[0].tag == 2 else []
        self.serials = {sequence(entry)[0].integer() for entry in sequence(rest[0])} if rest else set()
