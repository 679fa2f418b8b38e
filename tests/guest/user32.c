/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A 32-bit program without a C library: what such programs do that 64-bit ones do not, one line of numbers for each.
 * It is also a guest's init: then the machine goes off at its end. On a processor it says the same.
 */
#include <stdint.h>

static int system_call(int number, int a, int b, int c)
{
    int ret;

    __asm__ volatile("int $0x80" : "=a"(ret) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return ret;
}
enum { EXIT = 1, WRITE = 4, GETPID = 20, SIGNAL = 48, REBOOT = 88, MODIFY_LDT = 123, MPROTECT = 125,
      SET_THREAD_AREA = 243,
       CLOCK_GETTIME = 265 };

static void say(const char *name, uint32_t value)
{
    char line[64];
    unsigned n = 0;

    while (*name)
        line[n++] = *name++;
    line[n++] = ' ';
    for (int shift = 28; shift >= 0; shift -= 4)
        line[n++] = "0123456789abcdef"[value >> shift & 15];
    line[n++] = '\n';
    system_call(WRITE, 1, (int)line, (int)n);
}

static uint32_t milliseconds(void)
{
    int32_t time[2] = {0, 0};

    system_call(CLOCK_GETTIME, 1, (int)time, 0);
    return (uint32_t)time[0] * 1000u + (uint32_t)time[1] / 1000000u;
}

/* ---- arithmetic ---- */

static uint32_t __attribute__((noinline)) loop(uint32_t count)
{
    uint32_t a = 1, b = 7, c = 0;

    for (uint32_t n = 0; n < count; n++) {
        a = a * 1664525u + 1013904223u;
        b ^= a >> 7;
        b = b << 3 | b >> 29;
        c += b < a ? n : ~n;
    }
    return a ^ b ^ c;
}

static uint32_t __attribute__((noinline)) fib(uint32_t n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint32_t table[4096];

static uint32_t __attribute__((noinline)) memory(unsigned rounds)
{
    uint32_t sum = 0;

    while (rounds--) {
        for (unsigned n = 0; n < 4096; n++)
            table[n] = table[(n * 7 + 1) & 4095] + n;
        for (int n = -4096; n < 0; n++)
            sum += (table + 4096)[n];
    }
    return sum;
}

static uint32_t decimal(void)
{
    uint32_t sum = 0, a = 0x12345678, out;

    for (unsigned n = 0; n < 64; n++) {
        __asm__("addb %%ah, %%al; daa; xchg %%ah, %%al; aaa; aam $7; aad $9; das" : "=a"(out) : "a"(a + n * 77) : "cc");
        sum = sum * 31 + (out & 0xffff);
    }
    return sum;
}

static uint32_t stack_of_registers(void)
{
    uint32_t sum;

    __asm__ volatile("pushal; movl $0x12345678, %%ecx; pushw %%cx; pushl %%ecx; popw %%dx; popw %%bx; popw %%si; "
                     "movzwl %%si, %%esi; shll $16, %%ebx; leal (%%ebx, %%esi), %%eax; xorl %%edx, %%eax; "
                     "movl %%eax, 28(%%esp); popal"
                     : "=a"(sum) : "a"(0) : "cc", "memory");
    return sum;
}

static uint8_t code_page[4096] __attribute__((aligned(4096)));

/* ---- segments ---- */

struct descriptor {
    uint32_t entry, base, limit, flags;
};
#define SEG_32 1u
#define PAGES 16u
#define PRESENT_USABLE 64u
#define CODE_SEGMENT 4u

static uint32_t thread_area(void)
{
    struct descriptor d = {.entry = 0xffffffffu, .base = (uint32_t)table, .limit = 0xfffff,
                           .flags = SEG_32 | PAGES | PRESENT_USABLE};
    uint32_t value;

    if (system_call(SET_THREAD_AREA, (int)&d, 0, 0))
        return 0xdead;
    table[0] = 0x1111;
    table[5] = 0x2222;
    __asm__ volatile("mov %1, %%gs; movl %%gs:20, %0; addl %%gs:0, %0; movl %0, %%gs:(,%2,4)"
                     : "=&r"(value) : "r"(d.entry << 3 | 3), "r"(9) : "memory");
    return value + table[9];
}

static volatile uint32_t faults;
static void *volatile resume;

static void on_fault(int number)
{
    volatile uint32_t *frame = __builtin_frame_address(0);

    /* Behind the return address and the number: struct sigcontext, whose EIP is its fifteenth word. */
    faults = faults * 16 + (uint32_t)number;
    frame[3 + 14] = (uint32_t)resume;
}

/* Reads at the end of a segment of 256 bytes, and past it. */
static uint32_t limits(void)
{
    struct descriptor d = {.entry = 3, .base = (uint32_t)table, .limit = 255, .flags = SEG_32 | PRESENT_USABLE};
    uint32_t value, sum = 0;

    if (system_call(MODIFY_LDT, 1, (int)&d, sizeof(d)))
        return 0xdead;
    for (unsigned n = 0; n < 64; n++)
        table[n] = n * 0x01010101u;
    for (uint32_t at = 248; at < 258; at++) {
        system_call(SIGNAL, 11, (int)on_fault, 0); /* for one fault */
        resume = &&after;
        value = 0x77;
        __asm__ goto("mov %0, %%fs; movl %%fs:(%1), %%eax; movl %%eax, (%2)"
                     : : "r"(d.entry << 3 | 7), "r"(at), "r"(&value) : "eax", "memory" : after);
    after:
        sum = sum * 3 + value;
    }
    return sum ^ faults;
}

/* Code of 16 bits in a segment of its own: counts, with wrapping and the stack; comes back by a far return. */
static const uint8_t narrow[] = {
    0x31, 0xc0,             /* xor ax, ax */
    0xb9, 0xe8, 0x03,       /* mov cx, 1000 */
    0xe8, 0x04, 0x00,       /* again: call add */
    0xe2, 0xfb,             /* loop again */
    0x66, 0xcb,             /* lretl */
    0x50, 0x88, 0xc4, 0x00, 0xe0, 0x5b, /* add: push ax; mov ah, al; add al, ah; pop bx */
    0x01, 0xcb, 0x89, 0xd8, 0xc3,       /* add bx, cx; mov ax, bx; ret */
};

static uint32_t narrow_code(void)
{
    struct descriptor d = {.entry = 4, .base = (uint32_t)code_page, .limit = sizeof(narrow) - 1,
                           .flags = PRESENT_USABLE | CODE_SEGMENT};
    struct {
        uint32_t offset;
        uint16_t selector;
    } target = {0, 4 << 3 | 7};
    uint32_t value;

    if (system_call(MODIFY_LDT, 1, (int)&d, sizeof(d)) || system_call(MPROTECT, (int)code_page, 4096, 7))
        return 0xdead;
    __builtin_memcpy(code_page, narrow, sizeof(narrow));
    __asm__ volatile("lcall *(%1)" : "=a"(value) : "r"(&target) : "ebx", "ecx", "cc", "memory");
    return value & 0xffff;
}

/* ---- others ---- */

static uint32_t floating(void)
{
    volatile double a = 1.0 / 3, b = 0;
    volatile float f = 1.5f;
    uint32_t word[2];

    for (unsigned n = 0; n < 1000; n++) {
        b += a * n;
        f = f * 1.0001f + 0.25f;
    }
    __builtin_memcpy(word, (const void *)&b, 8);
    __asm__ volatile("movd %0, %%mm0; punpcklbw %%mm0, %%mm0; paddw %%mm0, %%mm0; movd %%mm0, %0; emms"
                     : "+r"(word[0]));
    __asm__ volatile("movd %0, %%xmm3; pshufd $0, %%xmm3, %%xmm4; paddd %%xmm4, %%xmm3; movd %%xmm3, %0"
                     : "+r"(word[1]));
    return word[0] ^ word[1] ^ (uint32_t)(f * 1000);
}

static uint32_t changed_code(void)
{
    uint32_t sum = 0;

    code_page[3] = code_page[4] = 0;

    if (system_call(MPROTECT, (int)code_page, 4096, 7))
        return 0xdead;
    for (unsigned n = 0; n < 300; n++) {
        code_page[0] = 0xb8; /* mov eax, n; ret */
        code_page[1] = (uint8_t)n;
        code_page[2] = (uint8_t)(n >> 8);
        code_page[5] = 0xc3;
        sum = sum * 5 + ((uint32_t (*)(void))(void *)code_page)();
    }
    return sum;
}

static uint32_t strings(void)
{
    uint8_t text[64];
    uint32_t left, sum = 0;

    for (unsigned n = 0; n < sizeof(text); n++) {
        void *to = text, *from = table;
        uint32_t count = sizeof(text);

        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
        to = text;
        left = sizeof(text);
        __asm__ volatile("repne scasb" : "+D"(to), "+c"(left) : "a"(n) : "cc", "memory");
        sum = sum * 7 + left;
    }
    return sum;
}

static uint32_t pair(void)
{
    uint64_t value = UINT64_C(0x123456789abcdef0);
    uint32_t sum = 0;

    for (unsigned n = 0; n < 100; n++) {
        uint64_t next = UINT64_C(0x123456789abcdef1) + n;

        sum += (uint32_t)__sync_bool_compare_and_swap(&value, next - 1, next);
        sum += (uint32_t)value;
    }
    return sum;
}

void start(void);
void __attribute__((noreturn, force_align_arg_pointer)) start(void)
{
    uint32_t begin, value;

    say("decimal", decimal());
    say("registers", stack_of_registers());
    say("thread-area", thread_area());
    say("limits", limits());
    say("narrow-code", narrow_code());
    say("floating", floating());
    say("changed-code", changed_code());
    say("strings", strings());
    say("pair", pair());
    begin = milliseconds();
    value = loop(LOOPS);
    say("loop", value);
    say("ms-loop", milliseconds() - begin);
    begin = milliseconds();
    say("fib", fib(FIB));
    say("ms-fib", milliseconds() - begin);
    begin = milliseconds();
    say("memory", memory(ROUNDS));
    say("ms-memory", milliseconds() - begin);
    say("end", 0);
    if (system_call(GETPID, 0, 0, 0) == 1)
        __asm__ volatile("int $0x80" : : "a"(REBOOT), "b"(0xfee1dead), "c"(0x28121969), "d"(0x4321fedc)); /* off */
    system_call(EXIT, 0, 0, 0);
    for (;;)
        ;
}
