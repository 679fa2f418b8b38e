/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The commands of the qtest protocol: one line each, words separated by blanks, answered by
 * "OK [...]" or "FAIL reason".
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>
#include <bp/exact/cpu.h>

#include "qtest.h"

#define MAX_WORDS 6

struct call {
    struct qtest *q;
    const char *word[MAX_WORDS]; /* word[0]: the command; NULL beyond the last */
    uint64_t num[MAX_WORDS];     /* those that the table calls numbers */
    unsigned size;               /* of in, out, read and write: bytes */
};

struct command {
    const char *name;
    const char *args; /* n number, s text; capital: may be left out */
    unsigned size;
    void (*run)(struct call *c);
};

/* The one at /machine, or NULL before there is one. */
static struct bp_machine *the_machine(void)
{
    struct bp_object *obj = bp_object_resolve("/machine", NULL, NULL);

    return obj ? bp_object_machine(obj) : NULL;
}

static struct bp_space *memory(const struct call *c)
{
    (void)c;
    return bp_machine_memory(the_machine());
}

static struct bp_space *io(const struct call *c)
{
    (void)c;
    return bp_machine_io(the_machine());
}

static void fail(struct call *c, const char *reason)
{
    qtest_printf(c->q, "FAIL %s\n", reason);
}

static void ok(struct call *c)
{
    qtest_send(c->q, "OK\n", 3);
}

/* ---- one access ---- */

static void port_out(struct call *c)
{
    bp_space_store(io(c), c->num[1] & 0xffff, c->size, c->num[2]);
    ok(c);
}

static void port_in(struct call *c)
{
    uint64_t value;

    bp_space_load(io(c), c->num[1] & 0xffff, c->size, &value);
    qtest_printf(c->q, "OK 0x%04llx\n", (unsigned long long)value);
}

static void mem_write(struct call *c)
{
    bp_space_store(memory(c), c->num[1], c->size, c->num[2]);
    ok(c);
}

static void mem_read(struct call *c)
{
    uint64_t value;

    bp_space_load(memory(c), c->num[1], c->size, &value);
    qtest_printf(c->q, "OK 0x%016llx\n", (unsigned long long)value);
}

/* ---- ranges ---- */

static uint8_t *range_buffer(struct call *c)
{
    uint8_t *buf;

    if (c->num[2] > QTEST_MAX_DATA) {
        qtest_printf(c->q, "FAIL at most %u bytes at once\n", QTEST_MAX_DATA);
        return NULL;
    }
    buf = malloc(c->num[2] ? c->num[2] : 1);
    if (!buf)
        fail(c, "out of memory");
    return buf;
}

static void read_range(struct call *c, bool base64)
{
    struct qtest_buffer text = {0};
    uint8_t *buf = range_buffer(c);

    if (!buf)
        return;
    bp_space_read(memory(c), c->num[1], buf, c->num[2]);
    qtest_append(&text, base64 ? "OK " : "OK 0x", base64 ? 3 : 5);
    if (base64)
        qtest_append_base64(&text, buf, c->num[2]);
    else
        qtest_append_hex(&text, buf, c->num[2]);
    qtest_append(&text, "\n", 1);
    qtest_send(c->q, text.data, text.len);
    free(text.data);
    free(buf);
}

static void read_hex(struct call *c)
{
    read_range(c, false);
}

static void read_base64(struct call *c)
{
    read_range(c, true);
}

static void write_range(struct call *c, bool base64)
{
    uint8_t *buf = range_buffer(c);
    const char *text = c->word[3];
    long n;

    if (!buf)
        return;
    if (!base64 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        text += 2;
    n = base64 ? qtest_decode_base64(text, buf, c->num[2])
               : qtest_decode_hex(text, buf, c->num[2]);
    if (n < 0 || (uint64_t)n != c->num[2]) {
        fail(c, "the data is not as many bytes as the size says");
    } else {
        bp_space_write(memory(c), c->num[1], buf, c->num[2]);
        ok(c);
    }
    free(buf);
}

static void write_hex(struct call *c)
{
    write_range(c, false);
}

static void write_base64(struct call *c)
{
    write_range(c, true);
}

static void fill(struct call *c)
{
    uint8_t *buf = range_buffer(c);

    if (!buf)
        return;
    memset(buf, (int)(c->num[3] & 0xff), c->num[2]);
    bp_space_write(memory(c), c->num[1], buf, c->num[2]);
    ok(c);
    free(buf);
}

/* ---- time ---- */

static bool owns_time(struct call *c)
{
    struct bp_machine *machine = the_machine();

    if (machine && strcmp(bp_machine_accel_name(machine), "qtest") == 0)
        return true;
    fail(c, "the virtual clock runs by itself without -accel qtest");
    return false;
}

static void go_to(struct call *c, int64_t ns)
{
    bp_virtual_advance_to(the_machine(), ns);
    qtest_printf(c->q, "OK %lld\n", (long long)bp_virtual_ns(the_machine()));
}

static void clock_step(struct call *c)
{
    int64_t now = bp_virtual_ns(the_machine()), next;

    if (!owns_time(c))
        return;
    if (c->word[1]) {
        if (c->num[1] > (uint64_t)(INT64_MAX - now))
            fail(c, "beyond the end of time");
        else
            go_to(c, now + (int64_t)c->num[1]);
        return;
    }
    next = bp_virtual_next_deadline(the_machine());
    go_to(c, next > now ? next : now);
}

static void clock_set(struct call *c)
{
    if (!owns_time(c))
        return;
    if (c->num[1] > INT64_MAX)
        fail(c, "beyond the end of time");
    else
        go_to(c, (int64_t)c->num[1]);
}

/* ---- lines ---- */

static void intercept(struct call *c, bool inputs)
{
    struct bp_error err = {0};

    if (qtest_intercept(c->q, c->word[1], c->word[2], inputs, &err) < 0)
        fail(c, err.message);
    else
        ok(c);
}

static void intercept_in(struct call *c)
{
    intercept(c, true);
}

static void intercept_out(struct call *c)
{
    intercept(c, false);
}

static void set_irq_in(struct call *c)
{
    struct bp_error err = {0};

    if (c->num[3] > UINT32_MAX)
        fail(c, "no such line");
    else if (qtest_set_line(c->word[1], c->word[2], (unsigned)c->num[3], (int)c->num[4], &err) < 0)
        fail(c, err.message);
    else
        ok(c);
}

static void endianness(struct call *c)
{
    qtest_printf(c->q, "OK little\n"); /* of every guest architecture there is so far */
}

/* ---- the table ---- */

static const struct command commands[] = {
    {"outb", "nn", 1, port_out},        {"outw", "nn", 2, port_out},
    {"outl", "nn", 4, port_out},        {"inb", "n", 1, port_in},
    {"inw", "n", 2, port_in},           {"inl", "n", 4, port_in},
    {"writeb", "nn", 1, mem_write},     {"writew", "nn", 2, mem_write},
    {"writel", "nn", 4, mem_write},     {"writeq", "nn", 8, mem_write},
    {"readb", "n", 1, mem_read},        {"readw", "n", 2, mem_read},
    {"readl", "n", 4, mem_read},        {"readq", "n", 8, mem_read},
    {"read", "nn", 0, read_hex},        {"write", "nns", 0, write_hex},
    {"b64read", "nn", 0, read_base64},  {"b64write", "nns", 0, write_base64},
    {"memset", "nnn", 0, fill},         {"clock_step", "N", 0, clock_step},
    {"clock_set", "n", 0, clock_set},   {"irq_intercept_in", "sS", 0, intercept_in},
    {"irq_intercept_out", "sS", 0, intercept_out},
    {"set_irq_in", "ssnn", 0, set_irq_in}, {"endianness", "", 0, endianness},
};

static bool split(char *line, const char *word[MAX_WORDS])
{
    unsigned n = 0;
    char *save = NULL;

    for (char *w = strtok_r(line, " \t\r", &save); w; w = strtok_r(NULL, " \t\r", &save)) {
        if (n == MAX_WORDS)
            return false;
        word[n++] = w;
    }
    return true;
}

/* Checks the words against the table's entry and reads the numbers. */
static bool take_args(struct call *c, const struct command *cmd)
{
    unsigned i = 0;

    for (; cmd->args[i]; i++) {
        const char *word = c->word[i + 1];
        bool number = cmd->args[i] == 'n' || cmd->args[i] == 'N';

        if (!word && (cmd->args[i] == 'N' || cmd->args[i] == 'S'))
            return true;
        if (!word || (number && !qtest_number(word, &c->num[i + 1])))
            return false;
    }
    return i + 1 >= MAX_WORDS || !c->word[i + 1];
}

void qtest_run_line(struct qtest *q, char *line)
{
    struct call c = {.q = q};

    if (!the_machine()) {
        fail(&c, "there is no machine yet");
        return;
    }
    if (!split(line, c.word)) {
        fail(&c, "too many words");
        return;
    }
    if (!c.word[0])
        return; /* an empty line */
    for (size_t i = 0; i < BP_COUNT(commands); i++) {
        if (strcmp(commands[i].name, c.word[0]) != 0)
            continue;
        c.size = commands[i].size;
        if (take_args(&c, &commands[i]))
            commands[i].run(&c);
        else
            qtest_printf(q, "FAIL wrong arguments of '%s'\n", c.word[0]);
        return;
    }
    qtest_printf(q, "FAIL Unknown command '%.100s'\n", c.word[0]);
}
