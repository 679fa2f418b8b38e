# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk whose boot sector reads the next sector by BIOS and prints it on COM1."""

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
