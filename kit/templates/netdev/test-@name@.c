/* SPDX-License-Identifier: MIT */
/* @name@ on the fake host. Arguments: its file, and the folder of Backplane's own modules. */
#include <bp/host/net.h>
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

static void it_comes_and_goes(void)
{
    struct bp_error err = {0};
    char *text;

    need(bp_test_option(host, "netdev", "@name@,id=n,reverse=on", &err), &err);
    text = bp_test_hmp(host, "info network");
    check(strstr(text, "n: index=0,type=@name@,frames=0") != NULL, "it is listed");
    free(text);
    check(bp_test_option(host, "netdev", "@name@,id=m,reverse=up", &err) < 0, "a wrong value is refused");
    check(bp_test_command(host, "netdev_del", "{\"id\": \"n\"}", NULL, &err) == 0, "it goes away");
}

int main(int argc, char **argv)
{
    const char *module = argc == 3 ? argv[1] : "@module@";
    const char *folder = argc == 3 ? argv[2] : getenv("BACKPLANE_MODULES");
    struct bp_error err = {0};

    need(bp_test_host_new(folder, &host, &err), &err);
    need(bp_test_load(host, module, &err), &err);
    it_comes_and_goes();
    bp_test_host_free(host);
    printf("1..%u\n", count);
    return failed != 0;
}
