#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second verifier of Cunzheng bundles, written from docs/formats.md alone.

    verify.py --at TIME [--trust FILE] [--content FILE] BUNDLE

prints one line of JSON with the verdict, the level and the code of each check, and exits with 0 (PASSED),
1 (FAILED), 2 (INDETERMINATE) or 3 (it could not be run). Section numbers in comments are those of the document.
It needs Python 3.9, an OpenSSL 3 that knows SM2 and SM3, and nothing else. --at takes the form of section 1.1.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import struct
import sys
import zlib
from typing import BinaryIO, NamedTuple, Optional

sys.dont_write_bytecode = True

import consortium  # noqa: E402
import formats as fm  # noqa: E402
from formats import Bad, Newer, need, sm3, sm3_hex, time  # noqa: E402

MEDIA_TYPE = b"application/vnd.cunzheng.bundle+zip"
IDS = ("container manifest statement disclosures content receipt inclusion trust anchor anchor-inclusion "
       "anchor-checkpoint checkpoint receipt-signature manifest-signature time").split()
# Status of the codes (section 11.2); every other code is a failure.
PASSED = set("ANCHOR_CONSORTIUM_OK ANCHOR_OK CONTAINER_OK CONTENT_OK DISCLOSURES_OK INCLUSION_OK KEY_REVOKED_AFTER_ANCHOR "
             "KEY_REVOKED_WITHOUT_FAULT MANIFEST_OK RECEIPT_OK SIGNATURE_OK STATEMENT_OK TIME_OK TRUST_OK".split())
UNDECIDED = set("ANCHOR_KIND FORMAT_NEWER KEY_REVOKED_LATER KEY_UNKNOWN TIME_AFTER_AT TIME_BEFORE TIME_CONTRADICTION "
                "TRUST_LEDGER_UNKNOWN TRUST_LOG_UNKNOWN TRUST_NONE NOT_REACHED".split())
SKIPPED = set("ANCHOR_LATER ANCHOR_NONE CONTENT_ABSENT CONTENT_NONE DISCLOSURES_NONE".split())


# ---- section 9: container ---------------------------------------------------------------------------------------------

ORDER = ("mimetype META-INF/manifest.json META-INF/manifest.sig statement.json receipt.json proof.json disclosures.json "
         "trust.json README.txt").split()
OPTIONAL = {"proof.json", "disclosures.json", "trust.json"}
LIMITS = {"proof.json": 6 << 20, "trust.json": 4 << 20}  # of the others: 1 MiB


class Entry(NamedTuple):
    """An entry of the container, and where the layout puts its data."""
    name: bytes
    crc: int
    size: int
    start: int


class Sums(NamedTuple):
    """What is computed of a file."""
    size: int
    sm3: str
    sha256: str
    crc: int


def sums(f: BinaryIO, size: Optional[int] = None) -> Sums:
    """Reads size bytes, or all."""
    a, b, crc, count = hashlib.new("sm3"), hashlib.sha256(), 0, 0
    while chunk := f.read(1 << 20 if size is None else min(1 << 20, size - count)):
        a.update(chunk)
        b.update(chunk)
        crc, count = zlib.crc32(chunk, crc), count + len(chunk)
    return Sums(count, a.hexdigest(), b.hexdigest(), crc)


class Bundle:
    """A bundle whose container has the one form; the constructor raises Bad or Newer for any other."""

    def __init__(self, f: BinaryIO) -> None:
        self.file = f
        self.total = f.seek(0, 2)
        self.entries = self._entries()
        self.small: dict[str, bytes] = {}
        self.original: Optional[str] = None
        self.original_sums: Optional[Sums] = None
        self._lay_out()

    def at(self, offset: int, size: int) -> bytes:
        """Exactly size bytes at offset."""
        need(0 <= offset <= self.total - size, "cut off")
        self.file.seek(offset)
        return self.file.read(size)

    def _entries(self) -> list[Entry]:
        """Takes names, CRCs and sizes from the central directory, and computes where the data must lie."""
        signature, _, _, count, _, size, offset, _ = struct.unpack("<IHHHHIIH", self.at(self.total - 22, 22))
        need(signature == 0x06054B50 and 1 <= count <= 16 and size <= 16384, "end of directory")
        if offset == 0xFFFFFFFF:
            offset = struct.unpack("<Q", self.at(self.total - 22 - 20 - 8, 8))[0]
        data, result, start = self.at(offset, size), [], 0
        for _ in range(count):
            need(len(data) >= 46, "directory")
            crc, n, length, extra = struct.unpack("<16xII4xHH14x", data[:46])
            need(len(data) >= 46 + length + extra and extra in (0, 20), "directory")
            if extra:
                n = struct.unpack("<12xQ", data[46 + length:66 + length])[0]
            start += 30 + length + extra
            result.append(Entry(data[46:46 + length], crc, n, start))
            start, data = start + n, data[46 + length + extra:]
        return result

    def _lay_out(self) -> None:
        """Checks every byte that is not data, and reads the entries (sections 9.1, 9.3, 10 step 1)."""
        names = [e.name.decode("utf-8", "replace") for e in self.entries]
        self._compare()
        for want, name, entry in zip(ORDER[:2], names, self.entries):
            if name != want:
                break
            need(entry.size <= 1 << 20, "size of an entry")
            data = self.at(entry.start, entry.size)
            need(zlib.crc32(data) == entry.crc, "CRC")
            if name == "mimetype" and data != MEDIA_TYPE:
                raise Newer("media type")
            if name == "META-INF/manifest.json":
                try:
                    fm.read_json(data, 65536, "cunzheng/manifest/v1")
                except Newer:
                    raise
                except Bad:
                    pass
        last = names[-1]
        if last.startswith("content/"):
            fm.file_name(last[8:])
            need(last.encode() == self.entries[-1].name, "name")
            self.original = names.pop()
        need(names == [n for n in ORDER if n in names or n not in OPTIONAL], "entries")
        small = self.entries if self.original is None else self.entries[:-1]
        need(all(e.size <= LIMITS.get(n, 1 << 20) for n, e in zip(names, small)), "size of an entry")
        for name, e in zip(names, self.entries):
            self.small[name] = self.at(e.start, e.size)
            need(zlib.crc32(self.small[name]) == e.crc, "CRC")
        self.original_crc_wrong = False
        if self.original is not None:
            e = self.entries[-1]
            self.file.seek(e.start)
            self.original_sums = sums(self.file, e.size)
            self.original_crc_wrong = self.original_sums.crc != e.crc

    def _compare(self) -> None:
        """Writes down every byte that is not data, and compares (section 9.3)."""
        directory, position = b"", 0
        for e in self.entries:
            wide = e.size >= 0xFFFFFFFF
            need(not wide or e is self.entries[-1], "size of an entry")
            size32 = 0xFFFFFFFF if wide else e.size
            extra = struct.pack("<HHQQ", 1, 16, e.size, e.size) if wide else b""
            fields = struct.pack("<HHHHHIIIHH", 45 if wide else 10, 0x0800, 0, 0, 0x21, e.crc, size32, size32,
                                 len(e.name), len(extra))
            header = b"PK\x03\x04" + fields + e.name + extra
            need(self.at(position, len(header)) == header, "local header")
            directory += (b"PK\x01\x02" + struct.pack("<H", 0x032D) + fields
                          + struct.pack("<HHHII", 0, 0, 0, 0x81A40000, min(position, 0xFFFFFFFF)) + e.name + extra)
            position = e.start + e.size
        offset, count, end = position, len(self.entries), b""
        if offset >= 0xFFFFFFFF:
            end = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 0x032D, 45, 0, 0, count, count, len(directory), offset)
            end += struct.pack("<4sIQI", b"PK\x06\x07", 0, offset + len(directory), 1)
        end += struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(directory), min(offset, 0xFFFFFFFF), 0)
        tail = directory + end
        need(self.total == offset + len(tail) and self.at(offset, len(tail)) == tail, "directory")

    def listed(self) -> list[dict]:
        """What the manifest must say of the entries behind its signature."""
        result = []
        for e in self.entries[3:]:
            name = e.name.decode()
            data = self.small.get(name)
            if data is None:
                assert self.original_sums is not None
                s = self.original_sums
                result.append({"name": name, "sha256": s.sha256, "size": s.size, "sm3": s.sm3})
            else:
                result.append({"name": name, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data),
                               "sm3": sm3_hex(data)})
        return result


# ---- section 10: verification -----------------------------------------------------------------------------------------

class Verifier:
    """One verification; run() fills in codes."""

    def __init__(self, trust: Optional[dict], content: Optional[Sums], at: int) -> None:
        self.trust, self.content, self.at = trust, content, at
        self.codes: dict[str, str] = {}
        self.anchored: Optional[int] = None
        self.covers: Optional[int] = None  # the same, if that time shows something about a key
        self.anchored_size = 0
        # Config blocks of each channel in the trust file.
        self.channels = {} if trust is None else {
            x["name"]: (x["chaincode"], consortium.trusted_configs(x)) for x in trust["ledgers"] if x["kind"] == "fabric"}
        self.statement: Optional[dict] = None
        self.manifest: Optional[dict] = None
        self.keys: Optional[list[dict]] = None  # of the receipt's log; None if the trust file does not name it

    def run(self, f: BinaryIO) -> None:
        """Section 10, in its order."""
        try:
            bundle = Bundle(f)
        except Newer:
            self.codes["container"] = "FORMAT_NEWER"
            return
        except Bad:
            self.codes["container"] = "CONTAINER_FORM"
            return
        self.codes["container"] = "CONTAINER_FORM" if bundle.original_crc_wrong else "CONTAINER_OK"
        small = bundle.small
        try:
            self.statement = fm.read_statement(small["statement.json"])
            self.codes["statement"] = "STATEMENT_OK"
        except Bad as e:
            self.codes["statement"] = "FORMAT_NEWER" if isinstance(e, Newer) else "STATEMENT_FORM"
        self.check_manifest(bundle)
        self.check_disclosures(bundle)
        self.check_content(bundle)
        try:
            receipt = fm.read_receipt(small["receipt.json"])
        except Bad as e:
            self.codes["receipt"] = "FORMAT_NEWER" if isinstance(e, Newer) else "RECEIPT_FORM"
            return
        leaf = sm3(b"\x00" + small["statement.json"])
        if receipt["statement"] != sm3_hex(small["statement.json"]) or receipt["leaf"] != leaf.hex():
            self.codes["receipt"] = "RECEIPT_MISMATCH"
        elif self.statement is not None:
            same = all(receipt.get(k) == self.statement.get(k) for k in ("number", "log", "receivedAt"))
            self.codes["receipt"] = "RECEIPT_OK" if same else "RECEIPT_MISMATCH"
        head: Optional[fm.Head] = None
        try:
            head = fm.read_head(receipt["checkpoint"])
            holds = fm.included(bytes.fromhex(receipt["leaf"]), receipt["index"], head.size, head.root, receipt["proof"])
            self.codes["inclusion"] = "INCLUSION_OK" if holds else "INCLUSION_INVALID"
        except Bad:
            self.codes["checkpoint"] = "CHECKPOINT_FORM"
        if self.trust is None:
            self.codes["trust"] = "TRUST_NONE"
        else:
            self.keys = next((x["keys"] for x in self.trust["logs"] if x["origin"] == receipt["log"]), None)
            self.codes["trust"] = "TRUST_LOG_UNKNOWN" if self.keys is None else "TRUST_OK"
        self.check_anchor(small.get("proof.json"), receipt, head, leaf)
        received, issued = time(receipt["receivedAt"]), time(receipt["issuedAt"])
        if head is not None:
            covered = self.covers if head.size <= self.anchored_size else None
            self.codes["checkpoint"] = self.judge_checkpoint(head, receipt["log"], received, issued, covered)
        unsigned = {k: v for k, v in receipt.items() if k != "signature"}
        self.codes["receipt-signature"] = self.judge_signature(
            receipt["key"], b"cunzheng/receipt/v1\n" + fm.canonical(unsigned), fm.unbase64(receipt["signature"]), issued)
        if self.manifest is not None:
            created = time(self.manifest["created"])
            self.codes["manifest-signature"] = self.judge_signature(
                self.manifest["key"], b"cunzheng/manifest/v1\n" + small["META-INF/manifest.json"],
                small["META-INF/manifest.sig"], created)
            moments = [issued, created] + ([] if self.anchored is None else [self.anchored])
            if min(moments) < received - fm.TOLERANCE:
                self.codes["time"] = "TIME_CONTRADICTION"
            elif self.at < received:
                self.codes["time"] = "TIME_BEFORE"
            else:
                self.codes["time"] = "TIME_AFTER_AT" if max(moments) > self.at + fm.TOLERANCE else "TIME_OK"

    def check_manifest(self, bundle: Bundle) -> None:
        """Step 3."""
        try:
            self.manifest = fm.read_manifest(bundle.small["META-INF/manifest.json"])
        except Bad:
            self.codes["manifest"] = "MANIFEST_FORM"
            return
        if self.manifest["files"] != bundle.listed():
            self.codes["manifest"] = "MANIFEST_MISMATCH"
        elif self.statement is not None:
            same = self.manifest["log"] == self.statement["log"]
            self.codes["manifest"] = "MANIFEST_OK" if same else "MANIFEST_MISMATCH"

    def check_disclosures(self, bundle: Bundle) -> None:
        """Step 4."""
        opened: list[dict] = []
        if "disclosures.json" in bundle.small:
            try:
                opened = fm.read_disclosures(bundle.small["disclosures.json"])
            except Bad as e:
                self.codes["disclosures"] = "FORMAT_NEWER" if isinstance(e, Newer) else "DISCLOSURES_FORM"
                return
        if self.statement is None:
            return
        committed = self.statement.get("private", {})
        name, good = "original", True
        for d in opened:
            made = sm3_hex(fm.canonical(["cunzheng/commitment/v1", d["salt"], d["field"], d["value"]]))
            good = good and committed.get(d["field"]) == made
            name = d["value"] if d["field"] == "name" else name
        if not good or bundle.original not in (None, "content/" + name):
            self.codes["disclosures"] = "DISCLOSURES_MISMATCH"
        else:
            self.codes["disclosures"] = "DISCLOSURES_OK" if opened else "DISCLOSURES_NONE"

    def check_content(self, bundle: Bundle) -> None:
        """Step 5."""
        if self.statement is None:
            return
        stated = self.statement.get("content")
        if stated is None:
            self.codes["content"] = "CONTENT_MISMATCH" if bundle.original or self.content else "CONTENT_NONE"
            return
        self.codes["content"] = "CONTENT_ABSENT"
        for made, code in ((bundle.original_sums, "CONTENT_MISMATCH"), (self.content, "CONTENT_SUPPLIED_MISMATCH")):
            if made is None:
                continue
            if any(getattr(made, k) != stated[k] for k in ("sm3", "sha256", "size") if k in stated):
                self.codes["content"] = code
                return
            self.codes["content"] = "CONTENT_OK"

    def check_anchor(self, data: Optional[bytes], receipt: dict, accepted: Optional[fm.Head], leaf: bytes) -> None:
        """Step 9."""
        codes = self.codes
        if data is None:
            codes.update({k: "ANCHOR_NONE" for k in ("anchor", "anchor-inclusion", "anchor-checkpoint")})
            return
        try:  # 1
            proof = fm.read_proof(data)
        except Bad as e:
            codes["anchor"] = "FORMAT_NEWER" if isinstance(e, Newer) else "ANCHOR_FORM"
            return
        try:
            head = fm.read_head(proof["checkpoint"])
        except Bad:
            codes["anchor-checkpoint"] = "CHECKPOINT_FORM"
            return
        if (proof["log"], head.origin, proof["index"]) != (receipt["log"], receipt["log"], receipt["index"]):  # 2
            codes["anchor"] = "ANCHOR_MISMATCH"
        elif accepted is not None and accepted.size == head.size and accepted.root != head.root:
            codes["anchor"] = "ANCHOR_FORK"
        elif proof["kind"] not in ("embedded", "fabric"):
            codes["anchor"] = "ANCHOR_KIND"
        holds = fm.included(leaf, proof["index"], head.size, head.root, proof["proof"])  # 3
        codes["anchor-inclusion"] = "INCLUSION_OK" if holds else "INCLUSION_INVALID"
        if "anchor" in codes:
            return
        judge = self.judge_channel if proof["kind"] == "fabric" else self.judge_embedded
        moment = judge(proof, head.size)
        if moment is not None:
            codes["anchor-checkpoint"] = self.judge_checkpoint(  # 7
                head, receipt["log"], time(receipt["receivedAt"]), moment, self.covers)

    def judge_channel(self, proof: dict, size: int) -> Optional[int]:
        """Steps 9.4 to 9.6, kind fabric. Returns the block time if the checkpoint is to be judged."""
        codes = self.codes
        try:
            block = consortium.Proof(fm.unbase64(proof["block"]))
            if block.channel not in self.channels:
                raise consortium.Unknown
            origin, note, moment = block.verify(*self.channels[block.channel])
        except Bad:
            codes["anchor"] = "ANCHOR_INVALID"
            return None
        except consortium.Unknown:
            codes["anchor"] = "TRUST_LEDGER_UNKNOWN"
            return None
        if (origin, note) != (proof["log"], proof["checkpoint"]):
            codes["anchor"] = "ANCHOR_MISMATCH"
        elif moment < 1:
            codes["anchor"] = "ANCHOR_INVALID"
        elif moment > self.at:
            codes["anchor"] = codes["anchor-checkpoint"] = "ANCHOR_LATER"
        if "anchor" in codes:
            return None
        codes["anchor"] = "ANCHOR_CONSORTIUM_OK"
        self.anchored, self.anchored_size = moment, size
        return moment

    def judge_embedded(self, proof: dict, size: int) -> Optional[int]:
        """The same, kind embedded."""
        codes = self.codes
        ledgers = [] if self.trust is None else self.trust["ledgers"]
        try:  # 4
            block = fm.read_block(fm.unbase64(proof["block"]))
            key = next((k for x in ledgers for k in x["keys"] if k["id"] == block["key"]), None)
            if key is None:
                codes["anchor"] = "KEY_UNKNOWN"
                return None
            message = b"cunzheng.embedded-block.v1\n" + fm.canonical(block["block"])
            need(fm.verify_sm2(fm.unbase64(key["spki"]), message, fm.unbase64(block["signature"])), "signature")
            anchored = fm.anchored_head(block["block"])
        except Bad:
            codes["anchor"] = "ANCHOR_INVALID"
            return None
        if anchored != (proof["log"], proof["checkpoint"]):
            codes["anchor"] = "ANCHOR_MISMATCH"
            return None
        moment = time(block["block"]["time"])
        if moment > self.at:  # 5
            codes["anchor"] = codes["anchor-checkpoint"] = "ANCHOR_LATER"
            return None
        named = [x for x in ledgers if x["name"] == block["block"]["ledger"]]
        key = next((k for x in named for k in x["keys"] if k["id"] == block["key"]), None)
        if key is None:  # 6
            codes["anchor"] = "ANCHOR_KEY_FOREIGN"
            return None
        code = self.judge_key(key, "ledger", moment, moment)
        codes["anchor"] = "ANCHOR_OK" if code == "SIGNATURE_OK" else code
        if codes["anchor"] in PASSED:
            self.anchored, self.anchored_size, self.covers = moment, size, moment
        return moment

    def judge_key(self, key: dict, role: str, earliest: int, latest: int,
                  anchored: Optional[int] = None) -> str:
        """Section 10.1; anchored is the time of an anchor that covers what was signed."""
        if key["role"] != role:
            return "KEY_ROLE"
        if latest + fm.TOLERANCE < time(key["from"]):
            return "KEY_NOT_IN_USE"
        if "until" in key and earliest - fm.TOLERANCE >= time(key["until"]):
            return "KEY_NOT_IN_USE"
        revoked = time(key["revoked"]["at"]) if "revoked" in key else None
        if revoked is not None and revoked <= earliest:
            return "KEY_REVOKED"
        if revoked is None or revoked > self.at:
            return "SIGNATURE_OK"
        if key["revoked"]["reason"] != "compromise":
            return "KEY_REVOKED_WITHOUT_FAULT"
        return "KEY_REVOKED_AFTER_ANCHOR" if anchored is not None and anchored < revoked else "KEY_REVOKED_LATER"

    def judge_checkpoint(self, head: fm.Head, log: str, earliest: int, latest: int,
                         anchored: Optional[int]) -> str:
        """Section 10.2."""
        try:
            lines = fm.read_signatures(head)
            need(head.origin == log, "another log")
        except Bad:
            return "CHECKPOINT_FORM"
        signers: list[dict] = []
        unknown = False
        for name, key_id, signature in lines:
            if name != head.origin:
                continue
            known = [(k, fm.unbase64(k["spki"])) for k in self.keys or []]
            known = [(k, s) for k, s in known if key_id == hashlib.sha256(
                name.encode() + b"\x0a\xffcunzheng.sm2-sm3.v1" + s).digest()[:4]]
            valid = [k for k, s in known if fm.verify_sm2(s, head.text, signature)]
            if known and not valid:
                return "SIGNATURE_INVALID"
            unknown = unknown or not known
            signers += valid
        if unknown or not signers:
            return "KEY_UNKNOWN"
        signers.sort(key=lambda k: [x["id"] for x in self.keys or []].index(k["id"]))
        codes = [self.judge_key(k, "log", earliest, latest, anchored) for k in signers]
        return min(codes, key=lambda c: 0 if c in PASSED else 1 if c in UNDECIDED else 2)

    def judge_signature(self, key_id: str, message: bytes, signature: bytes, moment: int) -> str:
        """Steps 11 and 12."""
        key = next((k for k in self.keys or [] if k["id"] == key_id), None)
        if key is None:
            return "KEY_UNKNOWN"
        if not fm.verify_sm2(fm.unbase64(key["spki"]), message, signature):
            return "SIGNATURE_INVALID"
        return self.judge_key(key, "receipt", moment, moment)

    def result(self) -> dict:
        """Verdict, level and codes."""
        checks = {name: self.codes.get(name, "NOT_REACHED") for name in IDS}
        codes = set(checks.values())
        if codes - PASSED - UNDECIDED - SKIPPED:
            verdict = "FAILED"
        else:
            verdict = "INDETERMINATE" if codes & UNDECIDED else "PASSED"
        level = "none" if verdict != "PASSED" else "accepted" if self.anchored is None else "anchored"
        return {"verdict": verdict, "level": level, "checks": checks}


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description="Verifies a Cunzheng bundle.")
    parser.add_argument("--trust")
    parser.add_argument("--content")
    parser.add_argument("--at", required=True)
    parser.add_argument("bundle")
    try:
        args = parser.parse_args()
        at, trust, content = time(args.at), None, None
        if args.trust is not None:
            with open(args.trust, "rb") as f:
                trust = fm.read_trust(f.read())
        if args.content is not None:
            with open(args.content, "rb") as f:
                content = sums(f)
        verifier = Verifier(trust, content, at)
        with open(args.bundle, "rb") as f:
            verifier.run(f)
    except (Bad, OSError, RuntimeError) as e:
        print("verify.py:", e, file=sys.stderr)
        return 3
    except SystemExit as e:
        return 3 if e.code else 0
    result = verifier.result()
    print(json.dumps(result))
    return {"PASSED": 0, "FAILED": 1, "INDETERMINATE": 2}[result["verdict"]]


if __name__ == "__main__":
    sys.exit(main())
