/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a simulated BMC keeps: inventory (IPMI 2.0, chapter 34), sensor data records (33) and the event log (31, 32).
 * The records come from a file or are those of the watchdog; inventory that a guest writes lasts as long as the
 * machine.
 */
#include "bmc-sim.h"

#include <bp/run.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STORAGE = 0x0a };
#define SDR_HEADER 5u
#define LAST 0xffffu /* id of what follows the last one, or names it */

static unsigned get16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

/* ---- files ---- */

/* Up to `most` bytes of it; malloc'd. */
static int read_file(const char *what, const char *path, uint32_t most, uint8_t **ret_data, uint32_t *ret_size,
                     struct bp_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    uint8_t *data = NULL;
    uint32_t size = 0;
    int r = 0;

    if (fd < 0)
        return bp_fail(err, errno, "%s: cannot open '%.200s': %s", what, path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > most)
        r = bp_fail(err, EINVAL, "%s: '%.200s' is no file of at most %u bytes", what, path, most);
    if (r == 0 && !(data = malloc((size_t)st.st_size + 1)))
        r = bp_fail(err, ENOMEM, "%s: no memory", what);
    while (r == 0 && size < st.st_size) {
        ssize_t n = read(fd, data + size, (size_t)st.st_size - size);

        if (n <= 0)
            r = bp_fail(err, n < 0 ? errno : EIO, "%s: '%.200s' cannot be read", what, path);
        else
            size += (uint32_t)n;
    }
    close(fd);
    if (r < 0) {
        free(data);
        return r;
    }
    *ret_data = data;
    *ret_size = size;
    return 0;
}

static int check_records(struct sim *s, struct bp_error *err)
{
    uint32_t at = 0;

    while (at < s->sdr_size) {
        if (s->sdr_size - at < SDR_HEADER || s->sdr_size - at - SDR_HEADER < s->sdr[at + 4])
            return bp_fail(err, EINVAL, "sdrfile: '%.200s' ends within a record, at byte %u: it has raw records of "
                           "5 bytes "
                           "and as many as the fifth says", s->sdrfile, at);
        at += SDR_HEADER + s->sdr[at + 4];
    }
    return 0;
}

/* A compact record (43.2): sensor 1, "Watchdog". */
static int own_records(struct sim *s, struct bp_error *err)
{
    static const uint8_t watchdog[] = {
        0x01, 0x00, 0x51, 0x02, 35, 0x20, 0x00, 0x01, 0x06, 0x01, 0x63, 0x00, 0x23, 0x6f, 0x0f, 0x01, 0x0f, 0x01, 0x0f,
        0x01, 0xc0, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc8,
        'W', 'a', 't', 'c', 'h', 'd', 'o', 'g'};

    s->sdr = malloc(sizeof(watchdog));
    if (!s->sdr)
        return bp_fail(err, ENOMEM, "no memory for sensor data records");
    memcpy(s->sdr, watchdog, sizeof(watchdog));
    s->sdr_size = sizeof(watchdog);
    return 0;
}

int sim_storage_open(struct sim *s, struct bp_error *err)
{
    uint8_t *data = NULL;
    uint32_t size = 0;
    int r = s->sdrfile ? read_file("sdrfile", s->sdrfile, SIM_SDR_MOST, &s->sdr, &s->sdr_size, err)
                       : own_records(s, err);

    if (r == 0 && s->sdrfile)
        r = check_records(s, err);
    if (r == 0 && s->frudatafile)
        r = read_file("frudatafile", s->frudatafile, s->fru_size, &data, &size, err);
    if (r == 0 && !(s->fru = calloc(1, s->fru_size)))
        r = bp_fail(err, ENOMEM, "no memory for an inventory area of %u bytes", s->fru_size);
    if (r == 0 && data)
        memcpy(s->fru, data, size);
    free(data);
    s->sel_next = 1;
    if (r < 0)
        sim_storage_close(s);
    return r;
}

void sim_storage_close(struct sim *s)
{
    free(s->sdr);
    free(s->fru);
    s->sdr = s->fru = NULL;
    s->sdr_size = 0;
}

/* ---- inventory ---- */

static uint8_t fru_info(struct sim *s, struct sim_call *c)
{
    if (c->data[0] != 0)
        return IPMI_NOT_PRESENT;
    sim_put16(c, s->fru_size);
    sim_put(c, 0); /* counted in bytes */
    return IPMI_OK;
}

static uint8_t read_fru(struct sim *s, struct sim_call *c)
{
    unsigned at = get16(c->data + 1), count = c->data[3];

    if (c->data[0] != 0)
        return IPMI_NOT_PRESENT;
    if (at >= s->fru_size)
        return IPMI_OUT_OF_RANGE;
    if (count > s->fru_size - at)
        count = s->fru_size - at;
    if (count > 240)
        return IPMI_TOO_MANY;
    sim_put(c, count);
    for (unsigned i = 0; i < count; i++)
        sim_put(c, s->fru[at + i]);
    return IPMI_OK;
}

static uint8_t write_fru(struct sim *s, struct sim_call *c)
{
    unsigned at = get16(c->data + 1), count = c->len - 3;

    if (c->data[0] != 0)
        return IPMI_NOT_PRESENT;
    if (at > s->fru_size || count > s->fru_size - at)
        return IPMI_OUT_OF_RANGE;
    memcpy(s->fru + at, c->data + 3, count);
    sim_put(c, count);
    return IPMI_OK;
}

/* ---- sensor data records ---- */

static uint32_t record_size(const struct sim *s, uint32_t at)
{
    return SDR_HEADER + s->sdr[at + 4];
}

static uint8_t sdr_info(struct sim *s, struct sim_call *c)
{
    unsigned count = 0;

    for (uint32_t at = 0; at < s->sdr_size; at += record_size(s, at))
        count++;
    sim_put(c, 0x51);
    sim_put16(c, count);
    sim_put16(c, 0); /* no room for others */
    sim_put32(c, 0);
    sim_put32(c, 0);
    sim_put(c, 0x02); /* reservations */
    return IPMI_OK;
}

static uint8_t reserve_sdr(struct sim *s, struct sim_call *c)
{
    if (++s->sdr_reservation == 0)
        s->sdr_reservation = 1;
    sim_put16(c, s->sdr_reservation);
    return IPMI_OK;
}

static uint8_t get_sdr(struct sim *s, struct sim_call *c)
{
    unsigned reservation = get16(c->data), id = get16(c->data + 2), offset = c->data[4], count = c->data[5];
    uint32_t at = 0, size, next;

    if (offset && reservation != s->sdr_reservation)
        return IPMI_RESERVATION;
    while (at < s->sdr_size && id != 0 && get16(s->sdr + at) != id &&
           !(id == LAST && at + record_size(s, at) >= s->sdr_size))
        at += record_size(s, at);
    if (at >= s->sdr_size)
        return IPMI_NOT_PRESENT;
    size = record_size(s, at);
    next = at + size;
    if (offset > size)
        return IPMI_OUT_OF_RANGE;
    if (count == 0xff || count > size - offset)
        count = size - offset;
    if (count > 240)
        return IPMI_TOO_MANY;
    sim_put16(c, next < s->sdr_size ? get16(s->sdr + next) : LAST);
    for (unsigned i = 0; i < count; i++)
        sim_put(c, s->sdr[at + offset + i]);
    return IPMI_OK;
}

/* ---- event log ---- */

static uint32_t log_time(const struct sim *s)
{
    return (uint32_t)(bp_machine_rtc_ns(bp_device_machine(s->dev)) / 1000000000 + s->sel_offset);
}

static uint8_t *new_entry(struct sim *s)
{
    uint8_t *e;

    if (s->sel_count == SIM_SEL_MOST) {
        s->sel_overflow = true;
        return NULL;
    }
    e = s->sel[s->sel_count++];
    e[0] = (uint8_t)s->sel_next;
    e[1] = (uint8_t)(s->sel_next >> 8);
    if (++s->sel_next >= LAST)
        s->sel_next = 1;
    s->sel_added = log_time(s);
    return e;
}

static void put_time(uint8_t *e, uint32_t t)
{
    for (unsigned i = 0; i < 4; i++)
        e[3 + i] = (uint8_t)(t >> 8 * i);
}

void sim_log(struct sim *s, uint8_t sensor_type, uint8_t sensor, uint8_t event_type, uint8_t data1, uint8_t data2)
{
    uint8_t *e = new_entry(s);

    if (!e)
        return;
    e[2] = 0x02; /* system event */
    put_time(e, log_time(s));
    e[7] = ipmi_bmc_of(s->dev)->slave_addr;
    e[8] = 0;
    e[9] = 0x04;
    e[10] = sensor_type;
    e[11] = sensor;
    e[12] = event_type;
    e[13] = data1;
    e[14] = data2;
    e[15] = 0xff;
}

static uint8_t sel_info(struct sim *s, struct sim_call *c)
{
    sim_put(c, 0x51);
    sim_put16(c, s->sel_count);
    sim_put16(c, (SIM_SEL_MOST - s->sel_count) * 16);
    sim_put32(c, s->sel_added);
    sim_put32(c, s->sel_erased);
    sim_put(c, 0x02 | (s->sel_overflow ? 0x80 : 0));
    return IPMI_OK;
}

static uint8_t reserve_sel(struct sim *s, struct sim_call *c)
{
    if (++s->sel_reservation == 0)
        s->sel_reservation = 1;
    sim_put16(c, s->sel_reservation);
    return IPMI_OK;
}

static int find_entry(const struct sim *s, unsigned id)
{
    if (s->sel_count == 0)
        return -1;
    if (id == 0)
        return 0;
    if (id == LAST)
        return s->sel_count - 1;
    for (int i = 0; i < s->sel_count; i++) {
        if (get16(s->sel[i]) == id)
            return i;
    }
    return -1;
}

static uint8_t get_entry(struct sim *s, struct sim_call *c)
{
    unsigned reservation = get16(c->data), offset = c->data[4], count = c->data[5];
    int n = find_entry(s, get16(c->data + 2));

    if (n < 0)
        return IPMI_NOT_PRESENT;
    if (offset && reservation != s->sel_reservation)
        return IPMI_RESERVATION;
    if (offset > 15)
        return IPMI_OUT_OF_RANGE;
    if (count > 16 - offset)
        count = 16 - offset;
    sim_put16(c, n + 1 < s->sel_count ? get16(s->sel[n + 1]) : LAST);
    for (unsigned i = 0; i < count; i++)
        sim_put(c, s->sel[n][offset + i]);
    return IPMI_OK;
}

static uint8_t add_entry(struct sim *s, struct sim_call *c)
{
    uint8_t *e = new_entry(s);

    if (!e)
        return IPMI_NO_SPACE;
    memcpy(e + 2, c->data + 2, 14);
    if (e[2] < 0xe0)
        put_time(e, log_time(s));
    sim_put16(c, get16(e));
    return IPMI_OK;
}

static uint8_t delete_entry(struct sim *s, struct sim_call *c)
{
    int n = find_entry(s, get16(c->data + 2));

    if (get16(c->data) && get16(c->data) != s->sel_reservation)
        return IPMI_RESERVATION;
    if (n < 0)
        return IPMI_NOT_PRESENT;
    sim_put16(c, get16(s->sel[n]));
    memmove(s->sel[n], s->sel[n + 1], (size_t)(s->sel_count - n - 1) * 16);
    s->sel_count--;
    s->sel_erased = log_time(s);
    return IPMI_OK;
}

static uint8_t clear_log(struct sim *s, struct sim_call *c)
{
    if (get16(c->data) != s->sel_reservation)
        return IPMI_RESERVATION;
    if (memcmp(c->data + 2, "CLR", 3) != 0 || (c->data[5] != 0xaa && c->data[5] != 0))
        return IPMI_BAD_FIELD;
    if (c->data[5] == 0xaa) {
        s->sel_count = 0;
        s->sel_overflow = false;
        s->sel_erased = log_time(s);
    }
    sim_put(c, 1); /* done */
    return IPMI_OK;
}

static uint8_t get_log_time(struct sim *s, struct sim_call *c)
{
    sim_put32(c, log_time(s));
    return IPMI_OK;
}

static uint8_t set_log_time(struct sim *s, struct sim_call *c)
{
    uint32_t t = get16(c->data) | (uint32_t)get16(c->data + 2) << 16;

    s->sel_offset += (int64_t)t - log_time(s);
    return IPMI_OK;
}

const struct sim_command sim_storage_commands[] = {
    {STORAGE, 0x10, 1, fru_info}, {STORAGE, 0x11, 4, read_fru}, {STORAGE, 0x12, 3, write_fru},
    {STORAGE, 0x20, 0, sdr_info}, {STORAGE, 0x22, 0, reserve_sdr}, {STORAGE, 0x23, 6, get_sdr},
    {STORAGE, 0x40, 0, sel_info}, {STORAGE, 0x42, 0, reserve_sel}, {STORAGE, 0x43, 6, get_entry},
    {STORAGE, 0x44, 16, add_entry}, {STORAGE, 0x46, 4, delete_entry}, {STORAGE, 0x47, 6, clear_log},
    {STORAGE, 0x48, 0, get_log_time}, {STORAGE, 0x49, 4, set_log_time}, {0, 0, 0, NULL}};
