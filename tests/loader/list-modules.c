/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Prints all that the loader knows of the directories given, for comparing: modules with their
 * states, what they provide, and for devices what a descriptor says. Lines that begin with # tell
 * how it was learnt.
 *
 * usage: list-modules DIR:DIR... [device:NAME]...
 */
#include <stdio.h>
#include <string.h>

#include <bp/device.h>

#include "modules.h"

static void print_device(const char *name)
{
    const struct bp_device_class *class;
    struct bp_error err = {0};
    const void *desc;

    if (bpc_describe(BP_PROVIDE_DEVICE, name, &desc, &err) < 0) {
        printf("  device %s cannot be described: %s\n", name, err.message);
        return;
    }
    class = desc;
    printf("  device %s: %s, bus %s\n", name, class->type.summary, class->bus ? class->bus : "-");
    for (const struct bp_field *f = class->type.props; f && f->name; f++)
        printf("    %s=%s %s\n", f->name, f->def ? f->def : "-", f->help ? f->help : "-");
}

static void print_known(const struct bpc_known *known, void *opaque)
{
    printf("%s:%s by %s (%s) %s\n", bpc_kind_name(known->kind), known->name, known->module,
           known->attributes, known->summary);
    if (known->kind == BP_PROVIDE_DEVICE)
        print_device(known->name);
}

static void print_kind(enum bp_provide_kind number, const struct bp_kind *kind, void *opaque)
{
    if (bpc_kind_is_core(number))
        return;
    printf("kind %s: %s\n", kind->name, kind->heading);
    bpc_each_known(number, print_known, NULL);
}

static void print_module(struct module *m, void *opaque)
{
    static const char *const states[] = {"available", "loading", "loaded", "failed"};

    printf("%s is %s %s rank %d, %s%s%s\n", m->file, m->name, m->version, m->rank,
           states[m->state], m->error ? ": " : "", m->error ? m->error : "");
    printf("# %s from %s\n", m->name, !m->source->no_index ? "index" : "files");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: list-modules DIR:DIR... [device:NAME]...\n");
        return 1;
    }
    modules_add_path(argv[1]);
    bpc_registry_set_loader(&modules_loader);
    for (int i = 2; i < argc; i++)
        print_device(argv[i] + strlen("device:"));
    for (unsigned kind = BP_PROVIDE_DEVICE; argc == 2 && kind < BP_PROVIDE_OTHER; kind++)
        bpc_each_known((enum bp_provide_kind)kind, print_known, NULL);
    if (argc == 2)
        bpc_each_kind(print_kind, NULL);
    if (argc == 2)
        modules_each(print_module, NULL);
    printf("generation %llx\n", (unsigned long long)modules_generation());
    return 0;
}
