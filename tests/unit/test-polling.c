/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Busy polling of a context's thread before it sleeps: none when it is off, longer and shorter by the factors that
 * are set, never above the maximum. What is waited for is always longer than what is asserted about it. */
#include <glib.h>
#include <string.h>

#include <bp/loop.h>

#include "loop.h"

#define FIRST_NS 4000
#define HOUR_NS (3600 * INT64_C(1000000000))

static struct bp_context *ctx;

static void set_flag(void *opaque)
{
    __atomic_store_n((bool *)opaque, true, __ATOMIC_SEQ_CST);
}

static void note_info(const struct bpc_context_info *info, void *opaque)
{
    if (strcmp(info->name, "io") == 0)
        *(struct bpc_context_info *)opaque = *info;
}

/* Lets it sleep for at least that long, wakes it, and says what it made of it. */
static struct bpc_context_info woken_after(unsigned us)
{
    struct bpc_context_info info = {.name = NULL};
    bool flag = false;

    g_usleep(us);
    bp_defer(ctx, set_flag, &flag);
    while (!__atomic_load_n(&flag, __ATOMIC_SEQ_CST))
        g_usleep(100);
    bpc_context_info_each(note_info, &info);
    return info;
}

/* On a busy host a call may come before the thread sleeps, or long after: what is to be seen is waited for. */
#define TRIES 20000u

static struct bpc_context_info until_it_polls_for(int64_t least_ns, int64_t most_ns, unsigned us)
{
    struct bpc_context_info info = woken_after(us);

    for (unsigned i = 0; i < TRIES && (info.poll_ns < least_ns || info.poll_ns > most_ns); i++)
        info = woken_after(us);
    g_assert_cmpint(info.poll_ns, >=, least_ns);
    g_assert_cmpint(info.poll_ns, <=, most_ns);
    return info;
}

static void begin(int64_t max_ns, unsigned grow, unsigned shrink)
{
    g_assert_cmpint(bp_context_new(NULL, "io", &ctx, NULL), ==, 0);
    bp_context_set_polling(ctx, max_ns, grow, shrink);
    woken_after(0);
}

static void switched_off_it_never_polls(void)
{
    struct bpc_context_info info;

    begin(0, 2, 2);
    for (unsigned i = 0; i < 10; i++)
        woken_after(1000);
    info = woken_after(0);
    g_assert_cmpint(info.poll_ns, ==, 0);
    g_assert_cmpuint(info.polled_ns, ==, 0);
    bp_context_free(ctx);
}

static bool is_power(int64_t ns, unsigned factor)
{
    int64_t at = FIRST_NS;

    while (at < ns)
        at *= factor;
    return at == ns;
}

/* Until it looks for longer than the pauses are. */
static void grows_by_its_factor(gconstpointer factor)
{
    unsigned grow = GPOINTER_TO_UINT(factor), steps = 0;
    struct bpc_context_info info;
    uint64_t before;

    begin(HOUR_NS, grow, 0);
    do {
        info = woken_after(3000);
        g_assert_true(is_power(info.poll_ns, grow ? grow : 2));
        g_assert_cmpuint(++steps, <, TRIES);
    } while (info.poll_ns < 3000000);
    steps = 0;
    do { /* it looks all that time, once the host lets it */
        before = info.polled_ns;
        info = woken_after(2000);
        g_assert_cmpuint(++steps, <, TRIES);
    } while (info.polled_ns - before < 1000000);
    bp_context_free(ctx);
}

static void never_above_its_maximum(void)
{
    struct bpc_context_info info = {.poll_ns = 0};
    bool reached = false;

    /* The maximum is above what a sleep is, most times, and below what two steps make of the first. */
    begin(20000, 3, 1);
    for (unsigned i = 0; i < 2000 && !reached; i++) {
        info = woken_after(0);
        g_assert_cmpint(info.poll_ns, <=, 20000);
        reached = info.poll_ns == 20000;
    }
    bp_context_set_polling(ctx, 1000, 3, 1);
    until_it_polls_for(0, 1000, 0);
    for (unsigned i = 0; i < 100; i++) {
        info = woken_after(0);
        g_assert_cmpint(info.poll_ns, <=, 1000);
    }
    bp_context_free(ctx);
}

static bool is_quotient(int64_t ns)
{
    int64_t at = 1000000;

    while (at > ns)
        at /= 4;
    return at == ns;
}

static void shrinks_by_its_divisor_when_nothing_comes(void)
{
    struct bpc_context_info info;

    begin(HOUR_NS, 1000, 4);
    until_it_polls_for(4000000, INT64_MAX, 1000);
    bp_context_set_polling(ctx, 1000000, 1, 4); /* what it had is cut to the new maximum; it does not grow */
    info = until_it_polls_for(1, 1000000, 0);
    for (int64_t before = info.poll_ns; info.poll_ns > 1000; before = info.poll_ns) {
        info = until_it_polls_for(0, before - 1, 5000);
        g_assert_true(is_quotient(info.poll_ns));
    }
    bp_context_free(ctx);
    begin(HOUR_NS, 1000, 4);
    until_it_polls_for(4000000, INT64_MAX, 1000);
    bp_context_set_polling(ctx, 1000000, 1, 0);
    until_it_polls_for(0, 0, 5000); /* 0: not at all any more */
    bp_context_free(ctx);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
    g_test_add_func("/polling/switched_off_it_never_polls", switched_off_it_never_polls);
    g_test_add_data_func("/polling/grows_by_two", GUINT_TO_POINTER(2), grows_by_its_factor);
    g_test_add_data_func("/polling/grows_by_seven", GUINT_TO_POINTER(7), grows_by_its_factor);
    g_test_add_data_func("/polling/grows_by_the_default", GUINT_TO_POINTER(0), grows_by_its_factor);
    g_test_add_func("/polling/never_above_its_maximum", never_above_its_maximum);
    g_test_add_func("/polling/shrinks_by_its_divisor_when_nothing_comes",
                    shrinks_by_its_divisor_when_nothing_comes);
    return g_test_run();
}
