/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A context of OpenGL 3.2 (core) or OpenGL ES 3.0 without a window, by EGL and its extensions
 * EXT_device_enumeration, EXT_device_query, EXT_device_drm(_render_node), EXT_platform_device,
 * MESA_platform_surfaceless, KHR_no_config_context, KHR_surfaceless_context (Khronos' registry).
 */
#include "context.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef EGL_DRM_RENDER_NODE_FILE_EXT /* younger than libepoxy 1.5.10 */
#define EGL_DRM_RENDER_NODE_FILE_EXT 0x3377
#endif
#define DRM_MAJOR 226u /* of the files of DRI devices: Linux, devices.txt */
#define MOST_DEVICES 32

/* ---- which device ---- */

static bool is_file_of(const char *path, dev_t number)
{
    struct stat s;

    return path && stat(path, &s) == 0 && S_ISCHR(s.st_mode) && s.st_rdev == number;
}

static int check_file(const char *path, dev_t *ret_number, struct bp_error *err)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK), r = errno;
    struct stat s = {0};

    if (fd < 0)
        return bp_fail(err, r, "key 'rendernode': '%.200s' cannot be opened: %s", path, strerror(r));
    fstat(fd, &s);
    close(fd);
    if (!S_ISCHR(s.st_mode) || major(s.st_rdev) != DRM_MAJOR)
        return bp_fail(err, EINVAL, "key 'rendernode': '%.200s' is no DRI device (they are in /dev/dri)", path);
    *ret_number = s.st_rdev;
    return 0;
}

static EGLint list_devices(EGLDeviceEXT devices[MOST_DEVICES])
{
    EGLint count = 0;

    if (!epoxy_has_egl_extension(EGL_NO_DISPLAY, "EGL_EXT_platform_device") ||
        !(epoxy_has_egl_extension(EGL_NO_DISPLAY, "EGL_EXT_device_enumeration") ||
          epoxy_has_egl_extension(EGL_NO_DISPLAY, "EGL_EXT_device_base")) ||
        !eglQueryDevicesEXT(MOST_DEVICES, devices, &count))
        return 0;
    return count;
}

static bool device_has(EGLDeviceEXT device, const char *extension)
{
    const char *all = eglQueryDeviceStringEXT(device, EGL_EXTENSIONS), *at = all;
    size_t length = strlen(extension);

    while (at && (at = strstr(at, extension))) {
        if ((at == all || at[-1] == ' ') && (!at[length] || at[length] == ' '))
            return true;
        at += length;
    }
    return false;
}

/* Its file for who draws, and for who shows, too; NULL: it has none. */
static const char *file_of(EGLDeviceEXT device, bool render)
{
    if (!device_has(device, render ? "EGL_EXT_device_drm_render_node" : "EGL_EXT_device_drm"))
        return NULL;
    return eglQueryDeviceStringEXT(device, render ? EGL_DRM_RENDER_NODE_FILE_EXT : EGL_DRM_DEVICE_FILE_EXT);
}

static EGLDisplay display_of(EGLDeviceEXT device)
{
    EGLDisplay display = eglGetPlatformDisplayEXT(EGL_PLATFORM_DEVICE_EXT, device, NULL);

    return display != EGL_NO_DISPLAY && eglInitialize(display, NULL, NULL) ? display : EGL_NO_DISPLAY;
}

static int open_file(struct egl_context *c, const char *path, struct bp_error *err)
{
    EGLDeviceEXT devices[MOST_DEVICES];
    EGLint count = list_devices(devices);
    dev_t number = 0;
    int r = check_file(path, &number, err);

    for (EGLint i = 0; i < count && r == 0; i++)
        if (is_file_of(file_of(devices[i], true), number) || is_file_of(file_of(devices[i], false), number)) {
            c->display = display_of(devices[i]);
            return c->display != EGL_NO_DISPLAY ? 0 : bp_fail(err, EIO, "key 'rendernode': OpenGL does not start on "
                                                              "'%.200s' (EGL error 0x%x)", path, eglGetError());
        }
    return r < 0 ? r : bp_fail(err, ENOENT, "key 'rendernode': OpenGL here has no driver for '%.200s'", path);
}

/* The first DRI device that can be used; else the processor. */
static int open_first(struct egl_context *c, struct bp_error *err)
{
    EGLDeviceEXT devices[MOST_DEVICES];
    EGLint count = list_devices(devices);

    for (EGLint i = 0; i < count && c->display == EGL_NO_DISPLAY; i++) {
        const char *path = file_of(devices[i], true);

        if (path && access(path, R_OK | W_OK) == 0)
            c->display = display_of(devices[i]);
    }
    if (c->display != EGL_NO_DISPLAY)
        return 0;
    c->by_processor = true;
    if (epoxy_has_egl_extension(EGL_NO_DISPLAY, "EGL_MESA_platform_surfaceless"))
        c->display = eglGetPlatformDisplayEXT(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, NULL);
    if (c->display != EGL_NO_DISPLAY && eglInitialize(c->display, NULL, NULL))
        return 0;
    c->display = EGL_NO_DISPLAY;
    return bp_fail(err, ENOTSUP, "OpenGL without a window is not to be had here: EGL has neither a DRI device nor "
                   "EGL_MESA_platform_surfaceless");
}

/* ---- the context ---- */

static EGLContext make_context(EGLDisplay display, bool es)
{
    static const EGLint es_wish[] = {EGL_CONTEXT_MAJOR_VERSION, 3, EGL_NONE};
    static const EGLint core_wish[] = {EGL_CONTEXT_MAJOR_VERSION, 3, EGL_CONTEXT_MINOR_VERSION, 2,
                                       EGL_CONTEXT_OPENGL_PROFILE_MASK, EGL_CONTEXT_OPENGL_CORE_PROFILE_BIT, EGL_NONE};

    if (!eglBindAPI(es ? EGL_OPENGL_ES_API : EGL_OPENGL_API))
        return EGL_NO_CONTEXT;
    return eglCreateContext(display, EGL_NO_CONFIG_KHR, EGL_NO_CONTEXT, es ? es_wish : core_wish);
}

static int open_context(struct egl_context *c, enum opengl_api api, struct bp_error *err)
{
    static const char *const names[] = {"OpenGL 3.2 or OpenGL ES 3.0", "a core profile of OpenGL 3.2",
                                        "OpenGL ES 3.0"};

    if (!epoxy_has_egl_extension(c->display, "EGL_KHR_surfaceless_context") ||
        !(epoxy_has_egl_extension(c->display, "EGL_KHR_no_config_context") ||
          epoxy_has_egl_extension(c->display, "EGL_MESA_configless_context")))
        return bp_fail(err, ENOTSUP, "OpenGL here does not draw without a window: EGL_KHR_surfaceless_context or "
                       "EGL_KHR_no_config_context is missing");
    if (api != OPENGL_ES)
        c->context = make_context(c->display, false);
    if (c->context == EGL_NO_CONTEXT && api != OPENGL_CORE)
        c->context = make_context(c->display, true);
    if (c->context == EGL_NO_CONTEXT)
        return bp_fail(err, ENOTSUP, "there is no %s here (EGL error 0x%x)", names[api], eglGetError());
    return 0;
}

int egl_context_open(struct egl_context *c, const char *rendernode, enum opengl_api api, struct bp_error *err)
{
    int r;

    *c = (struct egl_context){.display = EGL_NO_DISPLAY, .context = EGL_NO_CONTEXT};
    if (!epoxy_has_egl())
        return bp_fail(err, ENOTSUP, "OpenGL without a window is not to be had here: there is no libEGL (package "
                       "libegl1)");
    r = rendernode ? open_file(c, rendernode, err) : open_first(c, err);
    if (r == 0)
        r = open_context(c, api, err);
    if (r == 0 && !eglMakeCurrent(c->display, EGL_NO_SURFACE, EGL_NO_SURFACE, c->context))
        r = bp_fail(err, EIO, "OpenGL does not start (EGL error 0x%x)", eglGetError());
    if (r < 0)
        egl_context_close(c);
    return r;
}

/* The display stays initialized: it is EGL's own, one for the process, and somebody else may use it. */
void egl_context_close(struct egl_context *c)
{
    if (c->context != EGL_NO_CONTEXT) {
        eglMakeCurrent(c->display, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
        eglDestroyContext(c->display, c->context);
    }
    *c = (struct egl_context){.display = EGL_NO_DISPLAY, .context = EGL_NO_CONTEXT};
}
