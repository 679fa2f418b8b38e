/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many bytes SCSI commands move, and which way, as the two tables say that transports use which are not told: each
 * command with numbers whose bytes all differ, against where SPC-4, SBC-3 and MMC-6 have them. */
#include <glib.h>

#include "../../modules/hw/scsi-hba/cdb.h"
#include "../../modules/hw/scsi/scsi.h"

#define BLOCK 4096u

enum { IN = 1, OUT = 0 };
static const struct {
    uint8_t opcode;
    uint8_t at, bytes; /* of the number; 0 bytes: `at` is what it moves */
    bool blocks, in;
    bool parallel_only;
} commands[] = {
    {0x03, 4, 1, false, IN}, {0x12, 3, 2, false, IN}, {0x1a, 4, 1, false, IN}, {0x25, 8, 0, false, IN},
    {0x43, 7, 2, false, IN}, {0x46, 7, 2, false, IN}, {0x4a, 7, 2, false, IN}, {0x51, 7, 2, false, IN},
    {0x5a, 7, 2, false, IN}, {0x5e, 7, 2, false, IN}, {0xad, 8, 2, false, IN}, {0xbd, 8, 2, false, IN},
    {0xa0, 6, 4, false, IN}, {0xa3, 6, 4, false, IN}, {0x9e, 10, 4, false, IN},
    {0x08, 4, 1, true, IN}, {0x28, 7, 2, true, IN}, {0xa8, 6, 4, true, IN}, {0x88, 10, 4, true, IN},
    {0x0a, 4, 1, true, OUT}, {0x2a, 7, 2, true, OUT}, {0x2e, 7, 2, true, OUT}, {0xaa, 6, 4, true, OUT},
    {0xae, 6, 4, true, OUT}, {0x8a, 10, 4, true, OUT}, {0x8e, 10, 4, true, OUT},
    {0x15, 4, 1, false, OUT}, {0x55, 7, 2, false, OUT}, {0x42, 7, 2, false, OUT}, {0x5f, 5, 4, false, OUT},
    {0x1c, 3, 2, false, IN, true}, {0x1d, 3, 2, false, OUT, true}, {0x23, 7, 2, false, IN, true},
    {0x3b, 6, 3, false, OUT}, {0x3c, 6, 3, false, IN, true}, {0x4c, 7, 2, false, OUT, true},
    {0x4d, 7, 2, false, IN, true}, {0x52, 7, 2, false, IN, true}, {0xa4, 6, 4, false, OUT, true},
    {0xac, 8, 2, false, IN, true},
};

/* Bytes 1, 2, ... of the number; those around it are all ones. */
static uint64_t fill(uint8_t *cdb, unsigned at, unsigned bytes, uint8_t first)
{
    uint64_t number = 0;

    memset(cdb + 1, 0xff, 15);
    for (unsigned i = 0; i < bytes; i++) {
        cdb[at + i] = (uint8_t)(first + i);
        number = number << 8 | cdb[at + i];
    }
    return number;
}

static void each_command_moves_what_it_says(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        for (uint8_t first = 0; first < 3; first++) {
            uint8_t cdb[16] = {commands[i].opcode}, at = commands[i].at, bytes = commands[i].bytes;
            uint64_t number = fill(cdb, at, bytes, bytes == 4 && !commands[i].blocks ? 0 : first);
            uint64_t want = bytes ? number * (commands[i].blocks ? BLOCK : 1) : at;
            bool in = !commands[i].in, out = commands[i].in;

            if (bytes == 1 && commands[i].blocks && number == 0)
                want = 256 * BLOCK;
            if (!commands[i].parallel_only) {
                g_assert_cmpuint(cdb_moves(cdb, BLOCK, &in), ==, want);
                g_assert_true(in == commands[i].in);
            }
            if (!commands[i].blocks && commands[i].in && want > 65536)
                want = 65536; /* room for an answer */
            g_assert_cmpuint(scsi_moves(cdb, BLOCK, &out), ==, want);
            g_assert_true(out == !commands[i].in);
        }
    }
}

static void one_block_is_written_over_and_over(void)
{
    uint8_t ten[16] = {0x41, [8] = 9}, sixteen[16] = {0x93, [13] = 9}, none[16] = {0x93, 1};
    bool in = true, out = false;

    g_assert_cmpuint(cdb_moves(ten, BLOCK, &in), ==, BLOCK);
    g_assert_false(in);
    g_assert_cmpuint(cdb_moves(sixteen, BLOCK, &in), ==, BLOCK);
    g_assert_cmpuint(cdb_moves(none, BLOCK, &in), ==, 0);
    g_assert_cmpuint(scsi_moves(ten, BLOCK, &out), ==, BLOCK);
    g_assert_true(out);
    g_assert_cmpuint(scsi_moves(sixteen, BLOCK, &out), ==, BLOCK);
    g_assert_cmpuint(scsi_moves(none, BLOCK, &out), ==, 0);
}

static void others_move_nothing(void)
{
    bool known[256] = {[0x41] = true, [0x93] = true};

    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++)
        known[commands[i].opcode] = true;
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        uint8_t cdb[16] = {(uint8_t)opcode};
        bool in, out;

        memset(cdb + 1, 0xff, 15);
        if (known[opcode])
            continue;
        g_assert_cmpuint(cdb_moves(cdb, BLOCK, &in), ==, 0);
        g_assert_false(in);
        g_assert_cmpuint(scsi_moves(cdb, BLOCK, &out), ==, 0);
        g_assert_false(out);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-lengths/each_command_moves_what_it_says", each_command_moves_what_it_says);
    g_test_add_func("/scsi-lengths/one_block_is_written_over_and_over", one_block_is_written_over_and_over);
    g_test_add_func("/scsi-lengths/others_move_nothing", others_move_nothing);
    return g_test_run();
}
