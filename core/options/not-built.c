/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the manual's command line has and nothing here offers yet: options, and properties of boards.
 * Each is refused by its name with what is missing, or accepted where it asks for nothing that is
 * not so anyhow ("-vga none"). A real option or property of the same name, of the core or of any
 * module, comes first; its line here is then to be removed (the house test says so).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "keyval.h"
#include "options.h"

#define DISKS "block devices and their images"
#define NETWORK "network cards and back ends"
#define SCREEN "display adapters and windows"
#define AUDIO "sound cards and audio back ends"
#define MIGRATION "migration and snapshots"
#define TABLES "tables for firmware from the command line"
#define PRIVILEGES "giving up privileges"

/*
 * harmless: words "KEY=VALUE" that ask for nothing; '*' is any value, "a|b" several, '!' before a
 * word says that it has to be there. An argument is harmless when each of its keys is. For an option
 * without an argument, "" says that it always is.
 */
const struct bpc_not_built bpc_not_built_options[] = {
    {"numa", NULL, "node|dist|cpu|hmat-lb|hmat-cache,...", NULL, "NUMA nodes", NULL},
    {"add-fd", NULL, "fd=fd,set=set[,opaque=opaque]", NULL, "sets of file descriptors", NULL},
    {"set", NULL, "group.id.arg=value", NULL, "changing the arguments of an earlier option", NULL},
    {"k", NULL, "language", "language", "keyboard layouts other than en-us", "language=en-us"},
    {"audio", NULL, "[driver=]driver[,model=value]", "driver", AUDIO, "!driver=none"},
    {"audiodev", NULL, "[driver=]driver,id=id", "driver", AUDIO,
     "!driver=none id=* timer-period=* in=* out=*"},
    {"audio-help", NULL, NULL, NULL, AUDIO, NULL},
    {"fda", NULL, "file", NULL, DISKS, NULL},
    {"fdb", NULL, "file", NULL, DISKS, NULL},
    {"hda", NULL, "file", NULL, DISKS, NULL},
    {"hdb", NULL, "file", NULL, DISKS, NULL},
    {"hdc", NULL, "file", NULL, DISKS, NULL},
    {"hdd", NULL, "file", NULL, DISKS, NULL},
    {"cdrom", NULL, "file", NULL, DISKS, NULL},
    {"blockdev", NULL, "option[,option...]", NULL, DISKS, NULL},
    {"drive", NULL, "option[,option...]", NULL, DISKS, NULL},
    {"mtdblock", NULL, "file", NULL, DISKS, NULL},
    {"sd", NULL, "file", NULL, DISKS, NULL},
    {"pflash", NULL, "file", NULL, DISKS, NULL},
    {"snapshot", NULL, NULL, NULL, DISKS, NULL},
    {"iscsi", NULL, "[user=user][,...]", NULL, DISKS, NULL},
    {"win2k-hack", NULL, NULL, NULL, "IDE disks", NULL},
    {"no-fd-bootchk", NULL, NULL, NULL, "floppy drives", ""},
    {"fsdev", NULL, "local|synth,id=id[,...]", NULL, "shared folders (9p)", NULL},
    {"virtfs", NULL, "local|synth,mount_tag=tag[,...]", NULL, "shared folders (9p)", NULL},
    {"usbdevice", NULL, "name", NULL, "USB controllers and devices", NULL},
    {"spice", NULL, "option[,option...]", NULL, "a SPICE server", NULL},
    {"vga", NULL, "type", "type", SCREEN, "type=none"},
    {"full-screen", NULL, NULL, NULL, SCREEN, NULL},
    {"g", NULL, "WIDTHxHEIGHT[xDEPTH]", NULL, SCREEN, NULL},
    {"rotate", NULL, "degrees", "degrees", SCREEN, "degrees=0"},
    {"portrait", NULL, NULL, NULL, SCREEN, NULL},
    {"vnc", NULL, "display[,option...]", "display", "a VNC server", "display=none"},
    {"acpitable", NULL, "[sig=str][,data=file][,...]", NULL, TABLES, NULL},
    {"smbios", NULL, "file=binary|type=n[,...]", NULL, TABLES, NULL},
    {"nic", NULL, "type[,option...]", "type", NETWORK, "type=none"},
    {"netdev", NULL, "type,id=id[,option...]", NULL, NETWORK, NULL},
    {"net", NULL, "nic|none|type[,option...]", "type", NETWORK, "type=none"},
    {"tpmdev", NULL, "passthrough|emulator,id=id[,option...]", NULL, "TPM devices", NULL},
    {"bios", NULL, "file", NULL, "firmware; -kernel starts Linux without it", NULL},
    {"option-rom", NULL, "file", NULL, "firmware, which would run it", NULL},
    {"dtb", NULL, "file", NULL, "boards with a device tree", NULL},
    {"compat", NULL, "[deprecated-input=policy][,...]", NULL, "policies for deprecated interfaces",
     "deprecated-input=accept deprecated-output=accept unstable-input=accept "
     "unstable-output=accept"},
    {"parallel", NULL, "dev", "dev", "parallel ports", "dev=none"},
    {"debugcon", NULL, "dev", "dev", "a debug console", "dev=none"},
    {"preconfig", NULL, NULL, NULL, "the state before the machine is made", NULL},
    {"overcommit", NULL, "[mem-lock=on|off][,cpu-pm=on|off]", NULL,
     "locked memory and power management by the guest", "mem-lock=off cpu-pm=off"},
    {"gdb", NULL, "dev", "dev", "a debugger's stub", "dev=none"},
    {"s", NULL, NULL, NULL, "a debugger's stub (-gdb tcp::1234)", NULL},
    {"dfilter", NULL, "range[,...]", NULL, "a filter of the log by address", NULL},
    {"seed", NULL, "number", NULL, "repeatable random numbers", NULL},
    {"xen-domid", NULL, "id", NULL, "Xen", NULL},
    {"xen-attach", NULL, NULL, NULL, "Xen", NULL},
    {"xen-domid-restrict", NULL, NULL, NULL, "Xen", NULL},
    {"loadvm", NULL, "tag", NULL, MIGRATION, NULL},
    {"incoming", NULL, "uri|defer", NULL, MIGRATION, NULL},
    {"only-migratable", NULL, NULL, NULL, MIGRATION, NULL},
    {"dump-vmstate", NULL, "file", NULL, MIGRATION, NULL},
    {"icount", NULL, "[shift=n|auto][,...]", NULL, "a clock that counts instructions", NULL},
    {"watchdog-action", NULL, "action", "action", "watchdog devices", "action=reset"},
    {"runas", NULL, "user", NULL, PRIVILEGES, NULL},
    {"chroot", NULL, "dir", NULL, PRIVILEGES, NULL},
    {"run-with", NULL, "[async-teardown=on|off][,chroot=dir][,user=user]", NULL, PRIVILEGES,
     "async-teardown=off"},
    {"async-teardown", NULL, NULL, NULL, PRIVILEGES, NULL},
    {"sandbox", NULL, "on|off[,...]", "enable", "a sandbox of system calls",
     "!enable=off obsolete=* elevateprivileges=* spawn=* resourcecontrol=*"},
    {"prom-env", NULL, "variable=value", NULL, "boards with Open Firmware", NULL},
    {"semihosting", NULL, NULL, NULL, "semihosting", NULL},
    {"semihosting-config", NULL, "[enable=on|off][,...]", "enable", "semihosting",
     "!enable=off target=* userspace=off"},
    {"old-param", NULL, NULL, NULL, "ARM boards", NULL},
    {"trace", NULL, "[[enable=]pattern][,events=file][,file=file]", NULL, "trace points", NULL},
    {"plugin", NULL, "file=file[,arg=value]", NULL, "plugins of the translator", NULL},
    {"singlestep", NULL, NULL, NULL, "the translator", NULL},
    {"perfmap", NULL, NULL, NULL, "the translator", NULL},
    {"jitdump", NULL, NULL, NULL, "the translator", NULL},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};

/* Keys of -machine that the manual has; the part before a first dot. */
const struct bpc_not_built bpc_not_built_properties[] = {
    {"usb", NULL, "on|off", "usb", "USB controllers and devices", "usb=off"},
    {"acpi", NULL, "on|off", "acpi", "ACPI tables for this machine", "acpi=off|auto"},
    {"hpet", NULL, "on|off", "hpet", "an HPET for this machine", "hpet=off"},
    {"i8042", NULL, "on|off", "i8042", "a keyboard controller for this machine", "i8042=off"},
    {"graphics", NULL, "on|off", "graphics", SCREEN, "graphics=off"},
    {"vmport", NULL, "on|off|auto", "vmport", "the VMware port", "vmport=off|auto"},
    {"aes-key-wrap", NULL, "on|off", "aes-key-wrap", "boards of s390", "aes-key-wrap=off"},
    {"dea-key-wrap", NULL, "on|off", "dea-key-wrap", "boards of s390", "dea-key-wrap=off"},
    {"nvdimm", NULL, "on|off", "nvdimm", "persistent memory", "nvdimm=off"},
    {"hmat", NULL, "on|off", "hmat", "NUMA nodes", "hmat=off"},
    {"memory-encryption", NULL, "id", NULL, "encrypted guests", NULL},
    {"confidential-guest-support", NULL, "id", NULL, "encrypted guests", NULL},
    {"cxl", NULL, "on|off", "cxl", "CXL", "cxl=off"},
    {"cxl-fmw", NULL, "list", NULL, "CXL", NULL},
    {"sgx-epc", NULL, "list", NULL, "SGX enclaves", NULL},
    {"smm", NULL, "on|off|auto", "smm", "system management mode", "smm=off|auto"},
    {"kernel-irqchip", NULL, "on|off|split", "kernel-irqchip", "the KVM accelerator",
     "kernel-irqchip=off"},
    {"igd-passthru", NULL, "on|off", "igd-passthru", "Xen", "igd-passthru=off"},
    {"firmware", NULL, "file", NULL, "firmware; -kernel starts Linux without it", NULL},
    {"pflash0", NULL, "node", NULL, DISKS, NULL},
    {"pflash1", NULL, "node", NULL, DISKS, NULL},
    {"dtb", NULL, "file", NULL, "boards with a device tree", NULL},
    {"pcspk-audiodev", NULL, "id", NULL, AUDIO, NULL},
    {"sata", NULL, "on|off", "sata", DISKS, "sata=off"},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};

static const struct bpc_not_built *find(const struct bpc_not_built *table, const char *name,
                                        size_t len)
{
    for (; table->name; table++) {
        if (strncmp(table->name, name, len) == 0 && table->name[len] == '\0')
            return table;
    }
    return NULL;
}

const struct bpc_not_built *bpc_not_built_find(const char *name)
{
    return find(bpc_not_built_options, name, strlen(name));
}

/* Is `text` among "a|b|c"? "off" has its other spellings. */
static bool value_fits(const char *values, size_t len, const char *text)
{
    static const char *const off[] = {"no", "false", "n"};

    for (size_t i = 0; i < BP_COUNT(off); i++) {
        if (strcmp(text, off[i]) == 0)
            text = "off";
    }
    if (len == 1 && *values == '*')
        return true;
    for (const char *end = values + len; values < end;) {
        size_t n = strcspn(values, "| ");

        if (n > (size_t)(end - values))
            n = (size_t)(end - values);
        if (strlen(text) == n && strncmp(values, text, n) == 0)
            return true;
        values += n + 1;
    }
    return false;
}

struct check {
    const char *harmless;
    bool fits;
};

static int check_member(const char *key, struct bp_value *member, void *opaque)
{
    struct check *c = opaque;
    const char *text = bp_value_as_string(member);
    char *printed = text ? NULL : bp_value_print(member, false);
    size_t len = strlen(key);
    bool fits = false;

    for (const char *word = c->harmless; *word && !fits;) {
        size_t n = strcspn(word, " ");
        const char *name = word + (*word == '!');

        fits = strncmp(name, key, len) == 0 && name[len] == '=' &&
               value_fits(name + len + 1, (size_t)(word + n - name) - len - 1,
                          text ? text : printed);
        word += n + (word[n] == ' ');
    }
    free(printed);
    if (!fits)
        c->fits = false;
    return 0;
}

static bool required_are_there(const char *harmless, struct bp_value *args)
{
    bool there = true;

    for (const char *word = harmless; *word && there;) {
        size_t n = strcspn(word, " ");

        if (*word == '!') {
            char *key = g_strndup(word + 1, strcspn(word + 1, "="));

            there = bp_value_has(args, key);
            g_free(key);
        }
        word += n + (word[n] == ' ');
    }
    return there;
}

static bool is_harmless(const struct bpc_not_built *what, struct bp_value *args)
{
    struct check c = {what->harmless, true};

    if (!what->harmless || bp_value_type(args) != BP_VALUE_DICT || bp_value_length(args) == 0)
        return false;
    bp_value_each(args, check_member, &c);
    return c.fits && required_are_there(what->harmless, args);
}

/* "none", "enable=off": the forms as one would type them. malloc'd (g_). */
static char *accepted(const struct bpc_not_built *what)
{
    GString *out = g_string_new(NULL);
    size_t implied = what->implied ? strlen(what->implied) : 0;
    char **words = g_strsplit(what->harmless ? what->harmless : "", " ", -1);

    for (char **w = words; *w; w++) {
        const char *word = *w + (**w == '!');

        if (!*word || g_str_has_suffix(word, "=*"))
            continue;
        if (implied && strncmp(word, what->implied, implied) == 0 && word[implied] == '=') {
            char **values = g_strsplit(word + implied + 1, "|", -1);
            char *list = g_strjoinv(", ", values);

            g_string_append_printf(out, "%s%s", out->len ? ", " : "", list);
            g_free(list);
            g_strfreev(values);
            continue;
        }
        g_string_append_printf(out, "%s%s", out->len ? ", " : "", word);
    }
    g_strfreev(words);
    return g_string_free(out, FALSE);
}

static int refuse(const struct bpc_not_built *what, struct bp_error *err)
{
    char *list = accepted(what);
    int ret = bp_fail(err, ENOTSUP, "not built yet: %s%s%s", what->missing,
                      *list ? "; accepted: " : "", list);

    g_free(list);
    return ret;
}

int bpc_not_built_judge(const struct bpc_not_built *what, const char *text, struct bp_value *args,
                        struct bp_error *err)
{
    const struct bpc_keyval_syntax syntax = {NULL, what->implied, true};
    struct bp_value *parsed = NULL;
    bool help = false, good;

    if (!what->arg)
        return what->harmless ? 0 : refuse(what, err);
    if (args)
        parsed = bp_value_ref(args);
    else if (!what->harmless || bpc_keyval_parse(text, &syntax, &parsed, &help, NULL) < 0)
        return refuse(what, err);
    good = !help && is_harmless(what, parsed);
    bp_value_unref(parsed);
    return good ? 0 : refuse(what, err);
}

int bpc_not_built_property(const char *key, struct bp_value *value, struct bp_error *err)
{
    char *name = g_strdelimit(g_strndup(key, strcspn(key, ".")), "_", '-');
    const struct bpc_not_built *what = find(bpc_not_built_properties, name, strlen(name));
    struct bp_value *args;
    int ret;

    g_free(name);
    if (!what)
        return -ENOENT;
    args = bp_value_dict();
    bp_value_set(args, what->name, bp_value_ref(value));
    ret = bpc_not_built_judge(what, NULL, args, err);
    bp_value_unref(args);
    if (ret < 0)
        bp_error_prefix(err, "key '%.100s'", key);
    return ret;
}
