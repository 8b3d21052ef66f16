"""Unpacks what tch needs of libtorch from wheels: unpack.py FOLDER WHEEL...

Headers to FOLDER/include, libraries to FOLDER/lib. Python and CUDA stay behind.
zipfile checks every file's CRC-32 while it reads.
"""

import ctypes
import os
import shutil
import sys
import zipfile

UNWANTED = ("cuda", "nvrtc", "nvshmem", "python", "shm", "global_deps", "libtorch.so")


def destination(name):
    """The path inside FOLDER, or None."""
    parts = name.split("/")
    if ".." in parts or name.endswith("/"):
        return None
    if parts[:2] == ["torch", "include"]:
        return os.path.join(*parts[1:])
    base = parts[-1]
    if parts[:-1] == ["torch", "lib"] or parts[0] == "torch.libs":
        wanted = ".so" in base and not any(word in base for word in UNWANTED)
    else:  # libtorch_cpu.so is linked to these two, though it never calls them without a GPU
        wanted = parts[0] == "nvidia" and base.startswith(("libcudart.so.", "libcupti.so."))
    return os.path.join("lib", base) if wanted else None


folder, *wheels = sys.argv[1:]
for wheel in wheels:
    with zipfile.ZipFile(wheel) as archive:
        for item in archive.infolist():
            inside = destination(item.filename)
            if inside is None:
                continue
            path = os.path.join(folder, inside)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.open(item) as source, open(path, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)

# Loads only if nothing is missing and this system's C library is new enough.
ctypes.CDLL(os.path.join(folder, "lib", "libtorch_cpu.so"))
