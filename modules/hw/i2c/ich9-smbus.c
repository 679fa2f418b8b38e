/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The SMBus host of Intel's ICH9 (data sheet 316972, chapter 20): function 3 of device 31, 8086:2930. A
 * transfer is over when the write that started it is. Blocks go through the 32-byte buffer (E32B) or byte by
 * byte. Left out: the slave side, SMBALERT, packet error codes, I2C reads, block process calls: they end with
 * "failed".
 */
#include <errno.h>
#include <string.h>

#include <bp/bus/i2c.h>
#include <bp/bus/pci.h>
#include <bp/log.h>

BP_USE(pci, struct bp_pci_interface, "pci", 1);
BP_USE(i2c, struct bp_i2c_interface, "i2c", 1);

#define HOSTC 0x40u /* configuration space */
#define HOSTC_ENABLE 0x01u

enum { HST_STS, HST_CNT = 2, HST_CMD, XMIT_SLVA, HST_D0, HST_D1, HOST_BLOCK_DB, AUX_CTL = 0xd, PORTS = 32 };
#define STS_INTR 0x02u
#define STS_DEV_ERR 0x04u
#define STS_BUS_ERR 0x08u
#define STS_FAILED 0x10u
#define STS_INUSE 0x40u
#define STS_BYTE_DONE 0x80u
#define STS_CAUSES (STS_INTR | STS_DEV_ERR | STS_BUS_ERR | STS_FAILED | STS_BYTE_DONE)
#define CNT_INTERRUPT 0x01u
#define CNT_KILL 0x02u
#define CNT_PROTOCOL 0x1cu
#define CNT_LAST 0x20u
#define CNT_START 0x40u
#define AUX_E32B 0x02u

struct ich9_smbus {
    struct bp_bus *bus;
    uint8_t status, control, command, address, data0, data1, aux;
    uint8_t block[BP_SMBUS_BLOCK_MAX];
    uint8_t at;       /* in the block */
    uint8_t byte;     /* byte by byte: the one on the way */
    uint8_t left;     /* bytes that follow */
    bool by_bytes;    /* such a transfer is under way */
};

static void update_irq(struct ich9_smbus *s)
{
    pci->set_irq(bp_device_of_state(s), s->control & CNT_INTERRUPT && s->status & STS_CAUSES);
}

static void finish(struct ich9_smbus *s, int r)
{
    s->by_bytes = false;
    s->status |= r == 0 ? STS_INTR : r == -ENXIO ? STS_DEV_ERR : STS_FAILED;
}

static void run(struct ich9_smbus *s, struct bp_smbus_transfer *t)
{
    int r = i2c->smbus(s->bus, t);

    if (r == 0 && (t->read || t->protocol == BP_SMBUS_PROCESS_CALL)) {
        s->data0 = t->data[0];
        if (t->protocol == BP_SMBUS_WORD_DATA || t->protocol == BP_SMBUS_PROCESS_CALL)
            s->data1 = t->data[1];
        if (t->protocol == BP_SMBUS_BLOCK) {
            s->data0 = t->count;
            memcpy(s->block, t->data, sizeof(s->block));
        }
    }
    if (r == 0 && t->protocol == BP_SMBUS_BLOCK && t->read && !(s->aux & AUX_E32B)) {
        s->byte = s->block[0]; /* the first one is there */
        s->left = (uint8_t)(t->count - 1);
        s->at = 1;
        s->by_bytes = true;
        s->status |= STS_BYTE_DONE;
        return;
    }
    finish(s, r);
}

static void start(struct ich9_smbus *s)
{
    struct bp_smbus_transfer t = {.size = sizeof(t), .protocol = (enum bp_smbus_protocol)(s->control >> 2 & 7),
                                  .read = s->address & 1, .address = s->address >> 1, .command = s->command};

    t.data[0] = s->data0;
    t.data[1] = s->data1;
    s->by_bytes = false;
    if (t.protocol == BP_SMBUS_BLOCK && !t.read) {
        t.count = s->data0;
        if (!(s->aux & AUX_E32B) && t.count >= 1 && t.count <= BP_SMBUS_BLOCK_MAX) {
            s->block[0] = s->byte; /* each further one is asked for */
            s->left = (uint8_t)(t.count - 1);
            s->at = 1;
            s->by_bytes = true;
            s->status |= STS_BYTE_DONE;
            return;
        }
        memcpy(t.data, s->block, sizeof(t.data));
    }
    run(s, &t);
}

/* BYTE_DONE was cleared: the next byte goes, or the transfer ends. */
static void next_byte(struct ich9_smbus *s)
{
    struct bp_smbus_transfer t = {.size = sizeof(t), .protocol = BP_SMBUS_BLOCK, .address = s->address >> 1,
                                  .command = s->command};

    if (s->left) {
        s->left--;
        if (s->address & 1)
            s->byte = s->block[s->at++ % sizeof(s->block)];
        else
            s->block[s->at++ % sizeof(s->block)] = s->byte;
        s->status |= STS_BYTE_DONE;
        return;
    }
    s->by_bytes = false;
    if (s->address & 1) {
        finish(s, 0);
        return;
    }
    t.count = s->at;
    memcpy(t.data, s->block, sizeof(t.data));
    finish(s, i2c->smbus(s->bus, &t));
}

static void write_control(struct ich9_smbus *s, uint8_t value)
{
    s->control = value & (uint8_t)~CNT_START;
    if (value & CNT_KILL) {
        finish(s, -ECANCELED);
        return;
    }
    if (!(value & CNT_START))
        return;
    if (!(pci->config(bp_device_of_state(s))[HOSTC] & HOSTC_ENABLE))
        return;
    if (s->status & STS_CAUSES) {
        bp_guest_error("ich9-smbus", "ICH9 SMBus: a transfer is started before the last one's status is cleared");
        return;
    }
    start(s);
}

static uint64_t smbus_read(void *opaque, uint64_t addr, unsigned size)
{
    struct ich9_smbus *s = opaque;
    uint8_t value;

    (void)size;
    switch (addr) {
    case HST_STS:
        value = s->status;
        s->status |= STS_INUSE; /* who reads it clear owns the host */
        return value;
    case HST_CNT:
        s->at = s->by_bytes ? s->at : 0;
        return s->control;
    case HST_CMD:
        return s->command;
    case XMIT_SLVA:
        return s->address;
    case HST_D0:
        return s->data0;
    case HST_D1:
        return s->data1;
    case HOST_BLOCK_DB:
        return s->aux & AUX_E32B ? s->block[s->at++ % sizeof(s->block)] : s->byte;
    case AUX_CTL:
        return s->aux;
    default:
        return 0;
    }
}

static void write_status(struct ich9_smbus *s, uint8_t value)
{
    bool done = s->status & value & STS_BYTE_DONE;

    s->status &= (uint8_t)~(value & (STS_CAUSES | STS_INUSE));
    if (done && s->by_bytes)
        next_byte(s);
}

static void smbus_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ich9_smbus *s = opaque;

    (void)size;
    switch (addr) {
    case HST_STS:
        write_status(s, (uint8_t)value);
        break;
    case HST_CNT:
        write_control(s, (uint8_t)value);
        break;
    case HST_CMD:
        s->command = (uint8_t)value;
        break;
    case XMIT_SLVA:
        s->address = (uint8_t)value;
        break;
    case HST_D0:
        s->data0 = (uint8_t)value;
        break;
    case HST_D1:
        s->data1 = (uint8_t)value;
        break;
    case HOST_BLOCK_DB:
        s->byte = (uint8_t)value;
        if (s->aux & AUX_E32B)
            s->block[s->at++ % sizeof(s->block)] = (uint8_t)value;
        break;
    case AUX_CTL:
        s->aux = value & AUX_E32B;
        break;
    default:
        break;
    }
    update_irq(s);
}

static const struct bp_region_ops smbus_ops = {
    .size = sizeof(smbus_ops), .read = smbus_read, .write = smbus_write, .max_access = 1};

static int smbus_attach(struct bp_device *dev, struct bp_error *err)
{
    struct ich9_smbus *s = bp_device_state(dev);

    return i2c->new_bus(dev, NULL, &s->bus, err);
}

static void smbus_reset(struct bp_device *dev)
{
    struct ich9_smbus *s = bp_device_state(dev);
    struct bp_bus *bus = s->bus;

    *s = (struct ich9_smbus){.bus = bus};
    update_irq(s);
}

static const struct bp_state_field smbus_fields[] = {
    BP_SAVE(UINT8, struct ich9_smbus, status), BP_SAVE(UINT8, struct ich9_smbus, control),
    BP_SAVE(UINT8, struct ich9_smbus, command), BP_SAVE(UINT8, struct ich9_smbus, address),
    BP_SAVE(UINT8, struct ich9_smbus, data0), BP_SAVE(UINT8, struct ich9_smbus, data1),
    BP_SAVE(UINT8, struct ich9_smbus, aux), BP_SAVE_BUFFER(struct ich9_smbus, block),
    BP_SAVE(UINT8, struct ich9_smbus, at), BP_SAVE(UINT8, struct ich9_smbus, byte),
    BP_SAVE(UINT8, struct ich9_smbus, left), BP_SAVE(BOOL, struct ich9_smbus, by_bytes), BP_SAVE_END};
static const struct bp_state_table smbus_state = {.version = 1, .oldest = 1, .fields = smbus_fields};

static const struct bp_pci_field registers[] = {
    {.offset = HOSTC, .width = 1, .rw = 0x17}, BP_PCI_FIELDS_END};
static const struct bp_pci_info info = {
    .size = sizeof(info), .vendor = 0x8086, .device = 0x2930, .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100, .revision = 2, .class_code = 0x0c05, .interrupt_pin = 2, .fields = registers,
    .bar = {[0] = {.flags = BP_PCI_BAR_MEM64, .size = 256, .name = "ich9-smbus-memory", .ops = &smbus_ops},
            [4] = {.flags = BP_PCI_BAR_IO, .size = PORTS, .name = "ich9-smbus", .ops = &smbus_ops}}};

BP_DEVICE(ich9_smbus, "ICH9-SMB", "pci", "SMBus host of Intel's ICH9", struct ich9_smbus, NULL, &smbus_state,
          .category = "bridge", .bus_info = &info, .attach = smbus_attach, .reset = smbus_reset);

static const struct bp_import imports[] = {BP_IMPORT(pci, "pci", 1), BP_IMPORT(i2c, "i2c", 1), {0}};
BP_MODULE("hw-ich9-smbus", "SMBus host of ICH9", imports, {BP_PROVIDE_DEVICE, &ich9_smbus});
