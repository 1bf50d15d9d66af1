#!/usr/bin/env python3
"""Prints the events in a coffer file, one JSON object a line, or vault.json if its MAC is right; docs/format.md explains every byte.
usage: read_vault.py KEYFILE FILE   (KEYFILE: the vault key as 64 hex digits or base64; - is standard input)"""
import base64, hashlib, hmac, json, re, struct, sys, zstandard  # Debian: python3-zstandard python3-cryptography
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
def need(truth, otherwise):
    if not truth: raise ValueError(otherwise)
def open_message(key, context, message, size):
    secret = HKDFExpand(SHA512(), 76, b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + message[:24] + context).derive(key)
    need(hmac.compare_digest(secret[44:], message[24:56]), "not what was sealed here with this key")
    if len(message) < size: return None  # its head is genuine, and the file ends inside it
    cipher, base, chunks = AESGCM(secret[:32]), int.from_bytes(secret[32:44], "big"), range(56, size, 16400)
    return b"".join(cipher.decrypt((base ^ n).to_bytes(12, "big"), message[at:at + 16400], None) for n, at in enumerate(chunks))
def segments(plain, floor):
    start = 12 + struct.unpack_from(">I", plain)[0]
    need(start <= 12 + 12288, "impossible summary")
    end = start + struct.unpack_from(">Q", plain, start - 8)[0]
    step = 1 << (end.bit_length() - 1 - (end.bit_length() - 1).bit_length())  # Padmé
    need(len(plain) == max(floor, -(-end // step) * step) and not any(plain[end:]), "wrong padding")
    while start < end:
        codec, stored, length = struct.unpack_from(">BII", plain, start)
        data, start = plain[start + 9:start + 9 + stored], start + 9 + stored
        need(codec < 2 and start <= end and length <= 1 << 29, "impossible segment")
        if codec == 1:  # without the empty frame that Node left behind
            data = data[:9] + data[9:].removesuffix(b"\x28\xb5\x2f\xfd\x20\0\1\0\0")
            data = zstandard.ZstdDecompressor().decompress(data, max_output_size=length, allow_extra_data=False)
        need(len(data) == length, "a segment is not as long as it says")
        yield data
def events(key, file):
    need(file[:8] == b"\x89COF\r\n\x1a\n" and len(file) > 52, "not a whole coffer file")
    need(file[8] == 1 and file[10:12] == b"\0\0" and file[9] in (1, 2, 3), "made by a newer version")
    need(file[12:28] == HKDF(SHA256(), 16, b"", b"coffer/v1/key-id").derive(key), "needs another key")
    key, link, at, n = HKDF(SHA256(), 32, b"", b"coffer/v1/frame").derive(key), hashlib.sha256(file[:52]).digest(), 52, 0
    while at < len(file):
        head, size, plain = file[at:at + 60], int.from_bytes(file[at:at + 4].ljust(4, b"\0"), "big"), None
        if n == 0 or (len(head) == 60 and any(head)) or size > 1 << 30:
            need(len(head) == 60 and 72 <= size <= 1 << 30 and (size - 56) % 16400 >= 16, "impossible frame")
            plain = open_message(key, b"coffer/v1/frame\0" + link + struct.pack(">QI", n, size), file[at + 4:at + 4 + size], size)
        if n > 0 and not plain: return print(f"read_vault: frame {n} was never finished and is left out", file=sys.stderr)
        need(plain, "the file ends inside its first frame")
        yield from segments(plain, 1024 if n else 4096)
        link, at, n = hashlib.sha256(link + head).digest(), at + 4 + size, n + 1
def record(key, file):  # vault.json: sessions are read without it, each header names its key
    fields, key = json.loads(file), HKDF(SHA256(), 32, b"", b"coffer/v1/record").derive(key)
    mac, text = fields.pop("mac", ""), json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    need(hmac.compare_digest(mac, hmac.digest(key, text.encode(), "sha256").hex()), "vault.json is not what was written with this key")
    yield file
if len(sys.argv) != 3: sys.exit(__doc__)
try:
    text = (sys.stdin if sys.argv[1] == "-" else open(sys.argv[1])).read().strip()
    secret = bytes.fromhex(text) if re.fullmatch("[0-9a-fA-F]{64}", text) else base64.b64decode(text, validate=True)
    need(len(secret) == 32, "no vault key in the key file")
    file = open(sys.argv[2], "rb").read()
    lines = b"".join((record if file[:1] == b"{" else events)(secret, file)).splitlines(True)
    pairs = zip(lines, [line[:24].split(b",")[0] for line in lines[1:]] + [b""])  # a message before an event with its id is a draft
    sys.stdout.buffer.write(b"".join(a for a, b in pairs if b'"type":"message"' not in a[:80] or a[:24].split(b",")[0] != b))
except Exception as error:  # whatever it is, nothing was printed: one line, and not a traceback with plaintext in it
    sys.exit(f"read_vault: {str(error) or 'not what was sealed here with this key'}")
