/* SPDX-License-Identifier: MIT */
/*
 * The fake host: tests a module in memory, without a machine, a CPU or a guest. Linked from the
 * static library backplane-fakehost. There are the two address spaces (memory with 1 MiB of RAM at
 * 0, and 64 KiB of I/O ports), an ISA and a PCI bus when a device asks for one, and a virtual clock
 * that stands still unless it is stepped. One host for a process; main thread only.
 */
#ifndef BP_TEST_H
#define BP_TEST_H

#include <bp/device.h>

BP_BEGIN_DECLS

struct bp_test_host; /* opaque */

/* Contexts keep threads of their own; without this they are folded into the test's thread. Before
 * bp_test_host_new(). */
void bp_test_keep_contexts(void);
/* `module_path`: directories with modules, "a:b", looked at first; may be NULL. */
int bp_test_host_new(const char *module_path, struct bp_test_host **ret_host, struct bp_error *err);
void bp_test_host_free(struct bp_test_host *host); /* destroys its devices too; NULL is fine */

/* What stands for the machine here: for bp_device_new(), bp_bus_find() and interfaces that want one. */
struct bp_machine *bp_test_machine(struct bp_test_host *host);

/* Loads a module by its name, or by its file (with a slash or ending ".so"). */
int bp_test_load(struct bp_test_host *host, const char *name_or_path, struct bp_error *err);
/* Makes and attaches a device; its module is loaded when needed. props: "iobase=0x501,iosize=2",
 * or NULL. Ends with bp_device_destroy(). */
int bp_test_device(struct bp_test_host *host, const char *type, const char *props,
                   struct bp_device **ret_dev, struct bp_error *err);

/* Accesses as a CPU would make them; size 1, 2, 4 or 8. Where nothing answers, all ones. */
uint64_t bp_test_in(struct bp_test_host *host, uint16_t port, unsigned size);
void bp_test_out(struct bp_test_host *host, uint16_t port, uint64_t value, unsigned size);
uint64_t bp_test_read(struct bp_test_host *host, uint64_t addr, unsigned size);
void bp_test_write(struct bp_test_host *host, uint64_t addr, uint64_t value, unsigned size);
/* PCI configuration space of the device at devfn on bus 0; all ones when there is none. */
uint32_t bp_test_config_read(struct bp_test_host *host, unsigned devfn, unsigned offset,
                             unsigned size);
void bp_test_config_write(struct bp_test_host *host, unsigned devfn, unsigned offset,
                          uint32_t value, unsigned size);

/* Lines: 0..15 are ISA IRQs, 16..19 PCI INTA..INTD. Rises are counted since the last reset_rises. */
#define BP_TEST_LINES 20u
int bp_test_line(const struct bp_test_host *host, unsigned n); /* present level */
unsigned bp_test_line_rises(const struct bp_test_host *host, unsigned n);
void bp_test_reset_rises(struct bp_test_host *host);

/* MSI and MSI-X messages: writes of devices to 0xfee00000-0xfeefffff, where nobody else answers.
 * Counted since the last bp_test_reset_rises(). */
unsigned bp_test_messages(const struct bp_test_host *host);
/* The last one; false when there was none. */
bool bp_test_last_message(const struct bp_test_host *host, uint64_t *ret_address,
                          uint32_t *ret_data);

/* Runs a QMP command as a client would. args: JSON text ("{\"id\": \"a\"}"), or NULL; *ret_reply
 * (which may be NULL) is what it returns as JSON text, to free with free(). */
int bp_test_command(struct bp_test_host *host, const char *name, const char *args,
                    char **ret_reply, struct bp_error *err);

/* Lets virtual time pass: due timers run in order. Then runs what was deferred. */
void bp_test_step(struct bp_test_host *host, int64_t ns);
/* The machine runs, as devices see it (bp_machine_running()), or stands, as at first. */
void bp_test_run(struct bp_test_host *host, bool on);
void bp_test_reset(struct bp_test_host *host); /* every device, as a machine reset does */

/* A device's saved state as malloc'd bytes (caller frees with free()); equal states give equal
 * bytes. */
int bp_test_save(struct bp_device *dev, void **ret_data, size_t *ret_size, struct bp_error *err);
int bp_test_restore(struct bp_device *dev, const void *data, size_t size, struct bp_error *err);

/* ---- what is no device ---- */
/* The table of an interface ("chardev", 1); its module is loaded when needed. */
int bp_test_interface(struct bp_test_host *host, const char *name, unsigned major,
                      const void **ret_table, struct bp_error *err);
/* Makes an object as -object does; props: a JSON object ("{\"level\": 3}"), or NULL. */
int bp_test_object(struct bp_test_host *host, const char *type, const char *id, const char *props,
                   struct bp_object **ret_obj, struct bp_error *err);
/* Carries out a line of the human monitor; returns what it printed (errors too) as malloc'd text. */
char *bp_test_hmp(struct bp_test_host *host, const char *line);
/* Applies an option of the command line, "-NAME TEXT" (text NULL: it takes none). */
int bp_test_option(struct bp_test_host *host, const char *name, const char *text,
                   struct bp_error *err);

BP_END_DECLS

#endif
