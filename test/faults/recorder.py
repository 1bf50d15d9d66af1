"""A block device for nbdkit that logs the requests that reach it, in the order of execution.

image=FILE is the device's content, log=FILE gets one record for each request: `W`, big-endian u64
offset, u32 length and the data; or `F` and twelve zero bytes for a flush. A record is logged before
its request is answered, so the length of the log always says what has arrived.
"""

import os
import struct

import nbdkit

API_VERSION = 2

settings = {}


def config(key, value):
    settings[key] = value


def get_ready():
    settings["device"] = os.open(settings["image"], os.O_RDWR)
    settings["record"] = os.open(settings["log"], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)


def open(readonly):
    return 1


def get_size(handle):
    return os.fstat(settings["device"]).st_size


def can_write(handle):
    return True


def can_flush(handle):
    return True


def can_fua(handle):
    return nbdkit.FUA_NATIVE


def pread(handle, buffer, offset, flags):
    buffer[:] = os.pread(settings["device"], len(buffer), offset)


def pwrite(handle, buffer, offset, flags):
    os.pwrite(settings["device"], buffer, offset)
    note(b"W" + struct.pack(">QI", offset, len(buffer)) + bytes(buffer))
    # A write that must be durable counts as a flush of everything: the file system gets no less
    # than it requested.
    if flags & nbdkit.FLAG_FUA:
        flush(handle, 0)


def flush(handle, flags):
    note(b"F" + bytes(12))


def note(record):
    if os.write(settings["record"], record) != len(record):
        raise OSError("the log is cut short")
