/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A frame as a texture (OpenGL 3.2 core, OpenGL ES 3.0). Bytes go in as they are, as RGBA: the shader puts the colours
 * into their places, since OpenGL ES has no order of its own for them.
 */
#define BP_SHARED
#include "picture.h"

#include <errno.h>
#include <string.h>

#include <epoxy/gl.h>

/* Four corners, of which OpenGL has the number alone; `below` says which way is up. */
static const char vertex_words[] =
    "uniform bool below;\n"
    "out vec2 at;\n"
    "void main() {\n"
    "    vec2 corner = vec2(float(gl_VertexID & 1), float(gl_VertexID >> 1));\n"
    "    at = vec2(corner.x, below ? corner.y : 1.0 - corner.y);\n"
    "    gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);\n"
    "}\n";
static const char fragment_words[] =
    "uniform sampler2D picture;\n"
    "uniform bool swapped;\n"
    "in vec2 at;\n"
    "out vec4 colour;\n"
    "void main() {\n"
    "    vec4 value = texture(picture, at);\n"
    "    colour = swapped ? vec4(value.bgr, 1.0) : value;\n"
    "}\n";

static GLuint shader(GLenum kind, const char *words, struct bp_error *err)
{
    const char *parts[] = {epoxy_is_desktop_gl() ? "#version 150\n" : "#version 300 es\nprecision highp float;\n",
                           words};
    GLuint name = glCreateShader(kind);
    GLint done = 0;
    char why[160] = "";

    glShaderSource(name, 2, parts, NULL);
    glCompileShader(name);
    glGetShaderiv(name, GL_COMPILE_STATUS, &done);
    if (done)
        return name;
    glGetShaderInfoLog(name, sizeof(why), NULL, why);
    glDeleteShader(name);
    bp_fail(err, ENOTSUP, "OpenGL takes no shader: %.*s", (int)strcspn(why, "\n"), why);
    return 0;
}

static int link_program(struct gl_picture *p, struct bp_error *err)
{
    GLuint vertex = shader(GL_VERTEX_SHADER, vertex_words, err);
    GLuint fragment = vertex ? shader(GL_FRAGMENT_SHADER, fragment_words, err) : 0;
    GLint done = 0;

    if (fragment) {
        p->program = glCreateProgram();
        glAttachShader(p->program, vertex);
        glAttachShader(p->program, fragment);
        glLinkProgram(p->program);
        glGetProgramiv(p->program, GL_LINK_STATUS, &done);
        glDeleteShader(fragment);
    }
    if (vertex)
        glDeleteShader(vertex);
    if (!fragment)
        return -ENOTSUP;
    return done ? 0 : bp_fail(err, ENOTSUP, "OpenGL links no shaders");
}

int gl_picture_init(struct gl_picture *p, struct bp_error *err)
{
    int version = epoxy_gl_version(), least = epoxy_is_desktop_gl() ? 32 : 30;
    int ret;

    *p = (struct gl_picture){0};
    if (version < least)
        return bp_fail(err, ENOTSUP, "OpenGL %s%d.%d is older than %d.%d", least == 30 ? "ES " : "", version / 10,
                       version % 10, least / 10, least % 10);
    ret = link_program(p, err);
    if (ret < 0) {
        gl_picture_fini(p);
        return ret;
    }
    p->swapped = glGetUniformLocation(p->program, "swapped");
    p->below = glGetUniformLocation(p->program, "below");
    glGenVertexArrays(1, &p->vertices);
    return 0;
}

void gl_picture_fini(struct gl_picture *p)
{
    if (p->program)
        glDeleteProgram(p->program);
    if (p->vertices)
        glDeleteVertexArrays(1, &p->vertices);
    if (p->texture)
        glDeleteTextures(1, &p->texture);
    *p = (struct gl_picture){0};
}

int gl_picture_resize(struct gl_picture *p, uint32_t width, uint32_t height, struct bp_error *err)
{
    GLint most = 0;

    if (p->texture && p->width == width && p->height == height)
        return 0;
    glGetIntegerv(GL_MAX_TEXTURE_SIZE, &most);
    if (width > (uint32_t)most || height > (uint32_t)most)
        return bp_fail(err, ENOMEM, "OpenGL has pictures of %d pixels each way at most", most);
    if (!p->texture)
        glGenTextures(1, &p->texture);
    while (glGetError() != GL_NO_ERROR)
        ;
    glBindTexture(GL_TEXTURE_2D, p->texture);
    glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, (GLsizei)width, (GLsizei)height, 0, GL_RGBA, GL_UNSIGNED_BYTE, NULL);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
    p->width = p->height = 0;
    if (glGetError() != GL_NO_ERROR)
        return bp_fail(err, ENOMEM, "OpenGL has no memory for a picture of %u x %u", width, height);
    p->width = width;
    p->height = height;
    return 0;
}

void gl_picture_put(struct gl_picture *p, const struct bp_rect *part, const uint32_t *pixels, uint32_t stride)
{
    glBindTexture(GL_TEXTURE_2D, p->texture);
    glPixelStorei(GL_UNPACK_ALIGNMENT, 4);
    glPixelStorei(GL_UNPACK_ROW_LENGTH, (GLint)stride);
    glTexSubImage2D(GL_TEXTURE_2D, 0, (GLint)part->x, (GLint)part->y, (GLsizei)part->width, (GLsizei)part->height,
                    GL_RGBA, GL_UNSIGNED_BYTE, pixels);
    glPixelStorei(GL_UNPACK_ROW_LENGTH, 0);
}

void gl_picture_draw(const struct gl_picture *p, enum gl_picture_order order, bool top_first, bool smooth)
{
    GLint filter = smooth ? GL_LINEAR : GL_NEAREST;

    glDisable(GL_BLEND);
    glDisable(GL_DEPTH_TEST);
    glUseProgram(p->program);
    glBindVertexArray(p->vertices);
    glActiveTexture(GL_TEXTURE0);
    glBindTexture(GL_TEXTURE_2D, p->texture);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, filter);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, filter);
    glUniform1i(p->swapped, order == GL_PICTURE_COLOURS);
    glUniform1i(p->below, top_first);
    glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
    glBindVertexArray(0);
    glUseProgram(0);
    glBindTexture(GL_TEXTURE_2D, 0);
}
