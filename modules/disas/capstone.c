/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disassembler/1 by way of Capstone: x86 code of 16, 32 and 64 bits in AT&T syntax. The only module
 * that needs the library. Other architectures are refused: no processor of theirs is here.
 */
#include <capstone.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/host/disassembler.h>
#include <bp/module.h>

struct bp_disassembler {
    csh handle;
    cs_insn *instruction;
};

static const struct {
    const char *arch;
    unsigned bits;
    cs_arch family;
    cs_mode mode;
} kinds[] = {
    {"x86_64", 16, CS_ARCH_X86, CS_MODE_16}, {"x86_64", 32, CS_ARCH_X86, CS_MODE_32},
    {"x86_64", 64, CS_ARCH_X86, CS_MODE_64}, {"i386", 16, CS_ARCH_X86, CS_MODE_16},
    {"i386", 32, CS_ARCH_X86, CS_MODE_32},
};

static void close_decoder(struct bp_disassembler *dis)
{
    if (!dis)
        return;
    if (dis->instruction)
        cs_free(dis->instruction, 1);
    if (dis->handle)
        cs_close(&dis->handle);
    free(dis);
}

static int open_decoder(const char *arch, unsigned bits, struct bp_disassembler **ret_dis,
                        struct bp_error *err)
{
    struct bp_disassembler *dis;
    cs_err status;
    size_t i = 0;

    while (i < BP_COUNT(kinds) && (kinds[i].bits != bits || strcmp(kinds[i].arch, arch) != 0))
        i++;
    if (i == BP_COUNT(kinds))
        return bp_fail(err, ENOTSUP, "%.40s code of %u bits cannot be disassembled; accepted: "
                       "x86_64 of 16, 32 and 64 bits, i386 of 16 and 32", arch, bits);
    dis = calloc(1, sizeof(*dis));
    if (!dis)
        return bp_fail(err, ENOMEM, "out of memory");
    status = cs_open(kinds[i].family, kinds[i].mode, &dis->handle);
    if (status == CS_ERR_OK)
        status = cs_option(dis->handle, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
    if (status == CS_ERR_OK)
        status = cs_option(dis->handle, CS_OPT_SKIPDATA, CS_OPT_ON);
    if (status == CS_ERR_OK)
        dis->instruction = cs_malloc(dis->handle);
    if (!dis->instruction) {
        close_decoder(dis);
        return bp_fail(err, ENOTSUP, "Capstone cannot disassemble %u-bit %.40s code: %s", bits, arch,
                       status == CS_ERR_OK ? "out of memory" : cs_strerror(status));
    }
    *ret_dis = dis;
    return 0;
}

static void decode(struct bp_disassembler *dis, uint64_t address, const uint8_t *bytes,
                   size_t length, struct bp_instruction *ret_instruction)
{
    const uint8_t *at = bytes;

    if (!cs_disasm_iter(dis->handle, &at, &length, &address, dis->instruction)) {
        ret_instruction->length = 1;
        snprintf(ret_instruction->text, BP_INSTRUCTION_TEXT, "%-8s 0x%02x", ".byte", bytes[0]);
        return;
    }
    ret_instruction->length = dis->instruction->size;
    snprintf(ret_instruction->text, BP_INSTRUCTION_TEXT, "%-8s %s", dis->instruction->mnemonic,
             dis->instruction->op_str);
}

static const struct bp_disassembler_interface table = {
    .size = sizeof(table), .open = open_decoder, .decode = decode, .close = close_decoder,
};
BP_INTERFACE(disassembler, "disassembler", 1, 0, &table);

BP_MODULE("disas-capstone", "Disassembler for the monitor's x /i (Capstone)", BP_NO_IMPORTS,
          {BP_PROVIDE_INTERFACE, &disassembler});
