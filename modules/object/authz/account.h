/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AUTHZ_ACCOUNT_H
#define AUTHZ_ACCOUNT_H

#include <bp/error.h>

/* 0: the service's file has an account part (pam.d(5)), directly or by what it includes. -EACCES: it has none, or there
 * is no such file: PAM would ask the service "other". It reads files. [any] */
int account_check(const char *service, struct bp_error *err);

#endif
