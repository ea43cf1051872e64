# SPDX-License-Identifier: Apache-2.0
"""Section 7.2 of docs/formats.md: blocks of a Fabric channel; verify.py uses it. Written from the document alone."""
from __future__ import annotations

import hashlib
from typing import Any, NamedTuple, Optional

import formats as fm
import x509
from formats import Bad, need


class Unknown(Exception):
    """No trusted configuration leads to the one in force."""


# ---- 7.2.1: messages ------------------------------------------------------------------------------------------------------

def varint(data: bytes) -> tuple[int, bytes]:
    """A number in the shortest form, and what stands behind it."""
    value = 0
    for i, byte in enumerate(data[:10]):
        value |= (byte & 127) << (7 * i)
        if byte < 128:
            need(value < 1 << 64 and (i == 0 or byte), "number")
            return value, data[i + 1:]
    raise Bad("number")


class Message:
    """A message; absent fields are 0, empty, or an empty list."""

    def __init__(self, data: bytes, fields: str, is_open: bool = False) -> None:
        """fields: "1v" for a number, "2" for bytes, "3*" for repeated bytes."""
        kinds = {int(f.rstrip("v*")): f.lstrip("0123456789") for f in fields.split()}
        self.values: dict[int, Any] = {n: {"v": 0, "": b"", "*": []}[k] for n, k in kinds.items()}
        self.there: set[int] = set()
        while data:
            tag, data = varint(data)
            field, wire = tag >> 3, tag & 7
            need(0 < field < 1 << 29, "field")
            value: Any
            if wire == 0:
                value, data = varint(data)
            elif wire in (1, 2, 5):
                size, data = varint(data) if wire == 2 else ({1: 8, 5: 4}[wire], data)
                need(size <= len(data), "length")
                value, data = data[:size], data[size:]
            else:
                raise Bad("wire type")
            kind = kinds.get(field)
            if kind is None:
                need(is_open, "unknown field")
                continue
            need(wire == (0 if kind == "v" else 2), "wire type")
            if kind == "*":
                need(len(self.values[field]) < 4096, "repeated too often")
                self.values[field] = self.values[field] + [value]
            else:
                need(field not in self.there, "field twice")
                self.values[field] = value
            self.there.add(field)

    def __getitem__(self, field: int) -> Any:
        return self.values[field]

    def text(self, field: int) -> str:
        """A string."""
        try:
            return self.values[field].decode("utf-8")
        except UnicodeDecodeError as e:
            raise Bad("UTF-8") from e

    def map(self, field: int) -> dict[str, bytes]:
        """A map."""
        result: dict[str, bytes] = {}
        for raw in self.values[field]:
            entry = Message(raw, "1 2")
            need(entry.text(1) not in result, "key twice")
            result[entry.text(1)] = entry[2]
        return result


def opened(data: bytes, fields: str) -> Message:
    """A message that may have further fields."""
    return Message(data, fields, True)


def name(text: str) -> str:
    """A name as section 7.1 has it."""
    need(text and len(text.encode()) <= 255 and not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text), "name")
    return text


# ---- 7.2.2, 7.2.3: block and envelopes ------------------------------------------------------------------------------------

def sha256(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def field(number: int, value: bytes) -> bytes:
    """An encoded field; nothing if it is empty."""
    return whole(number, value) if value else b""


def whole(number: int, value: bytes) -> bytes:
    """An encoded field of bytes."""
    return bytes([number << 3 | 2]) + encode(len(value)) + value


def encode(value: int) -> bytes:
    """An encoded number."""
    result = b""
    while value >= 128:
        result, value = result + bytes([value & 127 | 128]), value >> 7
    return result + bytes([value])


class Signature(NamedTuple):
    """A signature of an orderer."""
    identifier: int
    header: bytes
    value: bytes


class Block:
    """A block; trimmed demands the form of a proof."""

    def __init__(self, data: bytes, trimmed: bool) -> None:
        block = Message(data, "1 2 3")
        header = Message(block[1], "1v 2 3")
        self.number, self.previous, self.data_hash = header[1], header[2], header[3]
        self.envelopes = Message(block[2], "1*")[1]
        metadata = Message(block[3], "1*")[1]
        need(self.number <= fm.MAX_INT and self.envelopes, "block")
        need(len(self.previous) == (32 if self.number else 0), "previous hash")
        need(sha256(b"".join(self.envelopes)) == self.data_hash, "data hash")
        self.signed, self.last, self.signatures = b"", 0, []
        if metadata:
            m = Message(metadata[0], "1 2*")
            self.signed = m[1]
            self.last = opened(opened(self.signed, "1 2")[1], "1v")[1]
            for raw in m[2]:
                s = Message(raw, "1 2 3")
                identifier = opened(s[3], "1v 2")[1]
                need(not s[1] and s[3] and identifier < 1 << 32, "signature of an orderer")
                self.signatures.append(Signature(identifier, s[3], s[2]))
        need(not trimmed or self._form() == data, "form of a proof")

    def _form(self) -> bytes:
        header = (b"\x08" + encode(self.number) if self.number else b"") + field(2, self.previous) + field(3, self.data_hash)
        data = b"".join(whole(1, e) for e in self.envelopes)
        signatures = field(1, self.signed) + b"".join(field(2, field(2, s.value) + field(3, s.header)) for s in self.signatures)
        return field(1, header) + field(2, data) + field(3, field(1, signatures))

    def header_bytes(self) -> bytes:
        """DER of the header."""
        number = self.number.to_bytes(self.number.bit_length() // 8 + 1, "big")
        inner = b"".join(bytes([tag, len(v)]) + v for tag, v in ((2, number), (4, self.previous), (4, self.data_hash)))
        return bytes([0x30, len(inner)]) + inner


class Envelope:
    """An envelope."""

    def __init__(self, data: bytes) -> None:
        outer = Message(data, "1 2")
        self.payload, self.signature = outer[1], outer[2]
        payload = Message(self.payload, "1 2")
        self.data = payload[2]
        header = Message(payload[1], "1 2")
        self.channel_header, self.signature_header = header[1], header[2]
        channel = opened(self.channel_header, "1v 2v 3 4 5 6v 7")
        self.kind, self.channel, self.transaction = channel[1], channel.text(4), channel.text(5)
        self.epoch, self.extension = channel[6], channel[7]
        stamp = Message(channel[3], "1v 2v")
        need(stamp[1] < 253402300800 and stamp[2] < 10**9, "time")
        self.seconds, self.nanos = stamp[1], stamp[2]
        signer = Message(self.signature_header, "1 2")
        self.creator, self.nonce = signer[1], signer[2]

    @property
    def at(self) -> float:
        """The time to compare periods with: only whether it lies behind a full second matters."""
        return self.seconds + (0.5 if self.nanos else 0)


# ---- 7.2.5: members -------------------------------------------------------------------------------------------------------

class Unit(NamedTuple):
    """An organisational unit and the certificate that must issue it."""
    name: str
    authority: Optional[x509.Certificate]


def read_unit(data: bytes) -> Unit:
    """A FabricOUIdentifier."""
    m = opened(data, "1 2")
    return Unit(m.text(2), x509.Certificate(m[1]) if m[1] else None)


MEMBER, ADMIN, CLIENT, PEER, ORDERER = range(5)


class Organisation:
    """An MSPConfig."""

    def __init__(self, data: bytes) -> None:
        outer = opened(data, "1v 2")
        need(outer[1] == 0, "type of membership")
        m = opened(outer[2], "1 2* 3* 4* 5* 7* 11")
        self.raw, self.id = data, name(m.text(1))
        need(m[2] and all(len(m[i]) <= 64 for i in (2, 3, 4, 5, 7)), "certificates")
        self.roots, self.intermediates, self.admins = ([x509.Certificate(c) for c in m[i]] for i in (2, 3, 4))
        self.revoked = [x509.RevocationList(c) for c in m[5]]
        self.units = [read_unit(u) for u in m[7]]
        nodes = opened(m[11], "1v 2 3 4 5")
        self.enforced = nodes[1] != 0
        self.roles = {role: read_unit(nodes[i]) for i, role in ((2, CLIENT), (3, PEER), (4, ADMIN), (5, ORDERER))
                      if self.enforced and i in nodes.there}
        self.inner: list[x509.Certificate] = []
        for ca in self.intermediates:
            self.inner += self.chain(ca, ca.not_before + 1)[1:]

    def chain(self, cert: x509.Certificate, at: float) -> list[x509.Certificate]:
        """The only chain."""
        chains = self.chains([cert], at)
        need(len(chains) == 1, "chains")
        return chains[0]

    def chains(self, path: list[x509.Certificate], at: float) -> list[list[x509.Certificate]]:
        """All chains that begin with path."""
        last = path[-1]
        if not last.valid_at(at):
            return []
        if any(last.der == r.der for r in self.roots):
            return [path]
        found = []
        for ca in {c.der: c for c in self.roots + self.intermediates}.values():
            if ca.subject == last.issuer and ca.may_issue and all(ca.der != c.der for c in path) and last.signed_by(ca):
                found += self.chains(path + [ca], at)
        return found


class Member:
    """A member of an organisation at a time; the constructor raises Bad for others."""

    def __init__(self, organisation: Organisation, pem: bytes, at: float) -> None:
        self.organisation, self.cert = organisation, x509.Certificate(pem)
        need(self.cert.key is not None and not self.cert.authority, "key")
        chain = organisation.chain(self.cert, at)
        need(len(chain) >= 2, "root")
        self.issuers = chain[1:]
        need(not any(ca.same(chain[1]) for ca in organisation.inner), "issuer of members")
        for cert, issuer in zip(chain, chain[1:]):
            need(not any(cert.serial in crl.serials and crl.authority_key == issuer.key_identifier and crl.signed_by(issuer)
                         for crl in organisation.revoked), "revoked")
        need(not organisation.units or any(self.within(u) for u in organisation.units), "unit")
        if organisation.enforced:
            by_name = {u.name: u for u in organisation.roles.values()}
            mine = [by_name[u] for u in self.cert.units if u in by_name]
            need(len(mine) == 1 and self.within(mine[0]), "role")

    def within(self, unit: Unit) -> bool:
        """Whether the certificate has the unit from the right authority."""
        return unit.name in self.cert.units and (unit.authority is None or unit.authority.same(self.issuers[0]))

    def has(self, role: int) -> bool:
        """Whether the member has the role."""
        if role == MEMBER or role == ADMIN and any(c.same(self.cert) for c in self.organisation.admins):
            return True
        unit = self.organisation.roles.get(role)
        return unit is not None and unit.name in self.cert.units

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether the member signed."""
        assert self.cert.key is not None
        return x509.verify_low(self.cert.key, message, signature)


# ---- 7.2.6: policies ------------------------------------------------------------------------------------------------------

class Policy:
    """A signature policy."""

    def __init__(self, data: bytes) -> None:
        m = opened(data, "1v 2 3*")
        need(len(m[3]) <= 256, "principals")
        self.principals = [self._principal(p) for p in m[3]]
        self.left = 256
        self.rule = self._rule(m[2], 8)

    @staticmethod
    def _principal(data: bytes) -> tuple[int, str, Any]:
        m = Message(data, "1v 2")
        if m[1] == 0:
            inner = Message(m[2], "1 2v")
            return 0, inner.text(1), inner[2]
        if m[1] == 1:
            inner = Message(m[2], "1 2 3")
            return 1, inner.text(1), (inner.text(2), inner[3])
        if m[1] == 2:
            inner = Message(m[2], "1 2")
            return 2, inner.text(1), inner[2]
        return m[1], "", None

    def _rule(self, data: bytes, depth: int) -> Any:
        self.left -= 1
        need(depth > 0 and self.left >= 0, "rules")
        kinds = Message(data, "1v 2")
        need(len(kinds.there) == 1, "rule")
        if 1 in kinds.there:
            need(kinds[1] < len(self.principals), "principal")
            return kinds[1]
        m = Message(kinds[2], "1v 2*")
        need(m[1] < 1 << 31, "n")
        return m[1], [self._rule(r, depth - 1) for r in m[2]]

    def _is(self, member: Member, principal: tuple[int, str, Any]) -> bool:
        kind, organisation, value = principal
        if organisation != member.organisation.id:
            return False
        if kind == 0:
            return member.has(value)
        if kind == 1:
            chain = sha256(b"".join(c.der for c in member.issuers))
            return value[0] in member.cert.units and value[1] == chain
        try:
            return kind == 2 and x509.Certificate(value).same(member.cert)
        except Bad:
            return False

    def _satisfied(self, rule: Any, members: list[Member], used: set[int]) -> Optional[set[int]]:
        """Who is used then, or None."""
        if isinstance(rule, int):
            for i, member in enumerate(members):
                if i not in used and self._is(member, self.principals[rule]):
                    return used | {i}
            return None
        n, rules, count = rule[0], rule[1], 0
        for inner in rules:
            now = self._satisfied(inner, members, used)
            if now is not None:
                count, used = count + 1, now
        return used if count >= n else None

    def satisfied(self, members: list[Member]) -> bool:
        """Whether they satisfy the policy."""
        return bool(self._satisfied(self.rule, members, set()))


# ---- 7.2.4: configuration -------------------------------------------------------------------------------------------------

class Group:
    """A ConfigGroup."""

    def __init__(self, data: bytes) -> None:
        m = opened(data, "1v 2* 3* 4* 5")
        self.groups, self.values, self.policies = m.map(2), m.map(3), m.map(4)

    def group(self, key: str) -> Group:
        """The group of that name."""
        need(key in self.groups, key)
        return Group(self.groups[key])

    def value(self, key: str) -> bytes:
        """The value of that name."""
        need(key in self.values, key)
        return opened(self.values[key], "1v 2 3")[2]

    def policy(self, key: str) -> tuple[int, bytes]:
        """Type and value of the policy of that name; type 0 if there is none."""
        if key not in self.policies:
            return 0, b""
        m = opened(opened(self.policies[key], "1v 2 3")[2], "1v 2")
        return m[1], m[2]


class Consenter(NamedTuple):
    """An orderer."""
    organisation: str
    certificate: bytes


class Config:
    """A config block."""

    def __init__(self, block: Block) -> None:
        self.block = block
        need(len(block.envelopes) == 1, "config block")
        self.envelope = Envelope(block.envelopes[0])
        self.channel = self.envelope.channel
        need(self.envelope.kind == 1 and name(self.channel), "config block")
        config = opened(opened(self.envelope.data, "1 2")[1], "1v 2")
        self.sequence = config[1]
        root = Group(config[2])
        need(opened(root.value("HashingAlgorithm"), "1")[1] == b"SHA256", "hash function")
        orderer, application = root.group("Orderer"), root.group("Application")
        self.members: dict[str, Organisation] = {}
        self._organisations(orderer)
        self.application = self._organisations(application)
        self.consenters = self._consenters(orderer)
        self._endorsement(application)

    def _organisations(self, parent: Group) -> list[tuple[str, Group]]:
        need(1 <= len(parent.groups) <= 256, "organisations")
        result: list[tuple[str, Group]] = []
        for key in parent.groups:
            group = parent.group(key)
            organisation = Organisation(group.value("MSP"))
            known = self.members.setdefault(organisation.id, organisation)
            need(known.raw == organisation.raw and organisation.id not in [i for i, _ in result], "memberships")
            result.append((organisation.id, group))
        return result

    def _consenters(self, orderer: Group) -> dict[int, Consenter]:
        need(opened(orderer.value("ConsensusType"), "1")[1] == b"BFT", "consensus")
        listed = opened(orderer.value("Orderers"), "1*")[1]
        need(1 <= len(listed) <= 256, "orderers")
        result: dict[int, Consenter] = {}
        for raw in listed:
            m = opened(raw, "1v 4 5")
            need(m.text(4) in self.members and m[1] < 1 << 32 and m[1] not in result, "orderer")
            result[m[1]] = Consenter(m.text(4), m[5])
        return result

    def _endorsement(self, application: Group) -> None:
        kind, value = application.policy("Endorsement")
        need(kind in (1, 3), "endorsement policy")
        self.single = Policy(value) if kind == 1 else None
        self.own: list[Policy] = []
        if kind == 3:
            m, n = opened(value, "1 2v"), len(application.groups)
            need(m[2] in (0, 1, 2), "rule")
            self.needed = (1, n, n // 2 + 1)[m[2]]
            policies = [group.policy(m.text(1)) for _, group in self.application]
            self.own = [Policy(v) for k, v in policies if k == 1]

    def endorsed(self, members: list[Member]) -> bool:
        """Whether the endorsement policy is satisfied."""
        if self.single is not None:
            return self.single.satisfied(members)
        return sum(p.satisfied(members) for p in self.own) >= self.needed

    def member(self, serialized: bytes, at: float) -> Member:
        """A SerializedIdentity as a member of the channel."""
        m = Message(serialized, "1 2")
        need(m.text(1) in self.members, "organisation")
        return Member(self.members[m.text(1)], m[2], at)

    def check_quorum(self, block: Block, at: float) -> None:
        """Section 7.2.8: the orderers' signatures."""
        n = len(self.consenters)
        keys: set[bytes] = set()
        need(len(block.signatures) <= 256, "signatures")
        for s in block.signatures:
            need(s.identifier in self.consenters, "orderer")
            c = self.consenters[s.identifier]
            member = Member(self.members[c.organisation], c.certificate, at)
            need(member.cert.spki not in keys, "orderer twice")
            keys.add(member.cert.spki)
            need(member.signed(block.signed + s.header + block.header_bytes(), s.value), "signature of an orderer")
        need(len(keys) >= (n + (n - 1) // 3 + 2) // 2, "too few orderers")


# ---- 7.2.7: the transaction -----------------------------------------------------------------------------------------------

Version = tuple[int, int, int]
ABSENT: Version = (0, 0, 0)


class Transaction:
    """A transaction of the chaincode; the constructor raises Bad for others."""

    def __init__(self, e: Envelope, chaincode: str) -> None:
        self.envelope = e
        need(e.kind == 3 and e.epoch == 0 and e.creator and e.nonce, "header")
        need(sha256(e.nonce + e.creator).hex() == e.transaction, "transaction id")

        def check_name(chaincode_id: bytes) -> None:
            need(opened(chaincode_id, "1 2 3")[2] == chaincode.encode(), "chaincode")

        check_name(opened(e.extension, "2")[2])
        actions = Message(e.data, "1*")[1]
        need(len(actions) == 1, "actions")
        action = Message(actions[0], "1 2")
        need(action[1] == e.signature_header, "creator of the proposal")
        payload = Message(action[2], "1 2")
        spec = opened(opened(opened(payload[1], "1")[1], "1")[1], "2 3")
        check_name(spec[2])
        self.args = opened(spec[3], "1*")[1]
        endorsed = Message(payload[2], "1 2*")
        self.response = endorsed[1]
        need(len(endorsed[2]) <= 256, "endorsements")
        self.endorsements = [Message(x, "1 2") for x in endorsed[2]]
        response = opened(self.response, "1 2")
        need(response[1] == sha256(e.channel_header + e.signature_header + payload[1]), "proposal hash")
        result = opened(response[2], "1 2 3 4")
        check_name(result[4])
        need(opened(result[3], "1v")[1] == 200, "status")
        self.reads: dict[bytes, Version] = {}
        self.writes: list[Message] = []
        self._rows(result[1], chaincode)

    def _rows(self, results: bytes, chaincode: str) -> None:
        outer = opened(results, "1v 2*")
        need(outer[1] == 0, "data model")
        sets = [opened(raw, "1 2") for raw in outer[2]]
        need(len({s[1] for s in sets}) == len(sets), "namespace twice")
        for s in sets:
            if s[1] != chaincode.encode():
                continue
            rows = opened(s[2], "1* 3*")
            for raw in rows[1]:
                read = opened(raw, "1 2")
                version = Message(read[2], "1v 2v")
                self.reads[read[1]] = (1 if 2 in read.there else 0, version[1], version[2])
            self.writes = [opened(raw, "1 2v 3") for raw in rows[3]]

    def anchored(self) -> tuple[str, str]:
        """Origin and note of the head it anchors."""
        need(len(self.args) == 4 and self.args[0] == b"Anchor", "function")
        try:
            origin, note = self.args[1].decode(), self.args[2].decode()
        except UnicodeDecodeError as e:
            raise Bad("UTF-8") from e
        head = fm.read_head(note)
        fm.read_signatures(head)
        need(head.origin == origin, "origin")
        rows = [w for w in self.writes if w[1].startswith(b"head ")]
        need(len(rows) == 1 and rows[0][1] == f"head {origin} {head.size:016x}".encode() and not rows[0][2]
             and rows[0][3] == self.args[2], "row of the head")
        return origin, note

    def check_signed(self, config: Config) -> None:
        """Whether it is properly signed."""
        e = self.envelope
        need(config.member(e.creator, e.at).signed(e.payload, e.signature), "signature of the creator")
        members: list[Member] = []
        for x in self.endorsements:
            try:
                member = config.member(x[1], e.at)
            except Bad:
                continue
            if member.signed(self.response + x[1], x[2]) and member.cert.spki not in [m.cert.spki for m in members]:
                members.append(member)
        need(config.endorsed(members), "endorsements")

    def overtakes(self, other: Transaction) -> bool:
        """Whether it makes the other one void."""
        rows = [w[1] for w in self.writes if w[1] in other.reads]
        return any(k not in self.reads or self.reads[k] >= other.reads[k] for k in rows)


# ---- 7.2.8: verifying -----------------------------------------------------------------------------------------------------

class Proof:
    """A proof; the constructor takes the first step and finds the envelope of the transaction."""

    def __init__(self, data: bytes) -> None:
        v = fm.read_json(data, 4 << 20)
        fm.members({"block": fm.unbase64, "configs": fm.array(0, 256, fm.unbase64), "kind": fm.one_of("fabric"),
                    "transaction": lambda t: need(isinstance(t, str))})(v)
        self.block = Block(fm.unbase64(v["block"]), True)
        blocks = [fm.unbase64(c) for c in v["configs"]]
        need(all(len(c) <= 1 << 20 for c in blocks), "size of a config block")
        self.configs = [Config(Block(c, True)) for c in blocks]
        self.envelopes = [Envelope(e) for e in self.block.envelopes]
        found = [i for i, e in enumerate(self.envelopes) if e.transaction == v["transaction"]]
        need(len(found) == 1, "transaction")
        self.place = found[0]
        self.channel = self.envelopes[self.place].channel

    def verify(self, chaincode: str, trusted: list[Config]) -> tuple[str, str, int]:
        """Origin, note, and time in milliseconds; raises Bad or Unknown."""
        transaction = Transaction(self.envelopes[self.place], chaincode)
        origin, note = transaction.anchored()
        config = self.in_force(trusted)
        e = transaction.envelope
        config.check_quorum(self.block, e.at)
        transaction.check_signed(config)
        for earlier in self.envelopes[:self.place]:
            try:
                other = Transaction(earlier, chaincode)
                need(other.overtakes(transaction) and earlier.channel == self.channel)
                other.check_signed(config)
            except Bad:
                continue
            raise Bad("overtaken")
        return origin, note, e.seconds * 1000 + e.nanos // 10**6

    def in_force(self, trusted: list[Config]) -> Config:
        """Steps 3 to 5."""
        last = self.block.last
        need(last < self.block.number, "last config")
        need(not self.configs or self.configs[-1].block.number == last, "end of the config blocks")
        candidates = [c for c in trusted if c.channel == self.channel and c.block.number <= last]
        if not candidates:
            raise Unknown
        config = max(candidates, key=lambda c: c.block.number)
        if config.block.number == last:
            return config
        first = next((i for i, c in enumerate(self.configs) if c.block.number > config.block.number), len(self.configs))
        rest = self.configs[first:]
        if not rest or rest[0].sequence > config.sequence + 1:
            raise Unknown
        for following in rest:
            need(following.channel == config.channel and following.block.number > config.block.number
                 and following.sequence == config.sequence + 1 and following.block.last == following.block.number, "link")
            config.check_quorum(following.block, following.envelope.at)
            config = following
        return config


def trusted_configs(ledger: dict) -> list[Config]:
    """The config blocks of a ledger of the trust file (section 8)."""
    result = []
    for text in ledger["configs"]:
        data = fm.unbase64(text)
        need(len(data) <= 1 << 20, "size of a config block")
        config = Config(Block(data, False))
        need(config.channel == ledger["name"], "channel")
        need(not result or config.block.number > result[-1].block.number, "order of config blocks")
        result.append(config)
    need(result and ledger["operators"] == sorted((i for i, _ in result[-1].application), key=str.encode), "operators")
    return result
