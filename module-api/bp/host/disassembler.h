/* SPDX-License-Identifier: MIT */
/*
 * disassembler/1: machine code as text, for the monitor's x /i and whoever shows code. Offered by
 * the module disas-capstone. Tier: public. Registers' values and names of functions are left out:
 * the text depends on the bytes and their address alone. [any], one decoder on one thread at a time.
 */
#ifndef BP_HOST_DISASSEMBLER_H
#define BP_HOST_DISASSEMBLER_H

#include <bp/error.h>

BP_BEGIN_DECLS

struct bp_disassembler; /* opaque: a decoder for one kind of code */

#define BP_INSTRUCTION_TEXT 208u

struct bp_instruction {
    uint32_t length; /* bytes it takes, at least 1 */
    /* "ljmpw    $0xf000:$0xe05b": the mnemonic filled up to eight letters, a space, the operands. */
    char text[BP_INSTRUCTION_TEXT];
};

struct bp_disassembler_interface {
    uint32_t size;
    /* arch as in bp_cpu_class ("x86_64"), bits: width of code (x86: 16, 32, 64). -ENOTSUP when it is
     * not known here. The decoder is owned by the caller. */
    int (*open)(const char *arch, unsigned bits, struct bp_disassembler **ret_dis,
                struct bp_error *err);
    /* Decodes the instruction that `bytes` (length at least 1) begins with. What is no instruction,
     * or not all there, is shown as one ".byte". */
    void (*decode)(struct bp_disassembler *dis, uint64_t address, const uint8_t *bytes,
                   size_t length, struct bp_instruction *ret_instruction);
    void (*close)(struct bp_disassembler *dis); /* NULL is fine */
    void *reserved[4];
};

BP_END_DECLS

#endif
