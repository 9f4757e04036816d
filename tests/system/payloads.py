# SPDX-License-Identifier: BSD-2-Clause
"""What the machines boot: files that make has built or fetched, and variants of them made for one test."""

import functools
import struct
import subprocess
from pathlib import Path

from machine import IMAGE, ROOT

DEMO = ROOT / "build/demo"
PACKAGES = ROOT / "build/packages"
VMLINUZ = DEMO / "vmlinuz"
INITRAMFS = DEMO / "initramfs"
MEMTEST = PACKAGES / "memtest86+/boot/memtest86+x64.bin"
INVADERS = PACKAGES / "grub-invaders/boot/invaders.exec"
HELLO = ROOT / "build/guests/hello.bin"
LIVES = ROOT / "build/guests/lives.elf"
ATTACKER = ROOT / "build/guests/attacker.elf"
BENCH = ROOT / "build/guests/bench.bin"
SMP = ROOT / "build/guests/smp.elf"
TIMER = ROOT / "build/guests/timer.elf"
HYPERCALL = ROOT / "build/guests/hypercall.elf"
PLANTED = ROOT / "build/planted"

MULTIBOOT_MAGIC = 0x1BADB002

# Flat kernels of a few bytes, for 0000:7c00.
JUMP_NOWHERE = b"\xea\0\0\0\xa0"  # ljmp 0xa000:0, where there is no memory
RESETS = b"\xb0\xfe\xe6\x64\xeb\xfe"  # the keyboard controller's reset line; jmp .

BABBLES = b"\xba\xf8\x03\xb0\x78\xee\xeb\xfd"  # mov dx, 0x3f8; mov al, 'x'; 1: out dx, al; jmp 1b
SPINS = b"\xfa\xeb\xfe"  # cli; jmp .
SLEEPS = b"\xfa\xf4\xeb\xfd"  # cli; 1: hlt; jmp 1b
# lidt a table of no entries; int3. The table's pointer stands behind the code.
TRIPLE_FAULTS = b"\xfa\x0f\x01\x1e\x07\x7c\xcc" + b"\0" * 6
# A breakpoint on the first instruction of the #DB handler: its delivery hits it, without end.
DEBUG_LOOP = (
    b"\xfa\xc7\x06\x04\0\x1f\x7c\xc7\x06\x06\0\0\0"  # cli; mov word [4], 0x7c1f; mov word [6], 0
    b"\x66\xb8\x1f\x7c\0\0\x0f\x23\xc0"  # mov eax, 0x7c1f; mov dr0, eax
    b"\x66\xb8\x01\x04\0\0\x0f\x23\xf8"  # mov eax, 0x401; mov dr7, eax
    b"\x90\xeb\xfd"  # 0x7c1f: nop; jmp 0x7c1f
)


def prints(text: bytes) -> bytes:
    """Code that writes a text on COM1, with the letters in the instructions; alters AL, DX and flags."""
    code = b""
    for letter in text:
        # mov dx, 0x3fd; 1: in al, dx; test al, 0x20; jz 1b; mov dx, 0x3f8; mov al, LETTER; out dx, al
        code += b"\xba\xfd\x03\xec\xa8\x20\x74\xfb\xba\xf8\x03\xb0" + bytes([letter]) + b"\xee"
    return code


# Counts its lives where no image is loaded, at 0x9000, and says the number's last digit: incb 0x9000; out of memory.
COUNTS_LIVES = (
    b"\xfe\x06\0\x90"
    + prints(b"life ")
    + b"\xba\xf8\x03\xa0\0\x90\x04\x30\xee"  # mov dx, 0x3f8; mov al, [0x9000]; add al, '0'; out dx, al
    + prints(b"\n")
    + JUMP_NOWHERE
)


def wait_ticks(count: int) -> bytes:
    """Code that waits for so many ticks of the TSC, below 2^31; alters EAX, EBX, EDX and flags."""
    # rdtsc; mov ebx, eax; 1: rdtsc; sub eax, ebx; cmp eax, COUNT; jb 1b
    return b"\x0f\x31\x66\x89\xc3\x0f\x31\x66\x29\xd8\x66\x3d" + struct.pack("<I", count) + b"\x72\xf3"


# Writes one letter a line, the next one of a to p each time, from b on; without end: incb 0x9000; wait; write.
COUNTS = (
    b"\xfe\x06\0\x90"
    + wait_ticks(100_000_000)
    + b"\xba\xf8\x03\xa0\0\x90\x24\x0f\x04\x61\xee"  # mov dx, 0x3f8; mov al, [0x9000]; and al, 15; add al, 'a'; out
    + prints(b"\n")
)
COUNTS += b"\xe9" + struct.pack("<h", -len(COUNTS) - 3)  # jmp to the start

# Enables its power button and switches itself off when that is pressed: PM1_EN, then PM1_STS until it says so, then S5.
OBEYS_POWER_BUTTON = (
    b"\xba\x02\x06\xb8\0\x01\xef"  # mov dx, 0x602; mov ax, 0x100; out dx, ax
    b"\xba\0\x06\xed\xf6\xc4\x01\x74\xfa"  # mov dx, 0x600; 1: in ax, dx; test ah, 1; jz 1b
    b"\xba\x04\x06\xb8\0\x34\xef\xeb\xfe"  # mov dx, 0x604; mov ax, 0x3400; out dx, ax; jmp .
)


@functools.cache
def gnumach(directory: Path) -> Path:
    """GNU Mach as an ELF32: Debian's amd64 package has it as an ELF64 with 32-bit code and no address fields."""
    packed = next(PACKAGES.glob("gnumach-image-*/boot/gnumach-*.gz"))
    wide, narrow = directory / "gnumach64", directory / "gnumach"
    wide.write_bytes(subprocess.run(["gzip", "-dc", str(packed)], check=True, stdout=subprocess.PIPE).stdout)
    subprocess.run(["objcopy", "-I", "elf64-x86-64", "-O", "elf32-i386", str(wide), str(narrow)], check=True)
    return narrow


def symbol_address(image: Path, name: str) -> int:
    """Where a function or variable of an ELF is."""
    lines = subprocess.run(["nm", str(image)], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return next(int(address, 16) for address, _, found in (line.split() for line in lines) if found == name)


def elf_segments(elf: bytes):
    """(physical address, content, size in memory) of each loadable segment, and the entry point."""
    wide = elf[4] == 2
    entry, table = struct.unpack_from("<QQ" if wide else "<II", elf, 24)
    entry_size, count = struct.unpack_from("<HH", elf, 54 if wide else 42)
    segments = []
    for index in range(count):
        at = table + index * entry_size
        if wide:
            kind, _, offset, _, physical, size, memory = struct.unpack_from("<IIQQQQQ", elf, at)
        else:
            kind, offset, _, physical, size, memory = struct.unpack_from("<IIIIII", elf, at)
        if kind == 1 and memory:
            segments.append((physical, elf[offset : offset + size], memory))
    return segments, entry


def image_entry(elf: bytes) -> int:
    """Where a multiboot 1 loader would enter the image: by its header's address fields, else the ELF's entry."""
    for at in range(0, min(8192, len(elf) - 32), 4):
        magic, flags, checksum = struct.unpack_from("<III", elf, at)
        if magic == MULTIBOOT_MAGIC and (magic + flags + checksum) & 0xFFFFFFFF == 0:
            return struct.unpack_from("<I", elf, at + 28)[0] if flags & 0x10000 else elf_segments(elf)[1]
    return elf_segments(elf)[1]


def behind_code(directory: Path, code: bytes, image: Path = IMAGE) -> Path:
    """The image behind a few 32-bit instructions: a multiboot kernel that holds the image's segments as they are, and
    behind them an entry point of its own, which runs `code` and jumps to the image's. ECX is lost."""
    elf = image.read_bytes()
    segments, _ = elf_segments(elf)
    end = max(physical + memory for physical, _, memory in segments)
    stub_at = (end + 0xFFF) & ~0xFFF
    flags = 3  # page-aligned modules, memory information
    header = struct.pack("<III", MULTIBOOT_MAGIC, flags, -(MULTIBOOT_MAGIC + flags) & 0xFFFFFFFF)
    jump = b"\xb9" + struct.pack("<I", image_entry(elf)) + b"\xff\xe1"  # mov ecx, ENTRY; jmp ecx
    stub = header + b"\0" * 4 + code + jump
    segments = [(stub_at, stub, len(stub)), *segments]  # first in the file: its header is the one that is found
    offset = 4096
    table, body = b"", b""
    for physical, content, memory in segments:
        table += struct.pack("<8I", 1, offset + len(body), physical, physical, len(content), memory, 7, 1)
        body += content
    identity = b"\x7fELF\x01\x01\x01" + b"\0" * 9
    head = identity + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, stub_at + 16, 52, 0, 0, 52, 32, len(segments), 40, 0, 0)
    path = directory / "behind-code.elf"
    path.write_bytes((head + table).ljust(offset, b"\0") + body)
    return path


def without_loader(directory: Path, image: Path = IMAGE) -> Path:
    """The image as something that is no multiboot loader would start it: loaded, 32-bit, but EAX is not the magic."""
    return behind_code(directory, b"\x31\xc0\x31\xdb", image)  # xor eax, eax; xor ebx, ebx
