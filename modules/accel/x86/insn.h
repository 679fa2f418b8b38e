/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The interpreter's own ground: decoded instructions, the vCPU context, guest memory accesses and
 * exceptions. Needs only <bp/exact/x86.h> and libc, so that tests link it without a machine.
 * Intel SDM volumes 1 to 3.
 */
#ifndef INTERP_INSN_H
#define INTERP_INSN_H

#include <bp/exact/x86.h>
#include <setjmp.h>
#include <stdint.h>

struct vcpu;
struct insn;

/* Executes one decoded instruction. v->x->rip already points behind it. Faults do not return: a
 * handler changes guest state only after its last possible fault. */
typedef void exec_fn(struct vcpu *v, const struct insn *i);

#define PREFIX_LOCK 1u
#define PREFIX_REP 2u  /* F3 */
#define PREFIX_REPNE 4u /* F2 */
#define PREFIX_66 8u
#define PREFIX_REX 16u
#define PREFIX_VEX 32u
#define PREFIX_L 64u  /* VEX.L */
#define PREFIX_W 128u /* VEX.W, which rex has in 64-bit code only */

#define RM_MEM 0xffu   /* insn.rm: the operand is in memory */
#define NO_REG 0xffu

struct insn {
    exec_fn *exec;
    uint64_t imm;
    int64_t disp;    /* also RIP-relative displacement (base == BASE_RIP) */
    /* Where the address's parts are found: registers, or a zero; set by the decoder. */
    const uint64_t *base_at, *index_at, *seg_at;
    uint16_t opcode; /* as SDM's map: 0x0Fxx for two-byte; 0x38xx, 0x3Axx with 0x0F implied by map */
    uint8_t map;     /* 0 one byte, 1 0F, 2 0F38, 3 0F3A */
    uint8_t len;
    uint8_t opsize;  /* bytes: 1, 2, 4, 8 */
    uint8_t addrsize; /* bytes: 2, 4, 8 */
    uint8_t prefixes;
    uint8_t rex;     /* W R X B in bits 3..0; VEX: vvvv in bits 7..4 */
    uint8_t modrm;
    uint8_t reg;     /* modrm.reg with REX.R */
    uint8_t rm;      /* modrm.rm with REX.B when mod == 3, else RM_MEM */
    uint8_t seg;     /* enum bp_x86_sreg after defaults and overrides */
    uint8_t base, index, scale; /* registers or NO_REG; scale is a shift */
};
#define BASE_RIP 0xfeu

/* How the interpreter reaches physical memory; a machine gives bp_space based ones, a test flat
 * memory. */
struct phys_page {
    uint8_t *host;  /* start of the 4 KiB page; NULL: I/O */
    uint8_t *dirty; /* dirty byte or NULL */
    bool readonly;
    uint64_t length; /* bytes from here on that behave alike; 0: the page */
};
struct bus {
    void *opaque;
    void (*lookup)(void *opaque, uint64_t page_address, struct phys_page *ret_page);
    uint64_t (*read)(void *opaque, uint64_t address, unsigned size);
    void (*write)(void *opaque, uint64_t address, uint64_t value, unsigned size);
    uint64_t (*port_in)(void *opaque, uint16_t port, unsigned size);
    void (*port_out)(void *opaque, uint16_t port, uint64_t value, unsigned size);
    /* What functions these linear addresses are in, "" where that is not known; NULL: nobody knows. */
#define BUS_NAME 128u
    void (*names)(void *opaque, const uint64_t *address, unsigned count, char (*ret_name)[BUS_NAME]);
};

/* Exception vectors */
enum { EXC_DE, EXC_DB, EXC_NMI, EXC_BP, EXC_OF, EXC_BR, EXC_UD, EXC_NM, EXC_DF, EXC_TS = 10, EXC_NP,
       EXC_SS, EXC_GP, EXC_PF, EXC_MF = 16, EXC_AC, EXC_MC, EXC_XM };

_Noreturn void raise_exception(struct vcpu *v, unsigned vector);              /* no error code */
_Noreturn void raise_exception_code(struct vcpu *v, unsigned vector, uint32_t code);

/* The architectural state of a vcpu (struct vcpu itself is private to the integer core). */
struct bp_x86_cpu *vcpu_state(struct vcpu *v);

/* Memory operand: offset in its segment (truncated to addrsize), then accesses through segment
 * checks, paging and the TLB. They raise #GP, #SS, #PF, #AC as the processor does. */
uint64_t insn_offset(struct vcpu *v, const struct insn *i);
uint8_t mem_load8(struct vcpu *v, unsigned seg, uint64_t offset);
uint16_t mem_load16(struct vcpu *v, unsigned seg, uint64_t offset);
uint32_t mem_load32(struct vcpu *v, unsigned seg, uint64_t offset);
uint64_t mem_load64(struct vcpu *v, unsigned seg, uint64_t offset);
void mem_store8(struct vcpu *v, unsigned seg, uint64_t offset, uint8_t value);
void mem_store16(struct vcpu *v, unsigned seg, uint64_t offset, uint16_t value);
void mem_store32(struct vcpu *v, unsigned seg, uint64_t offset, uint32_t value);
void mem_store64(struct vcpu *v, unsigned seg, uint64_t offset, uint64_t value);
/* `len` bytes (at most 512); stores check every byte before they change the first. */
void mem_load(struct vcpu *v, unsigned seg, uint64_t offset, void *buf, unsigned len);
void mem_store(struct vcpu *v, unsigned seg, uint64_t offset, const void *buf, unsigned len);

/* Arithmetic flags, for COMISS, FCOMI, PTEST and the like: replaces OF SF ZF AF PF CF. */
void set_arith_flags(struct vcpu *v, uint32_t flags);

/* One entry of an opcode table. */
struct opcode {
    exec_fn *exec;
    uint16_t flags; /* OP_* */
    uint8_t imm;    /* immediate bytes; 0xff: operand size up to 4 */
};
#define OP_MODRM 1u
#define OP_BYTE 2u      /* operand size 1 */
#define OP_DEFAULT64 4u /* 64-bit operands by default in long mode */
#define OP_LOCK 8u      /* LOCK allowed (memory destination) */
#define OP_MEM_ONLY 16u /* register form is #UD */
#define OP_REG_ONLY 32u
#define OP_BRANCH 64u   /* ends a decoded block */
#define OP_IMM64 128u   /* the immediate is 8 bytes with REX.W */
#define OP_MOFFS 256u   /* an address of addrsize bytes instead of an immediate */
#define OP_FAR 512u     /* offset and selector */
#define OP_GROUP3 1024u /* an immediate when modrm.reg is 0 or 1 */
#define OP_FORCE64 2048u /* 64-bit operands always in long mode */
#define OP_INVALID64 4096u

/* ---- offered by the floating-point half (fp-*.c) ---- */
/* D8..DF by modrm: NULL exec: #UD. */
const struct opcode *x87_opcode(uint8_t escape, uint8_t modrm);
/* 0F map by mandatory prefix: 0 none, 1 66, 2 F3, 3 F2. NULL: not an MMX/SSE opcode; the entry's
 * handler looks at modrm.reg itself for groups (0F AE, 0F 71..73, 0F C7 is not one of them). */
const struct opcode *sse_opcode(unsigned prefix, uint8_t byte);
/* Power-on and INIT state of x87, MMX, SSE. */
void fp_reset(struct bp_x86_cpu *x);
/* FWAIT: raises #NM, or #MF when an unmasked exception is pending. */
void fp_wait(struct vcpu *v);

#endif
