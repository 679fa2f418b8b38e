/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors that came with SCM_RIGHTS: by name (getfd), and in sets (add-fd). */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "command.h"
#include "fd-set.h"
#include "marks.h"

/* One that came with the command that is running; -1: none did. */
static int passed_fd(void)
{
    const struct bp_chardev_interface *table;
    struct bp_chardev *chr = bpc_qmp_current(&table);

    return chr ? table->take_fd(chr) : -1;
}

/* ---- by name ---- */

static GHashTable *named_fds; /* char * -> fd as pointer */

static const struct bp_field fd_args[] = {
    BP_ARG("fdname", STRING, "name of the descriptor"), BP_FIELDS_END,
};

int bp_fd_take(const char *name, struct bp_error *err)
{
    bpc_assert_main();
    void *value;

    if (!named_fds || !g_hash_table_lookup_extended(named_fds, name, NULL, &value))
        return bp_fail(err, ENOENT, "File descriptor named '%.100s' has not been found", name);
    g_hash_table_remove(named_fds, name);
    return GPOINTER_TO_INT(value);
}

static int getfd(const char *name, struct bp_error *err)
{
    int fd = passed_fd();
    void *old;

    if (fd < 0)
        return bp_fail(err, ENOENT, "No file descriptor supplied via SCM_RIGHTS");
    if (g_ascii_isdigit(*name)) {
        close(fd);
        return bp_fail(err, EINVAL, "Parameter 'fdname' expects a name not starting with a digit");
    }
    if (!named_fds)
        named_fds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (g_hash_table_lookup_extended(named_fds, name, NULL, &old))
        close(GPOINTER_TO_INT(old));
    g_hash_table_replace(named_fds, g_strdup(name), GINT_TO_POINTER(fd));
    return 0;
}
BP_COMMAND(cmd_getfd, "getfd", "Names a descriptor that came with this command", fd_args, NONE,
           NULL, getfd, 0);

static int closefd(const char *name, struct bp_error *err)
{
    int fd = bp_fd_take(name, err);

    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}
BP_COMMAND(cmd_closefd, "closefd", "Closes a named descriptor", fd_args, NONE, NULL, closefd, 0);

/* ---- in sets ---- */

static const struct bp_field add_args[] = {
    BP_ARG_OPT("fdset-id", INT64, "the set; left out: a new one"),
    BP_ARG_OPT("opaque", STRING, "text that describes it"),
    BP_FIELDS_END,
};
static const struct bp_field add_fields[] = {
    BP_ARG("fdset-id", INT64, "the set"), BP_ARG("fd", INT64, "its number in this process"),
    BP_FIELDS_END,
};
static const struct bp_schema add_info = {.name = "AddfdInfo", .kind = BP_KIND_STRUCT, .members = add_fields};

static int add_fd(bool has_set, int64_t set, const char *opaque, struct bp_value **ret_value,
                  struct bp_error *err)
{
    int fd = passed_fd();
    int64_t id;

    if (fd < 0)
        return bp_fail(err, ENOENT, "No file descriptor supplied via SCM_RIGHTS");
    if (has_set && set < 0) {
        close(fd);
        return bp_fail(err, EINVAL, "Parameter 'fdset-id' expects a non-negative value");
    }
    id = bpc_fdset_add(has_set ? set : BPC_FDSET_NEW, fd, opaque, err);
    if (id < 0)
        return (int)id;
    *ret_value = bp_value_dict();
    bp_value_set(*ret_value, "fdset-id", bp_value_int(id));
    bp_value_set(*ret_value, "fd", bp_value_int(fd));
    return 0;
}
BP_COMMAND(cmd_add_fd, "add-fd", "Adds a descriptor that came with this command to a set", add_args, STRUCT,
           &add_info, add_fd, 0);

static const struct bp_field remove_args[] = {
    BP_ARG("fdset-id", INT64, "the set"), BP_ARG_OPT("fd", INT64, "left out: all of it"), BP_FIELDS_END,
};

static int remove_fd(int64_t set, bool has_fd, int64_t fd, struct bp_error *err)
{
    if (has_fd && fd < 0)
        return bp_fail(err, ENOENT, "File descriptor named 'fdset-id:%lld, fd:%lld' not found",
                       (long long)set, (long long)fd);
    return bpc_fdset_remove(set, has_fd ? fd : -1, err);
}
BP_COMMAND(cmd_remove_fd, "remove-fd", "Closes a descriptor of a set, or all of them", remove_args, NONE, NULL,
           remove_fd, 0);

static const struct bp_field member_fields[] = {
    BP_ARG("fd", INT64, "its number in this process"),
    BP_ARG_OPT("opaque", STRING, "text that describes it"),
    BP_FIELDS_END,
};
static const struct bp_schema member_info = {.name = "FdsetFdInfo", .kind = BP_KIND_STRUCT,
                                             .members = member_fields};
static const struct bp_schema member_list = {.name = "FdsetFdInfoList", .kind = BP_KIND_LIST,
                                             .element_kind = BP_KIND_STRUCT, .element = &member_info};
static const struct bp_field set_fields[] = {
    BP_ARG("fdset-id", INT64, "the set"),
    BP_ARG_TYPED("fds", LIST, &member_list, 0, "its descriptors"),
    BP_FIELDS_END,
};
static const struct bp_schema set_info = {.name = "FdsetInfo", .kind = BP_KIND_STRUCT, .members = set_fields};
static const struct bp_schema set_list = {.name = "FdsetInfoList", .kind = BP_KIND_LIST,
                                          .element_kind = BP_KIND_STRUCT, .element = &set_info};

static int query_fdsets(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bpc_fdset_query();
    return 0;
}
BP_COMMAND(cmd_query_fdsets, "query-fdsets", "Sets of file descriptors", NULL, LIST, &set_list, query_fdsets, 0);

const struct bp_command *const bpc_fd_commands[] = {
    &cmd_getfd, &cmd_closefd, &cmd_add_fd, &cmd_remove_fd, &cmd_query_fdsets, NULL,
};
