/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HW_SCSI_HBA_CDB_H
#define HW_SCSI_HBA_CDB_H

#include <bp/base.h>

/* Bytes that a command of 16 bytes moves: to the host (*ret_in) or from it; 0: none. */
uint64_t cdb_moves(const uint8_t *cdb, uint32_t block, bool *ret_in);

#endif
