/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines of modules.d: what they mean, which one wins, which files count, what is wrong with a line. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "../house/work-folder.h"
#include "policy.h"

static char *folder;

/* Lines take the place of all that was there. */
static void use(const char *text)
{
    policy_forget();
    policy_add_text("site.conf", text, strlen(text));
}

static bool denied(const char *module)
{
    return policy_denies_module(module, NULL);
}

static void test_deny_and_allow(void)
{
    const char *where = NULL;

    use("# the last line that matches wins\n"
        "deny hw-*\n"
        "\tallow\thw-serial  \n"
        "deny device:isa-? \"no, thank you\"\n");
    g_assert_true(policy_exists());
    g_assert_true(policy_denies_module("hw-hpet", &where));
    g_assert_cmpstr(where, ==, "denied by site.conf:2");
    g_assert_false(denied("hw-serial"));
    g_assert_false(denied("chardev"));
    g_assert_true(policy_denies_name(BP_PROVIDE_DEVICE, "isa-x", &where));
    g_assert_cmpstr(where, ==, "denied by site.conf:4 (no, thank you)");
    g_assert_false(policy_denies_name(BP_PROVIDE_DEVICE, "isa-xx", NULL));
    g_assert_false(policy_denies_name(BP_PROVIDE_BOARD, "isa-x", NULL));
    g_assert_false(denied("isa-x")); /* KIND:NAME says nothing of modules */

    use("allow hw-hpet\ndeny hw-*\n");
    g_assert_true(denied("hw-hpet"));
}

static void test_alias_prefer_rank(void)
{
    int rank = 7;

    use("alias board:pc pc-1.0\nalias board:pc pc-2.0\n"
        "prefer device:vga hw-fast-vga\n"
        "rank hw-vga -1000000\nrank hw-other 3\n");
    g_assert_cmpstr(policy_alias(BP_PROVIDE_BOARD, "pc"), ==, "pc-2.0");
    g_assert_null(policy_alias(BP_PROVIDE_DEVICE, "pc"));
    g_assert_null(policy_alias(BP_PROVIDE_BOARD, "p"));
    g_assert_cmpstr(policy_prefer(BP_PROVIDE_DEVICE, "vga"), ==, "hw-fast-vga");
    g_assert_null(policy_prefer(BP_PROVIDE_DEVICE, "hw-fast-vga"));
    g_assert_true(policy_rank("hw-vga", &rank));
    g_assert_cmpint(rank, ==, -1000000);
    g_assert_false(policy_rank("vga", &rank));
    g_assert_cmpint(rank, ==, -1000000);
}

static const char *const wrong[][2] = {
    {"forbid x", "begins with deny, allow, alias, prefer or rank"},
    {"deny", "a name is missing"},
    {"deny device:", "a name is missing"},
    {"deny Gadget:x", "KIND"},
    {"allow x y", "allow takes one pattern"},
    {"alias pc pc-2", "KIND:NAME is expected"},
    {"alias board:pc", "two words are expected"},
    {"alias board:pc a b", "two words are expected"},
    {"prefer vga hw-vga", "KIND:NAME is expected"},
    {"rank device:vga 3", "rank takes a module's name"},
    {"rank hw-vga", "two words are expected"},
    {"rank hw-vga high", "whole number"},
    {"rank hw-vga 1000001", "whole number"},
    {"rank hw-vga 99999999999999999999", "whole number"},
    {"deny \033[2J", "control characters"},
};

/* A wrong line is told with its number and left out; the others count. */
static void test_wrong_line(gconstpointer opaque)
{
    const char *const *line = opaque;
    char *text = g_strdup_printf("deny before\n%s\ndeny behind\n", line[0]), *told;

    if (g_test_subprocess()) {
        use(text);
        g_assert_true(denied("before"));
        g_assert_true(denied("behind"));
    } else {
        told = g_strdup_printf("*site.conf:2: *%s*left out*", line[1]);
        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
        g_test_trap_assert_passed();
        g_test_trap_assert_stderr(told);
        g_free(told);
    }
    g_free(text);
}

static void test_hash(void)
{
    uint64_t one, other;

    use("deny a\n");
    one = policy_hash();
    use("deny b\n");
    other = policy_hash();
    g_assert_cmpuint(one, !=, other);
    use("deny a\n");
    g_assert_cmpuint(one, ==, policy_hash());
}

static void test_limits(void)
{
    GString *text = g_string_new("deny first\n");

    for (unsigned i = 0; i < 4200; i++)
        g_string_append(text, "allow x\n");
    if (g_test_subprocess()) {
        use(text->str);
        g_assert_true(denied("first"));
    } else {
        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
        g_test_trap_assert_passed();
        g_test_trap_assert_stderr("*site.conf:4097: there are too many lines*");
    }
    g_string_free(text, TRUE);
}

/* ---- files ---- */

static void write_policy(const char *directory, const char *name, const char *text)
{
    char *path = g_build_filename(folder, directory, NULL), *file;

    g_mkdir_with_parents(path, 0755);
    file = g_build_filename(path, name, NULL);
    g_assert_true(g_file_set_contents(file, text, -1, NULL));
    g_assert_cmpint(g_chmod(file, 0644), ==, 0);
    g_free(file);
    g_free(path);
}

static void use_directories(const char *first, const char *second)
{
    char *path = g_strdup_printf("%s/%s:%s/%s", folder, first, folder, second);

    g_setenv("BACKPLANE_MODULE_CONF", path, TRUE);
    policy_forget();
    g_free(path);
}

static void test_files(void)
{
    char *mask = g_build_filename(folder, "etc/30-masked.conf", NULL);

    write_policy("usr", "10-replaced.conf", "deny of-usr\n");
    write_policy("usr", "20-kept.conf", "deny kept\nallow later\n");
    write_policy("usr", "30-masked.conf", "deny masked\n");
    write_policy("usr", ".hidden.conf", "deny hidden\n");
    write_policy("usr", "other.txt", "deny text\n");
    write_policy("etc", "10-replaced.conf", "deny of-etc\ndeny later\n");
    g_assert_cmpint(symlink("/dev/null", mask), ==, 0);
    use_directories("usr", "etc");
    g_assert_false(denied("of-usr"));
    g_assert_true(denied("of-etc"));
    g_assert_true(denied("kept"));
    g_assert_false(denied("later")); /* 20-kept.conf is read behind 10-replaced.conf */
    g_assert_false(denied("masked"));
    g_assert_false(denied("hidden"));
    g_assert_false(denied("text"));

    use_directories("nowhere", "nothing");
    g_assert_false(policy_exists());
    g_assert_cmpuint(policy_hash(), ==, 0);
    g_free(mask);
}

/* A file that is too large, or that others may write to, replaces nothing. */
static void test_unsafe_files(void)
{
    char *path = g_build_filename(folder, "unsafe/10-a.conf", NULL), *large = g_malloc(70000);

    memset(large, '\n', 70000);
    memcpy(large + 69000, "deny large", 10);
    large[69999] = '\0';
    write_policy("safe", "10-a.conf", "deny safe\n");
    write_policy("unsafe", "10-a.conf", "deny unsafe\n");
    write_policy("unsafe", "20-b.conf", large);
    g_assert_cmpint(g_chmod(path, 0666), ==, 0);
    if (g_test_subprocess()) {
        use_directories("safe", "unsafe");
        g_assert_true(denied("safe"));
        g_assert_false(denied("unsafe"));
        g_assert_false(denied("large"));
    } else {
        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
        g_test_trap_assert_passed();
        g_test_trap_assert_stderr("*10-a.conf*may be written by others*20-b.conf*more than 65536*");
    }
    g_free(large);
    g_free(path);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    folder = work_folder("backplane-policy");
    g_test_add_func("/policy/deny-and-allow", test_deny_and_allow);
    g_test_add_func("/policy/alias-prefer-rank", test_alias_prefer_rank);
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        char *name = g_strdup_printf("/policy/wrong-line/%u", i);

        g_test_add_data_func(name, wrong[i], test_wrong_line);
        g_free(name);
    }
    g_test_add_func("/policy/hash", test_hash);
    g_test_add_func("/policy/limits", test_limits);
    g_test_add_func("/policy/files", test_files);
    g_test_add_func("/policy/unsafe-files", test_unsafe_files);
    return g_test_run();
}
