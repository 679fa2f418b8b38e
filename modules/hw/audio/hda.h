/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside of `hw-intel-hda`: the controller's registers (High Definition Audio 1.0a, chapter 3) and streams. */
#ifndef HW_HDA_H
#define HW_HDA_H

#include <bp/bus/hda.h>
#include <bp/bus/pci.h>

#define HDA_INPUTS 4u
#define HDA_OUTPUTS 4u
#define HDA_STREAMS (HDA_INPUTS + HDA_OUTPUTS)

enum { /* offsets */
    GCAP = 0x00, VMIN = 0x02, VMAJ = 0x03, OUTPAY = 0x04, INPAY = 0x06, GCTL = 0x08, WAKEEN = 0x0c, STATESTS = 0x0e,
    GSTS = 0x10, INTCTL = 0x20, INTSTS = 0x24, WALCLK = 0x30, SSYNC = 0x38, CORBLBASE = 0x40, CORBUBASE = 0x44,
    CORBWP = 0x48, CORBRP = 0x4a, CORBCTL = 0x4c, CORBSTS = 0x4d, CORBSIZE = 0x4e, RIRBLBASE = 0x50, RIRBUBASE = 0x54,
    RIRBWP = 0x58, RINTCNT = 0x5a, RIRBCTL = 0x5c, RIRBSTS = 0x5d, RIRBSIZE = 0x5e, ICOI = 0x60, ICII = 0x64,
    ICIS = 0x68, DPLBASE = 0x70, DPUBASE = 0x74, STREAMS = 0x80, HDA_SIZE = 0x4000,
};
enum { /* of a stream, in its 32 bytes */
    SDCTL = 0x00, SDSTS = 0x03, SDLPIB = 0x04, SDCBL = 0x08, SDLVI = 0x0c, SDFIFOS = 0x10, SDFMT = 0x12,
    SDBDPL = 0x18, SDBDPU = 0x1c, SD_SIZE = 0x20,
};
#define GCTL_RUN 0x001u /* 0: the link is in reset */
#define GCTL_UNSOLICITED 0x100u
#define INT_CONTROLLER 0x40000000u
#define INT_GLOBAL 0x80000000u
#define SDCTL_RESET 0x01u
#define SDCTL_RUN 0x02u
#define SDCTL_COMPLETION 0x04u /* interrupt enable; FIFO and descriptor errors are the next two */
#define SDCTL_BITS 0x00f7001fu
#define SDSTS_COMPLETION 0x04u
#define SDSTS_FIFO 0x08u
#define SDSTS_DESCRIPTOR 0x10u
#define SDSTS_READY 0x20u

struct hda_stream {
    uint32_t ctl, position, length; /* SDCTL's 24 bits; LPIB; CBL */
    uint64_t list;
    uint16_t last, format;
    uint8_t status;
    /* The buffer that is under way. */
    uint64_t at;
    uint32_t left;
    uint16_t index; /* of the next one */
    bool interrupt, loaded;
};

struct hda {
    bool msi;
    struct bp_bus *bus;
    struct bp_device *codec[BP_HDA_CODECS];
    struct hda_stream stream[HDA_STREAMS]; /* inputs first */
    uint32_t gctl, intctl, ssync, icoi, icii;
    uint64_t corb, rirb, positions;
    uint16_t wakeen, statests, corbwp, corbrp, rirbwp, rintcnt, icis;
    uint8_t corbctl, corbsts, rirbctl, rirbsts;
    uint32_t responses; /* since the last interrupt */
    int64_t epoch_ns;   /* guest time of wall clock 0 */
    bool level;
};

extern const struct bp_bus_class hda_bus_class;
extern const struct bp_interface hda_interface;
extern const struct bp_pci_interface *hda_pci;

/* ---- hda.c ---- */
void hda_update_irq(struct hda *s);
/* Puts a response into the RIRB (or where an immediate command waits for it). */
void hda_respond(struct hda *s, unsigned cad, uint32_t response, bool unsolicited);

/* ---- hda-stream.c ---- */
uint32_t hda_stream_read(const struct hda *s, unsigned n, unsigned reg); /* a byte */
void hda_stream_write(struct hda *s, unsigned n, unsigned reg, uint32_t value, unsigned size);
void hda_stream_reset(struct hda *s, unsigned n);
/* The running one with a tag; NULL: there is none. */
struct hda_stream *hda_stream_find(struct hda *s, uint8_t tag, bool output);
uint32_t hda_transfer(struct hda *s, uint8_t tag, bool output, void *buf, uint32_t bytes, uint32_t frame);
void hda_stream_tell(struct hda *s, unsigned n, bool on); /* all codecs */

#endif
