/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests of the virtio GPU (Virtual I/O Device 1.2, 5.7.6.8). Resources are kept as pixels of one format; what guests
 * say of sizes and places is checked against them in 64 bits before it is used. Left out: 3D, blobs, UUIDs.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "vga.h"
#include "virtio-gpu.h"

#define display (*gpu_display)
#define MOST_SEGMENTS 16384u
#define CELL 256u /* pixels that are converted at once */

/* ---- resources ---- */

static struct gpu_resource **place_of(struct virtio_gpu *s, uint32_t id)
{
    struct gpu_resource **at = &s->buckets[id % GPU_BUCKETS];

    while (*at && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

static void drop_segments(struct virtio_gpu *s, struct gpu_resource *res)
{
    s->used -= (uint64_t)res->segment_count * sizeof(*res->segments);
    free(res->segments);
    res->segments = NULL;
    res->segment_count = 0;
}

static void free_resource(struct virtio_gpu *s, struct gpu_resource **at)
{
    struct gpu_resource *res = *at;

    *at = res->next;
    drop_segments(s, res);
    s->used -= res->bytes;
    s->count--;
    free(res->pixels);
    free(res);
}

static uint64_t shown_bytes(const struct gpu_scanout *out)
{
    return out->surface ? (uint64_t)out->rect.width * out->rect.height * 4 : 0;
}

static void blank(struct gpu_scanout *out)
{
    out->gpu->used -= shown_bytes(out);
    display->set_surface(out->console, NULL);
    display->surface_unref(out->surface);
    out->surface = NULL;
    out->resource = 0;
}

void gpu_forget_all(struct virtio_gpu *s)
{
    for (unsigned i = 0; i < GPU_BUCKETS; i++)
        while (s->buckets[i])
            free_resource(s, &s->buckets[i]);
    s->shows = false;
    for (unsigned i = 0; i < s->max_outputs; i++) {
        if (s->scanouts[i].surface)
            blank(&s->scanouts[i]);
        if (s->scanouts[i].cursor && s->scanouts[i].console)
            display->set_cursor(s->scanouts[i].console, NULL);
        s->scanouts[i].cursor = 0;
    }
}

/* Which byte of a pixel is which colour: the names say the order in memory (5.7.6.8, virtio_gpu_formats). */
static bool order_of(uint32_t format, unsigned *r, unsigned *g, unsigned *b, unsigned *a)
{
    static const struct {
        uint8_t format, r, g, b, a; /* a: 4: none */
    } orders[] = {{1, 2, 1, 0, 3}, {2, 2, 1, 0, 4}, {3, 1, 2, 3, 0}, {4, 1, 2, 3, 4},
                  {67, 0, 1, 2, 3}, {68, 3, 2, 1, 4}, {121, 3, 2, 1, 0}, {134, 0, 1, 2, 4}};

    for (unsigned i = 0; i < BP_COUNT(orders); i++) {
        if (orders[i].format != format)
            continue;
        *r = orders[i].r;
        *g = orders[i].g;
        *b = orders[i].b;
        *a = orders[i].a;
        return true;
    }
    return false;
}

static uint32_t create(struct virtio_gpu *s, const struct bp_virtq_request *r)
{
    struct {
        uint32_t id, format, width, height;
    } q = {0};
    struct gpu_resource *res, **at;
    unsigned red, green, blue, alpha;
    uint64_t bytes;

    bp_virtq_read(r, sizeof(struct gpu_header), &q, sizeof(q));
    q.id = le32toh(q.id);
    q.format = le32toh(q.format);
    q.width = le32toh(q.width);
    q.height = le32toh(q.height);
    at = place_of(s, q.id);
    if (!q.id || *at)
        return GPU_ERR_INVALID_RESOURCE_ID;
    if (!order_of(q.format, &red, &green, &blue, &alpha) || !q.width || !q.height || q.width > BP_DISPLAY_MAX ||
        q.height > BP_DISPLAY_MAX)
        return GPU_ERR_INVALID_PARAMETER;
    bytes = (uint64_t)q.width * q.height * 4;
    if (s->count == GPU_RESOURCES || bytes + sizeof(*res) > s->max_hostmem - s->used)
        return GPU_ERR_OUT_OF_MEMORY;
    res = calloc(1, sizeof(*res));
    if (!res || !(res->pixels = calloc(1, bytes))) {
        free(res);
        return GPU_ERR_OUT_OF_MEMORY;
    }
    res->id = q.id;
    res->format = q.format;
    res->width = q.width;
    res->height = q.height;
    res->bytes = bytes + sizeof(*res);
    s->used += res->bytes;
    s->count++;
    *at = res;
    return GPU_OK;
}

static uint32_t read_id(const struct bp_virtq_request *r, uint64_t offset)
{
    uint32_t id = 0;

    bp_virtq_read(r, offset, &id, sizeof(id));
    return le32toh(id);
}

static struct gpu_rect read_rect(const struct bp_virtq_request *r, uint64_t offset)
{
    struct gpu_rect rect = {0};

    bp_virtq_read(r, offset, &rect, sizeof(rect));
    return (struct gpu_rect){le32toh(rect.x), le32toh(rect.y), le32toh(rect.width), le32toh(rect.height)};
}

static bool lies_in(const struct gpu_rect *rect, const struct gpu_resource *res)
{
    return rect->width && rect->height && (uint64_t)rect->x + rect->width <= res->width &&
           (uint64_t)rect->y + rect->height <= res->height;
}

static uint32_t unref(struct virtio_gpu *s, const struct bp_virtq_request *r)
{
    uint32_t id = read_id(r, sizeof(struct gpu_header));
    struct gpu_resource **at = place_of(s, id);

    if (!*at)
        return GPU_ERR_INVALID_RESOURCE_ID;
    for (unsigned i = 0; i < s->max_outputs; i++)
        if (s->scanouts[i].resource == id)
            blank(&s->scanouts[i]);
    free_resource(s, at);
    return GPU_OK;
}

/* ---- guest memory behind a resource ---- */

static uint32_t attach_backing(struct virtio_gpu *s, const struct bp_virtq_request *r)
{
    struct gpu_resource *res = *place_of(s, read_id(r, sizeof(struct gpu_header)));
    uint32_t count = read_id(r, sizeof(struct gpu_header) + 4);
    uint64_t at = sizeof(struct gpu_header) + 8, bytes = (uint64_t)count * sizeof(struct gpu_segment);
    struct gpu_segment *segments;

    if (!res)
        return GPU_ERR_INVALID_RESOURCE_ID;
    if (res->segments || !count || count > MOST_SEGMENTS || r->out_bytes < at + bytes)
        return GPU_ERR_UNSPEC;
    if (bytes > s->max_hostmem - s->used || !(segments = malloc(bytes)))
        return GPU_ERR_OUT_OF_MEMORY;
    bp_virtq_read(r, at, segments, bytes);
    for (uint32_t i = 0; i < count; i++) {
        segments[i].addr = le64toh(segments[i].addr);
        segments[i].length = le32toh(segments[i].length);
    }
    res->segments = segments;
    res->segment_count = count;
    s->used += bytes;
    return GPU_OK;
}

static uint32_t detach_backing(struct virtio_gpu *s, const struct bp_virtq_request *r)
{
    struct gpu_resource *res = *place_of(s, read_id(r, sizeof(struct gpu_header)));

    if (!res)
        return GPU_ERR_INVALID_RESOURCE_ID;
    if (!res->segments)
        return GPU_ERR_UNSPEC;
    drop_segments(s, res);
    return GPU_OK;
}

/* Bytes of the segments, as if they stood one behind the other. `*at`, `*base`: the segment that was read last, and
 * where it begins. False: they end before, or are no memory. */
static bool read_backing(struct virtio_gpu *s, const struct gpu_resource *res, uint64_t offset, uint8_t *to,
                         uint64_t size, uint32_t *at, uint64_t *base)
{
    if (offset < *base) {
        *at = 0;
        *base = 0;
    }
    while (size) {
        const struct gpu_segment *g;
        uint64_t n;

        while (*at < res->segment_count && offset >= *base + res->segments[*at].length)
            *base += res->segments[(*at)++].length;
        if (*at == res->segment_count)
            return false;
        g = &res->segments[*at];
        n = g->length - (offset - *base);
        n = n < size ? n : size;
        if ((*gpu_virtio)->read_memory(s->virtio, g->addr + (offset - *base), to, n) < 0)
            return false;
        to += n;
        offset += n;
        size -= n;
    }
    return true;
}

static uint32_t transfer(struct virtio_gpu *s, const struct bp_virtq_request *r)
{
    struct gpu_rect rect = read_rect(r, sizeof(struct gpu_header));
    struct gpu_resource *res = *place_of(s, read_id(r, sizeof(struct gpu_header) + 24));
    unsigned red = 0, green = 0, blue = 0, alpha = 0;
    uint64_t offset = 0, base = 0;
    uint32_t segment = 0;

    bp_virtq_read(r, sizeof(struct gpu_header) + 16, &offset, sizeof(offset));
    offset = le64toh(offset);
    if (!res)
        return GPU_ERR_INVALID_RESOURCE_ID;
    if (!lies_in(&rect, res) || offset > UINT32_MAX)
        return GPU_ERR_INVALID_PARAMETER;
    if (!res->segments)
        return GPU_ERR_UNSPEC;
    s->moved += (uint64_t)rect.width * rect.height + res->segment_count;
    order_of(res->format, &red, &green, &blue, &alpha);
    for (uint32_t y = 0; y < rect.height; y++) {
        uint32_t *to = res->pixels + (size_t)(rect.y + y) * res->width + rect.x;

        for (uint32_t x = 0; x < rect.width; x += CELL) {
            uint32_t n = rect.width - x < CELL ? rect.width - x : CELL;
            uint8_t bytes[4 * CELL];

            if (!read_backing(s, res, offset + (uint64_t)y * res->width * 4 + (uint64_t)x * 4, bytes, 4 * n, &segment,
                              &base))
                return GPU_ERR_UNSPEC;
            for (uint32_t i = 0; i < n; i++)
                to[x + i] = (alpha < 4 ? (uint32_t)bytes[4 * i + alpha] << 24 : 0xff000000u) |
                            (uint32_t)bytes[4 * i + red] << 16 | (uint32_t)bytes[4 * i + green] << 8 |
                            bytes[4 * i + blue];
        }
    }
    return GPU_OK;
}

/* ---- what is shown ---- */

/* The part of a resource that a scan-out shows, as far as `area` of the resource was changed. */
static void show(struct gpu_scanout *out, const struct gpu_resource *res, struct gpu_rect area)
{
    const struct gpu_rect *shown = &out->rect;
    uint64_t right = (uint64_t)area.x + area.width, bottom = (uint64_t)area.y + area.height;
    uint32_t stride = 0, x0, y0;
    uint8_t *to = display->surface_data(out->surface, &stride);

    if (right > (uint64_t)shown->x + shown->width)
        right = (uint64_t)shown->x + shown->width;
    if (bottom > (uint64_t)shown->y + shown->height)
        bottom = (uint64_t)shown->y + shown->height;
    x0 = area.x > shown->x ? area.x : shown->x;
    y0 = area.y > shown->y ? area.y : shown->y;
    if (x0 >= right || y0 >= bottom)
        return;
    out->gpu->moved += (right - x0) * (bottom - y0);
    for (uint32_t y = y0; y < bottom; y++)
        memcpy(to + (size_t)(y - shown->y) * stride + (size_t)(x0 - shown->x) * 4,
               res->pixels + (size_t)y * res->width + x0, (size_t)(right - x0) * 4);
    display->damage(out->console, x0 - shown->x, y0 - shown->y, (uint32_t)right - x0, (uint32_t)bottom - y0);
}

static uint32_t set_scanout(struct virtio_gpu *s, const struct bp_virtq_request *r)
{
    struct gpu_rect rect = read_rect(r, sizeof(struct gpu_header));
    uint32_t number = read_id(r, sizeof(struct gpu_header) + 16), id = read_id(r, sizeof(struct gpu_header) + 20);
    const struct gpu_resource *res = *place_of(s, id);
    struct bp_surface_options options = {.size = sizeof(options), .format = BP_FORMAT_XRGB8888};
    struct bp_surface *surface;
    struct gpu_scanout *out;
    uint64_t bytes;

    if (number >= s->max_outputs)
        return GPU_ERR_INVALID_SCANOUT_ID;
    out = &s->scanouts[number];
    if (!id) {
        blank(out);
        return GPU_OK;
    }
    if (!res)
        return GPU_ERR_INVALID_RESOURCE_ID;
    if (!lies_in(&rect, res) || rect.width < 16 || rect.height < 16)
        return GPU_ERR_INVALID_PARAMETER;
    options.width = rect.width;
    options.height = rect.height;
    if (!out->surface || out->rect.width != rect.width || out->rect.height != rect.height) {
        bytes = (uint64_t)rect.width * rect.height * 4;
        if (bytes > s->max_hostmem - (s->used - shown_bytes(out)) || display->surface_new(&options, &surface, NULL) < 0)
            return GPU_ERR_OUT_OF_MEMORY;
        s->used += bytes - shown_bytes(out);
        display->set_surface(out->console, surface);
        display->surface_unref(out->surface);
        out->surface = surface;
    }
    s->shows = true;
    out->resource = id;
    out->rect = rect;
    show(out, res, rect);
    return GPU_OK;
}

static uint32_t flush(struct virtio_gpu *s, const struct bp_virtq_request *r)
{
    struct gpu_rect rect = read_rect(r, sizeof(struct gpu_header));
    uint32_t id = read_id(r, sizeof(struct gpu_header) + 16);
    const struct gpu_resource *res = *place_of(s, id);

    if (!res)
        return GPU_ERR_INVALID_RESOURCE_ID;
    if (!lies_in(&rect, res))
        return GPU_ERR_INVALID_PARAMETER;
    for (unsigned i = 0; i < s->max_outputs; i++)
        if (s->scanouts[i].resource == id && s->scanouts[i].surface)
            show(&s->scanouts[i], res, rect);
    return GPU_OK;
}

/* ---- questions ---- */

static uint64_t answer(const struct bp_virtq_request *r, const struct gpu_header *asked, uint32_t type,
                       const void *body, uint64_t size)
{
    struct gpu_header h = {.type = htole32(type)};
    uint64_t n;

    if (le32toh(asked->flags) & 1) { /* a fence: all here is done when it is answered */
        h.flags = htole32(1);
        h.fence = asked->fence;
        h.context = asked->context;
    }
    n = bp_virtq_write(r, 0, &h, sizeof(h));
    return n + bp_virtq_write(r, sizeof(h), body, size);
}

static uint64_t display_info(const struct virtio_gpu *s, const struct bp_virtq_request *r,
                             const struct gpu_header *asked)
{
    struct {
        struct gpu_rect rect;
        uint32_t enabled, flags;
    } modes[GPU_SCANOUTS] = {{{0}, 0, 0}};
    uint32_t x = 0;

    for (unsigned i = 0; i < s->max_outputs; i++) {
        modes[i].enabled = htole32(s->scanouts[i].width != 0);
        modes[i].rect.x = htole32(x);
        modes[i].rect.width = htole32(s->scanouts[i].width);
        modes[i].rect.height = htole32(s->scanouts[i].height);
        x += s->scanouts[i].width;
    }
    return answer(r, asked, GPU_OK_DISPLAY_INFO, modes, sizeof(modes));
}

static uint64_t edid(const struct virtio_gpu *s, const struct bp_virtq_request *r, const struct gpu_header *asked)
{
    struct {
        uint32_t size, padding;
        uint8_t data[1024];
    } reply = {.size = htole32(EDID_SIZE)};
    uint32_t number = read_id(r, sizeof(struct gpu_header));
    struct edid_wish wish = {.name = "Backplane"};

    if (number >= s->max_outputs)
        return answer(r, asked, GPU_ERR_INVALID_SCANOUT_ID, NULL, 0);
    wish.width = s->scanouts[number].width ? s->scanouts[number].width : s->xres;
    wish.height = s->scanouts[number].height ? s->scanouts[number].height : s->yres;
    edid_make(&wish, reply.data);
    return answer(r, asked, GPU_OK_EDID, &reply, sizeof(reply));
}

uint64_t gpu_request(struct virtio_gpu *s, const struct bp_virtq_request *r)
{
    struct gpu_header h = {0};
    uint32_t result;

    bp_virtq_read(r, 0, &h, sizeof(h));
    switch (le32toh(h.type)) {
    case GPU_GET_DISPLAY_INFO:
        return display_info(s, r, &h);
    case GPU_GET_EDID:
        if (s->edid)
            return edid(s, r, &h);
        result = GPU_ERR_UNSPEC;
        break;
    case GPU_RESOURCE_CREATE_2D:
        result = create(s, r);
        break;
    case GPU_RESOURCE_UNREF:
        result = unref(s, r);
        break;
    case GPU_SET_SCANOUT:
        result = set_scanout(s, r);
        break;
    case GPU_RESOURCE_FLUSH:
        result = flush(s, r);
        break;
    case GPU_TRANSFER_TO_HOST_2D:
        result = transfer(s, r);
        break;
    case GPU_RESOURCE_ATTACH_BACKING:
        result = attach_backing(s, r);
        break;
    case GPU_RESOURCE_DETACH_BACKING:
        result = detach_backing(s, r);
        break;
    default:
        result = GPU_ERR_UNSPEC;
        break;
    }
    return answer(r, &h, result, NULL, 0);
}

void gpu_cursor_request(struct virtio_gpu *s, const struct bp_virtq_request *r)
{
    struct {
        uint32_t scanout, x, y, padding, resource, hot_x, hot_y, padding2;
    } q = {0};
    const struct gpu_resource *res;
    struct gpu_header h = {0};
    struct gpu_scanout *out;
    uint32_t id;

    bp_virtq_read(r, 0, &h, sizeof(h));
    bp_virtq_read(r, sizeof(h), &q, sizeof(q));
    if (le32toh(q.scanout) >= s->max_outputs)
        return;
    out = &s->scanouts[le32toh(q.scanout)];
    id = le32toh(q.resource);
    res = *place_of(s, id);
    if (le32toh(h.type) == GPU_UPDATE_CURSOR) {
        const struct bp_cursor cursor = {.width = GPU_CURSOR, .height = GPU_CURSOR, .hot_x = le32toh(q.hot_x),
                                         .hot_y = le32toh(q.hot_y), .pixels = res ? res->pixels : NULL};
        bool fits = res && res->width == GPU_CURSOR && res->height == GPU_CURSOR && cursor.hot_x < GPU_CURSOR &&
                    cursor.hot_y < GPU_CURSOR;

        display->set_cursor(out->console, fits ? &cursor : NULL);
        out->cursor = fits ? id : 0;
    } else if (le32toh(h.type) != GPU_MOVE_CURSOR) {
        return;
    }
    display->move_pointer(out->console, (int32_t)(le32toh(q.x) & 0x7fffffff), (int32_t)(le32toh(q.y) & 0x7fffffff),
                          out->cursor != 0);
}
