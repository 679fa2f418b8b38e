// SPDX-License-Identifier: LGPL-2.1-or-later
/* Direct commands of the MegaRAID SAS adapter: what it is, its drives, events, caches. */
#include <stdio.h>

#include <bp/clock.h>
#include <bp/log.h>

#include "megasas.h"

enum { /* opcodes */
    CTRL_GET_INFO = 0x01010000,
    CTRL_GET_PROPERTIES = 0x01020100,
    CTRL_EVENT_GET_INFO = 0x01040100,
    CTRL_EVENT_WAIT = 0x01040500,
    CTRL_SHUTDOWN = 0x01050000,
    CTRL_HIBERNATE = 0x01060000,
    CTRL_CACHE_FLUSH = 0x01101000,
    PD_GET_LIST = 0x02010000,
    PD_LIST_QUERY = 0x02010100,
    LD_GET_LIST = 0x03010000,
    LD_LIST_QUERY = 0x03010100,
    CLUSTER_RESET_ALL = 0x08010100,
    CLUSTER_RESET_LD = 0x08010200,
};
enum { EVENT_PD_INSERTED = 0x5b, EVENT_PD_REMOVED = 0x70, EVENT_LD_CREATED = 0x8a, EVENT_LD_DELETED = 0x8b };
enum { LOCALE_LD = 1, LOCALE_PD = 2 };
enum { ARGS_LD = 2, ARGS_PD = 10 };
#define EVENT_SIZE 256u
#define INFO_SIZE 2048u
#define PROPERTIES_AT 1536u
#define PROPERTIES_SIZE 64u
#define LD_OPTIMAL 3u
#define SYNCHRONIZE_CACHE 0x35u

/* ---- data to the guest ---- */
static unsigned give(struct megasas *s, uint64_t addr, const uint8_t *frame, void *data, uint64_t length)
{
    struct hba_command *c = hba_new(&s->hba, addr);
    uint64_t most = hba_get32(frame + F_LENGTH);
    unsigned status = MFI_OK;

    if (!c)
        return MFI_NO_MEMORY;
    if (length > most)
        length = most;
    if (!megasas_list(c, addr, frame, F_SGL, length) || hba_copy(c, data, length, true) < length)
        status = MFI_INVALID_PARAMETER;
    hba_drop(c);
    return status;
}

/* The unit of a drive, or NULL. */
static struct bp_scsi_unit *drive(struct megasas *s, unsigned target)
{
    return s->hba.scsi->unit(s->hba.bus, 0, target, 0);
}

static unsigned count_drives(struct megasas *s)
{
    unsigned n = 0;

    for (unsigned t = 0; t < megasas_drives(s); t++)
        n += drive(s, t) != NULL;
    return n;
}

/* ---- the controller ---- */
static void put_properties(uint8_t *d)
{
    hba_put16(d + 2, 300); /* seconds between looks for failures to come */
    hba_put16(d + 4, 16);  /* interrupts are throttled after so many, */
    hba_put16(d + 6, 50);  /* and microseconds */
    memset(d + 8, 30, 5);  /* rates, in percent */
    d[13] = 4;             /* seconds between flushes */
    d[14] = 2;             /* drives that spin up at once, */
    d[15] = 6;             /* and seconds to the next */
    d[21] = 15;
    hba_put16(d + 22, 1440);
    d[25] = 1; /* enclosures are shown */
}

static unsigned give_info(struct megasas *s, uint64_t addr, const uint8_t *frame)
{
    const uint8_t *config = s->hba.pci->config(s->hba.dev);
    uint8_t d[INFO_SIZE] = {0};
    unsigned drives = count_drives(s);

    memcpy(d, config, 4);
    memcpy(d + 4, config + 0x2c, 4);
    d[32] = 2;    /* host: PCI Express */
    d[104] = 0xe; /* drives: SAS at 3 Gb/s, SATA */
    d[111] = 8;   /* ports */
    for (unsigned i = 0; i < 8; i++)
        hba_put64(d + 112 + 8 * i, s->sas_address + i);
    hba_put32(d + 180, 1); /* one component */
    snprintf((char *)d + 184, 72, "APP");
    snprintf((char *)d + 192, 32, "%s", "9.1.0");
    d[1340] = d[1341] = 32; /* arms, spans */
    d[1342] = d[1343] = MEGASAS_LDS;
    snprintf((char *)d + 1344, 80, "%s", bp_device_class(s->hba.dev)->type.summary);
    snprintf((char *)d + 1424, 32, "%s", s->serial);
    hba_put32(d + 1456, 4); /* it has NVRAM */
    hba_put32(d + 1460, (uint32_t)(bp_virtual_ns(bp_device_machine(s->hba.dev)) / 1000000000));
    hba_put16(d + 1464, s->max_cmds);
    hba_put16(d + 1466, s->max_sge);
    hba_put32(d + 1468, 8192); /* sectors of a request */
    hba_put16(d + 1472, s->jbod ? 0 : drives);
    hba_put16(d + 1478, drives);
    hba_put16(d + 1480, drives);
    hba_put16(d + 1486, 32);  /* KiB of NVRAM */
    hba_put16(d + 1488, 512); /* MiB of memory */
    hba_put16(d + 1490, 16);
    hba_put16(d + 1498, 42);  /* strips of an I/O, of 1 << 3 sectors ... 1 << 11 */
    hba_put32(d + 1500, 1);   /* RAID 0 */
    hba_put32(d + 1504, 0x1000);
    hba_put32(d + 1508, 0x1f);
    d[1512] = 8;
    d[1513] = 11;
    hba_put32(d + 1520, 3); /* SAS and SATA */
    put_properties(d + PROPERTIES_AT);
    snprintf((char *)d + 1600, 96, "%s", "9.1.0");
    return give(s, addr, frame, d, sizeof(d));
}

/* ---- lists ---- */
static unsigned give_pds(struct megasas *s, uint64_t addr, const uint8_t *frame)
{
    uint8_t d[8 + 24 * MEGASAS_PDS] = {0};
    unsigned n = 0;

    /* Drives that are parts of logical ones are not exposed to the host. */
    for (unsigned t = 0; s->jbod && t < MEGASAS_PDS; t++) {
        uint8_t *e = d + 8 + 24 * n;

        if (!drive(s, t))
            continue;
        hba_put16(e, t);
        hba_put16(e + 2, 0xffff); /* in no enclosure */
        e[5] = (uint8_t)t;
        e[7] = 1;
        hba_put64(e + 8, s->sas_address + 0x100 + t);
        n++;
    }
    hba_put32(d, 8 + 24 * n);
    hba_put32(d + 4, n);
    return give(s, addr, frame, d, 8 + 24 * n);
}

static unsigned give_lds(struct megasas *s, uint64_t addr, const uint8_t *frame)
{
    uint8_t d[8 + 16 * MEGASAS_LDS] = {0};
    unsigned n = 0;

    for (unsigned t = 0; !s->jbod && t < MEGASAS_LDS; t++) {
        if (!drive(s, t))
            continue;
        d[8 + 16 * n] = (uint8_t)t;
        d[8 + 16 * n + 4] = LD_OPTIMAL;
        n++;
    }
    hba_put32(d, n);
    return give(s, addr, frame, d, sizeof(d));
}

static unsigned give_ld_targets(struct megasas *s, uint64_t addr, const uint8_t *frame)
{
    uint8_t d[11 + MEGASAS_LDS] = {0};
    unsigned n = 0;

    for (unsigned t = 0; !s->jbod && t < MEGASAS_LDS; t++) {
        if (drive(s, t))
            d[11 + n++] = (uint8_t)t;
    }
    hba_put32(d, 11 + n);
    hba_put32(d + 4, n);
    return give(s, addr, frame, d, sizeof(d));
}

/* ---- events ---- */
static unsigned give_event_info(struct megasas *s, uint64_t addr, const uint8_t *frame)
{
    uint8_t d[20] = {0};

    hba_put32(d, s->newest);
    hba_put32(d + 4, s->newest > MEGASAS_EVENTS ? s->newest - MEGASAS_EVENTS + 1 : 1);
    return give(s, addr, frame, d, sizeof(d));
}

static bool wanted(const struct megasas *s, const uint8_t *frame, const struct megasas_event *e)
{
    uint32_t classes = hba_get32(frame + F_MBOX + 4);
    unsigned locale = s->jbod ? LOCALE_PD : LOCALE_LD;

    return e->seq && e->seq >= hba_get32(frame + F_MBOX) && (classes & locale) && (int8_t)(classes >> 24) <= 0;
}

static unsigned give_event(struct megasas *s, uint64_t addr, const uint8_t *frame, const struct megasas_event *e)
{
    uint8_t d[EVENT_SIZE] = {0};

    hba_put32(d, e->seq);
    hba_put32(d + 4, 0xff000000u | e->time);
    hba_put32(d + 8, e->code);
    hba_put16(d + 12, s->jbod ? LOCALE_PD : LOCALE_LD);
    d[16] = s->jbod ? ARGS_PD : ARGS_LD;
    hba_put16(d + 32, e->where);
    d[s->jbod ? 35 : 34] = (uint8_t)e->where;
    snprintf((char *)d + 128, 128, "%s %u %s", s->jbod ? "PD" : "VD", e->where,
             e->code == EVENT_PD_INSERTED || e->code == EVENT_LD_CREATED ? "is there" : "is gone");
    return give(s, addr, frame, d, sizeof(d));
}

static unsigned wait_for_event(struct megasas *s, uint64_t addr, const uint8_t *frame)
{
    const struct megasas_event *first = NULL;

    for (unsigned i = 0; i < MEGASAS_EVENTS; i++) {
        const struct megasas_event *e = &s->events[i];

        if (wanted(s, frame, e) && (!first || e->seq < first->seq))
            first = e;
    }
    if (first)
        return give_event(s, addr, frame, first);
    if (s->waits)
        megasas_complete(s, s->wait_addr, s->wait_frame, MFI_NOT_FOUND, 0); /* there is one at a time */
    s->waits = true;
    s->wait_addr = addr;
    memcpy(s->wait_frame, frame, MFI_FRAME);
    return MFI_PENDING;
}

void megasas_event(struct megasas *s, uint32_t code, unsigned target)
{
    struct megasas_event *e = &s->events[++s->newest % MEGASAS_EVENTS];
    uint8_t frame[MFI_FRAME];

    *e = (struct megasas_event){
        .seq = s->newest, .code = code, .where = target,
        .time = (uint32_t)(bp_virtual_ns(bp_device_machine(s->hba.dev)) / 1000000000) & 0xffffff};
    if (!s->waits || !wanted(s, s->wait_frame, e))
        return;
    s->waits = false;
    memcpy(frame, s->wait_frame, MFI_FRAME);
    megasas_complete(s, s->wait_addr, frame, (uint8_t)give_event(s, s->wait_addr, frame, e), 0);
}

/* ---- caches, resets ---- */
unsigned megasas_flush(struct megasas *s, uint64_t addr, const uint8_t *frame, unsigned target)
{
    for (; target < megasas_drives(s); target++) {
        struct hba_command *c = drive(s, target) ? hba_new(&s->hba, addr) : NULL;

        if (!drive(s, target))
            continue;
        if (!c)
            return MFI_NO_MEMORY;
        memcpy(c->frame, frame, MFI_FRAME);
        c->waiting = (void *)(uintptr_t)(target + 1); /* the next one */
        c->request.cdb[0] = SYNCHRONIZE_CACHE;
        c->request.cdb_length = 10;
        if (hba_start(c, 0, target, 0) == 0)
            return MFI_PENDING;
        hba_drop(c);
    }
    return MFI_OK;
}

static unsigned reset_drive(struct megasas *s, const uint8_t *frame)
{
    struct bp_scsi_unit *unit = drive(s, hba_get16(frame + F_MBOX));

    if (!unit)
        return MFI_DEVICE_NOT_FOUND;
    s->hba.scsi->reset_unit(unit);
    return MFI_OK;
}

unsigned megasas_dcmd(struct megasas *s, uint64_t addr, const uint8_t *frame)
{
    uint8_t properties[PROPERTIES_SIZE] = {0};

    switch (hba_get32(frame + F_OPCODE)) {
    case CTRL_GET_INFO: return give_info(s, addr, frame);
    case CTRL_GET_PROPERTIES:
        put_properties(properties);
        return give(s, addr, frame, properties, sizeof(properties));
    case CTRL_EVENT_GET_INFO: return give_event_info(s, addr, frame);
    case CTRL_EVENT_WAIT: return wait_for_event(s, addr, frame);
    case CTRL_SHUTDOWN:
    case CTRL_HIBERNATE:
    case CTRL_CACHE_FLUSH: return megasas_flush(s, addr, frame, 0);
    case PD_GET_LIST:
    case PD_LIST_QUERY: return give_pds(s, addr, frame);
    case LD_GET_LIST: return give_lds(s, addr, frame);
    case LD_LIST_QUERY: return give_ld_targets(s, addr, frame);
    case CLUSTER_RESET_ALL:
        s->hba.scsi->reset_bus(s->hba.bus);
        return MFI_OK;
    case CLUSTER_RESET_LD: return reset_drive(s, frame);
    default:
        bp_guest_error("megasas-dcmd", "megasas: command %#x is not there", hba_get32(frame + F_OPCODE));
        return MFI_INVALID_DCMD;
    }
}
