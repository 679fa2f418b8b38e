/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks VMware's port (0x5658) and prints all four registers of what comes back. */
#include "small.h"

#define MAGIC 0x564d5868u
#define PORT 0x5658u
#define MARK 0xc0ffee00u

#define ASK() __asm__ volatile("inl %%dx, %%eax" : "+a"(a), "+b"(b), "+c"(c), "+d"(d))

/* Commands of the mouse as nobody would give them: a sum of all answers. */
static uint32_t hostile(void)
{
    static const uint32_t arguments[8] = {0x45414552u, 0x45414552u, 0x4c455252u, 0x53424152u, 0xf5, 0, 1, 0xffffffffu};
    uint32_t seed = 1, sum = 0;

    for (unsigned i = 0; i < 3000; i++) {
        uint32_t a = MAGIC, b, c, d = PORT;

        seed = seed * 1664525u + 1013904223u;
        b = arguments[seed >> 29];
        c = 39 + (seed >> 16 & 0xff) % 3;
        ASK();
        sum = sum * 31 + a;
    }
    return sum;
}

static void show(const char *name, uint32_t magic, uint32_t command, uint32_t argument)
{
    uint32_t a = magic, b = argument, c = command, d = MARK << 16 | PORT;

    ASK();
    print(name);
    print("\r\n");
    say("eax", a);
    say("ebx", b);
    say("ecx", c);
    say("edx", d);
}

void kmain(void)
{
    static const struct {
        const char *name;
        uint32_t command, argument;
    } asked[] = {
        {"mhz", 1, 0},          {"version", 10, 0},          {"uuid", 19, 0},        {"memory", 20, 0},
        {"time", 23, 0},        {"hz", 45, 0xffffffffu},     {"vcpu", 68, 0},        {"restrict", 86, 1},
        {"unknown", 99, 5},     {"far", 0xffff, 6},          {"disabled", 40, 0},    {"enable", 41, 0x45414552u},
        {"status", 40, 0},      {"id", 39, 1},               {"empty", 40, 0},       {"none", 39, 4},
        {"error", 40, 0},       {"again", 41, 0x45414552u},  {"two", 40, 0},         {"absolute", 41, 0x53424152u},
        {"kept", 40, 0},        {"off", 41, 0xf5},           {"gone", 40, 0},        {"high", 0x1234000au, 0},
    };

    for (unsigned i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
        show(asked[i].name, MAGIC, asked[i].command, asked[i].argument);
    show("magic", MAGIC + 1, 10, 7);
    say("hostile", hostile());
    power_off();
}
