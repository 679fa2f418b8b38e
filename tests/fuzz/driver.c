/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs a fuzz target without libFuzzer: every seed as it is, then mutations of the seeds by a
 * seeded generator (flipped bits, edge values, cut, doubled and swapped ranges), always the same ones for
 * the same seed. For tests; long runs use libFuzzer (./dev fuzz).
 *
 * usage: fuzz-TARGET ROUNDS SEED-FILE...
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "fuzz.h"

#define INPUT_SIZE 65536u

struct input {
    uint8_t data[INPUT_SIZE];
    size_t size;
};

static void mutate(struct input *in, GRand *rand)
{
    static const uint32_t edges[] = {0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000,
                                     UINT32_MAX};
    size_t at = in->size ? g_rand_int(rand) % in->size : 0, left = in->size - at;
    size_t length = left ? 1 + g_rand_int(rand) % (left < 64 ? left : 64) : 0;
    uint32_t edge = edges[g_rand_int(rand) % G_N_ELEMENTS(edges)];

    switch (g_rand_int(rand) % 7) {
    case 0:
        if (left)
            in->data[at] ^= (uint8_t)(1u << g_rand_int(rand) % 8);
        break;
    case 1:
        if (left)
            in->data[at] = (uint8_t)g_rand_int(rand);
        break;
    case 2:
        if (left >= 4)
            memcpy(in->data + at, &edge, 4);
        break;
    case 3: /* cut off */
        if (g_rand_int(rand) % 8 == 0)
            in->size = at;
        break;
    case 4: /* cut out */
        memmove(in->data + at, in->data + at + length, left - length);
        in->size -= length;
        break;
    case 5: /* double */
        if (in->size + length <= INPUT_SIZE) {
            memmove(in->data + at + length, in->data + at, left);
            in->size += length;
        }
        break;
    default: /* copy over */
        if (length)
            memmove(in->data + at, in->data + g_rand_int(rand) % (in->size - length + 1), length);
        break;
    }
}

static void run(const struct input *in)
{
    /* Exactly as long as the input, so that sanitizers see a read beyond it. */
    uint8_t *exact = malloc(in->size ? in->size : 1);

    memcpy(exact, in->data, in->size);
    LLVMFuzzerTestOneInput(exact, in->size);
    free(exact);
}

static size_t read_seed(const char *path, struct input *in)
{
    FILE *f = fopen(path, "rb");

    if (!f) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    in->size = fread(in->data, 1, INPUT_SIZE, f);
    fclose(f);
    return in->size;
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
    struct input *seed = malloc(sizeof(*seed)), *in = malloc(sizeof(*in));
    GRand *rand = g_rand_new_with_seed(1);

    if (!rounds || !seed || !in) {
        fprintf(stderr, "usage: %s ROUNDS SEED-FILE...\n", argv[0]);
        return EXIT_FAILURE;
    }
    printf("1..%d\n", argc - 2);
    for (int i = 2; i < argc; i++) {
        read_seed(argv[i], seed);
        run(seed);
        for (unsigned long n = 0; n < rounds; n++) {
            *in = *seed;
            for (unsigned k = 1 + g_rand_int(rand) % 6; k > 0; k--)
                mutate(in, rand);
            run(in);
        }
        printf("ok %d - %s, %lu mutations\n", i - 1, g_path_get_basename(argv[i]), rounds);
        fflush(stdout);
    }
    g_rand_free(rand);
    free(seed);
    free(in);
    return 0;
}
