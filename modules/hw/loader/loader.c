/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -device loader: puts a number or a file into guest memory at each reset, and lets a processor start where it is
 * told
 * or where the file says.
 */
#include "image.h"

#include <bp/device.h>
#include <bp/exact/cpu.h>
#include <bp/exact/machine.h>
#include <bp/log.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NO_CPU UINT32_MAX
#define NO_ADDRESS UINT64_MAX
#define MAX_FILE (1ll << 30)

struct loader {
    uint64_t addr, data;
    uint8_t data_len;
    bool data_be, force_raw;
    uint32_t cpu_num;
    char *file;
    struct image image;
};

static int read_file(struct loader *s, struct bp_error *err)
{
    int fd = open(s->file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), r = 0;
    struct stat st;

    if (fd < 0)
        return bp_fail(err, errno, "loader: file '%s': %s", s->file, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > MAX_FILE)
        r = bp_fail(err, EINVAL, "loader: file '%s': not a regular file of 1 byte to 1 GiB", s->file);
    else if (!(s->image.data = malloc((size_t)st.st_size)))
        r = bp_fail(err, ENOMEM, "loader: no memory for '%s'", s->file);
    else if (pread(fd, s->image.data, (size_t)st.st_size, 0) != st.st_size)
        r = bp_fail(err, EIO, "loader: file '%s' cannot be read whole", s->file);
    close(fd);
    s->image.size = r == 0 ? (size_t)st.st_size : 0;
    return r;
}

static int put(struct bp_space *memory, uint64_t address, const void *data, uint64_t size, uint64_t zeroes)
{
    static const uint8_t none[4096];
    int r = size ? bp_space_write_rom(memory, address, data, size) : 0;

    for (address += size; r == 0 && zeroes; address += sizeof(none)) {
        uint64_t n = zeroes < sizeof(none) ? zeroes : sizeof(none);

        r = bp_space_write_rom(memory, address, none, n);
        zeroes -= n;
    }
    return r;
}

/* Puts everything where it belongs; -EFAULT and where, when there is no memory. */
static int load(struct bp_device *dev, uint64_t *ret_address)
{
    struct loader *s = bp_device_state(dev);
    struct bp_space *memory = bp_device_memory(dev);
    uint8_t bytes[8];
    int r = 0;

    for (unsigned i = 0; r == 0 && i < s->image.count; i++) {
        const struct image_piece *p = &s->image.piece[i];

        *ret_address = s->image.has_address ? p->address : s->addr;
        r = put(memory, *ret_address, s->image.data + p->offset, p->size, p->zeroes);
    }
    for (unsigned i = 0; i < s->data_len; i++)
        bytes[i] = (uint8_t)(s->data >> 8 * (s->data_be ? s->data_len - 1u - i : i));
    if (r == 0 && s->data_len) {
        *ret_address = s->addr;
        r = put(memory, s->addr, bytes, s->data_len, 0);
    }
    return r;
}

static struct bp_cpu *cpu_of(struct bp_device *dev)
{
    struct loader *s = bp_device_state(dev);
    struct bp_machine *m = bp_device_machine(dev);

    return s->cpu_num < bp_machine_smp(m)->max_cpus ? bp_machine_cpu(m, s->cpu_num) : NULL;
}

static int check(struct loader *s, struct bp_device *dev, struct bp_error *err)
{
    if (s->file && (s->data_len || s->data || s->data_be))
        return bp_fail(err, EINVAL, "loader: file= and data= are for two devices: give one of them");
    if (!s->file && (s->data || s->data_be) && !s->data_len)
        return bp_fail(err, EINVAL, "loader: data= needs data-len=, 1 to 8 bytes");
    if (s->data_len && s->data_len < 8 && s->data >> 8 * s->data_len)
        return bp_fail(err, EINVAL, "loader: data=0x%llx does not fit into data-len=%u bytes",
            (unsigned long long)s->data,
                       s->data_len);
    if (s->data_len && s->addr == NO_ADDRESS)
        return bp_fail(err, EINVAL, "loader: data= needs addr=, where it goes");
    if (!s->file && !s->data_len && (s->cpu_num == NO_CPU || s->addr == NO_ADDRESS))
        return bp_fail(err, EINVAL, "loader: needs file=, or addr=,data=,data-len=, or addr=,cpu-num=");
    if (s->force_raw && !s->file)
        return bp_fail(err, EINVAL, "loader: force-raw= is for file=");
    if (s->cpu_num != NO_CPU && !cpu_of(dev))
        return bp_fail(err, EINVAL, "loader: cpu-num=%u: there is no such processor; accepted: 0 to %u", s->cpu_num,
                       bp_machine_smp(bp_device_machine(dev))->cpus - 1);
    if (s->cpu_num != NO_CPU && !bp_cpu_class(cpu_of(dev))->set_start)
        return bp_fail(err, ENOTSUP, "loader: cpu-num=%u: this model cannot be told where to start", s->cpu_num);
    return 0;
}

static int loader_attach(struct bp_device *dev, struct bp_error *err)
{
    struct loader *s = bp_device_state(dev);
    uint64_t address = 0;
    int r = check(s, dev, err);

    if (r == 0 && s->file) {
        r = read_file(s, err);
        if (r == 0 && (r = image_parse(&s->image, s->force_raw, err)) < 0)
            bp_error_prefix(err, "loader: file '%s'", s->file);
        if (r == 0 && !s->image.has_address && s->addr == NO_ADDRESS)
            r = bp_fail(err, EINVAL, "loader: file '%s' says nothing of where it goes: addr= is needed", s->file);
    }
    if (r == 0 && load(dev, &address) < 0)
        r = bp_fail(err, EFAULT, "loader: there is no memory at 0x%llx for all of it", (unsigned long long)address);
    if (r < 0) {
        free(s->image.data);
        s->image.data = NULL;
    }
    return r;
}

static void loader_detach(struct bp_device *dev)
{
    struct loader *s = bp_device_state(dev);

    free(s->image.data);
    s->image.data = NULL;
}

/* The processors were reset before. */
static void loader_reset_exit(struct bp_device *dev, enum bp_reset_scope scope)
{
    struct loader *s = bp_device_state(dev);
    struct bp_cpu *cpu = cpu_of(dev);
    uint64_t address = 0;

    if (bp_machine_waking(bp_device_machine(dev)))
        return; /* what sleeps in RAM goes on */
    if (load(dev, &address) < 0)
        bp_warn("loader: there is no memory at 0x%llx any more", (unsigned long long)address);
    if (cpu && scope == BP_RESET_MACHINE)
        bp_cpu_class(cpu)->set_start(cpu, s->addr != NO_ADDRESS || !s->image.has_entry ? s->addr : s->image.entry);
}

static const struct bp_field props[] = {
    BP_PROP("addr", UINT64, struct loader, addr, "0xffffffffffffffff", "where it goes; where the processor starts"),
    BP_PROP("data", UINT64, struct loader, data, "0", "a number to be stored"),
    BP_PROP_RANGE("data-len", UINT8, struct loader, data_len, "0", 0, 8, "its length in bytes"),
    BP_PROP("data-be", BOOL, struct loader, data_be, "off", "whether its highest byte comes first"),
    BP_PROP("file", STRING, struct loader, file, NULL, "file to be loaded: ELF, a U-Boot image, or bytes"),
    BP_PROP("force-raw", BOOL, struct loader, force_raw, "off", "whether the file is bytes whatever it looks like"),
    BP_PROP("cpu-num", UINT32, struct loader, cpu_num, "0xffffffff", "processor that starts there"),
    BP_FIELDS_END,
};

BP_DEVICE(loader_class, "loader", "system", "Puts data or a file into memory", struct loader, props, NULL,
          .category = "misc", .attach = loader_attach, .detach = loader_detach, .reset_exit = loader_reset_exit);

BP_MODULE("hw-loader", "Loader of data and files", BP_NO_IMPORTS, {BP_PROVIDE_DEVICE, &loader_class});
