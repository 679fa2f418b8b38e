/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>

#include "program.h"

/* return bpf_redirect_map(map, ctx->rx_queue_index, XDP_PASS) */
static int load(int map)
{
    const struct bpf_insn code[] = {
        {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_1,
         .off = offsetof(struct xdp_md, rx_queue_index)},
        {.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map},
        {.code = 0},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map},
        {.code = BPF_JMP | BPF_EXIT}};

    return bpf_prog_load(BPF_PROG_TYPE_XDP, "backplane", "GPL", code, sizeof(code) / sizeof(*code), NULL);
}

static int attach(struct program *p, unsigned ifindex, enum program_mode mode)
{
    DECLARE_LIBBPF_OPTS(bpf_link_create_opts, native, .flags = XDP_FLAGS_DRV_MODE);
    DECLARE_LIBBPF_OPTS(bpf_link_create_opts, skb, .flags = XDP_FLAGS_SKB_MODE);

    p->link = -1;
    if (mode != PROGRAM_SKB)
        p->link = bpf_link_create(p->code, (int)ifindex, BPF_XDP, &native);
    if (p->link < 0 && mode != PROGRAM_NATIVE)
        p->link = bpf_link_create(p->code, (int)ifindex, BPF_XDP, &skb);
    return p->link < 0 ? -errno : 0;
}

int program_attach(struct program *p, unsigned ifindex, unsigned queues, enum program_mode mode, struct bp_error *err)
{
    int ret = 0, why;

    *p = (struct program){-1, -1, -1};
    p->map = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "backplane_xsk", 4, 4, queues, NULL);
    if (p->map >= 0)
        p->code = load(p->map);
    if (p->map < 0 || p->code < 0) {
        why = errno;
        ret = bp_fail(err, why, "an XDP program: %s%s", strerror(why),
                      why == EPERM ? "; it needs CAP_BPF and CAP_NET_ADMIN" : "");
    } else if (attach(p, ifindex, mode) < 0) {
        why = errno;
        ret = bp_fail(err, why, "the interface does not take an XDP program%s: %s%s",
                      mode == PROGRAM_NATIVE ? " in native mode" : "", strerror(why),
                      why == EBUSY || why == EEXIST ? "; another one is attached (ip link show)" : "");
    }
    if (ret < 0)
        program_detach(p);
    return ret;
}

int program_add(struct program *p, unsigned queue, int fd, struct bp_error *err)
{
    if (bpf_map_update_elem(p->map, &queue, &fd, 0) == 0)
        return 0;
    return bp_fail(err, errno, "queue %u of the XDP program: %s", queue, strerror(errno));
}

void program_detach(struct program *p)
{
    if (p->link >= 0)
        close(p->link);
    if (p->code >= 0)
        close(p->code);
    if (p->map >= 0)
        close(p->map);
    *p = (struct program){-1, -1, -1};
}
