/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What tests of jobs share: images, and what state a job is in. */
#ifndef BLOCK_JOBS_H
#define BLOCK_JOBS_H

#include "qcow2-images.h"

#define DISK (4u << 20)

static G_GNUC_UNUSED const char *status_of(const char *id, char *buf, size_t size)
{
    struct bp_error err = {0};
    char *reply = NULL, *at, *end;

    g_assert_cmpint(bp_test_command(host, "query-jobs", NULL, &reply, &err), ==, 0);
    at = g_strdup_printf("\"id\":\"%s\"", id);
    end = strstr(reply, at);
    g_free(at);
    g_strlcpy(buf, "gone", size);
    if (end && (at = strstr(end, "\"status\":\""))) {
        at += 10;
        end = strchr(at, '"');
        g_strlcpy(buf, at, MIN(size, (size_t)(end - at) + 1));
    } else if (end) { /* before the id */
        while (end > reply && strncmp(end, "\"status\":\"", 10) != 0)
            end--;
        g_strlcpy(buf, end + 10, MIN(size, (size_t)(strchr(end + 10, '"') - end - 10) + 1));
    }
    g_free(reply);
    return buf;
}

static G_GNUC_UNUSED void wait_for_job(const char *id, const char *wanted)
{
    char now[32];

    for (unsigned i = 0; i < 60000 && strcmp(status_of(id, now, sizeof(now)), wanted) != 0; i++) {
        bp_test_step(host, 0);
        g_usleep(500);
    }
    g_assert_cmpstr(now, ==, wanted);
}

static G_GNUC_UNUSED char *image(const char *name, const char *backing)
{
    char *path = path_of(name), *more = backing ? g_strdup_printf(", \"backing-file\": \"%s\", \"backing-fmt\": "
                                                                  "\"qcow2\"", backing) : g_strdup("");

    create(path, DISK, more);
    g_free(more);
    return path;
}

static G_GNUC_UNUSED void add(const char *node, const char *path, const char *more)
{
    command("blockdev-add", "{\"driver\": \"qcow2\", \"node-name\": \"%s\", \"discard\": \"unmap\"%s, \"file\": "
            "{\"driver\": \"file\", \"filename\": \"%s\", \"cache\": {\"no-flush\": true}}}", node, more, path);
}

static G_GNUC_UNUSED void del(const char *node)
{
    command("blockdev-del", "{\"node-name\": \"%s\"}", node);
}

#endif
