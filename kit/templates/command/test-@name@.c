/* SPDX-License-Identifier: MIT */
/* @name@ on the fake host. Arguments: its file, and the folder of Backplane's own modules. */
#include <bp/test.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static void number_comes_back(void)
{
    struct bp_error err = {0};
    char *reply;

    need(bp_test_command(host, "@name@", "{\"value\": -7}", &reply, &err), &err);
    check(strcmp(reply, "-7") == 0, "the number comes back");
    free(reply);
    check(bp_test_command(host, "@name@", "{\"value\": true}", NULL, &err) < 0, "a wrong type");
}

int main(int argc, char **argv)
{
    const char *module = argc == 3 ? argv[1] : "@module@";
    const char *folder = argc == 3 ? argv[2] : getenv("BACKPLANE_MODULES");
    struct bp_error err = {0};

    need(bp_test_host_new(folder, &host, &err), &err);
    need(bp_test_load(host, module, &err), &err);
    number_comes_back();
    bp_test_host_free(host);
    printf("1..%u\n", count);
    return failed != 0;
}
