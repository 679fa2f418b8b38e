/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Random accesses and saved states of any device (exercise.h). */
#include "exercise.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bp/host/chardev.h>
#include <bp/value.h>

#include "memory.h"
#include "registry.h"
#include "state.h"

static void find_targets_in(struct exercise *x, struct bp_space *space, bool ports)
{
    const struct bpc_view *view;

    view = bpc_space_view(space); /* changes under the machine lock only, which we hold */
    for (size_t i = 0; i < view->count && x->count < EXERCISE_MAX_TARGETS; i++) {
        const struct bpc_range *r = &view->ranges[i];

        /* The host's own are no device. */
        if (!g_str_has_prefix(bp_region_name(r->region), "test."))
            x->targets[x->count++] =
                (struct exercise_target){ports, r->first, r->last - r->first + 1};
    }
}

static void find_targets(struct exercise *x)
{
    x->count = 0;
    find_targets_in(x, bp_device_io(x->dev), true);
    find_targets_in(x, bp_device_memory(x->dev), false);
}

static uint64_t random_value(GRand *rand)
{
    static const uint64_t edges[] = {0, 1, 0xff, 0x80, 0xffff, UINT32_MAX, UINT64_MAX, 0x7fffffff};
    uint64_t wide = (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);

    switch (g_rand_int_range(rand, 0, 4)) {
    case 0: return edges[g_rand_int_range(rand, 0, BP_COUNT(edges))];
    case 1: return wide & 0xff;
    case 2: return wide & 0xffff;
    default: return wide;
    }
}

static void access_target(struct exercise *x)
{
    const struct exercise_target *t = &x->targets[g_rand_int_range(x->rand, 0, (gint32)x->count)];
    unsigned size = 1u << g_rand_int_range(x->rand, 0, t->ports ? 3 : 4);
    uint64_t reach = t->size ? t->size : UINT64_MAX, addr, value = random_value(x->rand);
    bool write = g_rand_boolean(x->rand);

    /* Registers crowd at the start of a region. */
    if (g_rand_int_range(x->rand, 0, 4) != 0 && reach > 0x100)
        reach = 0x100;
    addr = t->first + ((uint64_t)g_rand_int(x->rand) << 8 | (value & 0xff)) % reach;
    if (g_rand_boolean(x->rand))
        addr &= ~(uint64_t)(size - 1);
    if (t->ports && write)
        bp_test_out(x->host, (uint16_t)addr, value, size);
    else if (t->ports)
        bp_test_in(x->host, (uint16_t)addr, size);
    else if (write)
        bp_test_write(x->host, addr, value, size);
    else
        bp_test_read(x->host, addr, size);
}

static void access_config(struct exercise *x)
{
    unsigned size = 1u << g_rand_int_range(x->rand, 0, 3);
    unsigned offset = (unsigned)g_rand_int_range(x->rand, 0, 0x110);

    if (g_rand_boolean(x->rand))
        bp_test_config_write(x->host, x->devfn, offset, (uint32_t)random_value(x->rand), size);
    else
        bp_test_config_read(x->host, x->devfn, offset, size);
    /* BARs may have moved. */
    find_targets(x);
}

/* BARs far apart, and everything on, so that there is something to hit. */
static void place_bars(struct exercise *x)
{
    if (x->devfn == UINT_MAX)
        return;
    for (unsigned bar = 0; bar < 6; bar++)
        bp_test_config_write(x->host, x->devfn, 0x10 + 4 * bar, 0xc000 + 0x400 * bar +
                             (bar << 24) + 0xe0000000u, 4);
    bp_test_config_write(x->host, x->devfn, 4, 7, 2);
}

static void find_config(struct exercise *x)
{
    x->devfn = UINT_MAX;
    for (unsigned devfn = 0; devfn < 256; devfn++)
        if ((bp_test_config_read(x->host, devfn, 0, 2) & 0xffff) != 0xffff)
            x->devfn = devfn;
    place_bars(x);
}

void exercise_begin(struct exercise *x, struct bp_test_host *host, struct bp_device *dev,
                    GRand *rand)
{
    *x = (struct exercise){.host = host, .dev = dev, .rand = rand};
    find_config(x);
    find_targets(x);
}

void exercise_accesses(struct exercise *x, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (x->devfn != UINT_MAX && g_rand_int_range(x->rand, 0, 8) == 0)
            access_config(x);
        if (x->count)
            access_target(x);
        if (!x->still && g_rand_int_range(x->rand, 0, 50) == 0)
            bp_test_step(x->host, g_rand_int_range(x->rand, 1, 5000000));
        if (g_rand_int_range(x->rand, 0, 2000) == 0)
            bp_test_reset(x->host);
        /* Accesses to configuration space and resets switch BARs off sooner or later. */
        if (i % 64 == 0) {
            place_bars(x);
            find_targets(x);
        }
    }
    place_bars(x);
    find_targets(x);
}

static int compare(const void *before, size_t before_size, const void *after, size_t after_size,
                   struct bp_error *err)
{
    const char *a = before, *b = after;
    size_t at = 0;

    while (at < before_size && at < after_size && a[at] == b[at])
        at++;
    if (before_size == after_size && at == before_size)
        return 0;
    return bp_fail(err, EIO, "saved state changed by loading it: %zu and %zu bytes, differ at %zu",
                   before_size, after_size, at);
}

/* So much memory is copied a few times only: a device of somebody's would seem to hang. */
static unsigned rounds_of(size_t size, unsigned rounds)
{
    return size > 32u << 20 ? rounds / 16 : rounds;
}

/* A cut or twisted state must give an error or load; never crash. */
static void load_twisted(struct exercise *x, const void *saved, size_t size)
{
    const unsigned rounds = rounds_of(size, 64);

    for (unsigned i = 0; i < rounds && size; i++) {
        char *twisted = g_memdup2(saved, size);
        size_t where = g_rand_int(x->rand) % size;

        twisted[where] ^= (char)(1 + g_rand_int(x->rand) % 255);
        /* What is refused may be half loaded: the device must be reset. */
        if (bp_test_restore(x->dev, twisted, i % 4 ? size : i * size / rounds, NULL) < 0)
            bp_test_reset(x->host);
        g_free(twisted);
        exercise_accesses(x, 20);
    }
}

static int save_machine(struct exercise *x, GByteArray *out, struct bp_error *err)
{
    return bpc_state_save_tree(bp_object_resolve("/machine", NULL, NULL), out, err);
}

/* All that is there: buses, what they keep with their children, parts, and the last pass. */
static int machine_state(struct exercise *x, struct bp_error *err)
{
    GByteArray *before = g_byte_array_new(), *after = g_byte_array_new();
    int rc = save_machine(x, before, err);

    bp_test_reset(x->host);
    if (rc == 0)
        rc = bpc_state_load_tree(bp_object_resolve("/machine", NULL, NULL), before->data, before->len,
                                 err);
    if (rc == 0)
        rc = save_machine(x, after, err);
    if (rc == 0)
        rc = compare(before->data, before->len, after->data, after->len, err);
    if (rc < 0)
        bp_error_prefix(err, "the whole machine");
    g_byte_array_unref(before);
    g_byte_array_unref(after);
    return rc;
}

int exercise_saved_state(struct exercise *x, struct bp_error *err)
{
    void *before, *after;
    size_t before_size, after_size;
    int rc = bp_test_save(x->dev, &before, &before_size, err);

    if (rc < 0) {
        bp_error_prefix(err, "save");
        return rc;
    }
    bp_test_reset(x->host);
    rc = bp_test_restore(x->dev, before, before_size, err);
    if (rc == 0)
        rc = bp_test_save(x->dev, &after, &after_size, err);
    if (rc < 0) {
        bp_error_prefix(err, "load");
    } else {
        rc = compare(before, before_size, after, after_size, err);
        free(after);
        if (rc == 0)
            rc = machine_state(x, err);
        load_twisted(x, before, before_size);
    }
    free(before);
    return rc;
}

static bool is_mapped(uint64_t address)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    unsigned char there;

    return mincore((void *)(uintptr_t)(address & ~(page - 1)), 1, &there) == 0;
}

/* Is the word around byte `at` a pointer before and after? What it leads to may be made anew by
 * loading: a vector, a doorbell. */
static bool is_pointer(const uint8_t *state, const uint8_t *before, size_t size, size_t at)
{
    size_t first = at & ~(sizeof(uint64_t) - 1);
    uint64_t now, then;

    if (first + sizeof(uint64_t) > size)
        return false;
    memcpy(&now, state + first, sizeof(now));
    memcpy(&then, before + first, sizeof(then));
    return is_mapped(now) && is_mapped(then);
}

/* One round of it; the device's struct is `size` bytes at `state`. */
static int forget_round(struct exercise *x, uint8_t *state, size_t size, size_t *ret_first,
                        size_t *ret_last, size_t *ret_saved)
{
    uint8_t *before;
    void *saved;
    size_t saved_size;
    int ret;

    exercise_accesses(x, 200);
    /* Loaded once in place: a device may keep the same thing in more than one form. */
    if (bp_test_save(x->dev, &saved, &saved_size, NULL) < 0)
        return -EAGAIN;
    *ret_saved = saved_size;
    ret = bp_test_restore(x->dev, saved, saved_size, NULL);
    free(saved);
    if (ret < 0 || bp_test_save(x->dev, &saved, &saved_size, NULL) < 0)
        return -EAGAIN;
    before = g_memdup2(state, size);
    x->still = true; /* what is reckoned from the time is the same when it comes back */
    exercise_accesses(x, 200);
    x->still = false;
    bp_test_reset(x->host);
    ret = bp_test_restore(x->dev, saved, saved_size, NULL) < 0 ? -EAGAIN : 0;
    free(saved);
    for (size_t i = 0; ret == 0 && i < size; i++) {
        if (state[i] == before[i] || is_pointer(state, before, size, i))
            continue;
        *ret_first = *ret_last = i;
        while (*ret_last + 1 < size && state[*ret_last + 1] != before[*ret_last + 1])
            ++*ret_last;
        ret = -EIO;
    }
    g_free(before);
    return ret;
}

int exercise_forgotten_state(struct exercise *x, struct bp_error *err)
{
    const struct bp_type_info *type = &bp_device_class(x->dev)->type;
    size_t first = 0, last = 0, saved = 0;
    int ret = 0;

    for (unsigned i = 0; i < rounds_of(saved, 16) && ret == 0; i++)
        ret = forget_round(x, bp_device_state(x->dev), type->state_size, &first, &last, &saved);
    if (ret == -EIO)
        bp_fail(err, EIO, "bytes %zu to %zu of its state change while it is used and do not come back "
                "when it is loaded: its saved table lacks them", first, last);
    return ret;
}

/* What some types want to find in place. */
static const struct {
    const char *type, *companion;
} companions[] = {{"PIIX3", "i440FX-pcihost"}, {"i440FX", "i440FX-pcihost"},
                 {"ICH9-LPC", "q35-pcihost"}, {"mch", "q35-pcihost"},
                 {"isa-fdc", "i8257"}, {"smbus-eeprom", "ICH9-SMB"}, {"vmcoreinfo", "fw_cfg_io"},
                 {"vmgenid", "fw_cfg_io"}, {"ramfb", "fw_cfg_io"}};

/* Who has a bus for them. */
static const struct {
    const char *bus, *companion;
} adapters[] = {{"scsi", "virtio-scsi-pci"}, {"virtio-bus", "virtio-mmio"}, {"virtio-serial-bus", "virtio-serial-pci"},
                {"usb-bus", "qemu-xhci"}};

static void make_adapter(struct bp_test_host *host, const char *type)
{
    struct bp_device *adapter;
    const char *bus;
    const void *desc;

    if (bpc_require(BP_PROVIDE_DEVICE, type, &desc, NULL) < 0)
        return;
    bus = ((const struct bp_device_class *)desc)->bus;
    for (unsigned i = 0; bus && i < BP_COUNT(adapters); i++) {
        if (strcmp(bus, adapters[i].bus) == 0 && !bp_bus_find(bp_test_machine(host), bus))
            (void)bp_test_device(host, adapters[i].companion, NULL, &adapter, NULL);
    }
}

static int make_chardev(struct bp_error *err)
{
    const struct bp_chardev_interface *chardev;
    struct bp_value *args;
    struct bp_chardev *chr;
    const void *table;
    int rc = bpc_require_interface("chardev", 1, &table, err);

    if (rc < 0)
        return rc;
    chardev = table;
    if (chardev->find("c"))
        return 0;
    args = bp_value_dict();
    bp_value_set(args, "id", bp_value_string("c"));
    bp_value_set(args, "backend", bp_value_string("ringbuf"));
    rc = chardev->create(args, &chr, err);
    bp_value_unref(args);
    return rc;
}

static bool takes_chardev(const char *type)
{
    const void *desc;
    const struct bp_field *f;

    if (bpc_require(BP_PROVIDE_DEVICE, type, &desc, NULL) < 0)
        return false;
    for (f = ((const struct bp_device_class *)desc)->type.props; f && f->name; f++)
        if (strcmp(f->name, "chardev") == 0)
            return true;
    return false;
}

/* What sits on a bus of another device, needs a medium, or is copied in no time with less memory than it has else. */
static const struct {
    const char *type, *controller, *bus, *props;
    bool medium;
} placed[] = {{"floppy", "isa-fdc", "floppy-bus", "drive=d", true},
              {"usb-storage", "qemu-xhci", "usb-bus", "drive=d", true},
              {"qxl", NULL, NULL, "vgamem_mb=1,ram_size_mb=4,vram_size_mb=1", false},
              {"qxl-vga", NULL, NULL, "vgamem_mb=1,ram_size_mb=4,vram_size_mb=1", false},
              {"loader", NULL, NULL, "addr=4096,data=1,data-len=4", false}};

static int set_all(struct bp_device *dev, const char *props, struct bp_error *err)
{
    gchar **pairs = g_strsplit(props, ",", -1);
    int rc = 0;

    for (gchar **p = pairs; rc == 0 && *p; p++) {
        char *value = strchr(*p, '=');

        *value++ = '\0';
        rc = bp_device_set(dev, *p, value, err);
    }
    g_strfreev(pairs);
    return rc;
}

static int make_placed(struct bp_test_host *host, unsigned i, struct bp_device **ret_dev, struct bp_error *err)
{
    struct bp_machine *machine = bp_test_machine(host);
    struct bp_device *controller;
    int rc;

    if (placed[i].medium)
        bp_test_command(host, "blockdev-add", "{\"driver\": \"null-co\", \"node-name\": \"d\", \"size\": 1474560, "
                        "\"read-zeroes\": true, \"read-only\": false}", NULL, NULL); /* or it is there */
    if (!placed[i].controller)
        return bp_test_device(host, placed[i].type, placed[i].props, ret_dev, err);
    rc = exercise_make_device(host, placed[i].controller, &controller, err);
    if (rc == 0)
        rc = bp_device_new(machine, placed[i].type, NULL, ret_dev, err);
    if (rc == 0)
        rc = set_all(*ret_dev, placed[i].props, err);
    return rc < 0 ? rc : bp_device_attach(*ret_dev, bp_bus_find(machine, placed[i].bus), err);
}

int exercise_make_device(struct bp_test_host *host, const char *type, struct bp_device **ret_dev,
                         struct bp_error *err)
{
    struct bp_device *companion;
    int rc;

    for (unsigned i = 0; i < BP_COUNT(placed); i++)
        if (strcmp(type, placed[i].type) == 0)
            return make_placed(host, i, ret_dev, err);
    for (unsigned i = 0; i < BP_COUNT(companions); i++) {
        if (strcmp(type, companions[i].type) != 0)
            continue;
        rc = bp_test_device(host, companions[i].companion, NULL, &companion, err);
        if (rc < 0)
            return rc;
    }
    make_adapter(host, type);
    /* With a back end where there is one to have: more code runs. */
    if (!takes_chardev(type) || make_chardev(NULL) < 0)
        return bp_test_device(host, type, NULL, ret_dev, err);
    rc = bp_test_device(host, type, "chardev=c", ret_dev, err);
    if (rc < 0 && bp_test_device(host, type, NULL, ret_dev, NULL) == 0)
        return 0;
    return rc; /* of the attempt that had what it may need */
}
