/* SPDX-License-Identifier: MIT */
/* @name@ on the fake host. Arguments: its file, and the folder of Backplane's own modules. */
#include <bp/test.h>

#include <stdio.h>
#include <stdlib.h>

static struct bp_test_host *host;
static unsigned count, failed;

static void check(int good, const char *what)
{
    printf("%sok %u - %s\n", good ? "" : "not ", ++count, what);
    failed += !good;
}

static void need(int rc, const struct bp_error *err)
{
    if (rc >= 0)
        return;
    printf("Bail out! %s\n", err->message);
    exit(1);
}

static void keys_are_checked(void)
{
    struct bp_error err = {0};

    check(bp_test_option(host, "@name@", "3,quiet=on", &err) == 0, "level 3");
    check(bp_test_option(host, "@name@", "level=11", &err) < 0, "out of range");
    check(bp_test_option(host, "@name@", "3,colour=red", &err) < 0, "an unknown key");
}

int main(int argc, char **argv)
{
    const char *module = argc == 3 ? argv[1] : "@module@";
    const char *folder = argc == 3 ? argv[2] : getenv("BACKPLANE_MODULES");
    struct bp_error err = {0};

    need(bp_test_host_new(folder, &host, &err), &err);
    need(bp_test_load(host, module, &err), &err);
    keys_are_checked();
    bp_test_host_free(host);
    printf("1..%u\n", count);
    return failed != 0;
}
