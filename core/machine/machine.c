/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The machine: chosen board, accelerator and main memory as one object at /machine, made from
 * bpc_config, and taken apart at the end.
 */
#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>
#include <bp/log.h>
#include <bp/memory.h>
#include <bp/option.h>

#include "device.h"
#include "loop.h"
#include "marks.h"
#include "numa.h"
#include "parts.h"
#include "registry.h"
#include "text.h"

struct bpc_config bpc_config = {
    .arch = BPC_DEFAULT_ARCH, .boot = {.splash_time = -1, .reboot_timeout = -2}};
struct bp_machine *bpc_the_machine;

/* Properties that every board has. */
const struct bp_field bpc_machine_props[] = {
    BP_PROP("dump-guest-core", BOOL, struct bp_machine, dump_ram, "on",
            "guest memory is part of core dumps"),
    BP_PROP("mem-merge", BOOL, struct bp_machine, merge_ram, "on",
            "lets the host merge equal pages"),
    BP_PROP("memory-backend", STRING, struct bp_machine, memory_backend, NULL,
            "id of the object memory-backend-* that is the main memory"),
    BP_FIELDS_END,
};

/* ---- choosing the board ---- */

struct board_search {
    const char *found; /* name of the first default one */
    GString *names;
};

static void look_at_board(const struct bpc_known *known, void *opaque)
{
    struct board_search *search = opaque;
    const struct bp_board_class *board;
    const void *desc;

    /* What is broken cannot be used. Nothing is loaded to look. */
    if (bpc_describe(BP_PROVIDE_BOARD, known->name, &desc, NULL) < 0)
        return;
    board = desc;
    if (!bpc_arch_in(board->arch, bpc_config.arch))
        return;
    g_string_append_printf(search->names, "%s%s", search->names->len ? ", " : "", known->name);
    if (board->is_default && !search->found)
        search->found = g_intern_string(known->name);
}

static int default_board(const char **ret_name, struct bp_error *err)
{
    struct board_search search = {NULL, g_string_new(NULL)};
    char hint[BPC_HINT_SIZE];
    int ret = 0;

    bpc_each_known(BP_PROVIDE_BOARD, look_at_board, &search);
    if (search.found) {
        *ret_name = search.found;
    } else {
        bpc_missing_hint(BP_PROVIDE_BOARD, "", hint, sizeof(hint));
        ret = bp_fail(err, ENOENT, "no default machine for %s guests is installed; -machine takes: "
                    "%s%s", bpc_config.arch,
                    search.names->len ? search.names->str : "none of what is installed", hint);
    }
    g_string_free(search.names, TRUE);
    return ret;
}

int bpc_machine_choose_board(const struct bp_board_class **ret_board, struct bp_error *err)
{
    const struct bp_board_class *board;
    const char *name = bpc_config.board;
    const void *desc;
    int ret = name ? 0 : default_board(&name, err);

    if (ret == 0)
        ret = bpc_require(BP_PROVIDE_BOARD, name, &desc, err);
    if (ret < 0)
        return ret;
    board = desc;
    if (!bpc_arch_in(board->arch, bpc_config.arch))
        return bp_fail(err, EINVAL, "-machine %s: it is not for %s guests", name, bpc_config.arch);
    *ret_board = board;
    return 0;
}

int bpc_machine_planned(const struct bp_board_class **ret_board, struct bp_smp *ret_smp, const char **ret_model,
                        struct bp_error *err)
{
    int ret = bpc_machine_choose_board(ret_board, err);

    if (ret < 0)
        return ret;
    *ret_smp = bpc_config.smp;
    *ret_model = bpc_config.cpu ? bpc_config.cpu : (*ret_board)->default_cpu;
    return bpc_smp_complete(ret_smp, *ret_board, err);
}

/* ---- life ---- */

/* Clients list these even when nothing is in them. */
static void make_containers(void)
{
    static const char *const paths[] = {"/machine/unattached", "/machine/peripheral",
                                        "/machine/peripheral-anon", "/objects", "/chardevs",
                                        "/backend"};

    for (size_t i = 0; i < BP_COUNT(paths); i++)
        bpc_object_container(paths[i]);
}

struct board_keys {
    struct bp_machine *m;
    struct bp_error *err;
};

static int set_board_key(const char *key, struct bp_value *value, void *opaque)
{
    const struct board_keys *keys = opaque;
    struct bpc_prop prop;
    int ret = -ENOENT;

    if (bpc_config.absent_property && !bpc_object_find_prop(&keys->m->obj, key, &prop))
        ret = bpc_config.absent_property(key, value, keys->err);
    return ret != -ENOENT ? ret : bpc_object_set_loose(&keys->m->obj, key, value, keys->err);
}

static int make_parts(struct bp_machine *m, struct bp_error *err)
{
    struct board_keys keys = {m, err};
    int ret = bpc_object_add_props(&m->obj, bpc_machine_props, m, "machine", err);

    if (ret == 0 && bpc_config.board_props)
        ret = bp_value_each(bpc_config.board_props, set_board_key, &keys);
    if (ret < 0) {
        bp_error_prefix(err, "-machine %s", m->board->type.name);
        return ret;
    }
    ret = bpc_object_add_child(bpc_object_root(), "machine", &m->obj, err);
    make_containers();
    if (ret == 0)
        ret = bpc_accel_choose(m, err);
    if (ret == 0)
        ret = bpc_cpu_check_model(m, err);
    if (ret == 0)
        ret = bpc_machine_make_ram(m, err);
    if (ret == 0 && m->board->init)
        ret = m->board->init(m, err);
    m->obj.live = true;
    return ret;
}

/* The roots belong to the machine; whoever maps something there has left before. */
static void make_spaces(struct bp_machine *m)
{
    struct bp_owner *owner = &m->obj.owner;

    m->memory = bp_space_new(owner, "memory", bp_region_new(owner, "system", UINT64_MAX));
    m->io = bp_space_new(owner, "I/O", bp_region_new(owner, "io", 0x10000));
}

int bpc_machine_create(struct bp_error *err)
{
    const struct bp_board_class *board = NULL;
    struct bp_machine *m;
    int ret = bpc_machine_choose_board(&board, err);

    if (ret == 0 && !bpc_config.kernel && (bpc_config.initrd || bpc_config.append))
        return bp_fail(err, EINVAL, "-%s needs -kernel", bpc_config.initrd ? "initrd" : "append");
    if (ret == 0) {
        ret = bpc_smp_complete(&bpc_config.smp, board, err);
        if (ret < 0)
            bp_error_prefix(err, "-smp");
    }
    if (ret < 0)
        return ret;
    bpc_compat_set(board->type.name, board->compat);
    bpc_run_state_init();
    bpc_rtc_start();
    m = bp_alloc(sizeof(*m));
    m->board = board;
    m->obj.machine = m;
    m->devices.add_cpu = bpc_cpu_add;
    m->devices.del_cpu = bpc_cpu_del;
    m->smp = bpc_config.smp;
    m->cpu_slots = m->smp.max_cpus;
    m->cpus = g_new0(struct bp_cpu *, m->cpu_slots);
    ret = bpc_object_init(&m->obj, BP_PROVIDE_BOARD, &board->type, err);
    if (ret < 0) {
        g_free(m->cpus);
        free(m);
        return ret;
    }
    bpc_the_machine = m;
    make_spaces(m);
    ret = make_parts(m, err);
    if (ret < 0)
        bpc_machine_destroy();
    return ret;
}

/* What stands in for a board where there is none. */
static const struct bp_board_class bare_board = {
    .type = {.size = sizeof(struct bp_board_class), .flags = BP_TYPE_NOT_USER_CREATABLE,
             .name = "bare", .summary = "No board"},
    .arch = "any"};

int bpc_machine_create_bare(struct bp_machine **ret_machine, struct bp_error *err)
{
    struct bp_machine *m = bp_alloc(sizeof(*m));
    int ret;

    m->board = &bare_board;
    m->obj.machine = m;
    ret = bpc_object_init(&m->obj, BP_PROVIDE_BOARD, &bare_board.type, err);
    if (ret < 0) {
        free(m);
        return ret;
    }
    ret = bpc_object_add_child(bpc_object_root(), "machine", &m->obj, err);
    if (ret < 0) {
        bp_object_destroy(&m->obj);
        return ret;
    }
    make_containers();
    make_spaces(m);
    m->obj.live = true;
    *ret_machine = bpc_the_machine = m;
    return 0;
}

/* The vCPU is stopped. */
static void log_reset(struct bp_cpu *cpu)
{
    char *text;

    if (!bp_log_on(BP_LOG_RESET))
        return;
    bpc_cpu_sync(cpu);
    text = cpu->class->dump ? cpu->class->dump(cpu) : NULL;
    bp_log(BP_LOG_RESET, "CPU Reset (CPU %u)\n%s", cpu->index, text ? text : "");
    free(text);
}

static bool waking;

bool bp_machine_waking(struct bp_machine *machine)
{
    bpc_assert_main();
    (void)machine;
    return waking;
}

static void reset_parts(struct bp_machine *m)
{
    bpc_devices_reset_begin(m);
    for (unsigned i = 0; i < m->cpu_slots; i++) {
        if (m->cpus[i] && m->cpus[i]->class->reset) {
            log_reset(m->cpus[i]);
            m->cpus[i]->class->reset(m->cpus[i]);
        }
    }
    bpc_devices_reset_end(m);
}

static void cpus_changed(const struct bp_machine *m)
{
    for (unsigned i = 0; i < m->cpu_slots; i++) {
        if (m->cpus[i])
            bpc_cpu_changed(m->cpus[i]);
    }
}

void bpc_machine_reset_all(void)
{
    struct bp_machine *m = bpc_the_machine;

    bpc_boot_started(m);
    reset_parts(m);
    if (m->board->reset)
        m->board->reset(m);
    cpus_changed(m);
}

void bpc_machine_wake_all(enum bp_wakeup_cause cause)
{
    struct bp_machine *m = bpc_the_machine;

    waking = true;
    reset_parts(m);
    m->board->wakeup(m, cause);
    waking = false;
    cpus_changed(m);
}

struct choice {
    char *name;
    bool asked; /* by the board */
};

static void free_choice(gpointer data)
{
    struct choice *choice = data;

    g_free(choice->name);
    g_free(choice);
}

const char *bp_machine_choice(const struct bp_machine *m, const char *what)
{
    struct choice *choice = bpc_config.choices ? g_hash_table_lookup(bpc_config.choices, what) : NULL;

    (void)m;
    if (!choice)
        return NULL;
    choice->asked = true;
    return choice->name;
}

void bp_choose_default(const char *what, const char *name)
{
    struct choice *choice = g_new0(struct choice, 1);

    bpc_assert_main();
    choice->name = g_strdup(name);
    if (!bpc_config.choices)
        bpc_config.choices = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_choice);
    g_hash_table_insert(bpc_config.choices, g_strdup(what), choice);
}

static void check_choice(gpointer what, gpointer data, gpointer opaque)
{
    const struct choice *choice = data;
    struct bp_error *err = opaque;

    if (!choice->asked && strcmp(choice->name, "none") != 0)
        bp_fail(err, ENOTSUP, "-%s %s: machine '%s' has no place for it; use -%s none", (char *)what,
                choice->name, bpc_the_machine->board->type.name, (char *)what);
}

/* What was asked for and what the board did not look at. */
static int check_taken(const struct bp_machine *m, struct bp_error *err)
{
    struct bp_error why = {0};
    bool has_cpu = false;

    for (unsigned i = 0; i < m->cpu_slots; i++)
        has_cpu |= m->cpus[i] != NULL;
    if (bpc_config.kernel && !bpc_config.kernel_taken)
        return bp_fail(err, ENOTSUP, "-kernel: machine '%s' starts no kernel", m->board->type.name);
    if (bpc_config.bios && !bpc_config.bios_taken)
        return bp_fail(err, ENOTSUP, "-bios: machine '%s' has no place for firmware", m->board->type.name);
    if (bpc_config.option_rom_count && !bpc_config.option_roms_taken)
        return bp_fail(err, ENOTSUP, "-option-rom: machine '%s' has no firmware that would run it",
                       m->board->type.name);
    if (bpc_config.cpu && !has_cpu)
        return bp_fail(err, ENOTSUP, "-cpu: machine '%s' has no processor", m->board->type.name);
    if (bpc_config.choices)
        g_hash_table_foreach(bpc_config.choices, check_choice, &why);
    if (why.code)
        return bp_fail(err, why.code, "%s", why.message);
    return 0;
}

int bpc_machine_finish(struct bp_error *err)
{
    struct bp_machine *m = bpc_the_machine;
    int ret = m->board->ready ? m->board->ready(m, err) : 0;

    if (ret == 0)
        ret = check_taken(m, err);
    if (ret == 0)
        ret = bpc_start_complete(err);
    if (ret < 0)
        return ret;
    bpc_log_code_prepare();
    bpc_machine_reset_all();
    /* Threads exist, paused, before the first start: who pins them asks for their ids under -S. */
    for (unsigned i = 0; i < m->cpu_slots && ret == 0 && !m->accel->class->no_cpus; i++) {
        if (m->cpus[i])
            ret = bpc_cpu_thread_start(m->cpus[i], m->accel->class->type.name, err);
    }
    return ret;
}

void bpc_machine_destroy(void)
{
    struct bp_machine *m = bpc_the_machine;

    if (!m) {
        bpc_numa_free(); /* told of before it could be made */
        return;
    }
    bpc_clock_virtual_run(false);
    bpc_cpus_pause();
    bpc_run_state_init(); /* nobody is told: everything goes */
    for (unsigned i = 0; i < m->cpu_slots; i++) {
        if (m->cpus[i])
            bpc_cpu_thread_stop(m->cpus[i]);
    }
    for (unsigned i = 0; i < m->cpu_slots; i++) {
        if (m->cpus[i])
            bpc_cpu_retire(m->cpus[i]); /* they listen to devices' address spaces */
    }
    bpc_devices_destroy(m);
    for (unsigned i = m->cpu_slots; i-- > 0;)
        bpc_cpu_free(m->cpus[i]);
    bpc_owner_release(&m->obj.owner);
    m->ram = NULL;
    bpc_accel_free(m->accel);
    m->accel = NULL;
    g_free(m->cpus);
    g_free(m->cpu_model);
    bpc_the_machine = NULL;
    bpc_boot_forget();
    bpc_numa_free();
    bpc_compat_set(NULL, NULL);
    bp_object_destroy(&m->obj);
}

/* ---- bp/exact/machine.h ---- */

const struct bp_board_class *bpc_machine_board(void)
{
    return bpc_the_machine ? bpc_the_machine->board : NULL;
}

void *bp_machine_state(struct bp_machine *m)
{
    return m->obj.state;
}

struct bp_owner *bp_machine_owner(struct bp_machine *m)
{
    return &m->obj.owner;
}

struct bp_object *bp_machine_object(struct bp_machine *m)
{
    return &m->obj;
}

uint64_t bp_machine_ram_size(const struct bp_machine *m)
{
    return m->ram_size;
}

struct bp_region *bp_machine_ram(struct bp_machine *m)
{
    return m->ram;
}

const struct bp_smp *bp_machine_smp(const struct bp_machine *m)
{
    return &m->smp;
}

const char *bp_machine_cpu_model(const struct bp_machine *m)
{
    return m->cpu_model;
}

const char *bp_machine_kernel(const struct bp_machine *m)
{
    (void)m;
    bpc_config.kernel_taken = true;
    return bpc_config.kernel;
}

const char *bp_machine_initrd(const struct bp_machine *m)
{
    (void)m;
    return bpc_config.initrd;
}

const char *bp_machine_append(const struct bp_machine *m)
{
    (void)m;
    return bpc_config.append ? bpc_config.append : "";
}

const char *bp_machine_bios(const struct bp_machine *m)
{
    (void)m;
    bpc_config.bios_taken = true;
    return bpc_config.bios;
}

const char *bp_machine_option_rom(const struct bp_machine *m, unsigned n, int32_t *ret_bootindex)
{
    (void)m;
    bpc_config.option_roms_taken = true;
    if (n >= bpc_config.option_rom_count)
        return NULL;
    if (ret_bootindex)
        *ret_bootindex = bpc_config.option_roms[n].bootindex;
    return bpc_config.option_roms[n].path;
}

bool bp_machine_rtc_slew(const struct bp_machine *m)
{
    bpc_assert_main();
    (void)m;
    return bpc_config.rtc.drift_slew;
}

unsigned bp_machine_cpus(const struct bp_machine *machine)
{
    return MAX(bp_machine_smp(machine)->cpus, 1u); /* the empty machine has none */
}

uint64_t bp_machine_memory_size(const struct bp_machine *machine)
{
    return bp_machine_ram_size(machine);
}

const char *bp_machine_guest_name(struct bp_machine *machine)
{
    (void)machine;
    bpc_assert_main();
    return bpc_config.guest_name;
}

struct bp_object *bp_machine_serial(struct bp_machine *m, unsigned n)
{
    bpc_assert_locked();
    (void)m;
    return n < BPC_MAX_SERIAL ? bpc_config.serial[n] : NULL;
}

struct bp_object *bp_machine_parallel(struct bp_machine *m, unsigned n)
{
    (void)m;
    return n < BPC_MAX_PARALLEL ? bpc_config.parallel[n] : NULL;
}

bool bp_machine_defaults(const struct bp_machine *m, const char *what)
{
    bpc_assert_locked();
    (void)m;
    return !bpc_config.nodefaults &&
           !(bpc_config.replaced_defaults &&
             g_strv_contains((const gchar *const *)bpc_config.replaced_defaults, what));
}

const uint8_t *bp_machine_uuid(const struct bp_machine *m)
{
    (void)m;
    return bpc_config.uuid;
}
