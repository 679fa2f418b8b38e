/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A module file as data (tool.h): notes, image and table; and the tables of fields in descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bp/command.h>
#include <bp/level.h>
#include <bp/option.h>

#include "tool.h"

static int open_regular(const char *path, struct stat *ret_stat, struct bp_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return bp_fail(err, errno, "%s: %s", path, strerror(errno));
    if (fstat(fd, ret_stat) < 0 || !S_ISREG(ret_stat->st_mode)) {
        close(fd);
        return bp_fail(err, EINVAL, "%s: is not a regular file", path);
    }
    return fd;
}

int module_file_open(const char *path, struct module_file *ret_file, struct bp_error *err)
{
    struct module_file file = {0};
    struct notes_source source = {0};
    struct stat st;
    int rc;

    source.fd = open_regular(path, &st, err);
    if (source.fd < 0)
        return source.fd;
    source.size = file.size = (uint64_t)st.st_size;
    rc = notes_read(&source, &file.notes, err);
    if (rc == 0)
        rc = image_open(&source, &file.image, err);
    close(source.fd);
    if (rc < 0) {
        notes_finish(&file.notes);
        bp_error_prefix(err, "%s", path);
        return rc;
    }
    file.has_table = describe_image(file.image, &file.table, &file.table_error) == 0;
    file.path = g_canonicalize_filename(path, NULL);
    *ret_file = file;
    return 0;
}

void module_file_close(struct module_file *file)
{
    if (file->has_table)
        describe_finish(&file->table);
    image_free(file->image);
    notes_finish(&file->notes);
    g_free(file->path);
    memset(file, 0, sizeof(*file));
}

const char *module_file_note(const struct module_file *file, const char *key)
{
    const char *value = notes_get(&file->notes, key);

    return value ? value : "";
}

bool module_file_has_note(const struct module_file *file, const char *key, const char *value)
{
    size_t key_length = strlen(key), value_length = strlen(value);

    for (const char *r = notes_next(&file->notes, NULL); r; r = notes_next(&file->notes, r))
        if (strncmp(r, key, key_length) == 0 && r[key_length] == '=' &&
            strncmp(r + key_length + 1, value, value_length) == 0 &&
            (!r[key_length + 1 + value_length] || r[key_length + 1 + value_length] == ';'))
            return true;
    return false;
}

char *module_file_attributes(const struct module_file *file, const char *kind, const char *name,
                             char **ret_summary)
{
    char *wanted = g_strdup_printf("provides=%s:%s", kind, name);
    size_t length = strlen(wanted);
    char *attributes = NULL;

    for (const char *r = notes_next(&file->notes, NULL); r && !attributes;
         r = notes_next(&file->notes, r)) {
        const char *rest = r + length, *summary;

        if (strncmp(r, wanted, length) != 0 || (*rest && *rest != ';'))
            continue;
        rest += *rest == ';';
        summary = g_str_has_prefix(rest, "summary=") ? rest : strstr(rest, ";summary=");
        attributes = summary ? g_strndup(rest, (gsize)(summary - rest)) : g_strdup(rest);
        *ret_summary = g_strdup(summary ? strchr(summary, '=') + 1 : "");
    }
    g_free(wanted);
    return attributes;
}

const struct bp_type_info *tool_type_info(const char *kind, const void *desc)
{
    switch (kind_from_name(kind, strlen(kind))) {
    case BP_PROVIDE_INTERFACE:
    case BP_PROVIDE_OPTION:
    case BP_PROVIDE_COMMAND:
    case BP_PROVIDE_HMP:
    case BP_PROVIDE_EVENT:
    case BP_PROVIDE_KIND: return NULL;
    default: return desc; /* each of them begins with it */
    }
}

void tool_each_fields(const char *kind, const void *desc, each_fields_fn *fn, void *opaque)
{
    const struct bp_type_info *type = tool_type_info(kind, desc);

    if (type)
        fn("property", type->props, opaque);
    if (type && type->description)
        fn("property of the description", type->description->type.props, opaque);
    switch (kind_from_name(kind, strlen(kind))) {
    case BP_PROVIDE_BUS:
        fn("property of children", ((const struct bp_bus_class *)desc)->child_props, opaque);
        break;
    case BP_PROVIDE_OPTION: fn("key", ((const struct bp_option *)desc)->keys, opaque); break;
    case BP_PROVIDE_COMMAND: fn("argument", ((const struct bp_command *)desc)->args, opaque); break;
    case BP_PROVIDE_HMP: fn("argument", ((const struct bp_hmp_command *)desc)->args, opaque); break;
    case BP_PROVIDE_EVENT: fn("member", ((const struct bp_event *)desc)->data, opaque); break;
    default: break;
    }
}
