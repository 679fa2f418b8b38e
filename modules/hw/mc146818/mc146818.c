// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The PC's real-time clock and battery-backed RAM (Motorola MC146818A data sheet): ports 0x70 and
 * 0x71, century at 0x32. The time and all flags are computed when they are looked at; a timer runs
 * only while an interrupt is enabled. With lost_tick_policy=slew periodic interrupts that came while the last
 * one had not been read are counted, and raised again after it was, until the guest has had all of them:
 * systems that count time by them do not fall behind. Left out: daylight saving (bit DSE), the square-wave output,
 * the NMI mask in bit 7 of port 0x70, the second bank of RAM of some chipsets.
 */
#include <errno.h>
#include <time.h>

#include <bp/clock.h>
#include <bp/bus/isa.h>
#include <bp/run.h>
#include <bp/chip/mc146818.h>

#define NS 1000000000ll
#define UIP_NS 244000ll /* update-in-progress goes up so long before the update */
#define LOST_MAX 65536u /* more periodic interrupts than these are not made up for */

BP_USE(isa, struct bp_isa_interface, "isa", 1);

enum {
    RTC_SECONDS, RTC_SECONDS_ALARM, RTC_MINUTES, RTC_MINUTES_ALARM, RTC_HOURS, RTC_HOURS_ALARM,
    RTC_WEEKDAY, RTC_DAY, RTC_MONTH, RTC_YEAR, REG_A, REG_B, REG_C, REG_D, RTC_CENTURY = 0x32,
};

#define A_UIP 0x80u
#define A_DIVIDER 0x70u
#define A_DIVIDER_RUN 0x20u
#define A_RATE 0x0fu
#define B_SET 0x80u
#define B_24H 0x02u
#define B_BINARY 0x04u
#define C_IRQF 0x80u
#define C_PF 0x40u /* the enable bits of register B stand at the same places */
#define C_AF 0x20u
#define C_UF 0x10u

struct rtc {
    uint8_t ram[128];   /* registers A-D and RAM; the time registers while the clock stands */
    uint8_t index;
    uint8_t weekday_shift; /* what the guest set the day of the week ahead by */
    int32_t base_year;
    int64_t offset_seconds; /* guest's clock minus the machine's: this and ... */
    int64_t offset_ns;      /* ... 0..999999999 ns */
    int64_t seen_second; /* up to which second AF and UF have been worked out */
    uint64_t seen_tick;  /* the same for PF, in 1/32768 s of the virtual clock */
    int lost_tick_policy;
    uint32_t lost; /* with "slew": periodic interrupts that are still to be made up for ... */
    int64_t again; /* ... the next one not before this time of the virtual clock */
    struct bp_timer *timer;
    struct bp_irq *irq_out; /* "irq8" */
    struct bp_irq *alarm_out; /* "alarm": its enabled alarm, whoever replaces the interrupt */
    bool irq_off;           /* legacy replacement by an HPET */
};

static bool running(const struct rtc *s)
{
    return !(s->ram[REG_B] & B_SET) && (s->ram[REG_A] & A_DIVIDER) == A_DIVIDER_RUN;
}

struct moment {
    int64_t second, ns; /* since the epoch; ns 0..999999999 */
};

static struct moment split(int64_t ns)
{
    struct moment m = {ns / NS, ns % NS};

    if (m.ns < 0) {
        m.second--;
        m.ns += NS;
    }
    return m;
}

static struct bp_machine *machine_of(const struct rtc *s)
{
    return bp_device_machine(bp_device_of_state((void *)s));
}

static struct moment clock_now(const struct rtc *s)
{
    struct moment m = split(bp_machine_rtc_ns(machine_of(s)) + s->offset_ns);

    m.second += s->offset_seconds;
    return m;
}

static uint64_t tick_now(const struct rtc *s) /* of the 32.768 kHz oscillator */
{
    return (uint64_t)((unsigned __int128)(uint64_t)bp_timer_now(s->timer) * 32768 / NS);
}

/* Ticks between periodic interrupts, 0: off. */
static uint64_t periodic_ticks(const struct rtc *s)
{
    unsigned rate = s->ram[REG_A] & A_RATE;

    if (rate == 0 || (s->ram[REG_A] & A_DIVIDER) != A_DIVIDER_RUN)
        return 0;
    return 1u << (rate < 3 ? rate + 6 : rate - 1);
}

/* ---- representation ---- */
static uint8_t encode(const struct rtc *s, int v)
{
    return (uint8_t)(s->ram[REG_B] & B_BINARY ? v : v / 10 << 4 | v % 10);
}

static int decode(const struct rtc *s, uint8_t v)
{
    return s->ram[REG_B] & B_BINARY ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t encode_hour(const struct rtc *s, int hour)
{
    if (s->ram[REG_B] & B_24H)
        return encode(s, hour);
    return encode(s, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0);
}

static int decode_hour(const struct rtc *s, uint8_t v)
{
    if (s->ram[REG_B] & B_24H)
        return decode(s, v);
    return decode(s, v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

/* Writes the time as it is into the registers. */
static void time_to_registers(struct rtc *s, int64_t second)
{
    time_t t = (time_t)second;
    struct tm tm;
    int year;

    if (!gmtime_r(&t, &tm))
        return;
    year = (tm.tm_year + 1900) % 10000;
    if (year < 0)
        year += 10000;
    s->ram[RTC_SECONDS] = encode(s, tm.tm_sec);
    s->ram[RTC_MINUTES] = encode(s, tm.tm_min);
    s->ram[RTC_HOURS] = encode_hour(s, tm.tm_hour);
    s->ram[RTC_WEEKDAY] = encode(s, (tm.tm_wday + s->weekday_shift) % 7 + 1);
    s->ram[RTC_DAY] = encode(s, tm.tm_mday);
    s->ram[RTC_MONTH] = encode(s, tm.tm_mon + 1);
    s->ram[RTC_YEAR] = encode(s, ((year - s->base_year) % 100 + 100) % 100);
    s->ram[RTC_CENTURY] = (uint8_t)(year / 1000 << 4 | year / 100 % 10);
}

static int64_t registers_to_time(struct rtc *s)
{
    int century = (s->ram[RTC_CENTURY] >> 4) * 10 + (s->ram[RTC_CENTURY] & 15);
    int weekday = decode(s, s->ram[RTC_WEEKDAY]) - 1;
    struct tm tm = {
        .tm_sec = decode(s, s->ram[RTC_SECONDS]),
        .tm_min = decode(s, s->ram[RTC_MINUTES]),
        .tm_hour = decode_hour(s, s->ram[RTC_HOURS]),
        .tm_mday = decode(s, s->ram[RTC_DAY]),
        .tm_mon = decode(s, s->ram[RTC_MONTH]) - 1,
        .tm_year = century * 100 + (s->base_year + decode(s, s->ram[RTC_YEAR])) % 100 - 1900,
    };
    time_t t = timegm(&tm);

    s->weekday_shift = (uint8_t)(((weekday - tm.tm_wday) % 7 + 7) % 7);
    return t;
}

/* ---- alarm ---- */
static bool alarm_field(const struct rtc *s, unsigned reg, int value, bool hour)
{
    uint8_t v = s->ram[reg];

    return v >= 0xc0 || (hour ? decode_hour(s, v) : decode(s, v)) == value;
}

/* The first second after `after` at which the alarm matches; `after` itself when it never does. */
static int64_t next_alarm(const struct rtc *s, int64_t after)
{
    int64_t t = after + 1, limit = t + 86400;

    while (t < limit) {
        int64_t day = ((t % 86400) + 86400) % 86400;

        if (!alarm_field(s, RTC_HOURS_ALARM, (int)(day / 3600), true))
            t += 3600 - day % 3600;
        else if (!alarm_field(s, RTC_MINUTES_ALARM, (int)(day / 60 % 60), false))
            t += 60 - day % 60;
        else if (!alarm_field(s, RTC_SECONDS_ALARM, (int)(day % 60), false))
            t++;
        else
            return t;
    }
    return after;
}

/* ---- flags and interrupts ---- */
/* Periodic interrupts since the last look: one sets the flag, the others are lost, or counted. */
static void count_periodic(struct rtc *s, uint64_t ticks)
{
    uint8_t *c = &s->ram[REG_C];
    bool counts = s->lost_tick_policy && (s->ram[REG_B] & C_PF);

    if (!counts)
        s->lost = 0;
    if (ticks && !(*c & C_PF)) {
        *c |= C_PF;
        ticks--;
    } else if (s->lost && !(*c & C_PF) && bp_timer_now(s->timer) >= s->again) {
        *c |= C_PF;
        s->lost--;
    }
    if (counts)
        s->lost = ticks < LOST_MAX - s->lost ? s->lost + (uint32_t)ticks : LOST_MAX;
}

/* Works out which flags went up since the last look, and drives the line. */
static void refresh(struct rtc *s)
{
    uint64_t tick = tick_now(s), period = periodic_ticks(s);
    uint8_t *c = &s->ram[REG_C];

    count_periodic(s, period ? tick / period - s->seen_tick / period : 0);
    s->seen_tick = tick;
    if (running(s)) {
        int64_t second = clock_now(s).second, alarm;

        if (second > s->seen_second) {
            *c |= C_UF;
            alarm = next_alarm(s, s->seen_second);
            if (alarm > s->seen_second && alarm <= second)
                *c |= C_AF;
        }
        s->seen_second = second;
    }
    if (*c & s->ram[REG_B] & (C_PF | C_AF | C_UF))
        *c |= C_IRQF;
    else
        *c &= (uint8_t)~C_IRQF;
    bp_irq_set(s->alarm_out, (*c & s->ram[REG_B] & C_AF) != 0);
    bp_irq_set(s->irq_out, (*c & C_IRQF) && !s->irq_off);
}

static int64_t tick_to_ns(uint64_t tick)
{
    unsigned __int128 ns = ((unsigned __int128)tick * NS + 32767) / 32768;

    return ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Sets the timer for the next enabled interrupt whose flag is not up yet. */
static void arm(struct rtc *s)
{
    uint8_t wanted = s->ram[REG_B] & (uint8_t)~s->ram[REG_C];
    uint64_t period = periodic_ticks(s);
    int64_t deadline = INT64_MAX, second, wait;

    if ((wanted & C_PF) && period)
        deadline = tick_to_ns((s->seen_tick / period + 1) * period);
    if ((wanted & C_PF) && s->lost)
        deadline = earlier(deadline, s->again);
    if ((wanted & (C_AF | C_UF)) && running(s)) {
        struct moment now = clock_now(s);

        second = wanted & C_UF ? s->seen_second + 1 : next_alarm(s, s->seen_second);
        if (wanted & C_UF || second > s->seen_second) {
            wait = (second - now.second) * NS - now.ns; /* at most a day */
            deadline = earlier(deadline, bp_timer_now(s->timer) + (wait > 0 ? wait : 0));
        }
    }
    if (deadline == INT64_MAX)
        bp_timer_cancel(s->timer);
    else
        bp_timer_set(s->timer, deadline);
}

static void update(struct rtc *s)
{
    refresh(s);
    arm(s);
}

static void timer_due(void *opaque)
{
    update(opaque);
}

/* ---- registers ---- */
static bool is_time_register(unsigned index)
{
    return index == RTC_CENTURY || (index <= RTC_YEAR && (index > RTC_HOURS_ALARM || !(index & 1)));
}

/* Starts the clock from the registers, `ns` into that second. */
static void set_clock(struct rtc *s, int64_t ns)
{
    struct moment host = split(bp_machine_rtc_ns(machine_of(s)));
    int64_t second = registers_to_time(s);

    s->offset_seconds = second - host.second;
    s->offset_ns = ns - host.ns;
    if (s->offset_ns < 0) {
        s->offset_ns += NS;
        s->offset_seconds--;
    }
    s->seen_second = second;
}

static void write_time(struct rtc *s, unsigned index, uint8_t value)
{
    struct moment now = clock_now(s);

    if (!running(s)) {
        s->ram[index] = value;
        return;
    }
    time_to_registers(s, now.second);
    s->ram[index] = value;
    set_clock(s, now.ns);
}

/* Registers A and B decide whether the clock runs. */
static void write_control(struct rtc *s, unsigned index, uint8_t value)
{
    uint64_t period = periodic_ticks(s);
    bool was = running(s), divider_stood = (s->ram[REG_A] & A_DIVIDER) != A_DIVIDER_RUN;
    struct moment now = clock_now(s);

    if (was)
        time_to_registers(s, now.second); /* in the representation of before */
    if (index == REG_A)
        s->ram[REG_A] = value & (uint8_t)~A_UIP;
    else
        s->ram[REG_B] = value & B_SET ? value & (uint8_t)~C_UF : value; /* SET clears UIE */
    if (periodic_ticks(s) != period)
        s->lost = 0;
    if (!was && running(s)) /* a divider that starts makes its first update half a second later */
        set_clock(s, divider_stood ? NS / 2 : now.ns);
}

static void cmos_write(struct rtc *s, uint8_t value)
{
    refresh(s);
    if (is_time_register(s->index))
        write_time(s, s->index, value);
    else if (s->index == REG_A || s->index == REG_B)
        write_control(s, s->index, value);
    else if (s->index != REG_C && s->index != REG_D)
        s->ram[s->index] = value;
    update(s);
}

static uint8_t read_a(const struct rtc *s)
{
    bool uip = running(s) && clock_now(s).ns >= NS - UIP_NS;

    return s->ram[REG_A] | (uip ? A_UIP : 0);
}

static uint8_t cmos_read(struct rtc *s)
{
    uint8_t v;

    if (is_time_register(s->index) && running(s))
        time_to_registers(s, clock_now(s).second);
    switch (s->index) {
    case REG_A:
        return read_a(s);
    case REG_C: /* reading clears all flags */
        refresh(s);
        v = s->ram[REG_C];
        s->ram[REG_C] = 0;
        if (s->lost && (v & C_PF)) /* a quarter of a period leaves the guest time to return from its handler */
            s->again = bp_timer_now(s->timer) + tick_to_ns(periodic_ticks(s)) / 4;
        update(s);
        return v;
    default:
        return s->ram[s->index];
    }
}

static uint64_t rtc_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return addr == 1 ? cmos_read(opaque) : 0xff; /* the index cannot be read */
}

static void rtc_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct rtc *s = opaque;

    (void)size;
    if (addr == 0)
        s->index = (uint8_t)value & 0x7f;
    else
        cmos_write(s, (uint8_t)value);
}

static const struct bp_region_ops rtc_ops = {
    .size = sizeof(rtc_ops), .read = rtc_read, .write = rtc_write, .max_access = 1};

static bool is_sane(const struct rtc *s)
{
    return s->index < sizeof(s->ram) && s->weekday_shift < 7 && s->offset_ns >= 0 &&
           s->offset_ns < NS && s->lost <= LOST_MAX && s->again >= 0 && s->offset_seconds < INT64_MAX / 4 &&
           s->offset_seconds > INT64_MIN / 4;
}

/* The reset pin clears the interrupt enables and flags; time and RAM go on. */
static void rtc_reset(struct bp_device *dev)
{
    struct rtc *s = bp_device_state(dev);

    s->ram[REG_B] &= (uint8_t)~(C_PF | C_AF | C_UF | 0x08);
    s->ram[REG_C] = 0;
    s->lost = 0;
    s->again = 0;
    s->index = 0;
    if (!is_sane(s)) { /* a saved state that was refused half way */
        s->weekday_shift = 0;
        s->offset_ns = s->offset_seconds = 0;
    }
    update(s);
}

static void gate_changed(struct bp_device *dev, unsigned n, int level)
{
    struct rtc *s = bp_device_state(dev);

    (void)n;
    if (s->irq_off == !!level)
        return;
    s->irq_off = level != 0;
    update(s);
}

static int rtc_attach(struct bp_device *dev, struct bp_error *err)
{
    struct rtc *s = bp_device_state(dev);

    bp_device_add_irq_outputs(dev, "irq8", 1);
    bp_device_add_irq_outputs(dev, "alarm", 1);
    bp_device_add_irq_inputs(dev, "gate-irq8", 1, gate_changed);
    s->irq_out = bp_device_irq_output(dev, "irq8", 0);
    s->alarm_out = bp_device_irq_output(dev, "alarm", 0);
    s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, timer_due, s);
    s->ram[REG_A] = A_DIVIDER_RUN | 6; /* 1024 Hz, as firmware leaves it */
    s->ram[REG_B] = B_24H;
    s->ram[REG_D] = 0x80; /* the battery is good */
    s->seen_second = clock_now(s).second;
    s->seen_tick = tick_now(s);
    return isa->add_ports(dev, 0x70, 2, "rtc", &rtc_ops, s, NULL, err);
}

/* Flags are brought up to date when somebody looks; saving looks, so that loading changes nothing. */
static int before_save(void *state, struct bp_error *err)
{
    (void)err;
    update(state);
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct rtc *s = state;

    (void)version;
    if (!is_sane(s))
        return bp_fail(err, EINVAL, "mc146818rtc: saved state is out of range");
    update(s);
    return 0;
}

static const struct bp_state_field rtc_fields[] = {
    BP_SAVE_BUFFER(struct rtc, ram),
    BP_SAVE(UINT8, struct rtc, index),
    BP_SAVE(UINT8, struct rtc, weekday_shift),
    BP_SAVE(UINT64, struct rtc, offset_seconds),
    BP_SAVE(UINT64, struct rtc, offset_ns),
    BP_SAVE(UINT64, struct rtc, seen_second),
    BP_SAVE(UINT64, struct rtc, seen_tick),
    BP_SAVE(BOOL, struct rtc, irq_off),
    BP_SAVE(UINT32, struct rtc, lost),
    BP_SAVE(UINT64, struct rtc, again),
    BP_SAVE_END,
};
static const struct bp_state_table rtc_table = {.version = 1, .oldest = 1, .fields = rtc_fields,
                                                .before_save = before_save,
                                                .after_load = after_load};

static const char *const policies[] = {"discard", "slew", NULL};
static const struct bp_schema policy_schema = {.name = "RtcLostTickPolicy", .kind = BP_KIND_ENUM,
                                               .choices = policies};
static const struct bp_field rtc_props[] = {
    BP_PROP_RANGE("base_year", INT32, struct rtc, base_year, "2000", 0, 9900,
                  "year that year register 0 stands for"),
    BP_PROP_ENUM("lost_tick_policy", &policy_schema, struct rtc, lost_tick_policy, "discard",
                 "periodic interrupts that the guest was too late for are dropped, or made up for"),
    BP_FIELDS_END,
};

BP_BOARD_DEVICE(rtc_class, "mc146818rtc", "isa", "Real-time clock and CMOS RAM", struct rtc,
                rtc_props, &rtc_table, .category = "misc", .attach = rtc_attach,
                .reset = rtc_reset);

static void nvram_set(struct bp_device *dev, unsigned index, uint8_t value)
{
    struct rtc *s = bp_device_state(dev);

    if (index > REG_D && index < sizeof(s->ram) && index != RTC_CENTURY)
        s->ram[index] = value;
}

static const struct bp_rtc_nvram_interface nvram_table = {
    .size = sizeof(struct bp_rtc_nvram_interface), .set = nvram_set};
BP_INTERFACE(nvram_interface, "rtc-nvram", 1, 0, &nvram_table);

static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), {0}};
BP_MODULE("hw-mc146818", "Real-time clock and CMOS RAM", imports,
          {BP_PROVIDE_DEVICE, &rtc_class}, {BP_PROVIDE_INTERFACE, &nvram_interface});
