/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interrupt lines (bp/irq.h). A level travels from a line to its sink, and on to the sink's sink;
 * connecting in a circle is refused. A wire that is taken away while high lets its sink fall.
 */
#include <bp/irq.h>

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

#include "device.h"
#include "marks.h"
#include "trace.h"

struct bp_irq {
    struct bpc_claim claim; /* of free-standing ones */
    struct bp_irq *sink;
    struct bp_irq *sources, *next_source; /* lines whose sink this is */
    int level;
    unsigned n;
    void (*changed)(void *opaque, unsigned n, int level);              /* free-standing */
    void (*dev_changed)(struct bp_device *dev, unsigned n, int level); /* a device's input */
    void *opaque;
    struct bpc_line_set *set; /* NULL: free-standing */
};

/* The lines of one name of a device. */
struct bpc_line_set {
    struct bpc_line_set *next;
    struct bp_device *dev;
    char *name;
    bool input;
    unsigned count;
    void (*intercept)(void *opaque, const char *name, unsigned n, int level);
    void *intercept_opaque;
    struct bp_irq lines[];
};

static bool frozen; /* the machine ends: levels are kept, nobody is told */

void bpc_irq_freeze(bool on)
{
    frozen = on;
}

static bool same_name(const char *a, const char *b)
{
    return !strcmp(a ? a : "", b ? b : "");
}

static struct bpc_line_set *find_set(const struct bp_device *dev, const char *name, bool input)
{
    for (struct bpc_line_set *set = dev->lines; set; set = set->next) {
        if (set->input == input && same_name(set->name, name))
            return set;
    }
    return NULL;
}

static struct bpc_line_set *add_set(struct bp_device *dev, const char *name, unsigned count,
                                    bool input)
{
    struct bpc_line_set *set = calloc(1, sizeof(*set) + count * sizeof(set->lines[0]));
    struct bpc_line_set **link = &dev->lines;
    if (!set)
        g_error("out of memory for interrupt lines");
    set->dev = dev;
    set->name = g_strdup(name ? name : "");
    set->input = input;
    set->count = count;
    while (*link)
        link = &(*link)->next;
    *link = set;
    for (unsigned n = 0; n < count; n++) {
        set->lines[n].n = n;
        set->lines[n].set = set;
    }
    return set;
}

void bp_device_add_irq_inputs(struct bp_device *dev, const char *name, unsigned count,
                              void (*changed)(struct bp_device *dev, unsigned n, int level))
{
    bpc_assert_locked();
    struct bpc_line_set *set = add_set(dev, name, count, true);
    for (unsigned n = 0; n < count; n++)
        set->lines[n].dev_changed = changed;
}

void bp_device_add_irq_outputs(struct bp_device *dev, const char *name, unsigned count)
{
    bpc_assert_locked();
    add_set(dev, name, count, false);
}

static struct bp_irq *find_line(struct bp_device *dev, const char *name, unsigned n, bool input)
{
    struct bpc_line_set *set = find_set(dev, name, input);
    return set && n < set->count ? &set->lines[n] : NULL;
}

struct bp_irq *bp_device_irq_input(struct bp_device *dev, const char *name, unsigned n)
{
    return find_line(dev, name, n, true);
}

struct bp_irq *bp_device_irq_output(struct bp_device *dev, const char *name, unsigned n)
{
    return find_line(dev, name, n, false);
}

static void tell(struct bp_irq *line)
{
    struct bpc_line_set *set = line->set;
    if (set && set->intercept)
        set->intercept(set->intercept_opaque, set->name, line->n, line->level);
    if (line->changed)
        line->changed(line->opaque, line->n, line->level);
    else if (line->dev_changed)
        line->dev_changed(set->dev, line->n, line->level);
}

void bp_irq_set(struct bp_irq *line, int level)
{
    bpc_assert_locked();
    while (line) {
        line->level = level;
        bp_trace(bpc_trace_irq_line, line->set && line->set->name ? line->set->name : "-", line->n, level);
        if (!frozen)
            tell(line);
        line = line->sink;
    }
}

int bp_irq_level(const struct bp_irq *line)
{
    bpc_assert_locked();
    return line ? line->level : 0;
}

static void cut(struct bp_irq *output)
{
    struct bp_irq *sink = output->sink;
    if (!sink)
        return;
    struct bp_irq **link = &sink->sources;
    while (*link != output)
        link = &(*link)->next_source;
    *link = output->next_source;
    output->sink = output->next_source = NULL;
    if (output->level)
        bp_irq_set(sink, 0);
}

void bp_irq_connect(struct bp_irq *output, struct bp_irq *input)
{
    bpc_assert_locked();
    if (!output || output->sink == input)
        return;
    for (const struct bp_irq *line = input; line; line = line->sink) {
        if (line == output) {
            bp_warn("interrupt lines connected in a circle: left open");
            return;
        }
    }
    cut(output);
    if (!input)
        return;
    output->sink = input;
    output->next_source = input->sources;
    input->sources = output;
    if (output->level)
        bp_irq_set(input, output->level);
}

/* Nothing arrives or leaves any more. */
static void isolate(struct bp_irq *line)
{
    line->changed = NULL;
    line->dev_changed = NULL;
    while (line->sources)
        cut(line->sources);
    cut(line);
}

static void release_irq(struct bpc_claim *claim)
{
    struct bp_irq *line = (struct bp_irq *)claim; /* its first member */
    isolate(line);
    free(line);
}

struct bp_irq *bp_irq_new(struct bp_owner *owner,
                          void (*changed)(void *opaque, unsigned n, int level), void *opaque,
                          unsigned n)
{
    bpc_assert_locked();
    struct bp_irq *line = calloc(1, sizeof(*line));
    if (!line)
        g_error("out of memory for interrupt lines");
    line->changed = changed;
    line->opaque = opaque;
    line->n = n;
    bpc_claim(owner, &line->claim, release_irq);
    return line;
}

void bpc_device_lines_disconnect(struct bp_device *dev)
{
    for (struct bpc_line_set *set = dev->lines; set; set = set->next) {
        set->intercept = NULL;
        for (unsigned n = 0; n < set->count; n++)
            isolate(&set->lines[n]);
    }
}

void bpc_device_lines_free(struct bp_device *dev)
{
    bpc_device_lines_disconnect(dev);
    while (dev->lines) {
        struct bpc_line_set *set = dev->lines;
        dev->lines = set->next;
        g_free(set->name);
        free(set);
    }
}

void bpc_device_each_lines(struct bp_device *dev,
                           void (*fn)(const char *name, unsigned count, bool input, void *opaque),
                           void *opaque)
{
    for (struct bpc_line_set *set = dev->lines; set; set = set->next)
        fn(set->name, set->count, set->input, opaque);
}

void bpc_device_intercept(struct bp_device *dev, bool inputs,
                          void (*fn)(void *opaque, const char *name, unsigned n, int level),
                          void *opaque)
{
    for (struct bpc_line_set *set = dev->lines; set; set = set->next) {
        if (set->input != inputs)
            continue;
        set->intercept = fn;
        set->intercept_opaque = opaque;
    }
}

void bp_device_intercept_irqs(struct bp_device *dev, bool inputs,
                              void (*fn)(void *opaque, const char *name, unsigned n, int level),
                              void *opaque)
{
    bpc_assert_locked();
    bpc_device_intercept(dev, inputs, fn, opaque);
}
