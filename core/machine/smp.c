/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The arithmetic of -smp: what was left out is computed, cores before sockets before threads (sockets
 * before cores on boards that say so), and
 * the product of the hierarchy must be maxcpus.
 */
#include <errno.h>
#include <string.h>

#include "parts.h"

static unsigned or_one(unsigned n)
{
    return n ? n : 1;
}

/* Fills the level that is left open so that the product becomes `total`. */
static void fill_levels(struct bp_smp *s, unsigned total, bool prefer_sockets)
{
    uint64_t fixed = (uint64_t)s->dies * s->clusters * s->modules;

    if (total == 0) {
        s->sockets = or_one(s->sockets);
        s->cores = or_one(s->cores);
        s->threads = or_one(s->threads);
    } else if (prefer_sockets && s->sockets == 0) {
        s->cores = or_one(s->cores);
        s->threads = or_one(s->threads);
        s->sockets = (unsigned)(total / (fixed * s->cores * s->threads));
    } else if (s->cores == 0) {
        s->sockets = or_one(s->sockets);
        s->threads = or_one(s->threads);
        s->cores = (unsigned)(total / (fixed * s->sockets * s->threads));
    } else if (s->sockets == 0) {
        s->threads = or_one(s->threads);
        s->sockets = (unsigned)(total / (fixed * s->cores * s->threads));
    } else if (s->threads == 0) {
        s->threads = (unsigned)(total / (fixed * s->sockets * s->cores));
    }
    s->sockets = or_one(s->sockets);
    s->cores = or_one(s->cores);
    s->threads = or_one(s->threads);
}

static int check(const struct bp_smp *s, uint64_t product, const struct bp_board_class *board,
                 struct bp_error *err)
{
    if (product != s->max_cpus)
        return bp_fail(err, EINVAL,
                       "invalid CPU topology: product of the hierarchy must match maxcpus: sockets "
                       "(%u) * dies (%u) * %s (%u) * cores (%u) * threads (%u) != maxcpus (%u)",
                       s->sockets, s->dies, s->modules > 1 ? "modules" : "clusters", s->clusters * s->modules,
                       s->cores, s->threads, s->max_cpus);
    if (s->max_cpus < s->cpus)
        return bp_fail(err, EINVAL,
                       "invalid CPU topology: maxcpus (%u) must be equal to or greater than cpus (%u)",
                       s->max_cpus, s->cpus);
    if (s->max_cpus > or_one(board->max_cpus))
        return bp_fail(err, EINVAL, "invalid number of CPUs %u: machine '%s' supports at most %u",
                       s->max_cpus, board->type.name, or_one(board->max_cpus));
    return 0;
}

int bpc_smp_complete(struct bp_smp *smp, const struct bp_board_class *board,
                     struct bp_error *err)
{
    struct bp_smp s = *smp;
    const unsigned levels[] = {s.sockets, s.dies, s.clusters, s.modules, s.cores, s.threads};
    uint64_t product = 1;
    int ret;

    /* Bounded first, so that no product overflows. */
    for (size_t i = 0; i < BP_COUNT(levels); i++) {
        if (levels[i] > 4096 || s.cpus > 65536 || s.max_cpus > 65536)
            return bp_fail(err, ERANGE, "invalid CPU topology: at most 4096 of each level");
    }
    s.dies = or_one(s.dies);
    s.clusters = or_one(s.clusters);
    s.modules = or_one(s.modules);
    if (s.clusters > 1 && !board->has_clusters)
        return bp_fail(err, EINVAL, "clusters > 1 not supported by this machine's CPU topology");
    if (s.modules > 1 && !board->has_modules)
        return bp_fail(err, EINVAL, "modules > 1 not supported by this machine's CPU topology");
    fill_levels(&s, s.max_cpus ? s.max_cpus : s.cpus, board->prefer_sockets);
    product = (uint64_t)s.sockets * s.dies * s.clusters;
    product = product > UINT32_MAX ? UINT32_MAX : product * s.modules;
    product = product > UINT32_MAX ? UINT32_MAX : product * s.cores;
    product = product > UINT32_MAX ? UINT32_MAX : product * s.threads;
    if (s.max_cpus == 0)
        s.max_cpus = s.cpus ? s.cpus : (unsigned)(product > 65536 ? 65536 : product);
    if (s.cpus == 0)
        s.cpus = s.max_cpus;
    ret = check(&s, product, board, err);
    if (ret == 0)
        *smp = s;
    return ret;
}
