"""Makes cobblestone.json: messages sealed by pyca/cryptography's own Cobblestone-256, which came with its version 50.

usage: python3 -m venv V && V/bin/pip install 'cryptography>=50' && V/bin/python make_cobblestone.py > cobblestone.json

It chooses its salts itself, so every run gives other messages.
"""
import base64
import hashlib
import json

from cryptography.cobblestone import Cobblestone256Encryptor

vectors = []
for length in (0, 1, 16383, 16384, 16385, 32768):
    key = hashlib.sha256(f"cobblestone {length}".encode()).digest()
    context = f"context {length}".encode() if length else b""
    plain = bytes(n % 251 for n in range(length))
    encryptor = Cobblestone256Encryptor(key, context=context)
    sealed = encryptor.update(plain) + encryptor.finalize()
    vectors.append({"key": key.hex(), "context": context.hex(), "length": length,
                    "message": base64.b64encode(sealed).decode()})
print(json.dumps(vectors, indent=2))
