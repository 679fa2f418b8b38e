/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pictures in files' formats, by libjpeg-turbo and libpng. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

#include "rfb.h"

struct jpeg_failure {
    struct jpeg_error_mgr manager;
    jmp_buf back;
};

static void jpeg_failed(j_common_ptr info)
{
    longjmp(((struct jpeg_failure *)info->err)->back, 1);
}

static void jpeg_silent(j_common_ptr info)
{
    (void)info;
}

bool rfb_jpeg(struct bytes *to, const struct rfb_image *image, int quality)
{
    struct jpeg_failure failure;
    struct jpeg_compress_struct j;
    unsigned char *data = NULL;
    unsigned long size = 0;

    memset(&j, 0, sizeof(j));
    j.err = jpeg_std_error(&failure.manager);
    failure.manager.error_exit = jpeg_failed;
    failure.manager.output_message = jpeg_silent;
    if (setjmp(failure.back)) {
        jpeg_destroy_compress(&j);
        free(data);
        return false;
    }
    jpeg_create_compress(&j);
    jpeg_mem_dest(&j, &data, &size);
    j.image_width = image->width;
    j.image_height = image->height;
    j.input_components = 4;
    j.in_color_space = JCS_EXT_BGRX;
    jpeg_set_defaults(&j);
    jpeg_set_quality(&j, quality, TRUE);
    jpeg_start_compress(&j, TRUE);
    for (uint32_t y = 0; y < image->height; y++) {
        JSAMPROW row = (JSAMPROW)(image->pixels + y * image->stride);

        jpeg_write_scanlines(&j, &row, 1);
    }
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    bytes_put(to, data, size);
    free(data);
    return true;
}

static void png_write(png_structp png, png_bytep data, size_t size)
{
    bytes_put(png_get_io_ptr(png), data, size);
}

static void png_flushed(png_structp png)
{
    (void)png;
}

bool rfb_png(struct bytes *to, const struct rfb_image *image, int compression)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png ? png_create_info_struct(png) : NULL;

    if (!info || setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        return false;
    }
    png_set_write_fn(png, to, png_write, png_flushed);
    png_set_compression_level(png, compression);
    png_set_IHDR(png, info, image->width, image->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    png_set_bgr(png);
    png_set_filler(png, 0, PNG_FILLER_AFTER);
    for (uint32_t y = 0; y < image->height; y++)
        png_write_row(png, (png_const_bytep)(image->pixels + y * image->stride));
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return true;
}
