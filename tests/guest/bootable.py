# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk and a CD whose boot sector reads the next sector by BIOS and prints it on COM1."""
import struct

# xor ax, ax; mov ds, ax; mov es, ax; mov ax, 0x0201; mov bx, 0x7e00; mov cx, 2; mov dh, 0; int 0x13
# mov si, 0x7e00; 1: lodsb; test al, al; jz 2f; mov dx, 0x3f8; out dx, al; jmp 1b; 2: cli; hlt; jmp 2b
CODE = bytes.fromhex("31c0 8ed8 8ec0 b80102 bb007e b90200 b600 cd13"
                     "be007e ac 84c0 7406 baf803 ee ebf5 fa f4 ebfc")


def sectors(text):
    return CODE.ljust(510, b"\0") + b"\x55\xaa" + (text.encode() + b"\r\n\0").ljust(512, b"\0")


def disk(path, text, size):
    with open(path, "wb") as f:
        f.write(sectors(text))
        f.truncate(size)


def cd(path, text):
    """An ISO image with nothing but what El Torito needs."""
    def descriptor(kind, rest):
        return (bytes([kind]) + b"CD001\1" + rest).ljust(2048, b"\0")

    catalog = bytes([1, 0, 0, 0]) + b"Backplane".ljust(24, b"\0") + b"\0\0\x55\xaa"
    total = -sum(struct.unpack("<16H", catalog)) & 0xffff
    catalog = catalog[:28] + struct.pack("<H", total) + catalog[30:]
    catalog += struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, 4, 20)
    with open(path, "wb") as f:
        f.write(bytes(16 * 2048))
        f.write(descriptor(1, b""))
        f.write(descriptor(0, b"EL TORITO SPECIFICATION".ljust(64, b"\0") + struct.pack("<I", 19)))
        f.write(descriptor(255, b""))
        f.write(catalog.ljust(2048, b"\0"))
        f.write(sectors(text).ljust(2048, b"\0"))
        f.write(bytes(100 * 2048))
