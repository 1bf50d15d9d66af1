"""Makes cobblestone.json and slot.json with pyca/cryptography's own Cobblestone-256, which came with its version 50,
and its Argon2id.

usage: python3 -m venv V && V/bin/pip install 'cryptography>=50' && V/bin/python make_cobblestone.py FOLDER

It chooses its salts itself, so every run gives other messages.
"""
import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.cobblestone import Cobblestone256Encryptor
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def seal(key, context, plain):
    encryptor = Cobblestone256Encryptor(key, context=context)
    return base64.b64encode(encryptor.update(plain) + encryptor.finalize()).decode()


def messages():
    for length in (0, 1, 16383, 16384, 16385, 32768):
        key = hashlib.sha256(f"cobblestone {length}".encode()).digest()
        context = f"context {length}".encode() if length else b""
        plain = bytes(n % 251 for n in range(length))
        yield {"key": key.hex(), "context": context.hex(), "length": length, "message": seal(key, context, plain)}


def slot():
    """vault.json's key slot for a passphrase; its letters are given decomposed, as some keyboards do."""
    key = hashlib.sha256(b"vault key of the slot").digest()
    key_id = HKDF(SHA256(), 16, b"", b"coffer/v1/key-id").derive(key)
    salt = hashlib.sha256(b"salt of the slot").digest()[:16]
    parameters = {"kind": "passphrase", "algorithm": "argon2id", "memory": 65536, "passes": 3, "parallelism": 1,
                  "salt": base64.b64encode(salt).decode()}
    composed = "gr\u00fcne Tr\u00e4ume"
    argon2 = Argon2id(salt=salt, length=32, iterations=3, lanes=1, memory_cost=65536)
    slot_key = argon2.derive(composed.encode())
    canonical = json.dumps(parameters, sort_keys=True, separators=(",", ":")).encode()
    wrapped = seal(slot_key, b"coffer/v1/key-slot\x00" + key_id + canonical, key)
    return {"passphrase": "gru\u0308ne Tra\u0308ume", "key": key.hex(), "keyId": key_id.hex(),
            "slot": {**parameters, "wrapped": wrapped}}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name, made in (("cobblestone", list(messages())), ("slot", slot())):
        (Path(sys.argv[1]) / f"{name}.json").write_text(json.dumps(made, indent=2) + "\n")


main()
