/* SPDX-License-Identifier: MIT */
/*
 * The link of High Definition Audio (revision 1.0a): interface hda/1, offered by `hw-intel-hda`; bus type
 * "HDA". A controller makes a bus; codecs plug into it at addresses 0 to 14. A codec answers verbs and moves the frames
 * of the streams that its converters are tuned to. Under the machine lock.
 */
#ifndef BP_BUS_HDA_H
#define BP_BUS_HDA_H

#include <bp/device.h>

BP_BEGIN_DECLS

#define BP_HDA_CODECS 15u

/* bus_info of a device class on bus "HDA". */
struct bp_hda_info {
    uint32_t size; /* sizeof(struct bp_hda_info) */
    uint32_t flags; /* none yet: 0 */
    /* A command: node, and the 20 bits of verb and payload as they stand in the CORB. Returns the response. */
    uint32_t (*command)(struct bp_device *codec, uint8_t node, uint32_t verb);
    /* The controller's DMA of a stream starts or stops; `format` as its descriptor has it (3.3.41). */
    void (*stream)(struct bp_device *codec, uint8_t tag, bool output, bool on);
    /* The link was reset: so is the codec. */
    void (*reset)(struct bp_device *codec);
    void *reserved[4];
};

struct bp_hda_interface { /* hda/1 */
    uint32_t size;
    /* Moves up to `bytes` of a running stream between `buf` and guest memory; returns how many: less
     * when it does not run. Whole frames of `frame` bytes. */
    uint32_t (*transfer)(struct bp_device *codec, uint8_t tag, bool output, void *buf, uint32_t bytes,
                         uint32_t frame);
    /* Is the stream with this tag running? */
    bool (*running)(struct bp_device *codec, uint8_t tag, bool output);
    /* An unsolicited response (7.3.3.14), when the guest wants them. */
    void (*unsolicited)(struct bp_device *codec, uint32_t response);
    void *reserved[4];
};

BP_END_DECLS

#endif
