/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Has a service of PAM an account part? Its file as pam.d(5) describes it: "type control module", "@include file". */
#include "account.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MOST_DEEP 16u

static bool has_account(const char *name, unsigned depth);

static FILE *open_service(const char *name)
{
    static const char *const where[] = {"/etc/pam.d/", "/usr/lib/pam.d/"};
    char path[512];
    FILE *f = NULL;

    if (name[0] == '/')
        return fopen(name, "re");
    for (unsigned i = 0; !f && i < sizeof(where) / sizeof(*where); i++) {
        snprintf(path, sizeof(path), "%s%s", where[i], name);
        f = fopen(path, "re");
    }
    return f;
}

/* The control of several words stands in brackets. */
static char *skip_control(char *rest)
{
    char *end;

    rest += strspn(rest, " \t");
    end = *rest == '[' ? strchr(rest, ']') : rest + strcspn(rest, " \t");
    return end ? end + strspn(end, "] \t") : rest + strlen(rest);
}

static bool line_has(char *line, unsigned depth)
{
    char *type, *rest = NULL, *module;
    bool includes;

    line[strcspn(line, "#\r\n")] = 0;
    type = strtok_r(line, " \t", &rest);
    if (!type)
        return false;
    if (!strcasecmp(type, "@include")) {
        module = strtok_r(NULL, " \t", &rest);
        return module && has_account(module, depth + 1);
    }
    if (strcasecmp(type + (*type == '-'), "account") != 0)
        return false;
    rest += strspn(rest, " \t");
    includes = !strncasecmp(rest, "include", 7) || !strncasecmp(rest, "substack", 8);
    module = skip_control(rest);
    module[strcspn(module, " \t")] = 0;
    return *module && (!includes || has_account(module, depth + 1));
}

/* A backslash at its end joins a line with the next. */
static bool take_line(char **logical, char *line, unsigned depth, bool *ret_has)
{
    size_t n = strcspn(line, "\n");
    bool goes_on = n && line[n - 1] == '\\';
    char *joined = NULL;

    line[goes_on ? n - 1 : n] = 0;
    if (asprintf(&joined, "%s%s%s", *logical ? *logical : "", *logical ? " " : "", line) < 0)
        return false;
    free(*logical);
    *logical = joined;
    if (goes_on)
        return true;
    *ret_has = line_has(joined, depth);
    free(joined);
    *logical = NULL;
    return true;
}

static bool has_account(const char *name, unsigned depth)
{
    FILE *f = depth < MOST_DEEP ? open_service(name) : NULL;
    char *line = NULL, *logical = NULL;
    bool has = false, good = f != NULL;
    size_t size = 0, total = 0;
    ssize_t n;

    while (good && !has && (n = getline(&line, &size, f)) > 0 && (total += (size_t)n) < 1u << 20)
        good = take_line(&logical, line, depth, &has);
    if (good && !has && logical)
        has = line_has(logical, depth);
    free(line);
    free(logical);
    if (f)
        fclose(f);
    return good && has;
}

int account_check(const char *service, struct bp_error *err)
{
    FILE *f = open_service(service);

    if (!f)
        return bp_fail(err, EACCES, "there is no /etc/pam.d/%s", service);
    fclose(f);
    if (!has_account(service, 0))
        return bp_fail(err, EACCES, "/etc/pam.d/%s has no line of type 'account', and PAM would ask the service "
                       "'other'", service);
    return 0;
}
