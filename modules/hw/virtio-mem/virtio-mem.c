/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory device (Virtual I/O Device 1.2, 5.15): a memory back end among the guest's addresses (-m maxmem=), of which
 * the guest plugs in as many blocks as the property requested-size asks for. Blocks that it gives back are given to the
 * host. Giving memory back needs the machine lock: requests are carried out in the main context. Leaves out keeping a
 * guest from blocks that are not plugged in (they read as zeroes).
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/command.h>
#include <bp/dma.h>
#include <bp/host/virtio.h>
#include <bp/loop.h>
#include <bp/memory-device.h>
#include <bp/ram.h>

BP_USE(virtio, struct bp_virtio_interface, "virtio", 1);

enum { PLUG = 0, UNPLUG = 1, UNPLUG_ALL = 2, STATE = 3 };
enum { ACK = 0, NACK = 1, BUSY = 2, ERROR = 3 };
enum { PLUGGED = 0, UNPLUGGED = 1, MIXED = 2 };
enum { CONFIG = 56, NODE_AT = 8, ADDRESS_AT = 16, REGION_AT = 24, USABLE_AT = 32, PLUGGED_AT = 40, REQUESTED_AT = 48 };
#define LEAST_BLOCK (UINT64_C(1) << 20)
#define BLOCKS_MOST (UINT64_C(1) << 24)
#define TURN (UINT64_C(1) << 17) /* blocks that are looked at before others have their turn */
#define KEPT "the guest has some of its memory; with requested-size=0 it gives that back"

struct vmem {
    /* properties */
    struct bp_object *memdev;
    uint64_t memaddr, block, requested;
    uint32_t node;

    struct bp_device *dev;
    struct bp_virtio *virtio;
    struct bp_virtq *queue;
    struct bp_owner *main; /* its calls hold the machine lock */
    struct bp_deferred *work;
    struct bp_region *ram;
    struct bp_ram_claim *claim;
    uint64_t blocks, plugged; /* how many */
    uint8_t *map;      /* owned: a bit for each block that is plugged in */
    uint32_t map_size; /* bytes of it, and no more */
    uint64_t looked_at; /* blocks, in this turn */
    uint64_t saved_block;
};

static const struct bp_field event_members[] = {
    BP_ARG_OPT("id", STRING, "of the device"), BP_ARG("size", SIZE, "bytes that the guest has"),
    BP_ARG("qom-path", STRING, "path of the device"), BP_FIELDS_END};
BP_EVENT(size_changed, "MEMORY_DEVICE_SIZE_CHANGE", "The guest plugged memory in, or gave some back", event_members,
         1000);

static void put64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, 8);
}

static bool is_plugged(const struct vmem *s, uint64_t n)
{
    return s->map[n / 8] >> n % 8 & 1;
}

/* ---- blocks; machine lock and device lock ---- */

static void count_plugged(struct vmem *s)
{
    put64(virtio->config(s->virtio) + PLUGGED_AT, s->plugged * s->block);
    bp_memory_device_set_plugged(s->dev, s->plugged * s->block);
    bp_device_keep(s->dev, s->plugged ? KEPT : NULL);
}

static void tell(struct vmem *s)
{
    struct bp_value *data = bp_value_dict();

    count_plugged(s);
    if (bp_device_id(s->dev))
        bp_value_set(data, "id", bp_value_string(bp_device_id(s->dev)));
    bp_value_set(data, "size", bp_value_uint(s->plugged * s->block));
    bp_value_set(data, "qom-path", bp_value_string(bp_object_path(bp_device_object(s->dev))));
    bp_event_send(&size_changed, data);
}

/* All of which are in the other state. */
static void set_blocks(struct vmem *s, uint64_t first, uint64_t count, bool on)
{
    for (uint64_t n = first; n < first + count; n++)
        s->map[n / 8] ^= (uint8_t)(1u << n % 8);
    s->plugged += on ? count : -count;
    if (!on)
        (void)bp_ram_discard(s->ram, first * s->block, count * s->block); /* -ENOTSUP: the host keeps it */
    tell(s);
}

static void unplug_all(struct vmem *s)
{
    if (s->plugged)
        (void)bp_ram_discard(s->ram, 0, s->blocks * s->block);
    memset(s->map, 0, s->map_size);
    s->plugged = 0;
    tell(s);
}

/* UNPLUGGED, PLUGGED or MIXED. */
static unsigned state_of(struct vmem *s, uint64_t first, uint64_t count)
{
    uint64_t on = 0;

    s->looked_at += count;
    for (uint64_t n = first; n < first + count; n++)
        on += is_plugged(s, n);
    return on == count ? PLUGGED : on == 0 ? UNPLUGGED : MIXED;
}

static uint16_t carry_out(struct vmem *s, const uint8_t request[24], uint16_t *ret_state)
{
    uint16_t type, count;
    uint64_t addr, first;

    memcpy(&type, request, 2);
    memcpy(&addr, request + 8, 8);
    memcpy(&count, request + 16, 2);
    type = le16toh(type);
    addr = le64toh(addr);
    count = le16toh(count);
    if (type == UNPLUG_ALL) {
        s->looked_at += s->plugged;
        unplug_all(s);
        return ACK;
    }
    first = (addr - s->memaddr) / s->block;
    if (type > STATE || addr < s->memaddr || (addr - s->memaddr) % s->block || !count || first >= s->blocks ||
        count > s->blocks - first)
        return ERROR;
    if (type == STATE) {
        *ret_state = (uint16_t)state_of(s, first, count);
        return ACK;
    }
    if (state_of(s, first, count) != (type == PLUG ? UNPLUGGED : PLUGGED))
        return ERROR;
    if (type == PLUG && (s->plugged + count) * s->block > s->requested)
        return NACK;
    set_blocks(s, first, count, type == PLUG);
    return ACK;
}

static void answer(struct vmem *s, struct bp_virtq_request *r)
{
    uint8_t request[24], bytes[10] = {0};
    uint16_t state = 0, type = ERROR;

    if (bp_virtq_read(r, 0, request, sizeof(request)) == sizeof(request))
        type = carry_out(s, request, &state);
    type = htole16(type);
    state = htole16(state);
    memcpy(bytes, &type, 2);
    memcpy(bytes + 8, &state, 2);
    virtio->push(s->queue, r, bp_virtq_write(r, 0, bytes, sizeof(bytes)));
}

/* In the main context, under the machine lock. A driver that asks without end has others wait no longer than a turn. */
static void work(void *opaque)
{
    struct vmem *s = opaque;
    struct bp_virtq_request *r = NULL;
    bool more;

    if (!s->virtio)
        return;
    bp_device_lock(s->dev);
    s->looked_at = 0;
    for (unsigned n = 0; n < 64 && s->looked_at < TURN; n++) {
        r = virtio->is_running(s->virtio) ? virtio->pop(s->queue) : NULL;
        if (!r)
            break;
        answer(s, r);
    }
    virtio->flush(s->queue);
    more = virtio->is_running(s->virtio) && (r || virtio->kicks(s->queue, true));
    bp_device_unlock(s->dev);
    if (more)
        bp_deferred_schedule(s->work);
}

static bool handle(void *opaque, struct bp_virtq *queue)
{
    (void)queue;
    bp_deferred_schedule(((struct vmem *)opaque)->work);
    return false;
}

static const struct bp_virtio_class class = {.size = sizeof(class), .id = 24, .config_size = CONFIG,
                                             .name = "virtio-mem", .features = BP_VIRTIO_BIT(0),
                                             .flags = BP_VIRTIO_CLASS_MODERN_ONLY};
static const struct bp_virtq_info queue_info = {.size = sizeof(queue_info), .entries = 128, .handle = handle};

/* ---- life ---- */

static void describe(struct bp_device *dev, struct bp_value *info);

static int check(const struct vmem *s, uint64_t requested, struct bp_error *err)
{
    if (requested % s->block)
        return bp_fail(err, EINVAL, "'requested-size' has to be properly aligned (0x%llx)",
                       (unsigned long long)s->block);
    if (s->ram && requested > s->blocks * s->block)
        return bp_fail(err, EINVAL, "'requested-size' cannot exceed the memory backend size (0x%llx)",
                       (unsigned long long)(s->blocks * s->block));
    return 0;
}

static void tell_config(struct vmem *s)
{
    uint8_t *config = virtio->config(s->virtio);

    memset(config, 0, CONFIG);
    put64(config, s->block);
    config[NODE_AT] = (uint8_t)s->node;
    put64(config + ADDRESS_AT, s->memaddr);
    put64(config + REGION_AT, s->blocks * s->block);
    put64(config + USABLE_AT, s->blocks * s->block);
    put64(config + PLUGGED_AT, s->plugged * s->block);
    put64(config + REQUESTED_AT, s->requested);
}

static int take_memory(struct vmem *s, struct bp_error *err)
{
    struct bp_memory_device what = {.size = sizeof(what), .type = "virtio-mem", .addr = s->memaddr, .slot = -1,
                                    .align = s->block > (128u << 20) ? s->block : 128u << 20, .describe = describe};
    struct bp_owner *owner = bp_device_owner(s->dev);
    int ret = bp_ram_take(bp_object_id(s->memdev), owner, "virtio-mem", &s->ram, err);

    if (ret < 0)
        return ret;
    s->blocks = bp_region_size(s->ram) / s->block;
    if (!s->blocks || bp_region_size(s->ram) % s->block || s->blocks > BLOCKS_MOST)
        return bp_fail(err, EINVAL, "virtio-mem: the size of memdev '%s' is blocks of 0x%llx bytes, up to %llu of them",
                       bp_object_id(s->memdev), (unsigned long long)s->block, (unsigned long long)BLOCKS_MOST);
    ret = check(s, s->requested, err);
    if (ret == 0)
        ret = bp_ram_claim(owner, s->ram, BP_RAM_DISCARDED, "virtio-mem", &s->claim, err);
    if (ret == 0)
        ret = bp_memory_device_claim(s->dev, s->ram, &what, &s->memaddr, NULL, err);
    s->map_size = (uint32_t)(s->blocks / 8 + 1);
    if (ret == 0 && !(s->map = calloc(1, s->map_size)))
        ret = bp_fail(err, ENOMEM, "virtio-mem: no memory for its blocks");
    return ret;
}

static int attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct vmem *s = state;
    int ret;

    s->dev = bp_device_from_object(obj);
    if (!s->memdev)
        return bp_fail(err, EINVAL, "'memdev' property is not set: virtio-mem takes the id of an -object "
                       "memory-backend-ram");
    if (s->block < LEAST_BLOCK || s->block & (s->block - 1))
        return bp_fail(err, EINVAL, "'block-size' property has to be a power of two of at least 0x%llx",
                       (unsigned long long)LEAST_BLOCK);
    ret = take_memory(s, err);
    if (ret == 0)
        ret = virtio->setup(s->dev, &class, s, &s->virtio, err);
    if (ret == 0)
        ret = virtio->add_queue(s->virtio, &queue_info, &s->queue, err);
    if (ret < 0)
        return ret;
    s->main = bp_owner_new(bp_device_owner(s->dev), "virtio-mem", bp_device_id(s->dev), 0);
    s->work = bp_deferred_new(s->main, NULL, work, s);
    tell_config(s);
    return 0;
}

static void detach(struct bp_object *obj, void *state)
{
    (void)obj;
    ((struct vmem *)state)->virtio = NULL;
}

static void fini(struct bp_object *obj, void *state)
{
    (void)obj;
    free(((struct vmem *)state)->map);
}

/* A machine that starts anew has none of it. */
static void reset(struct bp_device *dev, void *state, enum bp_reset_scope scope)
{
    struct vmem *s = state;

    (void)dev, (void)scope;
    if (s->plugged)
        unplug_all(s);
}

/* ---- state ---- */

static int before_save(void *state, struct bp_error *err)
{
    struct vmem *s = state;

    (void)err;
    s->saved_block = s->block;
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct vmem *s = state;

    (void)version;
    if (s->saved_block != s->block)
        return bp_fail(err, EINVAL, "virtio-mem: the state has blocks of 0x%llx bytes, block-size here is 0x%llx",
                       (unsigned long long)s->saved_block, (unsigned long long)s->block);
    s->plugged = 0;
    for (uint64_t n = 0; n < s->map_size * UINT64_C(8); n++) {
        if (n >= s->blocks && is_plugged(s, n))
            return bp_fail(err, EINVAL, "virtio-mem: the state has more blocks than the back end, %llu",
                           (unsigned long long)s->blocks);
        s->plugged += is_plugged(s, n);
    }
    count_plugged(s);
    return check(s, s->requested, err);
}

static const struct bp_state_field fields[] = {
    BP_SAVE(UINT64, struct vmem, saved_block), BP_SAVE(UINT64, struct vmem, requested),
    BP_SAVE_MEMORY(struct vmem, map, map_size), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .before_save = before_save,
                                            .after_load = after_load};

static int get_requested(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                         struct bp_error *err);
static int set_requested(struct bp_object *obj, const struct bp_field *f, struct bp_value *value, struct bp_error *err);
static int get_size(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value, struct bp_error *err);

static const struct bp_field props[] = {
    BP_PROP_LINK("memdev", "memory-backend", struct vmem, memdev, "back end that is its memory"),
    BP_PROP("memaddr", UINT64, struct vmem, memaddr, "0", "where it lies; 0: the first place that is free"),
    BP_PROP_RANGE("node", UINT32, struct vmem, node, "0", 0, 127, "NUMA node that it belongs to"),
    BP_PROP("block-size", SIZE, struct vmem, block, "2M", "bytes that come and go together"),
    {.name = "requested-size", .kind = BP_KIND_SIZE, .flags = BP_FIELD_WRITE_LIVE,
     .offset = offsetof(struct vmem, requested), .def = "0", .help = "bytes that the guest is to have",
     .get = get_requested, .set = set_requested},
    {.name = "size", .kind = BP_KIND_SIZE, .flags = BP_FIELD_READ_ONLY | BP_FIELD_HIDDEN,
     .help = "bytes that the guest has", .get = get_size},
    BP_FIELDS_END};

static const struct bp_level_class vmem = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "virtio-mem-base",
             .summary = "Memory device", .state_size = sizeof(struct vmem), .props = props, .state = &table},
    .attach = attach, .detach = detach, .fini = fini, .reset = reset};

static struct vmem *vmem_of(struct bp_object *obj)
{
    return bp_object_level(obj, &vmem);
}

static int get_requested(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                         struct bp_error *err)
{
    (void)f, (void)err;
    *ret_value = bp_value_uint(vmem_of(obj)->requested);
    return 0;
}

static int get_size(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value, struct bp_error *err)
{
    (void)f, (void)err;
    *ret_value = bp_value_uint(vmem_of(obj)->plugged * vmem_of(obj)->block);
    return 0;
}

/* Under the device's lock, too. Before it is attached nothing is checked: the block size may come later. */
static int set_requested(struct bp_object *obj, const struct bp_field *f, struct bp_value *value, struct bp_error *err)
{
    struct vmem *s = vmem_of(obj);
    uint64_t bytes = bp_value_as_uint(value);
    int ret = s->virtio ? check(s, bytes, err) : 0;

    (void)f;
    if (ret < 0)
        return ret;
    if (!s->virtio) {
        s->requested = bytes;
        return 0;
    }
    s->requested = bytes;
    put64(virtio->config(s->virtio) + REQUESTED_AT, bytes);
    virtio->config_changed(s->virtio);
    return 0;
}

static void describe(struct bp_device *dev, struct bp_value *info)
{
    const struct vmem *s = vmem_of(bp_device_object(dev));

    bp_value_set(info, "memdev", bp_value_string(bp_object_path(s->memdev)));
    bp_value_set(info, "requested-size", bp_value_uint(s->requested));
    bp_value_set(info, "max-size", bp_value_uint(s->blocks * s->block));
    bp_value_set(info, "block-size", bp_value_uint(s->block));
    bp_value_set(info, "node", bp_value_int(s->node));
}

BP_VIRTIO_NAMES(mem, "virtio-mem", 0x0500, "Memory device", &vmem, .category = "misc");

static const struct bp_import imports[] = {BP_IMPORT(virtio, "virtio", 1), {0}};
BP_MODULE("hw-virtio-mem", "Virtio memory device", imports, {BP_PROVIDE_DEVICE, &mem_pci},
          {BP_PROVIDE_DEVICE, &mem_device}, {BP_PROVIDE_EVENT, &size_changed});
