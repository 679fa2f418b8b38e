/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module: what it provides and uses. */
#include "vnc.h"

#include <bp/host/secret.h>

#include "module.h"

BP_USE(display_import, struct bp_display_interface, "display", 1);
BP_USE(input_import, struct bp_input_interface, "input", 1);
BP_USE(secret_import, struct bp_secret_interface, "secret", 1);
const struct bp_display_interface *const *const vnc_display = &display_import;
const struct bp_input_interface *const *const vnc_input = &input_import;

int vnc_secret_get(const char *id, const uint8_t **ret_data, size_t *ret_length)
{
    return secret_import->get(id, ret_data, ret_length, NULL);
}

static const struct bp_import imports[] = {
    BP_IMPORT_MINOR(display_import, "display", 1, 2), BP_IMPORT(input_import, "input", 1),
    BP_IMPORT(secret_import, "secret", 1), {0}};
/* What stands in the file system goes with the process. */
static void leave(void)
{
    for (struct vnc *s = vnc_servers; s; s = s->next) {
        for (unsigned i = 0; i < 2; i++)
            unix_socket_remove(&s->unix_sockets[i]);
    }
}

static int begin(struct bp_error *err)
{
    (void)err;
    display_import->password_server(&vnc_password_server);
    display_import->client_server(&vnc_client_server);
    return 0;
}

BP_MODULE_WITH_FINI("ui-vnc", "VNC server", imports, begin, leave, {BP_PROVIDE_OTHER, &vnc_class},
                    {BP_PROVIDE_INTERFACE, &vnc_interface},
                    {BP_PROVIDE_OPTION, &vnc_option},
          {BP_PROVIDE_OPTION, &k_option}, {BP_PROVIDE_COMMAND, &vnc_query},
          {BP_PROVIDE_COMMAND, &vnc_query_servers}, {BP_PROVIDE_COMMAND, &vnc_change_password},
          {BP_PROVIDE_COMMAND, &vnc_reload}, {BP_PROVIDE_HMP, &vnc_info}, {BP_PROVIDE_HMP, &vnc_change},
          {BP_PROVIDE_EVENT, &vnc_connected}, {BP_PROVIDE_EVENT, &vnc_initialized},
          {BP_PROVIDE_EVENT, &vnc_disconnected}, {BP_PROVIDE_HMP, &vnc_acl_show},
          {BP_PROVIDE_HMP, &vnc_acl_policy}, {BP_PROVIDE_HMP, &vnc_acl_add}, {BP_PROVIDE_HMP, &vnc_acl_remove},
          {BP_PROVIDE_HMP, &vnc_acl_reset});
