/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory as the chosen processor sees it (linear addresses), or the machine's physical memory. */
#include "gdb.h"

#include <errno.h>

#include <bp/memory.h>

#define PAGE 4096u

/* One piece that lies in one page. */
static int piece(struct session *s, uint64_t address, uint8_t *buf, size_t n, bool write)
{
    struct bp_cpu *cpu = session_cpu(s);
    uint64_t phys = address;
    struct bp_space *space;

    if (!cpu)
        return -EFAULT;
    space = bp_cpu_space(cpu);
    if (!s->physical && (!bp_cpu_class(cpu)->translate ||
                         bp_cpu_class(cpu)->translate(cpu, address, &phys) < 0))
        return -EFAULT;
    return write ? bp_space_write(space, phys, buf, n) : bp_space_read(space, phys, buf, n);
}

static size_t transfer(struct session *s, uint64_t address, uint8_t *buf, size_t length, bool write)
{
    size_t done = 0;

    while (done < length) {
        size_t n = PAGE - (size_t)((address + done) % PAGE);

        n = n < length - done ? n : length - done;
        if (piece(s, address + done, buf + done, n, write) < 0)
            break;
        done += n;
    }
    return done;
}

void memory_read(struct session *s, const char *data)
{
    static uint8_t buf[PACKET_SIZE / 2];
    uint64_t address, length;
    size_t n;

    if (!take_number(&data, &address) || !take_char(&data, ',') || !take_number(&data, &length) ||
        *data) {
        reply_error(s, EINVAL);
        return;
    }
    n = length < sizeof(buf) ? (size_t)length : sizeof(buf);
    n = transfer(s, address, buf, n, false);
    if (n == 0 && length > 0) {
        reply_error(s, EFAULT);
        return;
    }
    packet_begin(&s->reply);
    packet_hex(&s->reply, buf, n);
    session_send(s);
}

void memory_write(struct session *s, const char *data, size_t size, bool binary)
{
    static uint8_t buf[PACKET_SIZE];
    const char *end = data + size;
    uint64_t address, length;

    if (!take_number(&data, &address) || !take_char(&data, ',') || !take_number(&data, &length) ||
        !take_char(&data, ':') || length > sizeof(buf)) {
        reply_error(s, EINVAL);
        return;
    }
    if (binary ? (size_t)(end - data) != length : take_hex(&data, buf, (size_t)length) != length) {
        reply_error(s, EINVAL);
        return;
    }
    for (size_t i = 0; binary && i < length; i++)
        buf[i] = (uint8_t)data[i];
    if (transfer(s, address, buf, (size_t)length, true) != length)
        reply_error(s, EFAULT);
    else
        reply_text(s, "OK");
}
