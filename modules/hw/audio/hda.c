/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Controllers of High Definition Audio (revision 1.0a) as in Intel's ICH6 and ICH9: commands to codecs through rings in
 * guest memory (CORB, RIRB) or at once, four input and four output streams, the wall clock. Codecs plug into the
 * bus that it makes. Left out: wake-up by codecs, stripes,
 * synchronous starts (SSYNC is kept), bidirectional streams.
 */
#include <string.h>

#include <bp/clock.h>
#include <bp/log.h>

#include "hda.h"

BP_USE(pci, struct bp_pci_interface, "pci", 1);
const struct bp_pci_interface *hda_pci;

#define RING 256u
#define CORB_RUN 0x02u
#define CORB_ERROR_INTERRUPT 0x01u
#define RIRB_INTERRUPT 0x01u
#define RIRB_RUN 0x02u
#define RIRB_OVERRUN_INTERRUPT 0x04u
#define RIRBSTS_RESPONSE 0x01u
#define RIRBSTS_OVERRUN 0x04u
#define ICIS_BUSY 0x01u
#define ICIS_VALID 0x02u
#define WALL_HZ 24000000

/* ---- interrupts ---- */

static bool controller_wants(const struct hda *s)
{
    return (s->rirbsts & RIRBSTS_RESPONSE && s->rirbctl & RIRB_INTERRUPT) ||
           (s->rirbsts & RIRBSTS_OVERRUN && s->rirbctl & RIRB_OVERRUN_INTERRUPT) ||
           (s->corbsts & 1 && s->corbctl & CORB_ERROR_INTERRUPT) || s->statests & s->wakeen;
}

static uint32_t interrupt_status(const struct hda *s)
{
    uint32_t status = controller_wants(s) ? INT_CONTROLLER : 0;

    for (unsigned n = 0; n < HDA_STREAMS; n++)
        if (s->stream[n].status & s->stream[n].ctl & 0x1c)
            status |= 1u << n;
    return status & s->intctl ? status | INT_GLOBAL : status;
}

void hda_update_irq(struct hda *s)
{
    bool level = s->intctl & INT_GLOBAL && interrupt_status(s) & INT_GLOBAL;

    if (level == s->level && !level)
        return;
    s->level = level;
    pci->interrupt(bp_device_of_state(s), 0, level);
}

/* ---- commands ---- */

/* Under "immediate" a guest waits for one response; else they go into the ring. */
void hda_respond(struct hda *s, unsigned cad, uint32_t response, bool unsolicited)
{
    uint32_t entry[2] = {response, cad | (unsolicited ? 0x10u : 0)};

    if (s->icis & ICIS_BUSY && !unsolicited) {
        s->icii = response;
        s->icis = (uint16_t)(ICIS_VALID | cad << 4);
        return;
    }
    if (!(s->rirbctl & RIRB_RUN))
        return;
    s->rirbwp = (uint16_t)((s->rirbwp + 1u) % RING);
    pci->dma_write(bp_device_of_state(s), s->rirb + 8u * s->rirbwp, entry, sizeof(entry));
    s->responses++;
    if (s->responses >= (s->rintcnt ? s->rintcnt : RING)) {
        s->responses = 0;
        s->rirbsts |= RIRBSTS_RESPONSE;
    }
    hda_update_irq(s);
}

static void command(struct hda *s, uint32_t word)
{
    unsigned cad = word >> 28;
    struct bp_device *codec = cad < BP_HDA_CODECS ? s->codec[cad] : NULL;
    const struct bp_hda_info *info = codec ? bp_device_class(codec)->bus_info : NULL;

    /* Where no codec is nothing answers; who waits reads zero. */
    if (word & 1u << 27)
        bp_guest_error("hda-indirect", "HDA: indirect node addresses are not had");
    hda_respond(s, cad, info ? info->command(codec, (uint8_t)(word >> 20 & 0x7f), word & 0xfffff) : 0, false);
}

static void run_commands(struct hda *s)
{
    unsigned most = RING;

    while (s->corbctl & CORB_RUN && s->gctl & GCTL_RUN && s->corbrp != s->corbwp && most-- > 0) {
        uint32_t word = 0;

        s->corbrp = (uint16_t)((s->corbrp + 1u) % RING);
        if (pci->dma_read(bp_device_of_state(s), s->corb + 4u * s->corbrp, &word, 4) < 0) {
            s->corbsts |= 1;
            s->corbctl &= (uint8_t)~CORB_RUN;
            break;
        }
        command(s, word);
    }
}

/* ---- registers ---- */

static void reset_link(struct hda *s)
{
    uint16_t present = 0;

    for (unsigned n = 0; n < HDA_STREAMS; n++)
        hda_stream_reset(s, n);
    for (unsigned i = 0; i < BP_HDA_CODECS; i++) {
        const struct bp_hda_info *info = s->codec[i] ? bp_device_class(s->codec[i])->bus_info : NULL;

        if (!info)
            continue;
        present |= (uint16_t)(1u << i);
        if (info->reset)
            info->reset(s->codec[i]);
    }
    s->statests = present; /* they announce themselves when the link is up: read then */
    s->wakeen = 0;
    s->intctl = s->ssync = s->icoi = s->icii = 0;
    s->corb = s->rirb = s->positions = 0;
    s->corbwp = s->corbrp = s->rirbwp = s->rintcnt = s->icis = 0;
    s->corbctl = s->corbsts = s->rirbctl = s->rirbsts = 0;
    s->responses = 0;
    s->epoch_ns = bp_virtual_ns(bp_device_machine(bp_device_of_state(s)));
}

static uint32_t wall_clock(const struct hda *s)
{
    int64_t ns = bp_virtual_ns(bp_device_machine(bp_device_of_state((void *)(uintptr_t)s))) - s->epoch_ns;

    return (uint32_t)((uint64_t)ns * (WALL_HZ / 1000000) / 1000);
}

/* The 32 bits at an aligned offset. */
static uint32_t word_at(const struct hda *s, unsigned reg)
{
    switch (reg) {
    case GCAP: /* 64-bit addresses, no bidirectional streams; version 1.0 */
        return 1u | HDA_INPUTS << 8 | HDA_OUTPUTS << 12 | 1u << 24;
    case OUTPAY:
        return 0x3cu | 0x1du << 16;
    case GCTL:
        return s->gctl;
    case WAKEEN:
        return s->wakeen | (s->gctl & GCTL_RUN ? (uint32_t)s->statests << 16 : 0);
    case INTCTL:
        return s->intctl;
    case INTSTS:
        return interrupt_status(s);
    case WALCLK:
        return wall_clock(s);
    case SSYNC:
        return s->ssync;
    case CORBLBASE:
        return (uint32_t)s->corb;
    case CORBUBASE:
        return (uint32_t)(s->corb >> 32);
    case CORBWP:
        return s->corbwp | (uint32_t)s->corbrp << 16;
    case CORBCTL:
        return s->corbctl | (uint32_t)s->corbsts << 8 | 0x42u << 16;
    case RIRBLBASE:
        return (uint32_t)s->rirb;
    case RIRBUBASE:
        return (uint32_t)(s->rirb >> 32);
    case RIRBWP:
        return s->rirbwp | (uint32_t)s->rintcnt << 16;
    case RIRBCTL:
        return s->rirbctl | (uint32_t)s->rirbsts << 8 | 0x42u << 16;
    case ICOI:
        return s->icoi;
    case ICII:
        return s->icii;
    case ICIS:
        return s->icis;
    case DPLBASE:
        return (uint32_t)s->positions;
    case DPUBASE:
        return (uint32_t)(s->positions >> 32);
    default:
        return 0;
    }
}

static uint64_t hda_read(void *opaque, uint64_t addr, unsigned size)
{
    const struct hda *s = opaque;
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        unsigned at = (unsigned)addr + i, reg = at >= 0x2000 ? at - 0x2000 : at; /* aliases of positions */
        uint32_t byte;

        if (reg >= STREAMS && reg < STREAMS + SD_SIZE * HDA_STREAMS)
            byte = hda_stream_read(s, (reg - STREAMS) / SD_SIZE, reg % SD_SIZE);
        else
            byte = word_at(s, reg & ~3u) >> 8 * (reg & 3) & 0xff;
        value |= (uint64_t)byte << 8 * i;
    }
    return value;
}

static void set_low(uint64_t *base, uint32_t which, uint32_t bits, uint32_t keep)
{
    *base = (*base & ~(uint64_t)which) | (bits & which & keep);
}

static void set_high(uint64_t *base, uint32_t which, uint32_t bits)
{
    *base = (*base & ~((uint64_t)which << 32)) | (uint64_t)(bits & which) << 32;
}

static void write_gctl(struct hda *s, uint32_t value)
{
    bool ran = s->gctl & GCTL_RUN;

    s->gctl = value & (GCTL_RUN | GCTL_UNSOLICITED);
    if (ran && !(value & GCTL_RUN)) {
        reset_link(s);
        s->gctl = 0;
    }
}

static void write_corb(struct hda *s, unsigned reg, uint32_t which, uint32_t bits)
{
    if (reg == CORBWP) {
        if (which & 0xff)
            s->corbwp = bits & 0xff;
        if (which & 0x80000000u) /* its read pointer: reset, which software sees done; then 0 again */
            s->corbrp = bits & 0x80000000u ? 0x8000 : s->corbrp & 0xff;
    } else {
        if (which & 0xff)
            s->corbctl = bits & (CORB_RUN | CORB_ERROR_INTERRUPT);
        s->corbsts &= (uint8_t)~(bits >> 8 & 1);
    }
    if (s->corbrp & 0x8000)
        return;
    run_commands(s);
}

static void write_rirb(struct hda *s, unsigned reg, uint32_t which, uint32_t bits)
{
    if (reg == RIRBWP) {
        if (bits & which & 0x8000)
            s->rirbwp = 0;
        if (which & 0xff0000)
            s->rintcnt = bits >> 16 & 0xff;
    } else {
        if (which & 0xff)
            s->rirbctl = bits & (RIRB_RUN | RIRB_INTERRUPT | RIRB_OVERRUN_INTERRUPT);
        s->rirbsts &= (uint8_t)~(bits >> 8 & (RIRBSTS_RESPONSE | RIRBSTS_OVERRUN));
    }
}

/* `bits` are the new ones at their place, `which` says which are written. */
static void write_word(struct hda *s, unsigned reg, uint32_t which, uint32_t bits)
{
    switch (reg) {
    case GCTL:
        write_gctl(s, (s->gctl & ~which) | (bits & which));
        break;
    case WAKEEN:
        s->wakeen = (uint16_t)((s->wakeen & ~which) | (bits & which & 0x7fff));
        s->statests &= (uint16_t)~(bits >> 16);
        break;
    case INTCTL:
        s->intctl = ((s->intctl & ~which) | (bits & which)) & (INT_GLOBAL | INT_CONTROLLER | ((1u << HDA_STREAMS) - 1));
        break;
    case SSYNC:
        s->ssync = ((s->ssync & ~which) | (bits & which)) & ((1u << HDA_STREAMS) - 1);
        break;
    case CORBLBASE:
        set_low(&s->corb, which, bits, ~127u);
        break;
    case CORBUBASE:
        set_high(&s->corb, which, bits);
        break;
    case CORBWP:
    case CORBCTL:
        write_corb(s, reg, which, bits);
        break;
    case RIRBLBASE:
        set_low(&s->rirb, which, bits, ~127u);
        break;
    case RIRBUBASE:
        set_high(&s->rirb, which, bits);
        break;
    case RIRBWP:
    case RIRBCTL:
        write_rirb(s, reg, which, bits);
        break;
    case ICOI:
        s->icoi = (s->icoi & ~which) | (bits & which);
        break;
    case ICIS:
        s->icis &= (uint16_t)~(bits & ICIS_VALID);
        if (bits & ICIS_BUSY && !(s->icis & ICIS_BUSY)) {
            s->icis |= ICIS_BUSY;
            command(s, s->icoi);
        }
        break;
    case DPLBASE:
        set_low(&s->positions, which, bits, ~126u);
        break;
    case DPUBASE:
        set_high(&s->positions, which, bits);
        break;
    default:
        break;
    }
}

static void hda_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct hda *s = opaque;
    unsigned reg = (unsigned)addr, shift = 8 * (reg & 3);
    uint32_t mask = size == 4 ? UINT32_MAX : (1u << 8 * size) - 1;

    /* In reset there is nothing but the bit that ends it (3.3.7). */
    if (!(s->gctl & GCTL_RUN) && (reg & ~3u) != GCTL)
        return;
    if (reg >= STREAMS && reg < STREAMS + SD_SIZE * HDA_STREAMS)
        hda_stream_write(s, (reg - STREAMS) / SD_SIZE, reg % SD_SIZE, (uint32_t)value, size);
    else
        write_word(s, reg & ~3u, mask << shift, (uint32_t)value << shift);
    hda_update_irq(s);
}

static const struct bp_region_ops hda_ops = {.size = sizeof(hda_ops), .read = hda_read, .write = hda_write};

/* ---- the device ---- */

static int hda_attach(struct bp_device *dev, struct bp_error *err)
{
    struct hda *s = bp_device_state(dev);
    int r;

    hda_pci = pci;
    r = s->msi ? pci->msi_init(dev, 1, false, err) : 0;
    return r < 0 ? r : bp_bus_new(dev, "HDA", NULL, &s->bus, err);
}

static void hda_reset(struct bp_device *dev)
{
    struct hda *s = bp_device_state(dev);

    reset_link(s);
    s->gctl = 0;
    s->level = false;
    pci->interrupt(dev, 0, 0);
}

static const struct bp_state_field stream_fields[] = {
    BP_SAVE(UINT32, struct hda_stream, ctl), BP_SAVE(UINT32, struct hda_stream, position),
    BP_SAVE(UINT32, struct hda_stream, length), BP_SAVE(UINT64, struct hda_stream, list),
    BP_SAVE_RANGE(UINT16, struct hda_stream, last, 0, 255), BP_SAVE(UINT16, struct hda_stream, format),
    BP_SAVE(UINT8, struct hda_stream, status), BP_SAVE(UINT64, struct hda_stream, at),
    BP_SAVE(UINT32, struct hda_stream, left), BP_SAVE_RANGE(UINT16, struct hda_stream, index, 0, 255),
    BP_SAVE(BOOL, struct hda_stream, interrupt), BP_SAVE(BOOL, struct hda_stream, loaded), BP_SAVE_END};
static const struct bp_state_table stream_state = {
    .name = "hda-stream", .version = 1, .oldest = 1, .fields = stream_fields};
static const struct bp_state_field hda_fields[] = {
    BP_SAVE_STRUCTS(struct hda, stream, &stream_state), BP_SAVE(UINT32, struct hda, gctl),
    BP_SAVE(UINT32, struct hda, intctl), BP_SAVE(UINT32, struct hda, ssync), BP_SAVE(UINT32, struct hda, icoi),
    BP_SAVE(UINT32, struct hda, icii), BP_SAVE(UINT64, struct hda, corb), BP_SAVE(UINT64, struct hda, rirb),
    BP_SAVE(UINT64, struct hda, positions), BP_SAVE(UINT16, struct hda, wakeen),
    BP_SAVE(UINT16, struct hda, statests), BP_SAVE_RANGE(UINT16, struct hda, corbwp, 0, RING - 1),
    BP_SAVE_RANGE(UINT16, struct hda, corbrp, 0, 0x80ff), BP_SAVE_RANGE(UINT16, struct hda, rirbwp, 0, RING - 1),
    BP_SAVE(UINT16, struct hda, rintcnt), BP_SAVE(UINT16, struct hda, icis), BP_SAVE(UINT8, struct hda, corbctl),
    BP_SAVE(UINT8, struct hda, corbsts), BP_SAVE(UINT8, struct hda, rirbctl), BP_SAVE(UINT8, struct hda, rirbsts),
    BP_SAVE(UINT32, struct hda, responses), BP_SAVE(UINT64, struct hda, epoch_ns), BP_SAVE(BOOL, struct hda, level),
    BP_SAVE_END};
static const struct bp_state_table hda_state = {.version = 1, .oldest = 1, .fields = hda_fields};

static const struct bp_field hda_props[] = {
    BP_PROP("msi", BOOL, struct hda, msi, "on", "interrupts as messages are offered"), BP_FIELDS_END};
static const struct bp_pci_field registers[] = {{.offset = 0x40, .width = 1, .value = 1}, BP_PCI_FIELDS_END};
#define INFO(DEVICE, REVISION) \
    {.size = sizeof(struct bp_pci_info), .vendor = 0x8086, .device = DEVICE, .revision = REVISION, \
     .subsystem_vendor = 0x1af4, .subsystem = 0x1100, \
     .class_code = 0x0403, .interrupt_pin = 1, .fields = registers, \
     .bar = {{.flags = BP_PCI_BAR_MEM32, .size = HDA_SIZE, .name = "intel-hda", .ops = &hda_ops}}}
static const struct bp_pci_info ich6_info = INFO(0x2668, 1), ich9_info = INFO(0x293e, 3);

BP_DEVICE(ich6, "intel-hda", "pci", "HD Audio controller (ICH6)", struct hda, hda_props, &hda_state,
          .category = "sound", .bus_info = &ich6_info, .attach = hda_attach, .reset = hda_reset);
BP_DEVICE(ich9, "ich9-intel-hda", "pci", "HD Audio controller (ICH9)", struct hda, hda_props, &hda_state,
          .category = "sound", .bus_info = &ich9_info, .attach = hda_attach, .reset = hda_reset);

static const struct bp_import imports[] = {BP_IMPORT(pci, "pci", 1), {0}};
BP_MODULE("hw-intel-hda", "HD Audio controllers", imports, {BP_PROVIDE_BUS, &hda_bus_class},
          {BP_PROVIDE_INTERFACE, &hda_interface}, {BP_PROVIDE_DEVICE, &ich6}, {BP_PROVIDE_DEVICE, &ich9});
