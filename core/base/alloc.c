/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that a program cannot do without (bp/base.h). glib's functions allocate with malloc(). */
#include <glib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "log.h"

void *bp_alloc(size_t size)
{
    return g_malloc0(size ? size : 1);
}

void *bp_realloc(void *memory, size_t size)
{
    return g_realloc(memory, size ? size : 1);
}

char *bp_strdup(const char *text)
{
    return g_strdup(text);
}

char *bp_path_absolute(const char *path)
{
    char *here = *path == '/' ? NULL : getcwd(NULL, 0), *absolute;

    if (!here) /* without a folder it stays as it is */
        return g_strdup(path);
    absolute = g_build_filename(here, path, NULL);
    free(here);
    return absolute;
}

static struct termios terminal;
static bool is_terminal;

/* glib would end the program with a trap behind this message. Nothing here allocates. */
static void end_when_fatal(const gchar *domain, GLogLevelFlags level, const gchar *message,
                           gpointer opaque)
{
    const char *parts[] = {bpc_program_name(), ": ", message ? message : "out of memory", "\n"};

    if (!(level & (G_LOG_FLAG_FATAL | G_LOG_LEVEL_ERROR))) {
        g_log_default_handler(domain, level, message, opaque);
        return;
    }
    for (unsigned i = 0; i < BP_COUNT(parts); i++)
        if (write(STDERR_FILENO, parts[i], strlen(parts[i])) < 0)
            break;
    if (is_terminal) /* it may be in raw mode by now */
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
    _exit(1);
}

void bpc_end_when_out_of_memory(void)
{
    is_terminal = tcgetattr(STDIN_FILENO, &terminal) == 0;
    g_log_set_default_handler(end_when_fatal, NULL);
}
