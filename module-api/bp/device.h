/* SPDX-License-Identifier: MIT */
/*
 * Devices and buses. The core allocates zeroed state, applies and checks properties, calls
 * attach(), and takes back everything the device claimed when it detaches or attach() fails.
 * Callbacks run [main] or [vcpu] under the machine lock (thread model "serialised").
 */
#ifndef BP_DEVICE_H
#define BP_DEVICE_H

#include <bp/irq.h>
#include <bp/memory.h>
#include <bp/module.h>
#include <bp/object.h>

BP_BEGIN_DECLS

struct bp_device; /* opaque; a bp_object */
struct bp_bus;    /* opaque; a bp_object */

/*
 * Reset. Its scope: a function alone; a device with all behind it; a bus with its devices and all behind
 * them; the machine. Its phases, each run for everything in the scope before the next: enter (stop, no
 * effect outside; far end first, top level first), hold (the state is that of power-on, outputs are
 * driven; far end first, base first), exit (may act again; near end first, base first). Hooks neither
 * add nor remove devices. A device is reset after attach(), too.
 */
enum bp_reset_phase { BP_RESET_ENTER, BP_RESET_HOLD, BP_RESET_EXIT };
enum bp_reset_scope { BP_RESET_FUNCTION, BP_RESET_DEVICE, BP_RESET_BUS, BP_RESET_MACHINE };

struct bp_device_class {
    struct bp_type_info type;
    const char *bus;      /* bus type it plugs into ("isa", "pci", ...); NULL: none ("system") */
    const char *category; /* heading in -device help: "storage", "network", "input", "misc", ... */
    const void *bus_info; /* what the bus type wants to know, e.g. struct bp_pci_info */
    /* The object is made and defaults are set: make parts whose properties are forwarded
     * (bp_device_new_part). NULL: nothing to do. */
    int (*init)(struct bp_device *dev, struct bp_error *err);
    /* All properties are set: claim regions, timers, lines. On failure the core undoes all claims. */
    int (*attach)(struct bp_device *dev, struct bp_error *err);
    void (*detach)(struct bp_device *dev);
    void (*reset)(struct bp_device *dev); /* phase hold: power-on state. Most need no other */
    /* The guest is asked to let go (hot unplug), where the slot's controller has no way of its own to
     * ask; NULL: unplugged at once. */
    int (*unplug_request)(struct bp_device *dev, struct bp_error *err);
    const char *const *aliases; /* other names for -device, NULL-terminated, or NULL; each has a
                                   BP_DEVICE_ALIAS() too */
    /* Naming one (-device, -readconfig) takes away what boards make by default under this name:
     * "serial"; or NULL. bp_machine_defaults() tells the board. */
    const char *replaces_default;
    void (*reset_enter)(struct bp_device *dev, enum bp_reset_scope scope);
    void (*reset_exit)(struct bp_device *dev, enum bp_reset_scope scope);
    /* BP_THREADS_SERIALISED (0, the default): its callbacks hold the machine lock. BP_THREADS_OWN: its register
     * callbacks, timers, watches and deferred calls, in any context, hold a lock that the host keeps for each
     * such device, and not the machine lock; reset, saving, loading and properties hold both. While a
     * callback of it reaches another device's registers, its lock is let go. Its coroutines hold it
     * between bp_device_lock() and bp_device_unlock(), never across a wait. */
    uint32_t threads;
    /* What firmware calls it in paths (IEEE 1275): "pci@i0cf8" for what sits on no bus, "fdc" for what its bus
     * adds an address to; NULL: its bus names it. */
    const char *firmware_name;
    /* With a property "bootindex" (BP_PROP_BOOTINDEX): what is booted, below the device: "disk@0". NULL: itself. */
    const char *boot_suffix;
};
/* Order in which firmware tries it, -1: it does not; the property of what can be booted from. */
#define BP_PROP_BOOTINDEX(STATE, FIELD) \
    BP_PROP_RANGE("bootindex", INT32, STATE, FIELD, "-1", -1, INT32_MAX, "place in the order of booting, -1: none")
#define BP_THREADS_SERIALISED 0u
#define BP_THREADS_OWN 1u

/*
 * BP_DEVICE(debug_exit, "isa-debug-exit", "isa", "Lets a guest end the emulator",
 *           struct debug_exit, debug_exit_props, .attach = debug_exit_attach);
 * defines a constant class and its note. BP_BOARD_DEVICE: one that users do not create.
 */
#define BP_DEVICE_FLAGS(ident, NAME, BUS, SUMMARY, STATE, PROPS, TABLE, FLAGS, USER, ...) \
    BP_NOTE("provides=device:" NAME ";bus=" BUS ";user=" USER ";summary=" SUMMARY); \
    BP_STORAGE const struct bp_device_class ident = { \
        .type = {.size = sizeof(struct bp_device_class), .flags = FLAGS, .name = NAME, \
                 .parent = NULL, .summary = SUMMARY, .state_size = sizeof(STATE), .props = PROPS, \
                 .state = TABLE, .reserved = {NULL}}, \
        .bus = BUS, __VA_ARGS__}
#define BP_DEVICE(ident, NAME, BUS, SUMMARY, STATE, PROPS, TABLE, ...) \
    BP_DEVICE_FLAGS(ident, NAME, BUS, SUMMARY, STATE, PROPS, TABLE, 0, "yes", __VA_ARGS__)
#define BP_HOTPLUG_DEVICE(ident, NAME, BUS, SUMMARY, STATE, PROPS, TABLE, ...) \
    BP_DEVICE_FLAGS(ident, NAME, BUS, SUMMARY, STATE, PROPS, TABLE, BP_TYPE_HOTPLUGGABLE, "yes", \
                    __VA_ARGS__)
#define BP_BOARD_DEVICE(ident, NAME, BUS, SUMMARY, STATE, PROPS, TABLE, ...) \
    BP_DEVICE_FLAGS(ident, NAME, BUS, SUMMARY, STATE, PROPS, TABLE, BP_TYPE_NOT_USER_CREATABLE, \
                    "no", __VA_ARGS__)

/* The note by which another name of a device finds its module. */
#define BP_DEVICE_ALIAS(NAME, ALIAS) BP_NOTE("alias=device:" ALIAS "=" NAME)

void *bp_device_state(struct bp_device *dev); /* [any] */
/* The device whose state (of any of its levels, or what its bus keeps with it) this is; [any] */
struct bp_device *bp_device_of_state(void *state);
struct bp_object *bp_device_object(struct bp_device *dev);
struct bp_owner *bp_device_owner(struct bp_device *dev);
/* Where its timers, watches and deferred calls live when they name no other context; the main one
 * until bp_device_set_context(), which attach() calls before it makes any. [any]; set: [main] */
struct bp_context *bp_device_context(struct bp_device *dev);
void bp_device_set_context(struct bp_device *dev, struct bp_context *ctx);
/* Moves one with BP_THREADS_OWN to a context (NULL: the main one) while it works: drains it, moves what it
 * made with NULL for the context, and lets it go on; see bp_participant_move(). Register accesses are
 * answered all the while. A device that keeps requests in flight outside of its callbacks and coroutines
 * says so with bp_participant_new(). Before attach() it is put there at once. Errors: -EINVAL: it keeps to
 * the machine lock; -ENODEV: it is leaving. [main] */
int bp_device_move(struct bp_device *dev, struct bp_context *ctx, void (*done)(void *opaque, int ret),
                   void *opaque, struct bp_error *err);
/* What its callbacks hold: its own lock, or the machine lock. Not inside of them. [any] */
void bp_device_lock(struct bp_device *dev);
void bp_device_unlock(struct bp_device *dev);
/* The machine it is made for: never NULL. [any] */
struct bp_machine *bp_device_machine(const struct bp_device *dev);
const char *bp_device_id(const struct bp_device *dev); /* -device id=, or NULL */
const struct bp_device_class *bp_device_class(const struct bp_device *dev);
struct bp_device *bp_device_from_object(struct bp_object *obj); /* NULL when it is not one */

/* Calls fn for each attached device of a type (or built on it: a level), bridges before what is behind them; stops at a
 * non-zero return and returns it. For commands and options that list or look for devices; whoever
 * works with one is given it. [main] under the machine lock */
int bp_device_each(struct bp_machine *machine, const char *type,
                   int (*fn)(struct bp_device *dev, void *opaque), void *opaque);
/* The first of these; NULL: there is none. [main] under the machine lock */
struct bp_device *bp_device_first(struct bp_machine *machine, const char *type);

/* ---- buses ---- */
/*
 * A bus type. Offered by a bus module; a bridge device makes instances with bp_bus_new(). A type may
 * extend another (`parent`: "pcie" is a "pci"): devices for the parent plug in too. Such a bus has a
 * block of state, and keeps one with each child, for itself and for every type that it extends.
 * Methods are those of the bus that the device sits on: base first, on leaving last.
 */
struct bp_bus_class {
    struct bp_type_info type; /* type.props: of the bus itself */
    size_t child_size;        /* bytes of bus state the core keeps with each child, zeroed */
    const struct bp_field *child_props; /* e.g. "addr": into that state; set like device properties */
    const struct bp_state_table *child_state; /* what is saved of it, with the child; or NULL */
    unsigned max_children;    /* 0: no limit */
    /* Before the child's own attach(): check the address, set up configuration space. */
    int (*child_attach)(struct bp_bus *bus, struct bp_device *child, struct bp_error *err);
    /* After the child's attach() succeeded. */
    void (*child_attached)(struct bp_bus *bus, struct bp_device *child);
    void (*child_detach)(struct bp_bus *bus, struct bp_device *child);
    /* Of the bus itself, and of what it keeps with a child (before the child's own in hold and exit,
     * after it in enter); each phase. */
    void (*reset)(struct bp_bus *bus, enum bp_reset_phase phase, enum bp_reset_scope scope);
    void (*child_reset)(struct bp_bus *bus, struct bp_device *child, enum bp_reset_phase phase,
                        enum bp_reset_scope scope);
    /* Address as text for `info qtree` ("04.0"); writes at most `size` bytes. NULL: as the type that
     * it extends does it. */
    void (*child_address)(struct bp_device *child, char *buf, size_t size);
    /* Its part of a firmware path: "ide@1,1"; writes at most `size` bytes. NULL: as the type that it extends
     * does it; when none does, "NAME@ADDRESS" of firmware_name and child_address. */
    void (*child_firmware_path)(struct bp_device *child, char *buf, size_t size);
    /* Asked of devices that users add, with all properties set and before they are on the bus. 1: the device is
     * attached when the one whose id is *ret_for (until the child goes) admits it: bp_device_admit(). 0: at once. */
    int (*child_waits)(struct bp_bus *bus, struct bp_device *child, const char **ret_for, struct bp_error *err);
    void *reserved[2];
};
#define BP_BUS(ident, NAME, SUMMARY, STATE, ...) \
    BP_NOTE("provides=bus:" NAME ";summary=" SUMMARY); \
    BP_STORAGE const struct bp_bus_class ident = { \
        .type = {.size = sizeof(struct bp_bus_class), .flags = 0, .name = NAME, .parent = NULL, \
                 .summary = SUMMARY, .state_size = sizeof(STATE), .props = NULL, .state = NULL, \
                 .reserved = {NULL}}, \
        __VA_ARGS__}

/* Makes a bus of `type` below a bridge; `name` NULL: chosen from the bridge's id or "TYPE.N". */
int bp_bus_new(struct bp_device *bridge, const char *type, const char *name, struct bp_bus **ret_bus,
               struct bp_error *err);
void *bp_bus_state(struct bp_bus *bus); /* that of its own type, not of those that this extends */
/* The block of a bus type that this one is or extends; NULL: neither. Looks. [any] */
void *bp_bus_level(const struct bp_bus *bus, const struct bp_bus_class *type);
struct bp_device *bp_bus_bridge(struct bp_bus *bus);
const char *bp_bus_name(const struct bp_bus *bus);
const char *bp_bus_type(const struct bp_bus *bus);
/* First match in the machine's tree of devices: a name goes before a type. NULL: there is none. */
struct bp_bus *bp_bus_find(struct bp_machine *machine, const char *name_or_type);
struct bp_bus *bp_device_bus(struct bp_device *dev);    /* the bus it sits on, or NULL; [any] */
/* The first bus of a type that the device bridges to, or NULL: for boards that lay wires to it. */
struct bp_bus *bp_device_bridged(struct bp_device *bridge, const char *type);
/* The child_size bytes kept for the bus type that its class names; NULL: it plugs into no bus. */
void *bp_device_bus_state(struct bp_device *dev);
/* Those kept for a bus type that its bus is or extends; NULL: none. Looks. [any] */
void *bp_device_bus_level(const struct bp_device *dev, const struct bp_bus_class *type);
/* Calls fn for each child in order of attachment; stops at a non-zero return and returns it. */
int bp_bus_each_child(struct bp_bus *bus, int (*fn)(struct bp_device *child, void *opaque),
                      void *opaque);

/* ---- devices that boards (and bridges) create ---- */
/* Creates an unattached device of a machine (a board has it, a bridge asks bp_device_machine());
 * loads its module when needed. `id` may be NULL. A board device appears under /machine/unattached,
 * one with an id under /machine/peripheral. */
int bp_device_new(struct bp_machine *machine, const char *type, const char *id,
                  struct bp_device **ret_dev, struct bp_error *err);
/* A part of a device: an object below it, for its init() or attach(); it goes with the whole. It is
 * the whole's to attach. Its properties can be forwarded (BP_PROP_FORWARD). */
int bp_device_new_part(struct bp_device *whole, const char *type, const char *name,
                       struct bp_device **ret_part, struct bp_error *err);
/* Says on what bus it will sit, so that the properties that this bus wants of its children can be set,
 * when its type extends the one that the class names. bp_device_attach() does it too. */
int bp_device_place(struct bp_device *dev, struct bp_bus *bus, struct bp_error *err);
int bp_device_set(struct bp_device *dev, const char *prop, const char *text, struct bp_error *err);
int bp_device_set_uint(struct bp_device *dev, const char *prop, uint64_t v, struct bp_error *err);
int bp_device_set_link(struct bp_device *dev, const char *prop, struct bp_object *to,
                       struct bp_error *err);
/* Attaches to `bus` (NULL: a bus of the class's type is looked for). On failure the device is
 * destroyed. */
int bp_device_attach(struct bp_device *dev, struct bp_bus *bus, struct bp_error *err);
/* Finds a data file (firmware, ROM) as a path, along -L and in the built-in places; "keymaps/NAME" is
 * looked for along -L and beside the program alone. malloc'd, or NULL. [main] */
char *bp_machine_find_data(const struct bp_machine *m, const char *name);
/* Detaches and frees a device; frees an unattached one. NULL is fine. */
void bp_device_destroy(struct bp_device *dev);

/* ---- reset ---- */
void bp_device_reset(struct bp_device *dev);          /* and all behind it */
void bp_device_reset_function(struct bp_device *dev); /* alone */
void bp_bus_reset(struct bp_bus *bus);                /* its devices and all behind them */
/* Asserts (enter, hold) or releases (exit) a reset of the bus, as a bridge's control bit does. Setting
 * it twice is once. What is plugged in meanwhile leaves reset with the bus. */
void bp_bus_hold_reset(struct bp_bus *bus, bool on);
bool bp_device_in_reset(const struct bp_device *dev);

/* ---- hot-plug: decided by who controls the slot ---- */
/*
 * A bus, its bridge, an ACPI controller or the board registers for a bus, or for devices on no bus (`bus`
 * is NULL in the calls). All devices come through it, also those that are there from the start
 * (bp_device_hotplugged() tells). Without a controller nothing comes or goes while the machine runs.
 * Each slot may be NULL. [main] under the machine lock
 */
struct bp_hotplug_ops {
    uint32_t size; /* sizeof(struct bp_hotplug_ops) */
    uint32_t flags; /* none yet: 0 */
    /* The place on the bus is settled, nothing is attached: may it come? Refused in words. */
    int (*pre_plug)(void *opaque, struct bp_bus *bus, struct bp_device *dev, struct bp_error *err);
    /* It is attached: tell the guest. On failure it is taken out again. */
    int (*plug)(void *opaque, struct bp_bus *bus, struct bp_device *dev, struct bp_error *err);
    /* device_del: ask the guest; bp_device_unplugged() or bp_device_unplug_refused() follows. NULL: the
     * device's class asks, or it goes at once. */
    int (*unplug_request)(void *opaque, struct bp_bus *bus, struct bp_device *dev,
                          struct bp_error *err);
    /* It leaves, for whatever reason; still attached. */
    void (*unplug)(void *opaque, struct bp_bus *bus, struct bp_device *dev);
    /* It has gone without being asked (bp_device_gone); unplug follows. */
    void (*surprise)(void *opaque, struct bp_bus *bus, struct bp_device *dev);
    void *reserved[4];
};
/* ops is copied; it ends with the owner. NULL: none any more. One for each bus: the last one stands. */
void bp_bus_set_hotplug(struct bp_bus *bus, struct bp_owner *owner,
                        const struct bp_hotplug_ops *ops, void *opaque);
void bp_machine_set_hotplug(struct bp_machine *machine, struct bp_owner *owner,
                            const struct bp_hotplug_ops *ops, void *opaque);
bool bp_device_hotplugged(const struct bp_device *dev); /* it came while the machine ran */
/* The guest has released a device that was asked to go: detach, destroy, send DEVICE_DELETED. When something else
 * uses it, or what is behind it, it stays as if the guest had refused. */
void bp_device_unplugged(struct bp_device *dev);
/* The guest has refused: device_del may be tried again; sends DEVICE_UNPLUG_GUEST_ERROR. */
void bp_device_unplug_refused(struct bp_device *dev);
/* While `why` is set (a constant that says what has to be done first; NULL: it may go), neither device_del nor a guest
 * that ejects takes it away, nor what it sits behind. */
void bp_device_keep(struct bp_device *dev, const char *why);
/*
 * Others may wait for this device, by its id (child_waits of a bus). false: those that do, and those to come, wait on;
 * true: they are attached now, as if plugged in, and who comes later is not kept waiting. Until the first call nobody
 * can wait for it.
 */
void bp_device_admit(struct bp_device *dev, bool on);
/* It is gone, nobody was asked: its back end died, its cable was pulled. */
void bp_device_gone(struct bp_device *dev);

BP_END_DECLS

#endif
