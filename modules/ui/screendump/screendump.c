/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * screendump: a picture of a console as a file, PPM (P6) or PNG (libpng). What blinks is shown. The
 * picture is taken at once; encoding and writing, which may block, are a worker's in QMP.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_PNG
#include <png.h>
#endif

#include <bp/command.h>
#include <bp/coroutine.h>
#include <bp/host/display.h>

BP_USE(display, struct bp_display_interface, "display", 1);

enum format { FORMAT_PPM, FORMAT_PNG };

struct dump {
    struct bp_frame frame;
    const char *path;
    enum format format;
    int error; /* errno value */
};

static void to_bytes(const uint32_t *pixels, uint32_t count, uint8_t *to)
{
    for (uint32_t i = 0; i < count; i++) {
        to[3 * i] = (uint8_t)(pixels[i] >> 16);
        to[3 * i + 1] = (uint8_t)(pixels[i] >> 8);
        to[3 * i + 2] = (uint8_t)pixels[i];
    }
}

static int write_ppm(const struct bp_frame *frame, FILE *file, uint8_t *line)
{
    fprintf(file, "P6\n%u %u\n255\n", frame->width, frame->height);
    for (uint32_t y = 0; y < frame->height; y++) {
        to_bytes(frame->pixels + (size_t)y * frame->stride / 4, frame->width, line);
        if (fwrite(line, 3, frame->width, file) != frame->width)
            return errno ? errno : EIO;
    }
    return 0;
}

#ifdef HAVE_PNG
/* errno says why a write failed; libpng's own words are of no use to anybody. */
static void png_failed(png_structp png, png_const_charp message)
{
    (void)message;
    png_longjmp(png, 1);
}

static void png_warned(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static int write_png(const struct bp_frame *frame, FILE *file, uint8_t *line)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, png_failed, png_warned);
    png_infop info = png ? png_create_info_struct(png) : NULL;

    if (!info) {
        png_destroy_write_struct(&png, NULL);
        return ENOMEM;
    }
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        return errno ? errno : EIO;
    }
    png_init_io(png, file);
    png_set_IHDR(png, info, frame->width, frame->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (uint32_t y = 0; y < frame->height; y++) {
        to_bytes(frame->pixels + (size_t)y * frame->stride / 4, frame->width, line);
        png_write_row(png, line);
    }
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    return 0;
}
#else
static int write_png(const struct bp_frame *frame, FILE *file, uint8_t *line)
{
    (void)frame;
    (void)file;
    (void)line;
    return ENOTSUP;
}
#endif

/* [any], without the machine lock */
static void write_file(void *opaque)
{
    struct dump *dump = opaque;
    uint8_t *line = malloc(3 * (size_t)dump->frame.width);
    FILE *file = line ? fopen(dump->path, "wbe") : NULL;

    dump->error = 0;
    if (!file) {
        dump->error = errno;
        free(line);
        return;
    }
    errno = 0;
    dump->error = dump->format == FORMAT_PNG ? write_png(&dump->frame, file, line)
                                             : write_ppm(&dump->frame, file, line);
    errno = 0;
    if (fclose(file) != 0 && !dump->error)
        dump->error = errno ? errno : EIO;
    free(line);
}

static int take(struct dump *dump, const char *path, const char *device, unsigned head,
                enum format format, struct bp_error *err)
{
    struct bp_console *console;
    struct bp_viewer *viewer;
    int ret;

#ifndef HAVE_PNG
    if (format == FORMAT_PNG)
        return bp_fail(err, ENOTSUP, "'format': this build has no libpng; use ppm");
#endif
    if (!*path)
        return bp_fail(err, EINVAL, "'filename': a path is missing");
    ret = display->console_find(bp_command_machine(), device, head, &console, err);
    if (ret == 0)
        ret = display->viewer_new(console, "screendump", BP_VIEWER_STEADY, NULL, NULL, &viewer, err);
    if (ret < 0)
        return ret;
    dump->frame.size = sizeof(dump->frame);
    dump->path = path;
    dump->format = format;
    ret = display->pull(viewer, &dump->frame, err);
    display->viewer_free(viewer);
    return ret;
}

static int finish(struct dump *dump, struct bp_error *err)
{
    int error = dump->error;

    display->release(&dump->frame);
    if (error)
        bp_fail(err, error, "failed to write file '%s': %s", dump->path, strerror(error));
    free(dump);
    return -error;
}

/* ---- QMP ---- */

static int qmp_screendump(const char *filename, const char *device, bool has_head, int64_t head,
                          bool has_format, int format, struct bp_error *err)
{
    struct dump *dump = bp_alloc(sizeof(*dump));
    int ret = 0;

    if (has_head && !device)
        ret = bp_fail(err, EINVAL, "'head' must be specified together with 'device'");
    else if (has_head && (head < 0 || head > 0xffff))
        ret = bp_fail(err, EINVAL, "'head' expects 0 to 65535, not %lld", (long long)head);
    if (ret == 0)
        ret = take(dump, filename, device, has_head ? (unsigned)head : 0,
                   has_format ? (enum format)format : FORMAT_PPM, err);
    if (ret < 0) {
        free(dump);
        return ret;
    }
    bp_co_worker(write_file, dump);
    return finish(dump, err);
}

static const char *const format_names[] = {"ppm", "png", NULL};
static const struct bp_schema format_schema = {"ImageFormat", BP_KIND_ENUM, .choices = format_names};
static const struct bp_field args[] = {
    BP_ARG("filename", STRING, "file to write; one that is there is replaced"),
    BP_ARG_OPT("device", STRING, "whose screen: an id or path; default: the first one"),
    BP_ARG_OPT("head", INT64, "which screen of the device"),
    BP_ARG_TYPED("format", ENUM, &format_schema, BP_FIELD_OPTIONAL, "default: ppm"), BP_FIELDS_END};
BP_COMMAND(cmd_screendump, "screendump", "write a picture of a screen to a file", args, NONE, NULL,
           qmp_screendump, BP_COMMAND_COROUTINE);

/* ---- the monitor ---- */

static int parse_rest(char *rest, char **ret_device, unsigned *ret_head, enum format *ret_format,
                      struct bp_error *err)
{
    char *word, *save = NULL, *end;
    unsigned n = 0;

    for (word = strtok_r(rest, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        if (!strcmp(word, "-f")) {
            word = strtok_r(NULL, " ", &save);
            if (!word || (strcmp(word, "ppm") != 0 && strcmp(word, "png") != 0))
                return bp_fail(err, EINVAL, "-f expects ppm or png");
            *ret_format = !strcmp(word, "png") ? FORMAT_PNG : FORMAT_PPM;
        } else if (n == 0) {
            *ret_device = word;
            n++;
        } else {
            unsigned long head = strtoul(word, &end, 10);

            if (n++ > 1 || *end || *word == '-' || head > 0xffff)
                return bp_fail(err, EINVAL, "'%s' is no number of a screen", word);
            *ret_head = (unsigned)head;
        }
    }
    return 0;
}

static void hmp_screendump(struct bp_monitor *mon, struct bp_value *values)
{
    const char *path = bp_value_get_string(values, "filename");
    const char *rest = bp_value_get_string(values, "rest");
    char *words = bp_strdup(rest ? rest : ""), *device = NULL;
    struct dump *dump = bp_alloc(sizeof(*dump));
    enum format format = FORMAT_PPM;
    struct bp_error err = {0};
    unsigned head = 0;
    int ret = parse_rest(words, &device, &head, &format, &err);

    if (ret == 0)
        ret = take(dump, path, device, head, format, &err);
    if (ret == 0) {
        write_file(dump);
        ret = finish(dump, &err);
    } else {
        free(dump);
    }
    if (ret < 0)
        bp_monitor_printf(mon, "Error: %s\n", err.message);
    free(words);
}

static const struct bp_field hmp_args[] = {
    BP_ARG("filename", STRING, "file to write"),
    BP_ARG_TYPED("rest", STRING, NULL, BP_FIELD_OPTIONAL | BP_FIELD_REPEATED,
                 "-f FORMAT, device and head"), BP_FIELDS_END};
BP_HMP(hmp_cmd_screendump, "screendump", "filename [-f ppm|png] [device [head]]",
       "write a picture of a screen to a file", hmp_args, hmp_screendump);

static const struct bp_import imports[] = {BP_IMPORT(display, "display", 1), {0}};
BP_MODULE("display-screendump", "Pictures of screens as files", imports,
          {BP_PROVIDE_COMMAND, &cmd_screendump}, {BP_PROVIDE_HMP, &hmp_cmd_screendump});
