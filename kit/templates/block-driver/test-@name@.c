/* SPDX-License-Identifier: MIT */
/* @name@ on the fake host. Arguments: its file, and the folder of Backplane's own modules. */
#include <bp/host/block.h>
#include <bp/test.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bp_test_host *host;
static const struct bp_block_interface *block;
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

static int transfer(struct bp_blk *blk, enum bp_block_op op, uint64_t offset, void *buf, size_t bytes)
{
    struct iovec iov = {buf, bytes};
    struct bp_block_request req = {.size = sizeof(req), .offset = offset, .bytes = bytes, .iov = &iov,
                                   .iov_count = 1};

    return block->now(blk, op, &req);
}

static void what_is_written_is_read(void)
{
    static const struct bp_blk_ops ops = {.size = sizeof(struct bp_blk_ops)};
    struct bp_owner *owner = bp_owner_new(NULL, "test", "disk", 0);
    struct bp_blk_conf conf = {.drive = (char *)"d"};
    struct bp_error err = {0};
    char in[100], out[100];
    struct bp_blk *blk;

    need(bp_test_command(host, "blockdev-add", "{\"driver\": \"@name@\", \"node-name\": \"d\", "
                         "\"size\": 65536}", NULL, &err), &err);
    need(block->open(NULL, owner, NULL, &conf, &ops, NULL, &blk, &err), &err);
    check(block->length(blk) == 65536, "it is as long as it was told");
    memset(out, 0x5a, sizeof(out));
    check(transfer(blk, BP_BLOCK_WRITE, 1000, out, sizeof(out)) == 0, "it takes bytes");
    check(transfer(blk, BP_BLOCK_READ, 1000, in, sizeof(in)) == 0 && memcmp(in, out, sizeof(in)) == 0,
          "it gives them back");
    check(transfer(blk, BP_BLOCK_READ, 65500, in, sizeof(in)) < 0, "there is nothing beyond its end");
    block->close(blk);
    bp_owner_free(owner);
    check(bp_test_command(host, "blockdev-del", "{\"node-name\": \"d\"}", NULL, &err) == 0, "it goes away");
}

int main(int argc, char **argv)
{
    const char *module = argc == 3 ? argv[1] : "@module@";
    const char *folder = argc == 3 ? argv[2] : getenv("BACKPLANE_MODULES");
    struct bp_error err = {0};
    const void *table;

    need(bp_test_host_new(folder, &host, &err), &err);
    need(bp_test_interface(host, "block", 1, &table, &err), &err);
    block = table;
    need(bp_test_load(host, module, &err), &err);
    what_is_written_is_read();
    bp_test_host_free(host);
    printf("1..%u\n", count);
    return failed != 0;
}
