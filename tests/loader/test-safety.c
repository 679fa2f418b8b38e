/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whose files are used: owners, modes, links and sticky directories on the way to a file; all of them
 * need root, since other users' files are made. A race with rename() ends in the file that was checked.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "../house/work-folder.h"
#include "safety.h"

#define STRANGER 12345u

static char *folder;

/* A path below the test's folder. Two may be in use at once. */
static const char *at(const char *name)
{
    static char path[2][512];
    static unsigned next;
    char *p = path[next++ & 1];

    g_snprintf(p, sizeof(path[0]), "%s/%s", folder, name);
    return p;
}

static void make_dir(const char *name, uid_t owner, mode_t mode)
{
    g_assert_cmpint(mkdir(at(name), 0755), ==, 0);
    g_assert_cmpint(chown(at(name), owner, 0), ==, 0);
    g_assert_cmpint(chmod(at(name), mode), ==, 0);
}

static void make_file(const char *name, uid_t owner, gid_t group, mode_t mode)
{
    g_assert_true(g_file_set_contents(at(name), name, -1, NULL));
    g_assert_cmpint(chown(at(name), owner, group), ==, 0);
    g_assert_cmpint(chmod(at(name), mode), ==, 0);
}

static void make_link(const char *target, const char *name, uid_t owner)
{
    g_assert_cmpint(symlink(target, at(name)), ==, 0);
    g_assert_cmpint(lchown(at(name), owner, 0), ==, 0);
}

static void good(const char *name)
{
    struct bp_error err = {0};
    struct stat st, here;
    int fd, rc = safety_open_file(at(name), &fd, &st, &err);

    if (rc < 0)
        g_error("%s: %s", name, err.message);
    g_assert_cmpint(fstat(fd, &here), ==, 0);
    g_assert_cmpuint(st.st_ino, ==, here.st_ino);
    g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, !=, 0);
    close(fd);
}

static void bad(const char *name, int code, const char *why)
{
    struct bp_error err = {0};
    struct stat st;
    int fd = -7;

    g_assert_cmpint(safety_open_file(at(name), &fd, &st, &err), ==, -code);
    g_assert_cmpint(fd, ==, -7);
    g_assert_cmpint(err.code, ==, code);
    if (!strstr(err.message, why))
        g_error("%s: '%s' is not in: %s", name, why, err.message);
    g_assert_cmpint(safety_open_file(at(name), &fd, &st, NULL), ==, -code); /* nobody wants to know */
}

static void test_files(void)
{
    make_file("mine", 0, 0, 0644);
    make_file("secret", 0, 0, 0600);
    make_file("for-all", 0, 0, 0646);
    make_file("of-group", 0, STRANGER, 0664);
    make_file("of-root's-group", 0, 0, 0664);
    make_file("stranger's", STRANGER, 0, 0644);
    make_dir("directory", 0, 0755);
    g_assert_cmpint(mkfifo(at("pipe"), 0600), ==, 0);
    good("mine");
    good("secret");
    good("of-root's-group");
    good("./directory/.././/mine");
    bad("for-all", EPERM, "may be written by others (mode 0646); chmod o-w");
    bad("of-group", EPERM, "may be written by group 12345 (mode 0664); chmod g-w");
    bad("stranger's", EPERM, "belongs to user 12345, who is neither root nor you");
    bad("directory", ENOEXEC, "is not a regular file");
    bad("pipe", ENOEXEC, "is not a regular file");
    bad("missing", ENOENT, "cannot be opened");
    bad("mine/more", ENOTDIR, "cannot be opened");
}

static void test_directories(void)
{
    make_dir("open", 0, 0777);
    make_file("open/file", 0, 0, 0644);
    make_dir("open/inner", 0, 0755);
    make_file("open/inner/file", 0, 0, 0644);
    make_dir("foreign", STRANGER, 0755);
    make_file("foreign/file", 0, 0, 0644);
    make_dir("sticky", 0, 01777);
    make_file("sticky/file", 0, 0, 0644);
    make_file("sticky/stranger's", STRANGER, 0, 0644);
    make_dir("sticky/foreign", STRANGER, 0755);
    make_file("sticky/foreign/file", 0, 0, 0644);
    bad("open/file", EPERM, "/open may be written by others");
    bad("open/inner/file", EPERM, "/open may be written by others");
    bad("foreign/file", EPERM, "/foreign belongs to user");
    good("sticky/file");
    bad("sticky/stranger's", EPERM, "belongs to user");
    bad("sticky/foreign/file", EPERM, "/foreign belongs to user");
}

static void test_links(void)
{
    make_dir("home", 0, 0755);
    make_file("home/file", 0, 0, 0644);
    make_dir("wild", 0, 0777);
    make_file("wild/file", 0, 0, 0644);
    make_link("home/file", "link", 0);
    make_link("home", "to-home", 0);
    make_link("to-home/../link", "twice", 0);
    make_link("home/file", "stranger's-link", STRANGER);
    make_link("wild/file", "to-wild", 0);
    make_link("wild/../home/file", "through-wild", 0);
    make_link("loop", "loop", 0);
    make_link("nowhere", "dangling", 0);
    make_link(at("home/file"), "absolute", 0);
    make_link("/dev/null", "device", 0);
    good("link");
    good("to-home/file");
    good("twice");
    good("absolute");
    bad("stranger's-link", EPERM, "belongs to user");
    bad("to-wild", EPERM, "/wild may be written by others");
    bad("through-wild", EPERM, "/wild may be written by others");
    bad("loop", ELOOP, "cannot be opened");
    bad("dangling", ENOENT, "cannot be opened");
    bad("device", EPERM, "/dev/null may be written by others");
}

static void test_long_paths(void)
{
    GString *path = g_string_new("home");
    struct stat st;
    int fd;

    for (unsigned i = 0; i < 2000; i++)
        g_string_append(path, "/../home");
    g_string_append(path, "/file");
    g_assert_cmpint(safety_open_file(path->str, &fd, &st, NULL), ==, -ENAMETOOLONG);
    g_string_truncate(path, 0);
    for (unsigned i = 0; i < 300; i++)
        g_string_append_c(path, 'n');
    g_assert_cmpint(safety_open_file(path->str, &fd, &st, NULL), <, 0);
    g_string_free(path, TRUE);
}

static void test_directory_descriptors(void)
{
    struct bp_error err = {0};
    struct stat st;
    int directory, fd;

    g_assert_cmpint(safety_open_directory(at("to-home"), &directory, &err), ==, 0);
    g_assert_cmpint(safety_open_at(directory, at("home"), "file", &fd, &st, &err), ==, 0);
    close(fd);
    g_assert_cmpint(safety_open_at(directory, at("home"), "none", &fd, &st, &err), ==, -ENOENT);
    make_link("../wild/file", "home/out", 0);
    g_assert_cmpint(safety_open_at(directory, at("home"), "out", &fd, &st, &err), ==, -EPERM);
    close(directory);
    err = (struct bp_error){0};
    g_assert_cmpint(safety_open_directory(at("wild"), &directory, &err), ==, -EPERM);
    g_assert_cmpint(safety_open_directory(at("mine"), &directory, NULL), ==, -ENOTDIR);
}

/* ---- a race ---- */

static gint stop;

static void *swap_files(void *opaque)
{
    char good_name[512], bad_name[512], name[512];

    (void)opaque;
    g_strlcpy(good_name, at("race/good"), sizeof(good_name));
    g_strlcpy(bad_name, at("race/bad"), sizeof(bad_name));
    g_strlcpy(name, at("race/file"), sizeof(name));
    while (!g_atomic_int_get(&stop)) {
        unlink(name);
        if (link(good_name, name) < 0)
            break;
        unlink(name);
        if (link(bad_name, name) < 0)
            break;
    }
    return NULL;
}

static void test_race(void)
{
    char name[512];
    unsigned opened = 0, refused = 0, absent = 0;
    pthread_t thread;

    make_dir("race", 0, 0755);
    make_file("race/good", 0, 0, 0644);
    make_file("race/bad", STRANGER, 0, 0644);
    make_file("race/file", 0, 0, 0644);
    g_strlcpy(name, at("race/file"), sizeof(name));
    g_assert_cmpint(pthread_create(&thread, NULL, swap_files, NULL), ==, 0);
    for (unsigned i = 0; i < 200000 && (i < 20000 || !opened || !refused); i++) {
        struct stat st;
        int fd, rc = safety_open_file(name, &fd, &st, NULL);

        if (rc == 0) {
            struct stat here;

            g_assert_cmpint(fstat(fd, &here), ==, 0);
            g_assert_cmpuint(here.st_uid, ==, 0); /* never the stranger's */
            close(fd);
            opened++;
        } else if (rc == -ENOENT) {
            absent++;
        } else {
            g_assert_true(rc == -EPERM || rc == -EAGAIN);
            refused++;
        }
    }
    g_atomic_int_set(&stop, 1);
    pthread_join(thread, NULL);
    g_test_message("opened %u, refused %u, absent %u", opened, refused, absent);
    g_assert_cmpuint(opened, >, 0);
    g_assert_cmpuint(refused, >, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (geteuid() != 0) {
        printf("1..0 # SKIP other users' files need root\n");
        return 0;
    }
    umask(022);
    folder = work_folder("backplane-safety");
    g_assert_cmpint(chmod(folder, 0755), ==, 0);
    g_test_add_func("/safety/files", test_files);
    g_test_add_func("/safety/directories", test_directories);
    g_test_add_func("/safety/links", test_links);
    g_test_add_func("/safety/long-paths", test_long_paths);
    g_test_add_func("/safety/directory-descriptors", test_directory_descriptors);
    g_test_add_func("/safety/race", test_race);
    return g_test_run();
}
