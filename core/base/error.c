/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Errors: one line of text in the caller's memory. Newlines and control bytes become spaces; passwords of URLs are left
 * out.
 */
#include <bp/error.h>

#include <stdio.h>
#include <string.h>

/* SCHEME://USER:PASSWORD@HOST, and iscsi://USER%PASSWORD@HOST. The last '@' before the path is the one. */
void bp_hide_passwords(char *text)
{
    const char *begin = text;

    while ((text = strstr(text, "://"))) {
        bool percent = text - begin >= 5 && !strncmp(text - 5, "iscsi", 5);
        char *at = NULL, *secret;

        text += 3;
        for (char *p = text; *p && !strchr("/?# \t\n", *p); p++)
            if (*p == '@')
                at = p;
        secret = at ? memchr(text, ':', (size_t)(at - text)) : NULL;
        if (at && !secret && percent)
            secret = memchr(text, '%', (size_t)(at - text));
        if (secret)
            memmove(secret, at, strlen(at) + 1);
    }
}

static void make_one_line(char *text)
{
    bp_hide_passwords(text);
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
    }
}

int bp_vfail(struct bp_error *err, enum bp_error_class kind, int code, const char *fmt, va_list ap)
{
    if (!err)
        return -code;
    /* The arguments may point into err itself ("%s", err->message). */
    char text[sizeof(err->message)];
    vsnprintf(text, sizeof(text), fmt, ap);
    make_one_line(text);
    err->code = code;
    err->kind = kind;
    memcpy(err->message, text, sizeof(text));
    return -code;
}

int bp_fail(struct bp_error *err, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int ret = bp_vfail(err, BP_ERROR_GENERIC, code, fmt, ap);
    va_end(ap);
    return ret;
}

int bp_fail_class(struct bp_error *err, enum bp_error_class kind, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int ret = bp_vfail(err, kind, code, fmt, ap);
    va_end(ap);
    return ret;
}

void bp_error_prefix(struct bp_error *err, const char *fmt, ...)
{
    if (!err || !err->code)
        return;
    char text[sizeof(err->message)];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    char *tail = text + ((size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
    tail = stpncpy(tail, ": ", (size_t)(text + sizeof(text) - 1 - tail));
    stpncpy(tail, err->message, (size_t)(text + sizeof(text) - 1 - tail));
    text[sizeof(text) - 1] = '\0';
    make_one_line(text);
    memcpy(err->message, text, sizeof(text));
}
