/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "blame.h"

__thread struct bpc_blame bpc_blame __attribute__((tls_model("initial-exec")));
