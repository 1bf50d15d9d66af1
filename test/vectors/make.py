#!/usr/bin/python3
"""Makes the fixed vectors of the sealed file, version 1, from docs/format.md alone: no line of coffer runs here.

usage: make.py FOLDER    (needs Debian's python3-cryptography and python3-zstandard)

Keys, ids and salts come from SHA-256 of a name, so that a run gives the same files again (as long as zstandard
packs the same way). A vector with "refused" must not open, although all of it was sealed with the right key.
"""
import base64
import hashlib
import json
import struct
import sys
from pathlib import Path

import zstandard
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = bytes.fromhex("89434f460d0a1a0a")
CHUNK = 16 * 1024


def fixed(name, length):
    """Pseudo-random bytes that are the same in every run."""
    blocks = (hashlib.sha256(f"coffer vectors: {name} {n}".encode()).digest() for n in range(length // 32 + 1))
    return b"".join(blocks)[:length]


def mac(hash_type, key, *parts):
    h = hmac.HMAC(key, hash_type())
    for part in parts:
        h.update(part)
    return h.finalize()


def expand(hash_type, prk, info, length):
    """RFC 5869, 2.3."""
    output, block, count = b"", b"", 0
    while len(output) < length:
        count += 1
        block = mac(hash_type, prk, block, info, bytes([count]))
        output += block
    return output[:length]


def hkdf_sha256(key, info, length, salt=bytes(32)):
    """RFC 5869; an empty salt stands for as many zeros as the hash has bytes."""
    return expand(hashes.SHA256, mac(hashes.SHA256, salt, key), info, length)


def message(input_key, context, salt, plain):
    """C2SP chunked-encryption, Cobblestone-256."""
    label = b"c2sp.org/chunked-encryption@v1+" + b"AEAD_AES_256_GCM" + b"\x00"
    okm = expand(hashes.SHA512, input_key, label + salt + context, 32 + 12 + 32)
    key, base, commitment = okm[:32], okm[32:44], okm[44:]
    sealed, number = [], 0
    while True:
        chunk = plain[number * CHUNK:(number + 1) * CHUNK]
        nonce = bytes(a ^ b for a, b in zip(base, number.to_bytes(12, "big")))
        sealed.append(AESGCM(key).encrypt(nonce, chunk, b""))
        number += 1
        if len(chunk) < CHUNK:
            return salt + commitment + b"".join(sealed)


def padme(length):
    """As the paper writes it down."""
    e = length.bit_length() - 1
    s = e.bit_length()
    mask = (1 << (e - s)) - 1
    return (length + mask) & ~mask


def segment(lines, codec, left=b""):
    stored = zstandard.ZstdCompressor(level=3).compress(lines) + left if codec == 1 else lines
    return struct.pack(">BII", codec, len(stored), len(lines)) + stored


def content(summary, body, floor, zeros=None, body_length=None):
    used = struct.pack(">I", len(summary)) + summary
    used += struct.pack(">Q", len(body) if body_length is None else body_length) + body
    if zeros is None:
        zeros = bytes(max(floor, padme(len(used))) - len(used))
    return used + zeros


class File:
    """A sealed file that grows frame by frame."""

    def __init__(self, name, kind=1, generation=1):
        self.name, self.kind, self.generation = name, kind, generation
        self.key = fixed(name + " key", 32)
        self.file_id = fixed(name + " file id", 16)
        self.key_id = hkdf_sha256(self.key, b"coffer/v1/key-id", 16)
        self.input_key = hkdf_sha256(self.key, b"coffer/v1/frame", 32)
        self.bytes = MAGIC + bytes([1, kind, 0, 0]) + self.key_id + self.file_id + struct.pack(">Q", generation)
        self.link = hashlib.sha256(self.bytes).digest()
        self.frames = []

    def add_plain(self, plain):
        number = len(self.frames)
        length = 56 + len(plain) + 16 * (len(plain) // CHUNK + 1)
        context = b"coffer/v1/frame\x00" + self.link + struct.pack(">QI", number, length)
        sealed = message(self.input_key, context, fixed(f"{self.name} salt {number}", 24), plain)
        assert len(sealed) == length
        self.bytes += struct.pack(">I", length) + sealed
        self.link = hashlib.sha256(self.link + struct.pack(">I", length) + sealed[:56]).digest()

    def add(self, summary, *segments, left=b"", **bent):
        """Adds a frame of (codec, lines) segments."""
        summary = json.dumps(summary, separators=(",", ":"), ensure_ascii=False).encode()
        body = b"".join(segment(lines, codec, left) for codec, lines in segments)
        plain = content(summary, body, 1024 if self.frames else 4096, **bent)
        self.add_plain(plain)
        self.frames.append({
            "summary": summary.decode(),
            "plainLength": len(plain),
            "codecs": [codec for codec, _ in segments],
            "events": b"".join(lines for _, lines in segments).decode(),
        })
        return self

    def vector(self, about):
        return {
            "about": about,
            "key": self.key.hex(),
            "keyId": self.key_id.hex(),
            "kind": ["session", "index", "seen"][self.kind - 1],
            "fileId": self.file_id.hex(),
            "generation": str(self.generation),
            "frames": self.frames,
            "file": base64.b64encode(self.bytes).decode(),
        }

    def refused(self, about):
        return {"about": about, "key": self.key.hex(), "refused": "UNAUTHENTIC",
                "file": base64.b64encode(self.bytes).decode()}


def event(number, **fields):
    line = json.dumps({"id": number, "ts": 1793000000000 + number * 1000, **fields}, separators=(",", ":"),
                      ensure_ascii=False)
    return line.encode() + b"\n"


def begin(number):
    return event(number, type="begin", uuid="7b0f4a1e-52c8-4d3b-9a56-0d1c2b3a4f5e", directory="/home/ada/engine")


def said(number, role, text):
    return event(number, type="message", message={"role": role, "content": text})


def talk(first, last):
    return b"".join(said(n, "user" if n % 2 else "assistant", f"step {n}: again and again") for n in range(first, last))


SUMMARY = {"id": "2026-11-20_14-30", "model": "demo/echo", "messages": 2}


def mark(file):
    line = json.dumps({"file": file.file_id.hex(), "generation": str(file.generation), "frames": len(file.frames),
                       "link": file.link.hex()}, separators=(",", ":"))
    return line.encode() + b"\n"


def good():
    yield File("one-frame").add(SUMMARY, (1, begin(1) + talk(2, 40))).vector(
        "one frame, one zstd segment: the session as an overwrite leaves it")

    three = (File("three-frames", generation=7)
             .add(SUMMARY, (1, begin(1) + talk(2, 30)), (0, said(30, "user", "and one more, stored")))
             .add({**SUMMARY, "messages": 31}, (0, said(31, "assistant", "appended"))))
    marks = mark(three)
    three.add({**SUMMARY, "messages": 33}, (0, said(32, "user", "")), (1, talk(33, 80)))
    yield three.vector("an overwrite and two appended steps; the later frames have the floor of 1024")

    yield File("empty-body").add(SUMMARY).vector("a summary and a body of no segments")

    yield File("stored-segment").add(SUMMARY, (0, said(1, "user", "hi"))).vector("one segment of codec 0")

    yield File("zstd-segment").add(SUMMARY, (1, talk(1, 200))).vector("one segment of codec 1, which packs well")

    noise = base64.b64encode(fixed("noise", 30000)).decode()
    yield File("multi-chunk").add(SUMMARY, (0, begin(1) + said(2, "user", noise))).vector(
        "a body of some 40,000 bytes: three chunks, the last one short")

    # Padmé takes everything from 15,873 to 16,384 up to 16,384: one full chunk, then an empty one.
    noise = base64.b64encode(fixed("boundary", 11950)).decode()
    boundary = File("chunk-boundary").add(SUMMARY, (0, said(1, "user", noise)))
    assert boundary.frames[0]["plainLength"] == CHUNK
    yield boundary.vector("a plaintext of exactly 16,384 bytes: a full chunk and an empty last one")

    yield File("no-padding").add({"fill": "x" * 2991}, (0, said(1, "user", "y" * 1000))).vector(
        "a content of exactly 4,096 bytes: no padding at all")

    later = event(1, type="hologram", depth=3) + event(2, type="model", model="demo/eliza", mood="curious")
    yield File("newer-events").add({**SUMMARY, "name": "Übergröße 🦊"}, (0, later)).vector(
        "an event type and a field this version does not know, and text beyond ASCII")

    yield File("zstd-left-behind").add(SUMMARY, (1, talk(1, 200)), left=bytes.fromhex("28b52ffd2000010000")).vector(
        "an empty zstd frame behind the segment's, as Node leaves it behind some")

    yield File("index-file", kind=2, generation=2**64 - 1).add({}).vector("kind 2 and the greatest generation")

    marks += mark(File("index-file", generation=2**64 - 1).add({}))
    yield File("seen-file", kind=3, generation=12).add({}, (1, marks)).vector(
        "kind 3: a mark behind the second frame of three-frames, and one of the greatest generation")


def bad():
    line = said(1, "user", "hi")

    head = 4 + len(json.dumps(SUMMARY, separators=(",", ":"))) + 8 + 9 + len(line)

    def one(name, about, **bent):
        return name, File(name).add(SUMMARY, (0, line), **bent).refused(about)

    yield one("padding-not-zero", "the last byte of the padding is 1", zeros=bytes(4096 - head - 1) + b"\x01")
    yield one("padding-too-long", "padded to 8,192 where Padmé says 4,096", zeros=bytes(8192 - head))
    yield one("padding-missing", "no padding", zeros=b"")
    yield one("body-too-long", "a body length of 2^64 - 1", body_length=2**64 - 1)

    def raw(name, body, about):
        file = File(name)
        file.add_plain(content(b"{}", body, 4096))
        return name, file.refused(about)

    packed = zstandard.ZstdCompressor(level=3).compress(line)
    yield raw("body-cut", struct.pack(">BII", 0, len(line), len(line)) + line[:-1], "the body ends inside its segment")
    yield raw("body-cut-in-head", b"\x00" * 8, "the body ends inside the head of a segment")
    yield raw("codec-unknown", struct.pack(">BII", 2, len(line), len(line)) + line, "codec 2")
    yield raw("stored-longer", struct.pack(">BII", 0, len(line), len(line) - 1) + line, "stored, and longer than it says")
    yield raw("zstd-longer", struct.pack(">BII", 1, len(packed), len(line) - 1) + packed, "longer than it says")
    yield raw("zstd-shorter", struct.pack(">BII", 1, len(packed), len(line) + 1) + packed, "shorter than it says")
    yield raw("zstd-two-frames", struct.pack(">BII", 1, 2 * len(packed), len(line)) + packed + packed,
              "a second zstd frame behind the first")
    yield raw("zstd-empty-frame", struct.pack(">BII", 1, len(packed) + 9, len(line)) + packed
              + bytes.fromhex("28b52ffd0000010000"), "an empty zstd frame behind the first, and not the one that Node leaves")
    yield raw("zstd-not", struct.pack(">BII", 1, len(line), len(line)) + line, "codec 1 without zstd")
    yield raw("length-greatest", struct.pack(">BII", 0, 2**32 - 1, 2**32 - 1) + line, "lengths of 2^32 - 1")
    yield raw("plain-greatest", struct.pack(">BII", 1, len(packed), 2**32 - 1) + packed, "a plain length of 2^32 - 1")

    file = File("summary-too-long")
    file.add_plain(content(b" " * 12289, b"", 4096))
    yield "summary-too-long", file.refused("a summary of 12,289 bytes")

    file = File("floor-of-later-frames")
    file.add_plain(content(b"{}", b"", 1024))
    yield "floor-of-later-frames", file.refused("a first frame with the floor of the later ones")


def base32(number, digits):
    """Five bits a digit, the highest first; no I, L, O and U."""
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[number >> 5 * n & 31] for n in reversed(range(digits)))


def recovery_slot():
    """vault.json's key slot for a recovery code."""
    key, secret, salt = fixed("recovery key", 32), fixed("recovery code", 20), fixed("recovery salt", 16)
    check = hashlib.sha256(b"coffer/v1/recovery-code-check\x00" + secret).digest()
    digits = base32(int.from_bytes(secret, "big"), 32) + base32(int.from_bytes(check[:3], "big") >> 4, 4)
    parameters = {"kind": "recovery", "algorithm": "hkdf-sha256", "salt": base64.b64encode(salt).decode()}
    key_id = hkdf_sha256(key, b"coffer/v1/key-id", 16)
    slot_key = hkdf_sha256(secret, b"coffer/v1/recovery-code", 32, salt)
    canonical = json.dumps(parameters, sort_keys=True, separators=(",", ":")).encode()
    wrapped = message(slot_key, b"coffer/v1/key-slot\x00" + key_id + canonical, fixed("recovery message", 24), key)
    return {"code": "-".join(digits[n:n + 4] for n in range(0, 36, 4)), "secret": secret.hex(), "slotKey": slot_key.hex(),
            "key": key.hex(), "keyId": key_id.hex(),
            "slot": {**parameters, "wrapped": base64.b64encode(wrapped).decode()}}


def record():
    """vault.json with its MAC, and a successor certificate."""
    old, key, slot = fixed("retired key", 32), fixed("record key", 32), recovery_slot()["slot"]
    old_id, key_id = (hkdf_sha256(each, b"coffer/v1/key-id", 16) for each in (old, key))
    frame_key = hkdf_sha256(old, b"coffer/v1/frame", 32)
    sealed = message(frame_key, b"coffer/v1/successor\x00" + old_id, fixed("successor salt", 24), key_id)
    fields = {"format": 1, "key": key_id.hex(), "backend": "keytar", "provider": "gnome-keyring \u2013 \u00e9", "slots": [slot],
              "successors": [{"from": old_id.hex(), "to": key_id.hex(), "sealed": base64.b64encode(sealed).decode()}],
              "counter": 7}
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    mac_key = hkdf_sha256(key, b"coffer/v1/record", 32)
    return {"key": key.hex(), "retired": old.hex(), "macKey": mac_key.hex(), "canonical": canonical,
            "record": {**fields, "mac": mac(hashes.SHA256, mac_key, canonical.encode()).hex()}}


def write(folder, name, vector):
    text = json.dumps(vector, indent=2, ensure_ascii=False) + "\n"
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    opened, refused = Path(sys.argv[1]) / "opened", Path(sys.argv[1]) / "refused"
    for folder in (opened, refused):
        folder.mkdir(parents=True, exist_ok=True)
    names = ["one-frame", "three-frames", "empty-body", "stored-segment", "zstd-segment", "multi-chunk",
             "chunk-boundary", "no-padding", "newer-events", "zstd-left-behind", "index-file", "seen-file"]
    for name, vector in zip(names, good(), strict=True):
        write(opened, name, vector)
    for name, vector in bad():
        write(refused, name, vector)
    write(Path(sys.argv[1]), "recovery-slot", recovery_slot())
    write(Path(sys.argv[1]), "record", record())


main()
