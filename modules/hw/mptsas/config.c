// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Configuration pages of the SAS1068 (MPI 1.5): a table of pages, read only. Each phy leads to one drive: phy 0 has
 * handle 1, its drive 9, and so on; the drive at phy N is target N of bus 0.
 */
#include <errno.h>
#include <stdio.h>

#include "mptsas.h"

enum { ACTION_HEADER, ACTION_READ, ACTION_DEFAULT = 3, ACTION_READ_DEFAULT = 5, ACTION_READ_NVRAM };
enum { IO_UNIT = 0, IOC = 1, BIOS = 2, MANUFACTURING = 9, EXTENDED = 0xf };
enum { SAS_IO_UNIT = 0x10, SAS_DEVICE = 0x12, SAS_PHY = 0x13, ENCLOSURE = 0x15 };
enum { FORM_NEXT = 0, FORM_BUS_TARGET = 1, FORM_HANDLE = 2 };
#define PAGE_MAX 512u
#define RATE_3_0 9u
#define RATES_3_0 0x98u /* 1.5 to 3.0 Gb/s */
#define ENCLOSURE_HANDLE 1u

struct page {
    uint8_t type, number, version;
    uint16_t size; /* bytes, with the header */
    /* After the header; false: there is no such thing at `address`. NULL: zeroes. */
    bool (*fill)(struct mptsas *s, uint8_t *d, uint32_t address);
};

uint16_t mpt_phy_handle(unsigned phy)
{
    return (uint16_t)(1 + phy);
}

uint16_t mpt_drive_handle(unsigned phy)
{
    return (uint16_t)(1 + MPT_PHYS + phy);
}

uint64_t mpt_drive_address(const struct mptsas *s, unsigned phy)
{
    return s->sas_address + 0x100 + phy;
}

/* ---- manufacturing ---- */
static bool manufacturing_0(struct mptsas *s, uint8_t *d, uint32_t address)
{
    (void)address;
    memcpy(d + 0x04, "LSISAS1068", 10);
    memcpy(d + 0x14, "B0", 2);
    memcpy(d + 0x1c, "SAS1068", 7);
    snprintf((char *)d + 0x3c, 16, "%015llx", (unsigned long long)(s->sas_address & 0xfffffffffffffff));
    return true;
}

static bool chip(struct mptsas *s, uint8_t *d, uint32_t address)
{
    (void)address;
    memcpy(d + 4, s->hba.pci->config(s->hba.dev) + 2, 2);
    d[6] = s->hba.pci->config(s->hba.dev)[8];
    return true;
}

static bool base_address(struct mptsas *s, uint8_t *d, uint32_t address)
{
    (void)address;
    hba_put64(d + 4, s->sas_address);
    return true;
}

/* ---- the unit ---- */
static bool io_unit_1(struct mptsas *s, uint8_t *d, uint32_t address)
{
    (void)s, (void)address;
    hba_put32(d + 4, 0x41); /* one function, no RAID */
    return true;
}

static bool io_unit_2(struct mptsas *s, uint8_t *d, uint32_t address)
{
    uint16_t place = s->hba.pci->requester(s->hba.dev);

    (void)address;
    d[0x0c] = (uint8_t)(place >> 8);
    d[0x0d] = (uint8_t)place;
    return true;
}

static bool ioc_0(struct mptsas *s, uint8_t *d, uint32_t address)
{
    const uint8_t *config = s->hba.pci->config(s->hba.dev);

    (void)address;
    memcpy(d + 0x0c, config, 4);
    d[0x10] = config[8];
    memcpy(d + 0x14, config + 8, 4);
    memcpy(d + 0x18, config + 0x2c, 4);
    return true;
}

static bool ioc_1(struct mptsas *s, uint8_t *d, uint32_t address)
{
    (void)s, (void)address;
    d[0x0d] = 0xff; /* the slot is not known */
    return true;
}

/* ---- SAS ---- */
static bool sas_io_unit_0(struct mptsas *s, uint8_t *d, uint32_t address)
{
    (void)address;
    d[0x0c] = MPT_PHYS;
    for (unsigned i = 0; i < MPT_PHYS; i++) {
        uint8_t *p = d + 0x10 + 16 * i;
        bool there = mpt_is_there(s, i);

        p[0] = (uint8_t)i;
        p[3] = there ? RATE_3_0 : 0;
        hba_put32(p + 4, MPT_INFO_PHY);
        hba_put16(p + 8, there ? mpt_drive_handle(i) : 0);
        hba_put16(p + 0x0a, mpt_phy_handle(i));
    }
    return true;
}

static bool sas_io_unit_1(struct mptsas *s, uint8_t *d, uint32_t address)
{
    (void)s, (void)address;
    d[0x10] = MPT_PHYS;
    for (unsigned i = 0; i < MPT_PHYS; i++) {
        uint8_t *p = d + 0x14 + 12 * i;

        p[0] = (uint8_t)i;
        p[3] = RATES_3_0;
        hba_put32(p + 4, MPT_INFO_PHY);
    }
    return true;
}

static bool sas_io_unit_2(struct mptsas *s, uint8_t *d, uint32_t address)
{
    (void)s, (void)address;
    d[0x08] = MPT_PHYS;
    d[0x11] = 2; /* which drive has which number is said by its phy */
    hba_put16(d + 0x12, MPT_PHYS);
    return true;
}

static bool is_phy(uint32_t address, unsigned *ret_phy)
{
    *ret_phy = address & 0xffff;
    return address >> 28 <= 1 && *ret_phy < MPT_PHYS;
}

static bool sas_phy_0(struct mptsas *s, uint8_t *d, uint32_t address)
{
    unsigned phy;
    bool there;

    if (!is_phy(address, &phy))
        return false;
    there = mpt_is_there(s, phy);
    hba_put16(d + 0x08, mpt_phy_handle(phy));
    hba_put64(d + 0x0c, s->sas_address + phy);
    d[0x1c] = d[0x1d] = RATES_3_0;
    if (there) {
        hba_put16(d + 0x14, mpt_drive_handle(phy));
        hba_put32(d + 0x18, MPT_INFO_DRIVE);
        hba_put32(d + 0x20, RATE_3_0);
    }
    return true;
}

static bool sas_phy_1(struct mptsas *s, uint8_t *d, uint32_t address)
{
    unsigned phy;

    (void)s, (void)d;
    return is_phy(address, &phy);
}

static bool handle_exists(struct mptsas *s, unsigned handle)
{
    return handle >= 1 && (handle <= MPT_PHYS || mpt_is_there(s, handle - 1 - MPT_PHYS));
}

/* The handle that a page address means, or 0. */
static unsigned device_at(struct mptsas *s, uint32_t address)
{
    unsigned handle = address & 0xffff;

    switch (address >> 28) {
    case FORM_NEXT:
        handle = handle == 0xffff ? 0 : handle;
        do
            handle++;
        while (handle <= 2 * MPT_PHYS && !handle_exists(s, handle));
        return handle <= 2 * MPT_PHYS ? handle : 0;
    case FORM_BUS_TARGET: return mpt_is_there(s, handle) ? mpt_drive_handle(handle) : 0; /* bus 0 */
    case FORM_HANDLE: return handle_exists(s, handle) ? handle : 0;
    default: return 0;
    }
}

static bool sas_device_0(struct mptsas *s, uint8_t *d, uint32_t address)
{
    unsigned handle = device_at(s, address), phy = (handle - 1) % MPT_PHYS;
    bool is_drive = handle > MPT_PHYS;

    if (!handle)
        return false;
    hba_put16(d + 0x08, phy);
    hba_put16(d + 0x0a, ENCLOSURE_HANDLE);
    hba_put64(d + 0x0c, is_drive ? mpt_drive_address(s, phy) : s->sas_address + phy);
    hba_put16(d + 0x14, is_drive ? mpt_phy_handle(phy) : 0);
    d[0x16] = (uint8_t)phy;
    hba_put16(d + 0x18, handle);
    d[0x1a] = is_drive ? (uint8_t)phy : MPT_PHYS;
    hba_put32(d + 0x1c, is_drive ? MPT_INFO_DRIVE : MPT_INFO_PHY);
    hba_put16(d + 0x20, is_drive ? 3 : 1); /* present, and has a number */
    d[0x22] = (uint8_t)phy;
    return true;
}

static bool sas_device_1(struct mptsas *s, uint8_t *d, uint32_t address)
{
    unsigned handle = device_at(s, address), phy = (handle - 1) % MPT_PHYS;

    if (handle <= MPT_PHYS)
        return false;
    hba_put64(d + 0x0c, mpt_drive_address(s, phy));
    hba_put16(d + 0x18, handle);
    d[0x1a] = (uint8_t)phy;
    return true;
}

static bool sas_device_2(struct mptsas *s, uint8_t *d, uint32_t address)
{
    unsigned handle = device_at(s, address);

    if (handle <= MPT_PHYS)
        return false;
    hba_put64(d + 0x08, mpt_drive_address(s, (handle - 1) % MPT_PHYS));
    return true;
}

static bool enclosure_0(struct mptsas *s, uint8_t *d, uint32_t address)
{
    unsigned handle = address & 0xffff;

    if (address >> 28 == FORM_NEXT ? handle != 0xffff : address >> 28 != 1 || handle != ENCLOSURE_HANDLE)
        return false;
    hba_put64(d + 0x0c, s->sas_address);
    hba_put16(d + 0x14, 0x10); /* its first number is told */
    hba_put16(d + 0x16, ENCLOSURE_HANDLE);
    hba_put16(d + 0x18, MPT_PHYS);
    return true;
}

static const struct page pages[] = {
    {MANUFACTURING, 0, 0, 0x4c, manufacturing_0},
    {MANUFACTURING, 1, 0, 0x104, NULL},
    {MANUFACTURING, 2, 0, 0x0c, chip},
    {MANUFACTURING, 3, 0, 0x0c, chip},
    {MANUFACTURING, 4, 5, 0x70, NULL},
    {MANUFACTURING, 5, 2, 0x20, base_address},
    {MANUFACTURING, 6, 0, 0x08, NULL},
    {MANUFACTURING, 8, 0, 0x08, NULL},
    {MANUFACTURING, 9, 0, 0x08, NULL},
    {MANUFACTURING, 10, 0, 0x08, NULL},
    {IO_UNIT, 0, 0, 0x0c, base_address},
    {IO_UNIT, 1, 2, 0x08, io_unit_1},
    {IO_UNIT, 2, 2, 0x20, io_unit_2},
    {IO_UNIT, 3, 1, 0x0c, NULL},
    {IOC, 0, 1, 0x1c, ioc_0},
    {IOC, 1, 3, 0x10, ioc_1},
    {IOC, 2, 4, 0x0c, NULL},
    {IOC, 3, 0, 0x08, NULL},
    {IOC, 4, 0, 0x08, NULL},
    {IOC, 5, 0, 0x0c, NULL},
    {IOC, 6, 1, 0x3c, NULL},
    {BIOS, 1, 3, 0x20, NULL},
    {SAS_IO_UNIT, 0, 4, 0x10 + 16 * MPT_PHYS, sas_io_unit_0},
    {SAS_IO_UNIT, 1, 7, 0x14 + 12 * MPT_PHYS, sas_io_unit_1},
    {SAS_IO_UNIT, 2, 6, 0x14, sas_io_unit_2},
    {SAS_IO_UNIT, 3, 0, 0x2c, NULL},
    {SAS_DEVICE, 0, 5, 0x24, sas_device_0},
    {SAS_DEVICE, 1, 0, 0x30, sas_device_1},
    {SAS_DEVICE, 2, 1, 0x14, sas_device_2},
    {SAS_PHY, 0, 1, 0x24, sas_phy_0},
    {SAS_PHY, 1, 0, 0x1c, sas_phy_1},
    {ENCLOSURE, 0, 1, 0x28, enclosure_0},
};

/* ---- the message ---- */
static const struct page *find(unsigned type, unsigned number, bool *ret_type_is_known)
{
    *ret_type_is_known = false;
    for (unsigned i = 0; i < BP_COUNT(pages); i++) {
        if (pages[i].type != type)
            continue;
        *ret_type_is_known = true;
        if (pages[i].number == number)
            return &pages[i];
    }
    return NULL;
}

static void put_header(uint8_t *d, const struct page *p, bool extended)
{
    d[0] = p->version;
    d[1] = extended ? 0 : (uint8_t)(p->size / 4);
    d[2] = p->number;
    d[3] = extended ? EXTENDED : p->type;
    if (extended) {
        hba_put16(d + 4, p->size / 4);
        d[6] = p->type;
    }
}

static unsigned give(struct mptsas *s, const struct page *p, const uint8_t *request, bool extended)
{
    uint8_t data[PAGE_MAX] = {0};
    struct hba_command *c;
    unsigned status = MPT_SUCCESS;
    uint64_t room;

    put_header(data, p, extended);
    if (p->fill && !p->fill(s, data, hba_get32(request + 0x18)))
        return MPT_CONFIG_INVALID_PAGE;
    c = hba_new(&s->hba, UINT64_MAX);
    if (!c)
        return MPT_INSUFFICIENT_RESOURCES;
    if (!mpt_list(c, request, 0x1c, p->size))
        status = MPT_INVALID_SGL;
    room = c->bytes;
    if (status == MPT_SUCCESS && hba_copy(c, data, room, true) < room)
        status = MPT_CONFIG_INVALID_DATA;
    hba_drop(c);
    return status;
}

unsigned mpt_config(struct mptsas *s, const uint8_t *request, uint8_t r[MPT_REPLY])
{
    bool extended = (request[0x17] & 15) == EXTENDED, known;
    const struct page *p = find(extended ? request[6] : request[0x17] & 15, request[0x16], &known);
    unsigned status = MPT_SUCCESS;

    if (!p || (extended != (p->type >= SAS_IO_UNIT))) {
        status = known ? MPT_CONFIG_INVALID_PAGE : MPT_CONFIG_INVALID_TYPE;
    } else {
        switch (request[0]) {
        case ACTION_HEADER: break;
        case ACTION_READ:
        case ACTION_READ_DEFAULT:
        case ACTION_READ_NVRAM: status = give(s, p, request, extended); break;
        default: status = MPT_CONFIG_INVALID_ACTION; break; /* they are not changeable */
        }
    }
    mpt_reply_head(r, request, 24, status);
    r[0] = request[0];
    memcpy(r + 0x14, request + 0x14, 4);
    if (status == MPT_SUCCESS) {
        uint8_t header[8] = {0};

        put_header(header, p, extended);
        memcpy(r + 0x14, header, 4);
        if (extended)
            memcpy(r + 4, header + 4, 3);
    }
    return 24;
}
