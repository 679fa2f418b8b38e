// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Base address registers and the expansion ROM (PCI Local Bus 3.0, 6.2.5). A BAR is decoded while its
 * space is enabled, the function is in D0, and its address is not 0 and does not reach the end of the
 * address space (what software leaves there while it sizes a BAR). The ROM is a file; its image is
 * given to the guest as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pci.h"

#define ROM_ENABLE 1u
#define ROM_MIN 2048u
#define ROM_MAX (16u << 20) /* 6.2.5.2 */

static bool io_address(const struct pci_bar *bar, uint64_t address)
{
    return address != 0 && address + bar->size - 1 <= 0xffff;
}

static bool memory_address(const struct pci_bar *bar, uint64_t address)
{
    uint64_t last = address + bar->size - 1;

    if (address == 0 || last < address || last == UINT64_MAX)
        return false;
    return (bar->flags & BP_PCI_BAR_MEM64) || last < 0xffffffffu;
}

bool pci_bar_address(const struct pci_fn *fn, unsigned n, uint64_t *ret_address)
{
    const struct pci_bar *bar = &fn->bar[n];
    uint16_t command = pci_get16(fn->config + PCI_COMMAND);
    uint64_t address = pci_get32(fn->config + PCI_BAR0 + 4 * n);
    bool io = bar->flags & BP_PCI_BAR_IO;

    address &= io ? ~3ull : ~15ull;
    if (bar->flags & BP_PCI_BAR_MEM64)
        address |= (uint64_t)pci_get32(fn->config + PCI_BAR0 + 4 * n + 4) << 32;
    if (!pci_is_awake(fn) || !(command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)) ||
        !(io ? io_address(bar, address) : memory_address(bar, address)))
        return false;
    *ret_address = address;
    return true;
}

static unsigned rom_register(const struct pci_fn *fn)
{
    return (fn->config[PCI_HEADER_TYPE] & 0x7f) == 1 ? PCI_BRIDGE_ROM : PCI_ROM;
}

bool pci_rom_address(const struct pci_fn *fn, uint64_t *ret_address)
{
    uint32_t reg = pci_get32(fn->config + rom_register(fn));
    uint64_t address = reg & ~(ROM_MIN - 1);

    if (!(reg & ROM_ENABLE) || !pci_is_awake(fn) ||
        !(pci_get16(fn->config + PCI_COMMAND) & PCI_COMMAND_MEMORY) ||
        !memory_address(&fn->rom, address))
        return false;
    *ret_address = address;
    return true;
}

static void update(const struct pci_bus *bus, struct pci_bar *bar, bool on, uint64_t address)
{
    if (bar->mapped == on && (!on || bar->address == address))
        return;
    if (bar->mapped && on)
        bp_region_set_address(bar->region, address);
    else if (on)
        bp_region_add(bar->flags & BP_PCI_BAR_IO ? bus->host.io : bus->host.memory, bar->region,
                      address, 1);
    else
        bp_region_remove(bar->region);
    bar->mapped = on;
    bar->address = address;
}

void pci_update_bars(struct bp_device *dev)
{
    struct pci_fn *fn = pci_fn_of(dev);
    struct pci_bus *bus = pci_bus_of(dev);
    uint64_t address = 0;
    bool on;

    bp_memory_begin();
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (!fn->bar[n].region)
            continue;
        on = pci_bar_address(fn, n, &address);
        update(bus, &fn->bar[n], on, address);
    }
    if (fn->rom.region) {
        on = pci_rom_address(fn, &address);
        update(bus, &fn->rom, on, address);
    }
    bp_memory_commit();
}

void pci_take_bars(struct pci_fn *fn)
{
    bp_memory_begin();
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (fn->bar[n].region && fn->bar[n].mapped)
            bp_region_remove(fn->bar[n].region);
        fn->bar[n] = (struct pci_bar){0};
    }
    if (fn->rom.region && fn->rom.mapped)
        bp_region_remove(fn->rom.region);
    fn->rom = (struct pci_bar){0};
    bp_memory_commit();
}

int pci_add_bar(struct bp_device *dev, unsigned n, unsigned flags, struct bp_region *region,
                struct bp_error *err)
{
    struct pci_fn *fn = pci_fn_of(dev);
    uint64_t size = bp_region_size(region), min = flags & BP_PCI_BAR_IO ? 4 : 16, mask;
    unsigned last = flags & BP_PCI_BAR_MEM64 ? n + 1 : n;
    unsigned bars = (fn->config[PCI_HEADER_TYPE] & 0x7f) == 1 ? 2 : PCI_BARS;

    if (last >= bars || fn->bar[n].region || fn->bar[last].region ||
        (n > 0 && (fn->bar[n - 1].flags & BP_PCI_BAR_MEM64)))
        return bp_fail(err, EINVAL, "PCI: BAR %u is out of range or used twice", n);
    if (size < min || (size & (size - 1)) ||
        (!(flags & BP_PCI_BAR_MEM64) && size > 1ull << 31) ||
        ((flags & BP_PCI_BAR_IO) && size > 256))
        return bp_fail(err, EINVAL, "PCI: BAR %u has an impossible size of 0x%llx", n,
                       (unsigned long long)size);
    fn->bar[n] = (struct pci_bar){.region = region, .size = size, .flags = flags};
    mask = ~(size - 1);
    pci_set32(fn->config + PCI_BAR0 + 4 * n, flags);
    pci_set32(fn->writable + PCI_BAR0 + 4 * n, (uint32_t)mask);
    if (flags & BP_PCI_BAR_MEM64)
        pci_set32(fn->writable + PCI_BAR0 + 4 * n + 4, (uint32_t)(mask >> 32));
    return 0;
}

int pci_table_bars(struct bp_device *dev, struct bp_error *err)
{
    const struct bp_pci_info *info = bp_device_class(dev)->bus_info;
    struct bp_owner *owner = bp_device_owner(dev);
    int r = 0;

    for (unsigned n = 0; r == 0 && n < PCI_BARS; n++) {
        const struct bp_pci_bar *bar = &info->bar[n];
        const char *name = bar->name ? bar->name : bp_device_class(dev)->type.name;
        struct bp_region *region;

        if (!bar->size)
            continue;
        region = bar->ops ? bp_region_new_io(owner, name, bar->size, bar->ops, bp_device_state(dev))
                          : bp_region_new(owner, name, bar->size);
        r = pci_add_bar(dev, n, bar->flags, region, err);
    }
    return r;
}

/* ---- expansion ROM ---- */
static int check_size(const struct pci_fn *fn, const char *file, off_t length, uint32_t *ret_size,
                      struct bp_error *err)
{
    uint32_t size = ROM_MIN;

    if (length <= 0 || length > (off_t)ROM_MAX)
        return bp_fail(err, EINVAL, "romfile=%s: an expansion ROM has 1 byte to 16 MiB, this file has "
                       "%lld bytes", file, (long long)length);
    while (size < length)
        size *= 2;
    if (fn->romsize != UINT32_MAX) {
        if ((off_t)fn->romsize < length)
            return bp_fail(err, EINVAL, "romsize=%u is too small for romfile=%s of %lld bytes",
                           fn->romsize, file, (long long)length);
        size = fn->romsize;
    }
    *ret_size = size;
    return 0;
}

static int fill(struct bp_device *dev, const char *file, int fd, struct bp_error *err)
{
    struct pci_fn *fn = pci_fn_of(dev);
    struct bp_region *region;
    uint32_t size = 0;
    struct stat st;
    int r;

    if (fstat(fd, &st) < 0)
        return bp_fail(err, errno, "romfile=%s: %s", file, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return bp_fail(err, EINVAL, "romfile=%s is not a regular file", file);
    r = check_size(fn, file, st.st_size, &size, err);
    if (r == 0)
        r = bp_region_new_rom(bp_device_owner(dev), "rom", size, NULL, NULL, &region, err);
    if (r < 0)
        return r;
    memset(bp_region_ram(region), 0xff, size);
    if (pread(fd, bp_region_ram(region), (size_t)st.st_size, 0) != st.st_size)
        return bp_fail(err, EIO, "romfile=%s cannot be read whole", file);
    fn->rom = (struct pci_bar){.region = region, .size = size};
    pci_set32(fn->writable + rom_register(fn), ~(size - 1) | ROM_ENABLE);
    return 0;
}

static bool is_power_of_two(uint32_t n)
{
    return n && !(n & (n - 1));
}

int pci_add_rom(struct bp_device *dev, struct bp_error *err)
{
    const struct bp_pci_info *info = bp_device_class(dev)->bus_info;
    struct pci_fn *fn = pci_fn_of(dev);
    const char *file = fn->romfile ? fn->romfile : info->romfile;
    char *path;
    int fd, r;

    if (fn->romsize != UINT32_MAX &&
        (!is_power_of_two(fn->romsize) || fn->romsize < ROM_MIN || fn->romsize > ROM_MAX))
        return bp_fail(err, EINVAL, "romsize=%u is not a power of two from 2048 to 16777216",
                       fn->romsize);
    if (!file || !*file || !fn->rombar)
        return 0;
    path = bp_machine_find_data(bp_device_machine(dev), file);
    fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0 && !fn->romfile) { /* the class's own: a device without it is worth having */
        free(path);
        return 0;
    }
    if (fd < 0)
        r = bp_fail(err, path ? errno : ENOENT, "romfile=%s: %s", file,
                    path ? strerror(errno) : "no such file, nor along -L");
    else
        r = fill(dev, file, fd, err);
    if (fd >= 0)
        close(fd);
    free(path);
    return r;
}
