/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Expressions of the monitor: 64-bit unsigned arithmetic with C's operators and precedences.
 * Spaces may stand only inside parentheses, so that a command can take several expressions.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hmp.h"
#include "machine.h"

#define MAX_NESTING 64

struct parser {
    struct bp_monitor *mon;
    const char *p;
    unsigned nesting, parentheses;
    struct bp_error *err;
    int status; /* the first failure; values do not matter after it */
};

static uint64_t parse_binary(struct parser *ps, unsigned level);

static uint64_t fail(struct parser *ps, const char *what)
{
    if (ps->status == 0)
        ps->status = bp_fail(ps->err, EINVAL, "%s", what);
    return 0;
}

static void skip_space(struct parser *ps)
{
    while (ps->parentheses > 0 && isspace((unsigned char)*ps->p))
        ps->p++;
}

static void read_register(struct bp_cpu *cpu, void *opaque)
{
    struct { const char *name; uint64_t value; int status; } *want = opaque;

    want->status = bp_cpu_class(cpu)->get_register
                       ? bp_cpu_class(cpu)->get_register(cpu, want->name, &want->value) : -ENOENT;
}

static uint64_t parse_register(struct parser *ps)
{
    struct { const char *name; uint64_t value; int status; } want;
    char name[32];
    size_t n = 0;
    struct bp_cpu *cpu;

    while (isalnum((unsigned char)*ps->p) || *ps->p == '_' || *ps->p == '.') {
        if (n + 1 >= sizeof(name))
            return fail(ps, "unknown register");
        name[n++] = *ps->p++;
    }
    name[n] = '\0';
    cpu = ps->mon ? bp_machine_cpu(bpc_the_machine, ps->mon->cpu_index) : NULL;
    if (!cpu)
        return fail(ps, "there is no CPU to take a register from");
    want.name = name;
    want.value = 0;
    want.status = -ENOENT;
    bp_cpu_run(cpu, read_register, &want);
    if (want.status < 0) {
        if (ps->status == 0)
            ps->status = bp_fail(ps->err, ENOENT, "unknown register '$%s'", name);
        return 0;
    }
    return want.value;
}

static uint64_t parse_primary(struct parser *ps)
{
    uint64_t v;
    char *end;

    skip_space(ps);
    if (*ps->p == '(') {
        ps->p++;
        ps->parentheses++;
        v = parse_binary(ps, 0);
        skip_space(ps);
        ps->parentheses--;
        if (*ps->p != ')')
            return fail(ps, "')' expected");
        ps->p++;
        return v;
    }
    if (*ps->p == '$') {
        ps->p++;
        return parse_register(ps);
    }
    if (*ps->p == '\'') {
        if (!ps->p[1] || ps->p[2] != '\'')
            return fail(ps, "character constant expected");
        v = (unsigned char)ps->p[1];
        ps->p += 3;
        return v;
    }
    if (!isdigit((unsigned char)*ps->p))
        return fail(ps, *ps->p ? "number expected" : "unexpected end of expression");
    errno = 0;
    v = strtoull(ps->p, &end, 0);
    if (errno == ERANGE)
        return fail(ps, "number too large");
    ps->p = end;
    return v;
}

static uint64_t parse_unary(struct parser *ps)
{
    uint64_t v;

    skip_space(ps);
    if (ps->nesting >= MAX_NESTING)
        return fail(ps, "expression is nested too deeply");
    ps->nesting++;
    switch (*ps->p) {
    case '-':
        ps->p++;
        v = -parse_unary(ps);
        break;
    case '+':
        ps->p++;
        v = parse_unary(ps);
        break;
    case '~':
        ps->p++;
        v = ~parse_unary(ps);
        break;
    default:
        v = parse_primary(ps);
    }
    ps->nesting--;
    return v;
}

/* Operators by rising precedence; '<' stands for << and '>' for >>. */
static const char *const levels[] = {"|", "^", "&", "<>", "+-", "*/%"};
#define LEVELS 6

static char take_operator(struct parser *ps, unsigned level)
{
    char c;

    skip_space(ps);
    c = *ps->p;
    if (!c || !strchr(levels[level], c))
        return 0;
    if (c == '<' || c == '>') {
        if (ps->p[1] != c)
            return 0;
        ps->p++;
    }
    ps->p++;
    return c;
}

static uint64_t compute(struct parser *ps, char op, uint64_t a, uint64_t b)
{
    switch (op) {
    case '|': return a | b;
    case '^': return a ^ b;
    case '&': return a & b;
    case '<': return b < 64 ? a << b : 0;
    case '>': return b < 64 ? a >> b : 0;
    case '+': return a + b;
    case '-': return a - b;
    case '*': return a * b;
    default: break;
    }
    if (b == 0)
        return fail(ps, "division by zero");
    return op == '/' ? a / b : a % b;
}

static uint64_t parse_binary(struct parser *ps, unsigned level)
{
    uint64_t v;
    char op;

    if (level == LEVELS)
        return parse_unary(ps);
    v = parse_binary(ps, level + 1);
    while (ps->status == 0 && (op = take_operator(ps, level)))
        v = compute(ps, op, v, parse_binary(ps, level + 1));
    return v;
}

int bpc_expression(struct bp_monitor *mon, const char **text, uint64_t *ret_value,
                   struct bp_error *err)
{
    struct parser ps = {.mon = mon, .p = *text, .err = err};
    uint64_t v = parse_binary(&ps, 0);

    if (ps.status < 0)
        return ps.status;
    *text = ps.p;
    *ret_value = v;
    return 0;
}
