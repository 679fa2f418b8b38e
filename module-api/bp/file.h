/* SPDX-License-Identifier: MIT */
/*
 * Files of the host by name, where the name may also be "/dev/fdset/N": descriptors that were passed to the
 * program (-add-fd, QMP add-fd).
 */
#ifndef BP_FILE_H
#define BP_FILE_H

#include <bp/base.h>

BP_BEGIN_DECLS

/*
 * As open(2), with O_CLOEXEC always. Of a set: a duplicate of a descriptor whose access mode is that of
 * `flags`, or else one that can do more; O_TRUNC, O_APPEND, O_NONBLOCK and O_DIRECT are applied to it, what
 * creates is not. Returns the descriptor, or -errno: -ENOENT, no such set; -EACCES, none of its descriptors
 * can do that. [any]
 */
int bp_open(const char *path, int flags, unsigned mode);

BP_END_DECLS

#endif
