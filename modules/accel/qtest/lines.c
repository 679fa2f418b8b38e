/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interrupt lines under qtest: told to the client as "IRQ raise N" and "IRQ lower N", and driven. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qtest.h"

static void line_set(void *opaque, const char *name, unsigned n, int level)
{
    struct qtest_watch *w = opaque;
    uint64_t bit = UINT64_C(1) << (n % 64);

    if (n >= 256 || (w->name && strcmp(w->name, name ? name : "") != 0))
        return;
    if (((w->levels[n / 64] & bit) != 0) == (level != 0))
        return; /* only changes are told */
    w->levels[n / 64] ^= bit;
    qtest_printf(w->session, "IRQ %s %u\n", level ? "raise" : "lower", n);
}

static int find(const char *path, struct bp_device **ret_dev, struct bp_error *err)
{
    bool ambiguous = false;
    struct bp_object *obj = path ? bp_object_resolve(path, NULL, &ambiguous) : NULL;
    struct bp_device *dev = obj ? bp_device_from_object(obj) : NULL;

    if (!dev)
        return bp_fail(err, ENODEV, "%s '%s'", ambiguous ? "Ambiguous path" : "Unknown device",
                       path ? path : "");
    *ret_dev = dev;
    return 0;
}

/* How the protocol calls lines without a name. */
static const char *line_name(const char *name)
{
    return name && (strcmp(name, "unnamed-gpio-in") == 0 || strcmp(name, "unnamed-gpio-out") == 0)
               ? "" : name;
}

int qtest_intercept(struct qtest *q, const char *path, const char *name, bool inputs,
                    struct bp_error *err)
{
    struct qtest_watch *w;
    struct bp_device *dev;
    int r = find(path, &dev, err);

    if (r < 0)
        return r;
    for (w = q->watches; w; w = w->next) {
        if (w->dev == dev && w->inputs == inputs)
            return bp_fail(err, EBUSY, "These lines are intercepted already");
    }
    w = bp_alloc(sizeof(*w));
    w->session = q;
    w->dev = dev;
    bp_object_ref(bp_device_object(dev)); /* it may be unplugged before we let go */
    w->inputs = inputs;
    w->name = name ? bp_strdup(line_name(name)) : NULL;
    w->next = q->watches;
    q->watches = w;
    bp_device_intercept_irqs(dev, inputs, line_set, w);
    return 0;
}

int qtest_set_line(const char *path, const char *name, unsigned n, int level, struct bp_error *err)
{
    struct bp_device *dev;
    struct bp_irq *line;
    int r = find(path, &dev, err);

    if (r < 0)
        return r;
    name = line_name(name);
    line = bp_device_irq_input(dev, name, n);
    if (!line && name && !*name)
        line = bp_device_irq_input(dev, NULL, n);
    if (!line)
        return bp_fail(err, ENOENT, "Unknown line '%s' %u", name ? name : "", n);
    bp_irq_set(line, level);
    return 0;
}

void qtest_forget_lines(struct qtest *q)
{
    while (q->watches) {
        struct qtest_watch *w = q->watches;

        q->watches = w->next;
        bp_device_intercept_irqs(w->dev, w->inputs, NULL, NULL);
        bp_object_unref(bp_device_object(w->dev));
        free(w->name);
        free(w);
    }
}
