/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `chardev-braille`: a braille terminal on a serial line. The guest's driver sees one of Baum's (baum.c); what
 * it shows is on the host's display, by BrlAPI (brlapi(3)), whose commands come back as keys that mean the same there.
 * BRLAPI_HOST and BRLAPI_AUTH say where the server is, as for every client.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BRLAPI_NO_SINGLE_SESSION
#include <brlapi.h>

#include <bp/host/chardev.h>
#include <bp/log.h>
#include <bp/loop.h>

#include "baum.h"

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), {0}};

#define WAITING_MOST 2048u /* bytes for a guest that reads none: keys beyond are lost */

struct braille {
    struct bp_chardev *chr;
    brlapi_handle_t *handle;
    struct bp_watch *watch; /* NULL: the server is gone */
    struct bp_deferred *pump;
    struct baum baum;
    unsigned size;  /* cells of the host's display */
    uint8_t *dots;  /* of those */
    bool other; /* other dots are to be shown */
    uint8_t bytes[WAITING_MOST];
    size_t waiting;
};

/* ---- keys ---- */

#define D1 1u
#define D2 2u
#define D3 4u
#define D4 8u
#define D5 16u
#define D6 32u

/* What the guest's BRLTTY takes the keys for: its table "Baum Vario 40". */
static const struct {
    uint32_t command;
    unsigned keys;
} commands[] = {
    {BRLAPI_KEY_CMD_FWINLT, D2}, {BRLAPI_KEY_CMD_FWINRT, D5}, {BRLAPI_KEY_CMD_LNUP, D4}, {BRLAPI_KEY_CMD_LNDN, D6},
    {BRLAPI_KEY_CMD_CHRLT, D1 | D3}, {BRLAPI_KEY_CMD_CHRRT, D4 | D6}, {BRLAPI_KEY_CMD_LNBEG, D1 | D2 | D3},
    {BRLAPI_KEY_CMD_LNEND, D4 | D5 | D6}, {BRLAPI_KEY_CMD_TOP, D1 | D4}, {BRLAPI_KEY_CMD_BOT, D3 | D6},
    {BRLAPI_KEY_CMD_TOP_LEFT, D2 | D4}, {BRLAPI_KEY_CMD_BOT_LEFT, D2 | D6}, {BRLAPI_KEY_CMD_PRDIFLN, D4 | D5},
    {BRLAPI_KEY_CMD_NXDIFLN, D5 | D6}, {BRLAPI_KEY_CMD_ATTRUP, D1 | D2}, {BRLAPI_KEY_CMD_ATTRDN, D2 | D3},
    {BRLAPI_KEY_CMD_PRPROMPT, D1 | D2 | D4 | D5}, {BRLAPI_KEY_CMD_NXPROMPT, D2 | D3 | D5 | D6},
    {BRLAPI_KEY_CMD_PRPGRPH, D2 | D4 | D5}, {BRLAPI_KEY_CMD_NXPGRPH, D2 | D5 | D6},
    {BRLAPI_KEY_CMD_PRSEARCH, D1 | D2 | D4 | D6}, {BRLAPI_KEY_CMD_NXSEARCH, D2 | D3 | D4 | D6},
    {BRLAPI_KEY_CMD_CSRTRK, D1}, {BRLAPI_KEY_CMD_BACK, D1 | D6}, {BRLAPI_KEY_CMD_HOME, D2 | D4 | D6},
    {BRLAPI_KEY_CMD_SPKHOME, D1 | D3 | D5}, {BRLAPI_KEY_CMD_CSRJMP_VERT, D1 | D3 | D4 | D6},
    {BRLAPI_KEY_CMD_INFO, D2 | D5}, {BRLAPI_KEY_CMD_DISPMD, D1 | D4 | D5}, {BRLAPI_KEY_CMD_TIME, D1 | D5},
    {BRLAPI_KEY_CMD_FREEZE, D1 | D2 | D4}, {BRLAPI_KEY_CMD_HELP, D1 | D2 | D5},
    {BRLAPI_KEY_CMD_PREFMENU, D1 | D3 | D4}, {BRLAPI_KEY_CMD_PASTE, D1 | D2 | D3 | D4},
    {BRLAPI_KEY_CMD_LEARN, D1 | D4 | D5 | D6}};
/* The same, with the routing key of a cell. */
static const struct {
    uint32_t command;
    unsigned keys;
} cell_commands[] = {
    {BRLAPI_KEY_CMD_ROUTE, 0}, {BRLAPI_KEY_CMD_CLIP_NEW, D1}, {BRLAPI_KEY_CMD_CLIP_ADD, D2},
    {BRLAPI_KEY_CMD_COPY_LINE, D4}, {BRLAPI_KEY_CMD_COPY_RECT, D5}, {BRLAPI_KEY_CMD_DESCCHAR, D3},
    {BRLAPI_KEY_CMD_SETLEFT, D6}, {BRLAPI_KEY_CMD_PRINDENT, D1 | D2}, {BRLAPI_KEY_CMD_NXINDENT, D2 | D3},
    {BRLAPI_KEY_CMD_PRDIFCHAR, D4 | D5}, {BRLAPI_KEY_CMD_NXDIFCHAR, D5 | D6}, {BRLAPI_KEY_CMD_SETMARK, D1 | D3},
    {BRLAPI_KEY_CMD_GOTOMARK, D4 | D6}};

/* What no key of that terminal means is dropped, characters of a keyboard among it: it has none. */
static void press(struct braille *b, brlapi_keyCode_t key)
{
    uint32_t command = (uint32_t)(key & BRLAPI_KEY_CODE_MASK), argument = command & BRLAPI_KEY_CMD_ARG_MASK;

    if ((key & BRLAPI_KEY_TYPE_MASK) != BRLAPI_KEY_TYPE_CMD)
        return;
    for (unsigned i = 0; i < BP_COUNT(commands); i++)
        if (commands[i].command == command)
            baum_press(&b->baum, commands[i].keys, -1);
    for (unsigned i = 0; i < BP_COUNT(cell_commands); i++)
        if (cell_commands[i].command == (command & BRLAPI_KEY_CMD_BLK_MASK))
            baum_press(&b->baum, cell_commands[i].keys, (int)argument);
}

/* ---- the host's display ---- */

static void hang_up(struct braille *b, const char *why)
{
    bp_warn("chardev '%s': the BrlAPI server is gone (%s); nothing is shown any more",
            bp_object_id(bp_object_of_state(b)), why);
    bp_watch_free(b->watch);
    b->watch = NULL;
    chardev->closed(b->chr);
}

static void show_dots(struct braille *b)
{
    b->other = false;
    if (b->watch && brlapi__writeDots(b->handle, b->dots) < 0)
        hang_up(b, brlapi_strerror(&brlapi_error));
}

/* On the thread that writes: the display is the main loop's. */
static void show(void *opaque, const uint8_t *dots)
{
    struct braille *b = opaque;

    memcpy(b->dots, dots, b->baum.cells);
    b->other = true;
    bp_deferred_schedule(b->pump);
}

/* ---- to the guest ---- */

static void pump(void *opaque)
{
    struct braille *b = opaque;
    size_t n;

    if (b->other)
        show_dots(b);
    while (b->waiting && (n = chardev->can_read(b->chr)) > 0) {
        uint8_t part[256];

        n = n < b->waiting ? n : b->waiting;
        n = n < sizeof(part) ? n : sizeof(part);
        memcpy(part, b->bytes, n);
        b->waiting -= n;
        memmove(b->bytes, b->bytes + n, b->waiting);
        chardev->received(b->chr, part, n);
    }
}

static void say(void *opaque, const uint8_t *data, size_t length)
{
    struct braille *b = opaque;

    if (length > WAITING_MOST - b->waiting)
        return;
    memcpy(b->bytes + b->waiting, data, length);
    b->waiting += length;
    bp_deferred_schedule(b->pump);
}

/* ---- from the host's display ---- */

static void ready(void *opaque, unsigned events)
{
    struct braille *b = opaque;
    brlapi_keyCode_t key;
    int r;

    (void)events;
    while ((r = brlapi__readKey(b->handle, 0, &key)) > 0)
        press(b, key);
    if (r < 0 && !(brlapi_error.brlerrno == BRLAPI_ERROR_LIBCERR && brlapi_error.libcerrno == EINTR))
        hang_up(b, brlapi_strerror(&brlapi_error));
}

/* The library would end the process. */
static void BRLAPI_STDCALL complaint(brlapi_handle_t *handle, int error, brlapi_packetType_t type, const void *packet,
                                     size_t size)
{
    (void)handle;
    bp_warn("BrlAPI: error %d of a packet of type %u", error, (unsigned)type);
    (void)packet;
    (void)size;
}

/* Where there is no terminal to follow, it is shown whatever else is in front. */
static int take_terminal(struct braille *b)
{
    if (brlapi__enterTtyMode(b->handle, BRLAPI_TTY_DEFAULT, NULL) >= 0)
        return 0;
    if (brlapi_error.brlerrno != BRLAPI_ERROR_UNKNOWNTTY)
        return -1;
    return brlapi__enterTtyModeWithPath(b->handle, NULL, 0, NULL);
}

static int connect_display(struct braille *b, struct bp_error *err)
{
    unsigned columns = 0, rows = 0;
    int fd = brlapi__openConnection(b->handle, NULL, NULL);

    if (fd < 0)
        return bp_fail(err, ENODEV, "chardev braille: no BrlAPI server: %s; is brltty running?",
                       brlapi_strerror(&brlapi_error));
    brlapi__setExceptionHandler(b->handle, complaint);
    if (brlapi__getDisplaySize(b->handle, &columns, &rows) < 0 || take_terminal(b) < 0) {
        int r = bp_fail(err, ENODEV, "chardev braille: the BrlAPI server gives no display: %s",
                        brlapi_strerror(&brlapi_error));

        brlapi__closeConnection(b->handle);
        return r;
    }
    if (columns < 1 || rows < 1 || columns > 1024 || rows > 64) {
        brlapi__closeConnection(b->handle);
        return bp_fail(err, ENODEV, "chardev braille: the host's display has %u x %u cells: is it switched on?",
                       columns, rows);
    }
    b->size = columns * rows;
    b->dots = bp_alloc(b->size);
    b->baum.cells = b->size < BAUM_CELLS_MOST ? b->size : BAUM_CELLS_MOST;
    b->watch = bp_watch_new(NULL, bp_context_main(NULL), fd, BP_WATCH_IN, ready, b);
    return 0;
}

/* ---- what the framework calls ---- */

static int braille_open(struct bp_chardev *chr, struct bp_error *err)
{
    struct braille *b = chardev->state(chr);
    int r;

    b->chr = chr;
    b->handle = bp_alloc(brlapi_getHandleSize());
    r = connect_display(b, err);
    if (r < 0) {
        free(b->handle);
        return r;
    }
    b->baum.show = show;
    b->baum.say = say;
    b->baum.opaque = b;
    b->pump = bp_deferred_new(NULL, NULL, pump, b);
    chardev->opened(chr);
    return 0;
}

static void braille_close(struct bp_chardev *chr)
{
    struct braille *b = chardev->state(chr);

    if (b->watch)
        brlapi__leaveTtyMode(b->handle);
    bp_watch_free(b->watch);
    brlapi__closeConnection(b->handle);
    bp_deferred_free(b->pump);
    free(b->handle);
    free(b->dots);
}

static int braille_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    struct braille *b = chardev->state(chr);

    baum_take(&b->baum, buf, len);
    return (int)len;
}

static void braille_accept(struct bp_chardev *chr)
{
    struct braille *b = chardev->state(chr);

    bp_deferred_schedule(b->pump);
}

static const struct bp_field props[] = {BP_FIELDS_END};
BP_CHARDEV(braille_class, "braille", "Braille display of the host, by BrlAPI", struct braille, props,
           .open = braille_open, .close = braille_close, .write = braille_write, .accept_input = braille_accept);
BP_MODULE("chardev-braille", "Braille displays", imports, {BP_PROVIDE_OTHER, &braille_class});
