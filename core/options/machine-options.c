/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Options that describe the machine: board, processor, accelerator, memory, topology, kernel,
 * identity, clock and what happens at its end. They fill bpc_config; values that only the board
 * can judge are checked when it is made.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include <glib.h>

#include "config.h"
#include "machine.h"
#include "options.h"
#include "registry.h"
#include "text.h"

#define MIB (UINT64_C(1) << 20)
/* As core/memory has it for one block. */
#define BPC_RAM_MOST (UINT64_C(1) << 46)

static void replace(char **slot, const char *text)
{
    char *copy = g_strdup(text);

    g_free(*slot);
    *slot = copy;
}

/* ---- -machine ---- */

static const struct bp_field machine_keys[] = {
    BP_ARG_OPT("type", STRING, "name of the board; help lists them"),
    BP_ARG_OPT("accel", STRING, "accelerators to try in turn, as A:B:C"),
    BP_ARG_OPT("kernel", STRING, "as -kernel"),
    BP_ARG_OPT("initrd", STRING, "as -initrd"),
    BP_ARG_OPT("append", STRING, "as -append"),
    BP_ARG_OPT("firmware", STRING, "as -bios"),
    BP_ARG_OPT("kernel-irqchip", STRING, "as that key of the accelerator: on, off, split"),
    BP_FIELDS_END,
};

/* `option`: a constant. */
static void add_accel(const char *option, struct bp_value *dict)
{
    bpc_config.accel_option = option;
    if (!bpc_config.accels)
        bpc_config.accels = bp_value_list();
    bp_value_append(bpc_config.accels, dict);
}

static int take_board_key(const char *key, struct bp_value *member, void *opaque)
{
    (void)opaque;
    for (const struct bp_field *f = machine_keys; f->name; f++) {
        if (strcmp(f->name, key) == 0)
            return 0;
    }
    if (strcmp(key, "kernel_irqchip") == 0) { /* its old spelling */
        replace(&bpc_config.kernel_irqchip, bp_value_as_string(member));
        return 0;
    }
    if (!bpc_config.board_props)
        bpc_config.board_props = bp_value_dict();
    bp_value_set(bpc_config.board_props, key, bp_value_ref(member));
    return 0;
}

static int apply_machine(struct bp_value *args, struct bp_error *err)
{
    const char *accel = bp_value_get_string(args, "accel");
    const char *type = bp_value_get_string(args, "type");

    bpc_config.absent_property = bpc_not_built_property;
    if (type) {
        const void *board;
        int ret = bpc_require(BP_PROVIDE_BOARD, type, &board, err);

        if (ret == -ENOENT) {
            char hint[BPC_HINT_SIZE];

            bpc_missing_hint(BP_PROVIDE_BOARD, type, hint, sizeof(hint));
            return bp_fail(err, ENOENT, "there is no machine '%.100s'%s; -machine help lists them",
                           type, hint);
        }
        if (ret < 0)
            return ret;
        replace(&bpc_config.board, type);
    }
    if (bp_value_has(args, "kernel"))
        replace(&bpc_config.kernel, bp_value_get_string(args, "kernel"));
    if (bp_value_has(args, "initrd"))
        replace(&bpc_config.initrd, bp_value_get_string(args, "initrd"));
    if (bp_value_has(args, "append"))
        replace(&bpc_config.append, bp_value_get_string(args, "append"));
    if (bp_value_has(args, "firmware"))
        replace(&bpc_config.bios, bp_value_get_string(args, "firmware"));
    if (bp_value_has(args, "kernel-irqchip"))
        replace(&bpc_config.kernel_irqchip, bp_value_get_string(args, "kernel-irqchip"));
    if (accel) {
        if (bpc_options_given("accel"))
            return bp_fail(err, EINVAL, "key 'accel' cannot be used together with -accel");
        char **names = g_strsplit(accel, ":", 16);

        if (!names[0]) {
            g_strfreev(names);
            return bp_fail(err, EINVAL, "key 'accel': the name of an accelerator is missing; "
                           "-accel help lists them");
        }
        for (char **n = names; *n; n++) {
            struct bp_value *dict = bp_value_dict();

            bp_value_set(dict, "accel", bp_value_string(*n));
            add_accel("-machine accel", dict);
        }
        g_strfreev(names);
    }
    bp_value_each(args, take_board_key, NULL);
    return 0;
}

BP_OPTION(option_machine, "machine", "selects the emulated machine (-machine help lists them)",
          .alias = "M", .arg = "[type=]name[,prop=value...]", .group = "Standard options",
          .phase = BP_PHASE_MACHINE, .keys = machine_keys, .implied = "type", .any_keys = true,
          .merge = true, .apply = apply_machine);

/* ---- -cpu, -accel ---- */

static int apply_cpu(struct bp_value *args, struct bp_error *err)
{
    const char *text = bp_value_as_string(args);
    const struct bp_cpu_class *class;
    char *model;
    int ret;

    if (!*text || *text == ',')
        return bp_fail(err, EINVAL, "the name of a CPU model is missing; -cpu help lists them");
    model = g_strndup(text, strcspn(text, ","));
    ret = bpc_cpu_find_model(model, &class, err);
    g_free(model);
    if (ret < 0)
        return ret;
    replace(&bpc_config.cpu, text);
    return 0;
}

BP_OPTION(option_cpu, "cpu", "selects the CPU model (-cpu help lists them)",
          .arg = "model[,feature=on|off...]", .group = "Standard options",
          .phase = BP_PHASE_MACHINE, .apply = apply_cpu);

static const struct bp_field accel_keys[] = {
    BP_ARG("accel", STRING, "name of the accelerator; help lists them"),
    BP_FIELDS_END,
};

static int apply_accel(struct bp_value *args, struct bp_error *err)
{
    (void)err;
    add_accel("-accel", bp_value_copy(args));
    return 0;
}

BP_OPTION(option_accel, "accel", "selects the accelerator; several are tried in turn",
          .arg = "[accel=]name[,prop=value...]", .group = "Standard options",
          .phase = BP_PHASE_MACHINE, .keys = accel_keys, .implied = "accel", .any_keys = true,
          .apply = apply_accel);

static int apply_enable_kvm(struct bp_value *args, struct bp_error *err)
{
    struct bp_value *dict = bp_value_dict();

    (void)args;
    (void)err;
    bp_value_set(dict, "accel", bp_value_string("kvm"));
    add_accel("-enable-kvm", dict);
    return 0;
}

BP_OPTION(option_enable_kvm, "enable-kvm", "as -accel kvm", .group = "Standard options",
          .phase = BP_PHASE_MACHINE, .apply = apply_enable_kvm);

/* ---- switches of the board by names of their own ---- */

#define BOARD_OPTION(IDENT, NAME, HELP, KEY, VALUE) \
    static int apply_##IDENT(struct bp_value *args, struct bp_error *err) \
    { \
        (void)args; \
        (void)err; \
        bpc_config.absent_property = bpc_not_built_property; \
        if (!bpc_config.board_props) \
            bpc_config.board_props = bp_value_dict(); \
        bp_value_set(bpc_config.board_props, KEY, bp_value_string(VALUE)); \
        return 0; \
    } \
    BP_OPTION(option_##IDENT, NAME, HELP, .group = "Standard options", \
              .phase = BP_PHASE_MACHINE, .apply = apply_##IDENT)
BOARD_OPTION(usb, "usb", "as -machine usb=on", "usb", "on");
BOARD_OPTION(no_fd_bootchk, "no-fd-bootchk", "as -machine fd-bootchk=off", "fd-bootchk", "off");
BOARD_OPTION(no_acpi, "no-acpi", "as -machine acpi=off", "acpi", "off");
BOARD_OPTION(no_hpet, "no-hpet", "as -machine hpet=off", "hpet", "off");

/* ---- -m, -smp ---- */

static const struct bp_field memory_keys[] = {
    BP_ARG_OPT("size", STRING, "memory at start, in MiB unless a suffix b, k, M, G or T says else"),
    {.name = "slots", .kind = BP_KIND_UINT32, .flags = BP_FIELD_OPTIONAL, .min = 0, .max = 256,
     .help = "slots for memory that is plugged in later"},
    BP_ARG_OPT("maxmem", SIZE, "largest size that memory can grow to"),
    BP_FIELDS_END,
};

static int apply_memory(struct bp_value *args, struct bp_error *err)
{
    const char *text = bp_value_get_string(args, "size");
    uint64_t size = bpc_config.ram_size, max;

    if (text && bpc_text_size(text, MIB, &size) < 0)
        return bp_fail(err, EINVAL, "key 'size': '%.60s' is not a memory size; accepted: a number, "
                       "in MiB, or with a suffix b, k, M, G, T; 0: the machine's default", text);
    if (size > BPC_RAM_MOST)
        return bp_fail(err, ERANGE, "key 'size': at most %lluT are accepted",
                       (unsigned long long)(BPC_RAM_MOST >> 40));
    max = bp_value_has(args, "maxmem") ? bp_value_as_uint(bp_value_get(args, "maxmem")) : 0;
    if (max > BPC_RAM_MOST)
        return bp_fail(err, ERANGE, "key 'maxmem': at most %lluT are accepted",
                       (unsigned long long)(BPC_RAM_MOST >> 40));
    bpc_config.ram_size = size;
    bpc_config.ram_max = max;
    bpc_config.ram_slots = (unsigned)bp_value_as_uint(bp_value_get(args, "slots"));
    return 0;
}

BP_OPTION(option_m, "m", "memory of the guest, in MiB unless a suffix says else",
          .arg = "[size=]megs[,slots=n,maxmem=size]", .group = "Standard options",
          .phase = BP_PHASE_MACHINE, .keys = memory_keys, .implied = "size", .merge = true,
          .apply = apply_memory);

#define SMP_KEY(NAME, HELP) \
    {.name = NAME, .kind = BP_KIND_UINT32, .flags = BP_FIELD_OPTIONAL, .min = 1, .max = 4096, \
     .help = HELP}
#define SMP_ONE(NAME) \
    {.name = NAME, .kind = BP_KIND_UINT32, .flags = BP_FIELD_OPTIONAL, .min = 1, .max = 1, \
     .help = "1: no machine here has them"}
static const struct bp_field smp_keys[] = {
    SMP_KEY("cpus", "CPUs at start"),
    SMP_KEY("maxcpus", "CPUs there can be"),
    SMP_KEY("sockets", "sockets of the board"),
    SMP_KEY("dies", "dies of a socket"),
    SMP_KEY("clusters", "clusters of a die"),
    SMP_KEY("modules", "modules of a cluster"),
    SMP_KEY("cores", "cores of a module"),
    SMP_KEY("threads", "threads of a core"),
    SMP_ONE("drawers"),
    SMP_ONE("books"),
    BP_FIELDS_END,
};

static int apply_smp(struct bp_value *args, struct bp_error *err)
{
    struct bp_smp *smp = &bpc_config.smp;

    if (bp_value_length(args) == 0)
        return bp_fail(err, EINVAL, "the number of CPUs is missing");
    smp->cpus = (unsigned)bp_value_as_uint(bp_value_get(args, "cpus"));
    smp->max_cpus = (unsigned)bp_value_as_uint(bp_value_get(args, "maxcpus"));
    smp->sockets = (unsigned)bp_value_as_uint(bp_value_get(args, "sockets"));
    smp->dies = (unsigned)bp_value_as_uint(bp_value_get(args, "dies"));
    smp->clusters = (unsigned)bp_value_as_uint(bp_value_get(args, "clusters"));
    smp->modules = (unsigned)bp_value_as_uint(bp_value_get(args, "modules"));
    smp->cores = (unsigned)bp_value_as_uint(bp_value_get(args, "cores"));
    smp->threads = (unsigned)bp_value_as_uint(bp_value_get(args, "threads"));
    return 0;
}

BP_OPTION(option_smp, "smp", "number and topology of CPUs",
          .arg = "[[cpus=]n][,maxcpus=n][,sockets=n][,dies=n][,clusters=n][,modules=n][,cores=n][,threads=n]",
          .group = "Standard options", .phase = BP_PHASE_MACHINE, .keys = smp_keys,
          .implied = "cpus", .merge = true, .apply = apply_smp);

/* ---- -kernel, -initrd, -append ---- */

#define TEXT_OPTION(IDENT, NAME, ARG, GROUP, HELP, FIELD) \
    static int apply_##IDENT(struct bp_value *args, struct bp_error *err) \
    { \
        (void)err; \
        replace(&bpc_config.FIELD, bp_value_as_string(args)); \
        return 0; \
    } \
    BP_OPTION(option_##IDENT, NAME, HELP, .arg = ARG, .group = GROUP, .phase = BP_PHASE_MACHINE, \
              .apply = apply_##IDENT)
TEXT_OPTION(kernel, "kernel", "file", "Boot options", "Linux kernel to start directly", kernel);
TEXT_OPTION(initrd, "initrd", "file", "Boot options", "its initial RAM disk", initrd);
TEXT_OPTION(append, "append", "text", "Boot options", "its command line", append);
TEXT_OPTION(bios, "bios", "file", "Boot options", "firmware, in place of the machine's own (see -L)", bios);

static const struct bp_field option_rom_keys[] = {
    BP_ARG("romfile", STRING, "file with the ROM"),
    {.name = "bootindex", .kind = BP_KIND_INT32, .flags = BP_FIELD_OPTIONAL, .min = 0, .max = INT32_MAX,
     .help = "its place in the order of booting"},
    BP_FIELDS_END,
};

static int apply_option_rom(struct bp_value *args, struct bp_error *err)
{
    unsigned n = bpc_config.option_rom_count;
    struct bpc_option_rom *rom;

    if (n == BPC_MAX_OPTION_ROMS)
        return bp_fail(err, E2BIG, "at most %u can be given", BPC_MAX_OPTION_ROMS);
    bpc_config.option_roms = g_realloc_n(bpc_config.option_roms, n + 1, sizeof(*rom));
    rom = &bpc_config.option_roms[n];
    rom->path = g_strdup(bp_value_get_string(args, "romfile"));
    rom->bootindex = bp_value_has(args, "bootindex")
                         ? (int32_t)bp_value_as_int(bp_value_get(args, "bootindex")) : -1;
    bpc_config.option_rom_count++;
    return 0;
}
BP_OPTION(option_option_rom, "option-rom", "a ROM that firmware runs, as if a card had brought it",
          .arg = "[romfile=]file[,bootindex=n]", .group = "Boot options", .phase = BP_PHASE_MACHINE,
          .keys = option_rom_keys, .implied = "romfile", .apply = apply_option_rom);

TEXT_OPTION(mem_path, "mem-path", "path", "Standard options",
            "guest memory lies in a file that is made in this folder", mem_path);

static int apply_mem_prealloc(struct bp_value *args, struct bp_error *err)
{
    (void)args, (void)err;
    bpc_config.mem_prealloc = true;
    return 0;
}
BP_OPTION(option_mem_prealloc, "mem-prealloc", "guest memory is allocated at once",
          .group = "Standard options", .phase = BP_PHASE_MACHINE, .apply = apply_mem_prealloc);

static const struct bp_field boot_keys[] = {
    BP_ARG_OPT("order", STRING, "drive letters in the order to boot from"),
    BP_ARG_OPT("once", STRING, "the same for the first start only"),
    BP_ARG_OPT("menu", BOOL, "firmware shows a boot menu"),
    BP_ARG_OPT("splash", STRING, "picture that firmware shows, JPEG or BMP"),
    {.name = "splash-time", .kind = BP_KIND_INT32, .flags = BP_FIELD_OPTIONAL, .min = 0, .max = 65535,
     .help = "how long, in ms"},
    {.name = "reboot-timeout", .kind = BP_KIND_INT32, .flags = BP_FIELD_OPTIONAL, .min = -1, .max = 65535,
     .help = "ms until a failed boot is tried again; -1: never"},
    BP_ARG_OPT("strict", BOOL, "boot only from devices with a bootindex"),
    BP_FIELDS_END,
};

static int check_drives(const char *key, const char *letters, struct bp_error *err)
{
    for (const char *p = letters; p && *p; p++) {
        if (*p < 'a' || *p > 'p')
            return bp_fail(err, EINVAL, "key '%s': '%.60s' is not a list of drive letters; "
                           "accepted: letters from a to p", key, letters);
        if (strchr(p + 1, *p))
            return bp_fail(err, EINVAL, "key '%s': drive '%c' is named twice", key, *p);
    }
    return 0;
}

static int apply_boot(struct bp_value *args, struct bp_error *err)
{
    const char *order = bp_value_get_string(args, "order"), *once = bp_value_get_string(args, "once");
    struct bp_boot *boot = &bpc_config.boot;
    int ret = check_drives("order", order, err);

    if (ret == 0)
        ret = check_drives("once", once, err);
    if (ret < 0)
        return ret;
    if (order)
        replace(&boot->order, order);
    if (once)
        replace(&boot->once, once);
    if (bp_value_has(args, "splash"))
        replace(&boot->splash, bp_value_get_string(args, "splash"));
    boot->menu_given = bp_value_has(args, "menu");
    boot->menu = bp_value_as_bool(bp_value_get(args, "menu"));
    boot->strict = bp_value_as_bool(bp_value_get(args, "strict"));
    if (bp_value_has(args, "splash-time"))
        boot->splash_time = (int32_t)bp_value_as_int(bp_value_get(args, "splash-time"));
    if (bp_value_has(args, "reboot-timeout"))
        boot->reboot_timeout = (int32_t)bp_value_as_int(bp_value_get(args, "reboot-timeout"));
    return 0;
}

BP_OPTION(option_boot, "boot", "order of drives to boot from, menu",
          .arg = "[order=drives][,once=drives][,menu=on|off][,splash=file][,splash-time=ms]"
                 "[,reboot-timeout=ms][,strict=on|off]",
          .group = "Standard options", .phase = BP_PHASE_MACHINE, .keys = boot_keys,
          .implied = "order", .merge = true, .apply = apply_boot);

/* ---- -uuid, -rtc ---- */

static int apply_uuid(struct bp_value *args, struct bp_error *err)
{
    const char *text = bp_value_as_string(args);
    uint8_t bytes[16];
    unsigned n = 0;

    for (const char *p = text; n < 32 && *p; p++) {
        size_t at = (size_t)(p - text);

        if (*p == '-' && (at == 8 || at == 13 || at == 18 || at == 23))
            continue;
        if (!isxdigit((unsigned char)*p))
            break;
        uint8_t digit = (uint8_t)g_ascii_xdigit_value(*p);
        bytes[n / 2] = n % 2 ? (uint8_t)(bytes[n / 2] | digit) : (uint8_t)(digit << 4);
        n++;
    }
    if (n != 32 || strlen(text) != 36)
        return bp_fail(err, EINVAL, "not a UUID; accepted: 8-4-4-4-12 hexadecimal digits");
    memcpy(bpc_config.uuid, bytes, 16);
    bpc_config.uuid_set = true;
    return 0;
}

BP_OPTION(option_uuid, "uuid", "the machine's UUID", .arg = "uuid", .group = "Standard options",
          .phase = BP_PHASE_EARLY, .apply = apply_uuid);

static const char *const rtc_clocks[] = {"host", "rt", "vm", NULL};
static const struct bp_schema rtc_clock = {.name = "clock", .kind = BP_KIND_ENUM,
                                           .choices = rtc_clocks};
static const char *const rtc_fixes[] = {"none", "slew", NULL};
static const struct bp_schema rtc_fix = {.name = "driftfix", .kind = BP_KIND_ENUM,
                                         .choices = rtc_fixes};
static const struct bp_field rtc_keys[] = {
    BP_ARG_OPT("base", STRING, "utc, localtime, or a date such as 2006-06-17T16:01:21"),
    BP_ARG_TYPED("clock", ENUM, &rtc_clock, BP_FIELD_OPTIONAL, "what drives the RTC"),
    BP_ARG_TYPED("driftfix", ENUM, &rtc_fix, BP_FIELD_OPTIONAL, "re-inject missed ticks"),
    BP_FIELDS_END,
};

static int parse_date(const char *text, int64_t *ret_ns)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

    if (!end || *end) {
        memset(&tm, 0, sizeof(tm));
        end = strptime(text, "%Y-%m-%d", &tm);
    }
    if (!end || *end || tm.tm_year > 8099 || tm.tm_year < 0)
        return -EINVAL;
    *ret_ns = (int64_t)timegm(&tm) * 1000000000;
    return 0;
}

static int apply_rtc(struct bp_value *args, struct bp_error *err)
{
    const char *base = bp_value_get_string(args, "base"), *clock;

    if (base && strcmp(base, "utc") == 0)
        bpc_config.rtc.base = BPC_RTC_UTC;
    else if (base && strcmp(base, "localtime") == 0)
        bpc_config.rtc.base = BPC_RTC_LOCALTIME;
    else if (base) {
        if (parse_date(base, &bpc_config.rtc.date_ns) < 0)
            return bp_fail(err, EINVAL, "key 'base': '%.60s' is not accepted; use utc, localtime, "
                           "YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS", base);
        bpc_config.rtc.base = BPC_RTC_DATE;
    }
    clock = bp_value_get_string(args, "clock");
    if (clock)
        bpc_config.rtc.clock = *clock == 'h' ? BP_CLOCK_HOST
                             : *clock == 'r' ? BP_CLOCK_REALTIME : BP_CLOCK_VIRTUAL;
    if (bp_value_has(args, "driftfix"))
        bpc_config.rtc.drift_slew = strcmp(bp_value_get_string(args, "driftfix"), "slew") == 0;
    return 0;
}

BP_OPTION(option_rtc, "rtc", "where the real-time clock starts and what drives it",
          .arg = "[base=utc|localtime|date][,clock=host|rt|vm][,driftfix=none|slew]",
          .group = "Debug and expert options", .phase = BP_PHASE_MACHINE, .keys = rtc_keys,
          .merge = true, .apply = apply_rtc);

/* ---- -icount ---- */

static const struct bp_field icount_keys[] = {
    BP_ARG_OPT("shift", STRING, "an instruction takes 2^shift ns, 0 to 10; auto (default): follows the host's time"),
    BP_ARG_OPT("align", BOOL, "the guest waits when it is ahead of the host's time, and it is told when it is late"),
    BP_ARG_OPT("sleep", BOOL, "while no processor runs: time goes on as the host's (on), or jumps to the next timer"),
    BP_ARG_OPT("rr", STRING, "record or replay (not built)"),
    BP_ARG_OPT("rrfile", STRING, "what was recorded (not built)"),
    BP_ARG_OPT("rrsnapshot", STRING, "where it begins (not built)"),
    BP_FIELDS_END,
};

static bool icount_bool(struct bp_value *args, const char *key, bool otherwise)
{
    return bp_value_has(args, key) ? bp_value_as_bool(bp_value_get(args, key)) : otherwise;
}

static int apply_icount(struct bp_value *args, struct bp_error *err)
{
    const char *shift = bp_value_get_string(args, "shift");
    bool align = icount_bool(args, "align", false), sleep = icount_bool(args, "sleep", true), is_auto;
    uint64_t n = 0;

    if (bp_value_has(args, "rr") || bp_value_has(args, "rrfile") || bp_value_has(args, "rrsnapshot"))
        return bp_fail(err, ENOTSUP, "recording and replaying (rr=) is not built yet");
    is_auto = !shift || strcmp(shift, "auto") == 0;
    if (!is_auto && (!g_ascii_string_to_unsigned(shift, 10, 0, BPC_ICOUNT_SHIFT_MAX, &n, NULL)))
        return bp_fail(err, EINVAL, "key 'shift': '%.40s' is not accepted; use auto, or 0 to %d", shift,
                       BPC_ICOUNT_SHIFT_MAX);
    if (align && is_auto)
        return bp_fail(err, EINVAL, "align=on needs a shift of its own; shift=auto follows the host's time by itself");
    if (!sleep && is_auto)
        return bp_fail(err, EINVAL, "sleep=off lets time jump, which shift=auto cannot follow; use shift=N");
    if (!sleep && align)
        return bp_fail(err, EINVAL, "sleep=off lets time jump, align=on keeps it with the host's; use one of them");
    bpc_config.icount.on = true;
    bpc_config.icount.shift_auto = is_auto;
    bpc_config.icount.shift = (unsigned)n;
    bpc_config.icount.align = align;
    bpc_config.icount.sleep = sleep;
    return 0;
}

BP_OPTION(option_icount, "icount", "guest time is the number of instructions that were executed",
          .arg = "[shift=N|auto][,align=on|off][,sleep=on|off]", .group = "Debug and expert options",
          .phase = BP_PHASE_MACHINE, .keys = icount_keys, .merge = true, .apply = apply_icount);

/* ---- the end of the machine ---- */

static int apply_action(struct bp_value *args, struct bp_error *err)
{
    (void)err;
    bpc_actions_set(bp_value_get_string(args, "reboot"), bp_value_get_string(args, "shutdown"),
                    bp_value_get_string(args, "panic"), bp_value_get_string(args, "watchdog"));
    return 0;
}

BP_OPTION(option_action, "action",
          "what happens when the guest reboots, powers off or panics, or a watchdog expires",
          .arg = "[reboot=reset|shutdown][,shutdown=poweroff|pause][,panic=pause|shutdown|"
                 "exit-failure|none][,watchdog=reset|shutdown|poweroff|inject-nmi|pause|debug|none]",
          .group = "Debug and expert options", .phase = BP_PHASE_MACHINE, .keys = bpc_action_fields,
          .apply = apply_action);

static int apply_watchdog(struct bp_value *args, struct bp_error *err)
{
    (void)err;
    bpc_actions_set(NULL, NULL, NULL, bp_value_get_string(args, "action"));
    return 0;
}

BP_OPTION(option_watchdog, "watchdog-action", "what happens when a watchdog expires",
          .arg = "reset|shutdown|poweroff|inject-nmi|pause|debug|none",
          .group = "Debug and expert options", .phase = BP_PHASE_MACHINE, .keys = bpc_watchdog_fields,
          .implied = "action", .apply = apply_watchdog);

#define FLAG_OPTION(IDENT, NAME, GROUP, HELP, FIELD) \
    static int apply_##IDENT(struct bp_value *args, struct bp_error *err) \
    { \
        (void)args; \
        (void)err; \
        bpc_config.FIELD = true; \
        return 0; \
    } \
    BP_OPTION(option_##IDENT, NAME, HELP, .group = GROUP, .phase = BP_PHASE_EARLY, \
              .apply = apply_##IDENT)
FLAG_OPTION(stopped, "S", "Debug and expert options", "does not start the CPUs (type 'c' or cont)",
            start_paused);
FLAG_OPTION(preconfig, "preconfig", "Debug and expert options",
            "waits before it makes the machine, until a monitor says x-exit-preconfig", preconfig);
FLAG_OPTION(no_reboot, "no-reboot", "Debug and expert options", "ends instead of rebooting",
            no_reboot);
FLAG_OPTION(no_shutdown, "no-shutdown", "Debug and expert options",
            "stops instead of ending when the guest powers off", no_shutdown);
FLAG_OPTION(nodefaults, "nodefaults", "Debug and expert options",
            "makes no default serial port, monitor or device", nodefaults);

const struct bp_option *const bpc_machine_options[] = {
    &option_machine, &option_cpu, &option_accel, &option_enable_kvm, &option_usb,
    &option_no_acpi, &option_no_fd_bootchk, &option_no_hpet, &option_smp, &option_m, &option_mem_path,
    &option_mem_prealloc, &option_boot, &option_uuid,
    &option_kernel, &option_initrd, &option_append, &option_bios, &option_option_rom, &option_rtc, &option_icount,
    &option_action, &option_watchdog, &option_stopped, &option_preconfig,
    &option_no_reboot, &option_no_shutdown, &option_nodefaults, NULL,
};
