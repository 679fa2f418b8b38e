/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -d in_asm, out_asm: code as text, by interface disassembler/1, which is looked for on the main thread
 * when the item is switched on. Without it the bytes are shown.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <glib.h>

#include <bp/host/disassembler.h>
#include "log.h"
#include "parts.h"
#include "registry.h"

#define WIDTHS 3u /* of code: 16, 32, 64 bits */
#define BYTES_COLUMN 8u

static const struct bp_disassembler_interface *table; /* atomic; NULL: not there */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf: the decoders */
static struct bp_disassembler *decoders[WIDTHS];

void bpc_log_code_prepare(void)
{
    static bool told;
    struct bp_error err = {0};
    const void *found;

    if (!bp_log_on(BP_LOG_IN_ASM | BP_LOG_OUT_ASM) || __atomic_load_n(&table, __ATOMIC_RELAXED) || told)
        return;
    if (bpc_require_interface("disassembler", 1, &found, &err) == 0) {
        __atomic_store_n(&table, (const struct bp_disassembler_interface *)found, __ATOMIC_RELEASE);
        return;
    }
    told = true;
    bp_warn("in_asm shows bytes only: %s", err.message);
}

/* Under the lock; NULL: not for this code. */
static struct bp_disassembler *decoder(const struct bp_disassembler_interface *dis, const char *arch,
                                       unsigned bits)
{
    unsigned at = bits == 64 ? 2 : bits == 32 ? 1 : 0;

    if (!decoders[at] && dis->open(arch, bits, &decoders[at], NULL) < 0)
        decoders[at] = NULL;
    return decoders[at];
}

static void put_line(GString *out, uint64_t address, const uint8_t *bytes, size_t count,
                     const char *text)
{
    g_string_append_printf(out, "0x%08" G_GINT64_MODIFIER "x:  ", address);
    for (size_t i = 0; i < count || i < BYTES_COLUMN; i++) {
        if (i < count)
            g_string_append_printf(out, "%02x ", bytes[i]);
        else
            g_string_append(out, "   ");
    }
    g_string_append_printf(out, " %s\n", text);
}

static struct bp_disassembler *host_decoder; /* under the lock */

static void log_code(uint32_t item, const char *arch, unsigned bits, const char *title, uint64_t address,
                     const uint8_t *bytes, size_t length)
{
    const struct bp_disassembler_interface *dis = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
    GString *out = g_string_new(title);
    struct bp_disassembler *d = NULL;

    pthread_mutex_lock(&lock);
    if (dis && arch)
        d = decoder(dis, arch, bits);
    else if (dis && !host_decoder && dis->open("x86_64", 64, &host_decoder, NULL) < 0)
        host_decoder = NULL;
    if (!arch)
        d = host_decoder;
    for (size_t at = 0, n; at < length; at += n) {
        struct bp_instruction instruction = {.length = 0};

        n = length - at;
        if (d) {
            dis->decode(d, address + at, bytes + at, n, &instruction);
            /* The module's word on lengths is taken within bounds only. */
            n = MAX(1, MIN(instruction.length, n));
        } else {
            n = MIN(BYTES_COLUMN, n);
        }
        put_line(out, address + at, bytes + at, n, instruction.text);
    }
    pthread_mutex_unlock(&lock);
    bp_log(item, "%s\n", out->str);
    g_string_free(out, TRUE);
}

void bp_cpu_log_code(struct bp_cpu *cpu, unsigned bits, uint64_t address, const uint8_t *bytes,
                     size_t length)
{
    if (bpc_log_wanted(address, length))
        log_code(BP_LOG_IN_ASM, cpu->class->arch, bits, "----------------\nIN: \n", address, bytes, length);
}

void bp_cpu_log_host_code(struct bp_cpu *cpu, uint64_t address, const uint8_t *bytes, size_t length)
{
    char title[64];

    (void)cpu;
    if (!bpc_log_wanted(address, 1))
        return;
    snprintf(title, sizeof(title), "OUT: [size=%zu] of 0x%" G_GINT64_MODIFIER "x\n", length, address);
    log_code(BP_LOG_OUT_ASM, NULL, 64, title, (uintptr_t)bytes, bytes, length);
}

void bp_cpu_log_text(struct bp_cpu *cpu, uint32_t item, uint64_t address, const char *text)
{
    (void)cpu;
    if (bpc_log_wanted(address, 1))
        bp_log(item, "%s", text);
}

void bp_cpu_log_run(struct bp_cpu *cpu, const void *code, uint64_t address, uint32_t mode)
{
    char *registers;

    if (!bpc_log_wanted(address, 1))
        return;
    if (bp_log_on(BP_LOG_EXEC))
        bp_log(BP_LOG_EXEC, "Trace %u: %p [%016" G_GINT64_MODIFIER "x/%08x]\n", bp_cpu_index(cpu), code, address, mode);
    if (!bp_log_on(BP_LOG_CPU) || !cpu->class->dump)
        return;
    bpc_cpu_sync(cpu);
    registers = cpu->class->dump(cpu);
    bp_log(BP_LOG_CPU, "CPU %u\n%s", bp_cpu_index(cpu), registers ? registers : "");
    free(registers);
}
