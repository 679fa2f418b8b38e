/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fake host of <bp/test.h>: the real core and loader, with a bridge device of our own where a
 * board would be. Left out: vCPUs, hence devices that belong to one.
 */
#include <bp/test.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>
#include <bp/coroutine.h>
#include <bp/bus/isa.h>
#include <bp/bus/pci.h>

#include "command.h"
#include "device.h"
#include "loop.h"
#include "machine.h"
#include "modules.h"
#include "registry.h"
#include "state.h"

#define RAM_SIZE (1u << 20)

struct bp_test_host {
    struct bp_machine *machine;
    struct bp_device *bridge;
    struct bp_bus *isa_bus, *pci_bus;
    const struct bp_pci_interface *pci;
    struct bp_region *ram, *msi;
    unsigned messages;
    uint64_t message_address;
    uint32_t message_data;
    int levels[BP_TEST_LINES];
    unsigned rises[BP_TEST_LINES];
    int pins[32 * 8][4]; /* PCI: what each device's pins ask for */
};

static struct bp_test_host *the_host;

static void set_level(struct bp_test_host *host, unsigned n, int level)
{
    if (level && !host->levels[n])
        host->rises[n]++;
    host->levels[n] = level;
}

static void line_changed(struct bp_device *dev, unsigned n, int level)
{
    set_level(the_host, n, level);
}

static int bridge_attach(struct bp_device *dev, struct bp_error *err)
{
    bp_device_add_irq_inputs(dev, "isa", 16, line_changed);
    return 0;
}

/* ---- where messages of devices go ---- */
#define MESSAGES 0xfee00000u

static uint64_t message_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque, (void)addr;
    return UINT64_MAX >> (64 - 8 * size);
}

static void message_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct bp_test_host *host = opaque;

    (void)size;
    host->messages++;
    host->message_address = MESSAGES + addr;
    host->message_data = (uint32_t)value;
}

static const struct bp_region_ops message_ops = {
    .size = sizeof(message_ops), .read = message_read, .write = message_write, .min_access = 4,
    .max_access = 4, .valid_min = 4};

static const struct bp_device_class bridge_class = {
    .type = {.size = sizeof(struct bp_device_class), .flags = BP_TYPE_NOT_USER_CREATABLE,
             .name = "test-bridge", .summary = "Where a board would be", .state_size = 1},
    .attach = bridge_attach};
static const struct bp_provide own_provides[] = {
    {BP_PROVIDE_DEVICE, &bridge_class}, {BP_PROVIDE_END, NULL}};

static void pci_set_irq(void *opaque, unsigned devfn, unsigned pin, int level)
{
    struct bp_test_host *host = opaque;
    int any = 0;

    host->pins[devfn & 0xff][pin & 3] = level;
    for (unsigned i = 0; i < BP_COUNT(host->pins); i++)
        any |= host->pins[i][pin & 3];
    set_level(host, 16 + (pin & 3), any != 0);
}

static int need_isa(struct bp_test_host *host, struct bp_error *err)
{
    const struct bp_isa_interface *isa;
    struct bp_irq *lines[16];
    const void *table;
    int rc;

    if (!host->isa_bus)
        host->isa_bus = bp_bus_find(host->machine, "isa"); /* a bridge under test has made one */
    if (host->isa_bus)
        return 0;
    rc = bpc_require_interface("isa", 1, &table, err);
    if (rc < 0)
        return rc;
    isa = table;
    for (unsigned i = 0; i < 16; i++)
        lines[i] = bp_device_irq_input(host->bridge, "isa", i);
    return isa->new_bus(host->bridge, bp_space_root(bp_machine_io(host->machine)),
                        bp_space_root(bp_machine_memory(host->machine)), lines, &host->isa_bus, err);
}

/* A bus of type "pci" or "pcie": the first device that needs one decides what there is. */
static int need_pci(struct bp_test_host *host, const char *type, struct bp_error *err)
{
    const struct bp_pci_host where = {
        .size = sizeof(where), .type = type,
        .memory = bp_space_root(bp_machine_memory(host->machine)), .io = bp_space_root(bp_machine_io(host->machine)),
        .dma = bp_machine_memory(host->machine), .set_irq = pci_set_irq, .opaque = host};
    const void *table;
    int rc;

    rc = bpc_require_interface("pci", 1, &table, err);
    if (rc < 0)
        return rc;
    host->pci = table;
    if (!host->pci_bus)
        host->pci_bus = bp_bus_find(host->machine, type);
    if (host->pci_bus)
        return 0;
    return host->pci->new_root(host->bridge, strcmp(type, "pcie") == 0 ? "pcie.0" : "pci.0", &where, &host->pci_bus, err);
}

static bool keep_contexts;

void bp_test_keep_contexts(void)
{
    keep_contexts = true;
}

int bp_test_host_new(const char *module_path, struct bp_test_host **ret_host, struct bp_error *err)
{
    static bool core_started;
    struct bp_test_host *host;
    int rc = 0;

    if (the_host)
        return bp_fail(err, EBUSY, "there is a test host already");
    if (module_path)
        modules_add_path(module_path);
    if (!core_started) {
        bpc_loop_init();
        bp_virtual_manual(NULL);
        if (!keep_contexts)
            bp_contexts_fold(NULL);
        bpc_registry_set_loader(&modules_loader);
        rc = bpc_register_all("test-host", own_provides, err);
        core_started = rc == 0;
    }
    if (rc < 0)
        return rc;
    host = the_host = calloc(1, sizeof(*host));
    if (!host)
        return bp_fail(err, ENOMEM, "out of memory");
    rc = bpc_machine_create_bare(&host->machine, err);
    if (rc == 0)
        rc = bp_region_new_ram(NULL, "test.ram", RAM_SIZE, &host->ram, err);
    if (rc == 0) {
        host->msi = bp_region_new_io(NULL, "test.msi", 0x100000, &message_ops, host);
        bp_region_add(bp_space_root(bp_machine_memory(host->machine)), host->ram, 0, -1);
        bp_region_add(bp_space_root(bp_machine_memory(host->machine)), host->msi, MESSAGES, -1);
        rc = bp_device_new(host->machine, "test-bridge", NULL, &host->bridge, err);
    }
    if (rc == 0) {
        rc = bp_device_attach(host->bridge, NULL, err);
        if (rc < 0)
            host->bridge = NULL; /* gone already */
    }
    if (rc < 0) {
        bp_test_host_free(host);
        return rc;
    }
    *ret_host = host;
    return 0;
}

void bp_test_host_free(struct bp_test_host *host)
{
    if (!host)
        return;
    if (host->machine)
        bpc_machine_destroy();
    bp_region_free(host->msi);
    bp_region_free(host->ram);
    the_host = NULL;
    free(host);
}

struct bp_machine *bp_test_machine(struct bp_test_host *host)
{
    return host->machine;
}

int bp_test_load(struct bp_test_host *host, const char *name_or_path, struct bp_error *err)
{
    return modules_loader.load_module(name_or_path, err);
}

/* "a=1,b=2": enough for tests; values hold no comma. */
static int set_props(struct bp_device *dev, const char *props, struct bp_error *err)
{
    char **parts = g_strsplit(props, ",", -1);
    int rc = 0;

    for (char **p = parts; *p && rc == 0; p++) {
        char *value = strchr(*p, '=');

        if (!**p)
            continue;
        if (value)
            *value++ = '\0';
        rc = bp_device_set(dev, *p, value ? value : "on", err);
    }
    g_strfreev(parts);
    return rc;
}

int bp_test_device(struct bp_test_host *host, const char *type, const char *props,
                   struct bp_device **ret_dev, struct bp_error *err)
{
    const struct bp_device_class *class;
    struct bp_bus *bus = NULL;
    struct bp_device *dev;
    const void *desc;
    int rc = bpc_require(BP_PROVIDE_DEVICE, type, &desc, err);

    if (rc < 0)
        return rc;
    class = desc;
    if (class->bus && strcmp(class->bus, "isa") == 0) {
        rc = need_isa(host, err);
        bus = host->isa_bus;
    } else if (class->bus && (strcmp(class->bus, "pci") == 0 || strcmp(class->bus, "pcie") == 0)) {
        rc = need_pci(host, class->bus, err);
        bus = host->pci_bus;
    }
    if (rc == 0)
        rc = bp_device_new(host->machine, type, NULL, &dev, err);
    if (rc < 0)
        return rc;
    rc = props ? set_props(dev, props, err) : 0;
    if (rc < 0) {
        bp_device_destroy(dev);
        return rc;
    }
    rc = bp_device_attach(dev, bus, err);
    if (rc == 0)
        *ret_dev = dev;
    return rc;
}

uint64_t bp_test_in(struct bp_test_host *host, uint16_t port, unsigned size)
{
    uint64_t value;

    (void)bp_space_load(bp_machine_io(host->machine), port, size, &value);
    return value;
}

void bp_test_out(struct bp_test_host *host, uint16_t port, uint64_t value, unsigned size)
{
    (void)bp_space_store(bp_machine_io(host->machine), port, size, value);
}

uint64_t bp_test_read(struct bp_test_host *host, uint64_t addr, unsigned size)
{
    uint64_t value;

    (void)bp_space_load(bp_machine_memory(host->machine), addr, size, &value);
    return value;
}

void bp_test_write(struct bp_test_host *host, uint64_t addr, uint64_t value, unsigned size)
{
    (void)bp_space_store(bp_machine_memory(host->machine), addr, size, value);
}

uint32_t bp_test_config_read(struct bp_test_host *host, unsigned devfn, unsigned offset,
                             unsigned size)
{
    if (!host->pci_bus)
        return UINT32_MAX >> (32 - 8 * size);
    return host->pci->config_read(host->pci_bus, 0, devfn, offset, size);
}

void bp_test_config_write(struct bp_test_host *host, unsigned devfn, unsigned offset,
                          uint32_t value, unsigned size)
{
    if (host->pci_bus)
        host->pci->config_write(host->pci_bus, 0, devfn, offset, value, size);
}

int bp_test_line(const struct bp_test_host *host, unsigned n)
{
    return n < BP_TEST_LINES ? host->levels[n] : 0;
}

unsigned bp_test_line_rises(const struct bp_test_host *host, unsigned n)
{
    return n < BP_TEST_LINES ? host->rises[n] : 0;
}

void bp_test_reset_rises(struct bp_test_host *host)
{
    memset(host->rises, 0, sizeof(host->rises));
    host->messages = 0;
}

unsigned bp_test_messages(const struct bp_test_host *host)
{
    return host->messages;
}

bool bp_test_last_message(const struct bp_test_host *host, uint64_t *ret_address,
                          uint32_t *ret_data)
{
    if (!host->messages)
        return false;
    *ret_address = host->message_address;
    *ret_data = host->message_data;
    return true;
}

struct call {
    const struct bp_command *command;
    struct bp_value *values, *reply;
    struct bp_error err;
    int rc;
};

static void call_main(void *opaque)
{
    struct call *c = opaque;

    c->rc = bpc_command_call(c->command, c->values, &c->reply, &c->err);
}

/* The loop turns until the command has ended; the virtual clock stands meanwhile. */
static int call_in_coroutine(const struct bp_command *command, struct bp_value *values,
                             struct bp_value **ret_reply, struct bp_error *err)
{
    struct call c = {.command = command, .values = values};
    struct bp_co *co;
    int rc = bp_co_new(NULL, NULL, command->name, call_main, &c, &co, err);

    if (rc < 0)
        return rc;
    bp_co_enter(co);
    while (!bp_co_ended(co))
        bpc_loop_run_once(true);
    bp_co_unref(co);
    if (c.rc < 0 && err)
        *err = c.err;
    *ret_reply = c.reply;
    return c.rc;
}

int bp_test_command(struct bp_test_host *host, const char *name, const char *args,
                    char **ret_reply, struct bp_error *err)
{
    const struct bp_command *command;
    struct bp_value *values = NULL, *reply = NULL;
    int rc = bpc_command_find(name, &command, err);

    (void)host;
    if (rc == 0 && args)
        rc = bp_value_parse(args, strlen(args), &values, err);
    if (rc == 0)
        rc = call_in_coroutine(command, values, &reply, err);
    if (rc == 0 && ret_reply)
        *ret_reply = bp_value_print(reply, false);
    bp_value_unref(reply);
    bp_value_unref(values);
    return rc;
}

void bp_test_step(struct bp_test_host *host, int64_t ns)
{
    bp_virtual_advance_to(host->machine, bp_virtual_ns(host->machine) + ns);
    bpc_loop_run_once(false);
}

void bp_test_run(struct bp_test_host *host, bool on)
{
    (void)host;
    if (on)
        bpc_machine_start();
    else
        bpc_machine_stop(BPC_RUN_PAUSED);
}

void bp_test_reset(struct bp_test_host *host)
{
    bpc_devices_reset(host->machine);
}

int bp_test_save(struct bp_device *dev, void **ret_data, size_t *ret_size, struct bp_error *err)
{
    GByteArray *bytes = g_byte_array_new();
    int rc = bpc_state_save(bp_device_object(dev), bytes, err);
    void *copy = rc == 0 ? malloc(bytes->len + 1) : NULL;

    if (copy) {
        if (bytes->len)
            memcpy(copy, bytes->data, bytes->len);
        *ret_data = copy;
        *ret_size = bytes->len;
    }
    g_byte_array_unref(bytes);
    return rc == 0 && !copy ? bp_fail(err, ENOMEM, "out of memory") : rc;
}

int bp_test_restore(struct bp_device *dev, const void *data, size_t size, struct bp_error *err)
{
    struct bp_object *obj = bp_device_object(dev);
    int rc = bpc_state_load(obj, data, size, err);

    return rc < 0 ? rc : bpc_state_finish(&obj, 1, err);
}
