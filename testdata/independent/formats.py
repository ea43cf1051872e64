# SPDX-License-Identifier: Apache-2.0
"""Readers for the parts of a Cunzheng bundle, written from docs/formats.md alone; verify.py uses them.

Section numbers in comments are those of the document. A reader raises Bad for whatever breaks a rule.
"""
from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import subprocess
import tempfile
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, NamedTuple, Optional

TOLERANCE = 300_000  # milliseconds
MAX_INT = 2**53 - 1


class Bad(Exception):
    """Something breaks a rule of the document."""


class Newer(Bad):
    """A version this program does not know."""


def need(condition: Any, what: str = "form") -> None:
    """Refuses unless the condition holds."""
    if not condition:
        raise Bad(what)


# ---- section 1.2, 1.3: hashes and signatures --------------------------------------------------------------------------

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
SPKI_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")


def sm3(data: bytes) -> bytes:
    """SM3 of data."""
    return hashlib.new("sm3", data).digest()


def sm3_hex(data: bytes) -> str:
    """SM3 of data as hexadecimal characters."""
    return sm3(data).hex()


def check_spki(spki: bytes) -> None:
    """Demands the one form of public keys, with the point on the curve."""
    need(len(spki) == 91 and spki.startswith(SPKI_HEAD), "public key")
    x, y = int.from_bytes(spki[27:59], "big"), int.from_bytes(spki[59:], "big")
    need(x < P and y < P and (y * y - (x * x * x - 3 * x + B)) % P == 0, "point not on the curve")


def check_der(signature: bytes) -> None:
    """Demands the shortest DER form and the ranges of r and s."""
    need(8 <= len(signature) <= 72 and signature[0] == 0x30 and signature[1] == len(signature) - 2, "DER")
    rest, numbers = signature[2:], []
    for _ in range(2):
        need(len(rest) >= 3 and rest[0] == 2 and 1 <= rest[1] <= 33 and len(rest) >= 2 + rest[1], "DER integer")
        body, rest = rest[2:2 + rest[1]], rest[2 + rest[1]:]
        need(body[0] < 0x80 and not (len(body) > 1 and body[0] == 0 and body[1] < 0x80), "DER integer")
        numbers.append(int.from_bytes(body, "big"))
    r, s = numbers
    need(not rest and 1 <= r < N and 1 <= s < N and r + s != N, "signature out of range")


def verify_sm2(spki: bytes, message: bytes, signature: bytes) -> bool:
    """Whether signature is a valid SM2 signature of message, by the openssl command."""
    try:
        check_der(signature)
    except Bad:
        return False
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("key", "message", "signature")]
        for path, data in zip(paths, (spki, message, signature)):
            with open(path, "wb") as f:
                f.write(data)
        done = subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", paths[0], "-rawin", "-digest",
             "sm3", "-pkeyopt", "distid:1234567812345678", "-in", paths[1], "-sigfile", paths[2]],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError("openssl: " + done.stdout.decode("utf-8", "replace"))
    return done.returncode == 0


# ---- section 1.1: JSON ------------------------------------------------------------------------------------------------

BAD_CHARACTER = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff"
    "\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]")


def canonical(value: Any) -> bytes:
    """RFC 8785, for what occurs here: strings, integers, arrays, and objects whose names are ASCII."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _pairs(pairs: list) -> dict:
    result = dict(pairs)
    need(len(result) == len(pairs), "repeated member")
    return result


def _refuse(text: str) -> Any:
    raise Bad("number " + text)


def read_json(data: bytes, limit: int, schema: str = "", indented: bool = False) -> Any:
    """Parses data; with a schema it raises Newer for an object that names another one."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_pairs, parse_float=_refuse, parse_constant=_refuse)
        form = canonical(value)
    except (ValueError, RecursionError) as e:
        raise Bad("JSON") from e
    if schema and isinstance(value, dict) and isinstance(value.get("schema"), str) and value["schema"] != schema:
        raise Newer(value["schema"])
    need(len(data) <= limit, "too long")
    need(indented or form == data, "not canonical")
    return value


Rule = Callable[[Any], Any]


def pattern(expression: str) -> Rule:
    """A string that matches all of the expression."""
    compiled = re.compile(expression)
    return lambda v: need(isinstance(v, str) and compiled.fullmatch(v), expression)


def one_of(words: str) -> Rule:
    """One of the words."""
    return lambda v: need(isinstance(v, str) and v in words.split(), words)


def text(n: int, newline: bool = False, empty: bool = False) -> Rule:
    """text(n)."""
    def rule(v: Any) -> None:
        need(isinstance(v, str) and len(v.encode()) <= n and (empty or v), "text")
        need(not BAD_CHARACTER.search(v.replace("\n", "") if newline else v), "refused character")
    return rule


def line(n: int, empty: bool = False) -> Rule:
    """line(n)."""
    def rule(v: Any) -> None:
        text(n, empty=empty)(v)
        need(v == v.strip(), "white space around")
    return rule


def array(low: int, high: int, rule: Rule) -> Rule:
    """An array of low to high values."""
    def check(v: Any) -> None:
        need(isinstance(v, list) and low <= len(v) <= high, "array")
        for item in v:
            rule(item)
    return check


def members(required: dict, optional: Optional[dict] = None) -> Rule:
    """An object with exactly these members."""
    def check(v: Any) -> None:
        need(isinstance(v, dict) and set(required) <= set(v) <= set(required) | set(optional or {}), "members")
        for name, item in v.items():
            (required.get(name) or (optional or {})[name])(item)
    return check


def integer(v: Any) -> None:
    """An integer from 0 to 2^53-1."""
    need(type(v) is int and 0 <= v <= MAX_INT, "integer")


def digest(v: Any) -> None:
    """32 bytes, not all zeros."""
    pattern("[0-9a-f]{64}")(v)
    need(v.strip("0"), "zeros")


def unbase64(v: Any) -> bytes:
    """The bytes of the one base64 form."""
    try:
        need(isinstance(v, str), "base64")
        data = base64.b64decode(v.encode("ascii"), validate=True)
    except (ValueError, binascii.Error) as e:
        raise Bad("base64") from e
    need(base64.b64encode(data).decode() == v, "base64")
    return data


def time(v: Any) -> int:
    """A time, in milliseconds since 1970."""
    pattern(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")(v)
    try:
        moment = datetime.strptime(v, "%Y-%m-%dT%H:%M:%S.%fZ")
    except ValueError as e:
        raise Bad("time") from e
    result = (moment - datetime(1970, 1, 1)) // timedelta(milliseconds=1)
    need(result > 0, "time")
    return result


def origin(v: Any) -> None:
    """The name of a log."""
    text(255)(v)
    need(not re.search(r"[\s+]", v), "origin")


def is_sorted(values: list) -> bool:
    """Whether the strings ascend bytewise and none is there twice."""
    keys = [v.encode() for v in values]
    return all(a < b for a, b in zip(keys, keys[1:]))


def roles(v: Any) -> None:
    """Role names, sorted, none twice."""
    array(0, 32, pattern("[a-z][a-z0-9-]{0,31}"))(v)
    need(is_sorted(v), "order of roles")


# ---- section 2, 4: statement ------------------------------------------------------------------------------------------

IDENTIFIER = pattern("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
FIELD = pattern("[a-z][A-Za-z0-9]{0,31}")


def number(v: Any) -> None:
    """An evidence number."""
    pattern("[A-Z]{2,8}-[0-9]{6}-[A-Z][A-Z0-9]{1,11}-[0-9]{8}-([0-9]{8}|[1-9][0-9]{8,14})-[0-9A-Z]")(v)
    need(int(v.split("-")[4]) > 0, "serial")
    try:
        datetime.strptime(v.split("-")[3], "%Y%m%d")
    except ValueError as e:
        raise Bad("date") from e
    p = 36
    for c in v.replace("-", "")[:-1]:
        p = (p + int(c, 36)) % 36 or 36
        p = 2 * p % 37
    need(int(v[-1], 36) == (37 - p) % 36, "check character")


def credit_code(v: Any) -> None:
    """A GB 32100 code."""
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    pattern(f"[{alphabet}]{{2}}[0-9]{{6}}[{alphabet}]{{10}}")(v)
    total = sum(alphabet.index(c) * pow(3, i, 31) for i, c in enumerate(v[:17]))
    need(alphabet.index(v[17]) == (31 - total % 31) % 31, "credit code")


def media_type(v: Any) -> None:
    """type/subtype."""
    pattern("[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")(v)
    need(len(v) <= 127, "media type")


def spki_of(v: dict, name: str) -> bytes:
    """The public key of an object whose member `name` is its fingerprint."""
    spki = unbase64(v["spki"])
    check_spki(spki)
    need(sm3_hex(spki) == v[name], "fingerprint")
    return spki


def private(v: Any) -> None:
    """Committed fields."""
    need(isinstance(v, dict) and 1 <= len(v) <= 32, "private")
    for name, item in v.items():
        FIELD(name)
        digest(item)


def related(v: Any) -> None:
    """Related numbers."""
    array(1, 100, number)(v)
    need(len(set(v)) == len(v), "repeated number")


def provenance(v: Any) -> None:
    """Section 2.3."""
    members({}, {
        "collectedAt": time, "custody": one_of("system depositor third-party notary archive"), "declaredAt": time,
        "environment": one_of("checked normal not-checked"), "sourceSystem": line(512), "tool": line(512),
        "generation": one_of("system manual export scan photo audio video screen web conversion other"),
        "toolVersion": line(128)})(v)
    need(v, "empty")


def registered_key(v: Any) -> None:
    """Section 2.4, `key`."""
    members({"fingerprint": digest, "notAfter": time, "notBefore": time, "organisation": IDENTIFIER, "spki": unbase64,
             "use": one_of("authentication signature")}, {"account": IDENTIFIER, "roles": roles})(v)
    need(v.get("roles", True) and time(v["notAfter"]) > time(v["notBefore"]), "key")
    spki_of(v, "fingerprint")


def log_key(v: Any) -> None:
    """Section 2.4, `logKey`."""
    members({"fingerprint": digest, "from": time, "role": one_of("log receipt token seal ledger"), "spki": unbase64},
            {"previous": digest})(v)
    spki_of(v, "fingerprint")


REASON = one_of("compromise superseded cessation")
STATUS = one_of("active closed")
REGISTRY: dict[str, tuple[str, Rule]] = {
    "organisation": ("organisation", members(
        {"id": IDENTIFIER, "name": line(512), "status": STATUS},
        {"creditCode": credit_code, "level": one_of("city district town community"), "region": pattern("[0-9]{6}")})),
    "officer": ("officer", members({"id": IDENTIFIER, "kind": one_of("person system"), "organisation": IDENTIFIER,
                                    "roles": roles, "status": STATUS})),
    "key": ("key", registered_key),
    "key-revocation": ("revocation", members({"at": time, "fingerprint": digest, "reason": REASON})),
    "log-key": ("logKey", log_key),
}


def read_statement(data: bytes) -> dict:
    """Section 2."""
    v = read_json(data, 65535, "cunzheng/statement/v1")
    need(isinstance(v, dict), "statement")
    kind = v.get("type")
    required: dict[str, Rule] = {
        "depositor": members({"account": IDENTIFIER, "organisation": IDENTIFIER},
                             {"authentication": one_of("key password"), "creditCode": credit_code, "key": digest,
                              "name": line(512)}),
        "log": origin, "nonce": pattern("(?!0{32})[0-9a-f]{32}"), "receivedAt": time, "schema": text(64),
        "type": text(64)}
    optional: dict[str, Rule] = {"case": line(512), "correlation": line(512), "idempotency": digest, "private": private}
    if kind in ("file", "digest"):
        both: dict[str, Rule] = {"sha256": digest, "size": integer}
        content = {"sm3": digest, **both} if kind == "file" else {"sm3": digest}
        required["content"] = members(content, {"mediaType": media_type, **both})
        required["number"] = number
        required["originalKept"] = one_of("platform depositor" if kind == "file" else "depositor")
        optional.update(provenance=provenance, related=related)
    elif isinstance(kind, str) and kind in REGISTRY:
        name, rule = REGISTRY[kind]
        required[name] = rule
    elif isinstance(kind, str) and v.get("schema"):
        raise Newer(kind)
    members(required, optional)(v)
    for name in ("collectedAt", "declaredAt"):
        moment = v.get("provenance", {}).get(name)
        need(moment is None or time(moment) <= time(v["receivedAt"]) + TOLERANCE, name)
    if "number" in v:
        day = datetime.fromtimestamp(time(v["receivedAt"]) // 1000, timezone(timedelta(hours=8)))
        need(v["number"].split("-")[3] <= day.strftime("%Y%m%d"), "day of the number")
    return v


# ---- section 3: disclosures -------------------------------------------------------------------------------------------

def file_name(v: Any) -> None:
    """A file name without path parts."""
    text(255)(v)
    need(v not in (".", "..") and v.strip() and not re.search(r"[/\\]", v), "file name")


def read_disclosures(data: bytes) -> list[dict]:
    """Section 3."""
    v = read_json(data, 1 << 20, "cunzheng/disclosures/v1")
    entry = members({"field": FIELD, "salt": digest, "value": text(12288, newline=True)})
    members({"disclosures": array(0, 32, entry), "schema": text(64)})(v)
    need(is_sorted([d["field"] for d in v["disclosures"]]), "order")
    for d in v["disclosures"]:
        if d["field"] == "name":
            file_name(d["value"])
    return v["disclosures"]


# ---- section 5: log ---------------------------------------------------------------------------------------------------

def included(leaf: bytes, index: int, size: int, root: bytes, proof: list[str]) -> bool:
    """Section 5.2."""
    if index >= size:
        return False
    fn, sn, r = index, size - 1, leaf
    for text_of in proof:
        h = bytes.fromhex(text_of)
        if sn == 0:
            return False
        if fn % 2 == 1 or fn == sn:
            r = sm3(b"\x01" + h + r)
            while fn % 2 == 0 and fn != 0:
                fn, sn = fn // 2, sn // 2
        else:
            r = sm3(b"\x01" + r + h)
        fn, sn = fn // 2, sn // 2
    return sn == 0 and r == root


class Head(NamedTuple):
    """The three lines of a checkpoint, and the signature lines behind them."""
    origin: str
    size: int
    root: bytes
    text: bytes
    signatures: str


def read_head(note: str) -> Head:
    """A checkpoint without its signatures (section 5.3)."""
    need(len(note.encode()) <= 65536, "checkpoint too long")
    body, gap, signatures = note.partition("\n\n")
    lines = body.split("\n")
    need(gap and len(lines) == 3, "checkpoint")
    origin(lines[0])
    pattern("0|[1-9][0-9]{0,15}")(lines[1])
    integer(int(lines[1]))
    root = unbase64(lines[2])
    need(len(root) == 32, "root")
    return Head(lines[0], int(lines[1]), root, (body + "\n").encode(), signatures)


def read_signatures(head: Head) -> list[tuple[str, bytes, bytes]]:
    """Name, key ID and signature of every signature line."""
    need(head.signatures.endswith("\n"), "signature lines")
    lines = head.signatures[:-1].split("\n")
    need(len(lines) <= 100, "too many lines")
    result: list[tuple[str, bytes, bytes]] = []
    for each in lines:
        parts = each.split(" ")
        need(len(parts) == 3 and parts[0] == "\u2014", "signature line")
        origin(parts[1])
        data = unbase64(parts[2])
        need(len(data) > 4, "signature line")
        need(all((name, key_id) != (parts[1], data[:4]) for name, key_id, _ in result), "repeated line")
        result.append((parts[1], data[:4], data[4:]))
    return result


# ---- sections 6, 7, 9.2: receipt, proof, manifest ---------------------------------------------------------------------

HASHES = array(0, 64, digest)


def note_text(v: Any) -> None:
    """The string that holds a checkpoint."""
    need(isinstance(v, str) and 1 <= len(v.encode()) <= 16384, "checkpoint")


def read_receipt(data: bytes) -> dict:
    """Section 6."""
    v = read_json(data, 65536, "cunzheng/receipt/v1")
    members({"checkpoint": note_text, "index": integer, "issuedAt": time, "key": digest, "leaf": digest, "log": origin,
             "proof": HASHES, "receivedAt": time, "schema": text(64), "signature": unbase64, "statement": digest},
            {"number": number})(v)
    check_der(unbase64(v["signature"]))
    return v


def read_proof(data: bytes) -> dict:
    """Section 7."""
    v = read_json(data, 6 << 20, "cunzheng/proof/v1")
    members({"block": unbase64, "checkpoint": note_text, "index": integer, "kind": line(32), "log": origin,
             "proof": HASHES, "schema": text(64)})(v)
    need(1 <= len(unbase64(v["block"])) <= 4 << 20, "block")
    return v


def read_block(data: bytes) -> dict:
    """Section 7.1."""
    def name(v: Any) -> None:
        need(isinstance(v, str) and 1 <= len(v.encode()) <= 255 and not re.search("[\x00-\x1f\x7f-\x9f]", v), "name")

    def some(v: Any) -> None:
        need(isinstance(v, str), "string")

    def key(v: Any) -> None:
        need(isinstance(v, str) and v, "key")
    v = read_json(data, 65536)
    members({"block": members({
        "args": array(0, 1 << 16, unbase64), "events": array(0, 1, members({"name": some, "payload": unbase64})),
        "function": name, "ledger": name, "number": integer, "organisation": name, "previous": pattern("[0-9a-f]{64}"),
        "time": time, "writes": array(0, 1 << 16, members({"key": key, "sm3": digest}))}),
        "key": digest, "kind": one_of("embedded"), "signature": unbase64})(v)
    need(is_sorted([w["key"] for w in v["block"]["writes"]]), "order of writes")
    need(v["block"]["number"] or not v["block"]["previous"].strip("0"), "block 0")
    check_der(unbase64(v["signature"]))
    return v


def anchored_head(block: dict) -> tuple[str, str]:
    """Origin and note of the head that a block anchors."""
    need(block["function"] == "Anchor" and len(block["args"]) == 3, "function")
    name, note = unbase64(block["args"][0]), unbase64(block["args"][1])
    try:
        head = read_head(note.decode())
    except UnicodeDecodeError as e:
        raise Bad("note") from e
    read_signatures(head)
    need(head.origin.encode() == name, "origin")
    entry = {"key": f"head {head.origin} {head.size:016x}", "sm3": sm3_hex(note)}
    need(entry in block["writes"], "writes")
    return head.origin, note.decode()


def read_manifest(data: bytes) -> dict:
    """Section 9.2."""
    v = read_json(data, 65536, "cunzheng/manifest/v1")
    entry = members({"name": lambda v: need(isinstance(v, str)), "sha256": digest, "size": integer, "sm3": digest})
    members({"created": time, "files": array(0, 16, entry), "key": digest, "log": origin, "schema": text(64)})(v)
    return v


# ---- section 8: trust -------------------------------------------------------------------------------------------------

def read_trust(data: bytes) -> dict:
    """Section 8, without the config blocks of channels, which consortium.py reads."""
    v = read_json(data, 4 << 20, "cunzheng/trust/v1", indented=True)
    revoked = members({"at": time, "reason": REASON})

    def keys(words: str) -> Rule:
        each = members({"from": time, "id": digest, "role": one_of(words), "spki": unbase64},
                       {"revoked": revoked, "until": time})

        def check(v: Any) -> None:
            array(0, 1024, each)(v)
            need(len({k["id"] for k in v}) == len(v), "repeated key")
            for k in v:
                spki_of(k, "id")
                need("until" not in k or time(k["until"]) >= time(k["from"]), "until")
        return check
    common = {"keys": keys("ledger"), "kind": one_of("embedded fabric"), "name": line(512),
              "operators": array(0, 1024, line(512, empty=True))}

    def ledger(v: Any) -> None:
        if not isinstance(v, dict) or v.get("kind") != "fabric":
            members(common)(v)
            return
        members({**common, "chaincode": IDENTIFIER, "configs": array(1, 32, unbase64)})(v)
        need(not v["keys"], "keys of a channel")
    log = members({"keys": keys("log receipt token seal"), "office": line(512, empty=True), "origin": origin})
    members({"created": time, "ledgers": array(0, 256, ledger), "logs": array(0, 256, log), "schema": text(64)})(v)
    need(len({x["name"] for x in v["ledgers"]}) == len(v["ledgers"]), "repeated ledger")
    need(len({x["origin"] for x in v["logs"]}) == len(v["logs"]), "repeated log")
    return v
