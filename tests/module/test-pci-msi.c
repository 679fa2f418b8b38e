/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* MSI and MSI-X (PCI Local Bus 3.0, 6.8) with devices of the test's own, on the fake host. */
#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include <bp/bus/pci.h>
#include <bp/loop.h>
#include <bp/test.h>

#include "registry.h"

#define BAR 0xe0000000u
#define TABLE (BAR + 0x800)
#define PBA (BAR + 0xc00)
#define MSIX_DEVFN 0x20u
#define MSI_DEVFN 0x28u
#define CAP 0x40u /* the first capability of each */
#define VECTORS 20u

static struct bp_test_host *host;
static const struct bp_pci_interface *pci;
static struct bp_device *msix, *msi, *big;

static uint64_t card_read(void *opaque, uint64_t addr, unsigned size)
{
    return 0x11223344;
}

static void card_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    /* A doorbell: the message is sent inside of the access. */
    pci->msix_notify(opaque, (unsigned)value);
}

static const struct bp_region_ops card_ops = {
    .size = sizeof(card_ops), .read = card_read, .write = card_write, .min_access = 4,
    .max_access = 4};

static int msix_attach(struct bp_device *dev, struct bp_error *err)
{
    struct bp_error why = {0};
    int rc = pci->add_bar(dev, 0, BP_PCI_BAR_MEM32,
                          bp_region_new_io(bp_device_owner(dev), "card", 0x1000, &card_ops, dev),
                          err);

    if (rc < 0)
        return rc;
    /* What cannot be is refused, and leaves nothing behind. */
    g_assert_cmpint(pci->msix_init(dev, 0, 0, 0, 0x800, &why), <, 0);
    g_assert_cmpint(pci->msix_init(dev, 2049, 0, 0, 0x800, &why), <, 0);
    g_assert_cmpint(pci->msix_init(dev, 1, 1, 0, 0x800, &why), <, 0);
    g_assert_cmpint(pci->msix_init(dev, 1, 6, 0, 0x800, &why), <, 0);
    g_assert_cmpint(pci->msix_init(dev, 1, 0, 4, 0x800, &why), <, 0);
    g_assert_cmpint(pci->msix_init(dev, 257, 0, 0, 0x800, &why), <, 0);
    g_assert_cmpint(pci->msix_init(dev, 20, 0, 0xf00, 0, &why), <, 0);
    g_assert_cmpint(pci->msix_init(dev, 20, 0, 0xfffffff8u, 0, &why), <, 0);
    g_assert_cmpint(pci->msix_init(dev, 20, 0, 0, 0x138, &why), <, 0);
    g_assert_nonnull(strstr(why.message, "overlap"));
    rc = pci->msix_init(dev, VECTORS, 0, 0x800, 0xc00, err);
    g_assert_cmpint(pci->msix_init(dev, VECTORS, 0, 0, 0x400, &why), <, 0);
    return rc;
}

static int msi_attach(struct bp_device *dev, struct bp_error *err)
{
    g_assert_cmpint(pci->msi_init(dev, 3, true, NULL), <, 0);
    g_assert_cmpint(pci->msi_init(dev, 64, true, NULL), <, 0);
    g_assert_cmpint(pci->msi_init(dev, 0, true, NULL), <, 0);
    return pci->msi_init(dev, 8, true, err);
}

static int big_attach(struct bp_device *dev, struct bp_error *err)
{
    g_assert_cmpint(pci->msix_init_bar(dev, 5000, 1, NULL), <, 0);
    return pci->msix_init_bar(dev, 2048, 1, err);
}

/* Fails when everything is claimed already. */
static int late_attach(struct bp_device *dev, struct bp_error *err)
{
    int rc = pci->msix_init_bar(dev, 64, 4, err);

    if (rc == 0)
        rc = pci->msi_init(dev, 1, false, err);
    return rc < 0 ? rc : bp_fail(err, EIO, "too late");
}

static const struct bp_pci_info msix_info = {.size = sizeof(struct bp_pci_info), .vendor = 0x1234,
                                             .device = 1, .class_code = 0xff00, .interrupt_pin = 1};
static const struct bp_pci_info msi_info = {.size = sizeof(struct bp_pci_info), .vendor = 0x1234,
                                            .device = 2, .class_code = 0xff00, .interrupt_pin = 2};
#define CLASS(ident, NAME, INFO, ATTACH) \
    static const struct bp_device_class ident = { \
        .type = {.size = sizeof(struct bp_device_class), .name = NAME, .summary = NAME, \
                 .state_size = 1}, \
        .bus = "pci", .bus_info = INFO, .attach = ATTACH}
CLASS(msix_class, "card-msix", &msix_info, msix_attach);
CLASS(msi_class, "card-msi", &msi_info, msi_attach);
CLASS(big_class, "card-big", &msi_info, big_attach);
CLASS(late_class, "card-late", &msi_info, late_attach);
static const struct bp_provide provides[] = {
    {BP_PROVIDE_DEVICE, &msix_class}, {BP_PROVIDE_DEVICE, &msi_class},
    {BP_PROVIDE_DEVICE, &big_class}, {BP_PROVIDE_DEVICE, &late_class},
    {BP_PROVIDE_END, NULL}};

static uint32_t get(unsigned devfn, unsigned offset, unsigned size)
{
    return bp_test_config_read(host, devfn, offset, size);
}

static void set(unsigned devfn, unsigned offset, uint32_t value, unsigned size)
{
    bp_test_config_write(host, devfn, offset, value, size);
}

static uint32_t rd(uint64_t addr)
{
    return (uint32_t)bp_test_read(host, addr, 4);
}

static void wr(uint64_t addr, uint32_t value)
{
    bp_test_write(host, addr, value, 4);
}

static void expect_message(unsigned count, uint64_t address, uint32_t data)
{
    uint64_t at = 0;
    uint32_t with = 0;

    g_assert_cmpuint(bp_test_messages(host), ==, count);
    g_assert_true(bp_test_last_message(host, &at, &with));
    g_assert_cmphex(at, ==, address);
    g_assert_cmphex(with, ==, data);
}

/* After a reset: BAR in place, bus master, MSI-X on, vector v has address 0xfee01000+v*4096 and
 * data 0x40+v; all vectors still masked. */
static void set_up_msix(void)
{
    bp_test_reset(host);
    set(MSIX_DEVFN, 0x10, BAR, 4);
    set(MSIX_DEVFN, 0x04, 6, 2);
    for (unsigned v = 0; v < VECTORS; v++) {
        wr(TABLE + 16 * v, 0xfee01000u + 0x1000 * v);
        wr(TABLE + 16 * v + 4, 0);
        wr(TABLE + 16 * v + 8, 0x40 + v);
    }
    set(MSIX_DEVFN, CAP + 2, 0x8000, 2);
    bp_test_reset_rises(host);
}

static void msix_capability_is_as_specified(void)
{
    bp_test_reset(host);
    g_assert_cmphex(get(MSIX_DEVFN, 0x06, 2) & 0x10, ==, 0x10);
    g_assert_cmphex(get(MSIX_DEVFN, 0x34, 1), ==, CAP);
    g_assert_cmphex(get(MSIX_DEVFN, CAP, 2), ==, 0x0011);
    g_assert_cmphex(get(MSIX_DEVFN, CAP + 2, 2), ==, VECTORS - 1);
    g_assert_cmphex(get(MSIX_DEVFN, CAP + 4, 4), ==, 0x800);
    g_assert_cmphex(get(MSIX_DEVFN, CAP + 8, 4), ==, 0xc00);
    set(MSIX_DEVFN, CAP + 2, 0xffff, 2);
    g_assert_cmphex(get(MSIX_DEVFN, CAP + 2, 2), ==, 0xc000 | (VECTORS - 1));
    set(MSIX_DEVFN, CAP + 4, UINT32_MAX, 4);
    g_assert_cmphex(get(MSIX_DEVFN, CAP + 4, 4), ==, 0x800);
}

static void msix_table_begins_masked_and_keeps_what_is_written(void)
{
    set_up_msix();
    g_assert_cmphex(rd(TABLE + 12), ==, 1);
    g_assert_cmphex(rd(TABLE + 16 * 19 + 8), ==, 0x53);
    wr(TABLE + 12, UINT32_MAX);
    g_assert_cmphex(rd(TABLE + 12), ==, 1); /* the rest is reserved */
    wr(TABLE, 0xfee01003u);
    g_assert_cmphex(rd(TABLE), ==, 0xfee01000u);
    bp_test_write(host, TABLE + 16, 0x00000001fee05000ull, 8);
    g_assert_cmphex(rd(TABLE + 16), ==, 0xfee05000u);
    g_assert_cmphex(rd(TABLE + 20), ==, 1);
    g_assert_cmphex(bp_test_read(host, TABLE + 16, 8), ==, 0x00000001fee05000ull);
    wr(PBA, UINT32_MAX); /* read only */
    g_assert_cmphex(rd(PBA), ==, 0);
    g_assert_cmphex(rd(BAR), ==, 0x11223344); /* the device's own registers around it */
    g_assert_cmphex(rd(TABLE + 16 * VECTORS), ==, 0x11223344);
}

static void msix_unmasked_vector_sends_at_once(void)
{
    set_up_msix();
    wr(TABLE + 16 * 3 + 12, 0);
    pci->msix_notify(msix, 3);
    expect_message(1, 0xfee04000u, 0x43);
    wr(BAR, 3);
    expect_message(2, 0xfee04000u, 0x43);
    g_assert_cmphex(rd(PBA), ==, 0);
    pci->msix_notify(msix, VECTORS);
    pci->msix_notify(msix, UINT_MAX);
    g_assert_cmpuint(bp_test_messages(host), ==, 2);
}

static void msix_masked_vector_waits_in_its_pending_bit(void)
{
    set_up_msix();
    pci->msix_notify(msix, 17);
    pci->msix_notify(msix, 17);
    pci->msix_notify(msix, 2);
    g_assert_cmpuint(bp_test_messages(host), ==, 0);
    g_assert_cmphex(rd(PBA), ==, 1u << 17 | 1u << 2);
    wr(TABLE + 16 * 17 + 12, 0);
    expect_message(1, 0xfee12000u, 0x51);
    g_assert_cmphex(rd(PBA), ==, 1u << 2);
}

static void msix_function_mask_holds_all_back(void)
{
    set_up_msix();
    wr(TABLE + 12, 0);
    wr(TABLE + 16 + 12, 0);
    set(MSIX_DEVFN, CAP + 2, 0xc000, 2);
    pci->msix_notify(msix, 0);
    pci->msix_notify(msix, 1);
    pci->msix_notify(msix, 5); /* masked by itself too */
    g_assert_cmpuint(bp_test_messages(host), ==, 0);
    g_assert_cmphex(rd(PBA), ==, 0x23);
    set(MSIX_DEVFN, CAP + 2, 0x8000, 2);
    expect_message(2, 0xfee02000u, 0x41);
    g_assert_cmphex(rd(PBA), ==, 0x20);
}

static void without_bus_master_nothing_is_sent(void)
{
    uint8_t byte = 1;

    set_up_msix();
    wr(TABLE + 12, 0);
    set(MSIX_DEVFN, 0x04, 2, 2);
    pci->msix_notify(msix, 0);
    g_assert_cmpuint(bp_test_messages(host), ==, 0);
    g_assert_cmphex(rd(PBA), ==, 1);
    g_assert_cmpint(pci->dma_read(msix, 0x1000, &byte, 1), ==, -EPERM);
    g_assert_cmpint(pci->dma_write(msix, 0x1000, &byte, 1), ==, -EPERM);
    set(MSIX_DEVFN, 0x04, 6, 2);
    expect_message(1, 0xfee01000u, 0x40);
    byte = 0x5a;
    g_assert_cmpint(pci->dma_write(msix, 0x1000, &byte, 1), ==, 0);
    byte = 0;
    g_assert_cmpint(pci->dma_read(msix, 0x1000, &byte, 1), ==, 0);
    g_assert_cmphex(byte, ==, 0x5a);
    g_assert_cmpint(pci->dma_read(msix, 0x70000000, &byte, 1), ==, -EFAULT);
}

static void switched_off_means_intx(void)
{
    set_up_msix();
    wr(TABLE + 12, 0);
    g_assert_true(pci->msix_enabled(msix));
    pci->set_irq(msix, 1);
    g_assert_cmpint(bp_test_line(host, 16), ==, 0);
    set(MSIX_DEVFN, CAP + 2, 0, 2);
    g_assert_false(pci->msix_enabled(msix));
    g_assert_cmpint(bp_test_line(host, 16), ==, 1);
    pci->msix_notify(msix, 0);
    g_assert_cmpuint(bp_test_messages(host), ==, 0);
    g_assert_cmphex(rd(PBA), ==, 0);
    set(MSIX_DEVFN, CAP + 2, 0x8000, 2);
    g_assert_cmpint(bp_test_line(host, 16), ==, 0);
    pci->set_irq(msix, 0);
}

/* A guest may point messages and DMA at the device's own doorbell: that must come to an end. */
static void accesses_that_lead_back_come_to_an_end(void)
{
    uint32_t doorbell = 3, byte = 0;

    set_up_msix();
    wr(TABLE + 16 * 3, BAR);
    wr(TABLE + 16 * 3 + 8, 3);
    wr(TABLE + 16 * 3 + 12, 0);
    wr(BAR, 3);
    /* The message rings the doorbell, and what that sends waits for the main loop; it is not lost. */
    g_assert_cmphex(rd(PBA), ==, 1u << 3);
    bp_test_step(host, 0);
    g_assert_cmphex(rd(PBA), ==, 1u << 3);
    g_assert_cmpint(pci->dma_write(msix, BAR, &doorbell, 4), ==, 0);
    g_assert_cmpint(pci->dma_read(msix, BAR, &byte, 4), ==, 0);
    g_assert_cmphex(byte, ==, 0x11223344);
    g_assert_cmpuint(bp_test_messages(host), ==, 0);
    set(MSIX_DEVFN, CAP + 2, 0xc000, 2);
    wr(TABLE + 16 * 3, 0xfee04000u);
    set(MSIX_DEVFN, CAP + 2, 0x8000, 2);
    expect_message(1, 0xfee04000u, 3);
    bp_test_step(host, 0);
    g_assert_cmpuint(bp_test_messages(host), ==, 1);
    wr(TABLE + 16 * 3, TABLE + 16 * 3 + 12); /* masks itself */
    wr(TABLE + 16 * 3 + 8, 1);
    wr(BAR, 3);
    g_assert_cmphex(rd(TABLE + 16 * 3 + 12), ==, 1);
}

/* What a device sends while it is reading or writing memory itself goes out like any other message. */
static void message_inside_of_an_access_goes_out(void)
{
    uint32_t doorbell = 5;

    set_up_msix();
    wr(TABLE + 16 * 5 + 12, 0);
    g_assert_cmpint(pci->dma_write(msix, BAR, &doorbell, 4), ==, 0);
    expect_message(1, 0xfee06000u, 0x45);
    g_assert_cmphex(rd(PBA), ==, 0);
}

/* A place in memory where a read stays until it is let go. */
#define SLOW 0x70000000u
static int slow_inside, slow_go;

static uint64_t slow_read(void *opaque, uint64_t addr, unsigned size)
{
    __atomic_store_n(&slow_inside, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&slow_go, __ATOMIC_SEQ_CST))
        g_usleep(100);
    return 0x5a5a5a5a;
}

static const struct bp_region_ops slow_ops = {
    .size = sizeof(slow_ops), .read = slow_read, .parallel = 1};

static void *read_slowly(void *opaque)
{
    uint32_t *word = opaque;

    return GINT_TO_POINTER(pci->dma_read(msix, SLOW, word, 4));
}

static void message_while_another_thread_accesses_goes_out(void)
{
    struct bp_region *slow = bp_region_new_io(NULL, "slow", 4, &slow_ops, NULL);
    uint32_t word = 0;
    GThread *thread;

    set_up_msix();
    bp_region_add(bp_space_root(bp_machine_memory(bp_test_machine(host))), slow, SLOW, 0);
    wr(TABLE + 16 * 5 + 12, 0);
    thread = g_thread_new("reader", read_slowly, &word);
    while (!__atomic_load_n(&slow_inside, __ATOMIC_SEQ_CST))
        g_usleep(100);
    pci->msix_notify(msix, 5);
    expect_message(1, 0xfee06000u, 0x45);
    __atomic_store_n(&slow_go, 1, __ATOMIC_SEQ_CST);
    g_assert_cmpint(GPOINTER_TO_INT(g_thread_join(thread)), ==, 0);
    g_assert_cmphex(word, ==, 0x5a5a5a5a);
    bp_region_free(slow);
}

/* Somewhere that receives messages, and is slow about it. */
#define CONTROLLER 0x71000000u
static unsigned received;

static void receive(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    __atomic_store_n(&slow_inside, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&slow_go, __ATOMIC_SEQ_CST))
        g_usleep(100);
    g_usleep(20000);
    __atomic_fetch_add(&received, 1, __ATOMIC_SEQ_CST);
}

static const struct bp_region_ops controller_ops = {
    .size = sizeof(controller_ops), .write = receive, .parallel = BP_PARALLEL_LEAF};

static void *send_messages(void *opaque)
{
    if (opaque)
        pci->msi_notify(opaque, 0);
    else
        pci->msix_notify(msix, 5);
    return NULL;
}

/* Begins a message on another thread, masks it meanwhile, and reads that back: then nothing comes any more. */
static void mask_while_it_is_sent(struct bp_device *dev)
{
    struct bp_region *there = bp_region_new_io(NULL, "controller", 4, &controller_ops, NULL);
    unsigned before;
    GThread *thread;

    bp_region_add(bp_space_root(bp_machine_memory(bp_test_machine(host))), there, CONTROLLER, 0);
    __atomic_store_n(&slow_inside, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&slow_go, 0, __ATOMIC_SEQ_CST);
    received = 0;
    thread = g_thread_new("sender", send_messages, dev);
    while (!__atomic_load_n(&slow_inside, __ATOMIC_SEQ_CST))
        g_usleep(100);
    __atomic_store_n(&slow_go, 1, __ATOMIC_SEQ_CST);
    if (dev) {
        set(MSI_DEVFN, CAP + 16, 1, 4);
        g_assert_cmphex(get(MSI_DEVFN, CAP + 16, 4), ==, 1);
    } else {
        wr(TABLE + 16 * 5 + 12, 1);
        g_assert_cmphex(rd(TABLE + 16 * 5 + 12), ==, 1);
    }
    before = __atomic_load_n(&received, __ATOMIC_SEQ_CST);
    g_thread_join(thread);
    g_assert_cmpuint(before, ==, 1);
    g_assert_cmpuint(received, ==, 1);
    send_messages(dev); /* stays pending */
    g_assert_cmpuint(received, ==, 1);
    bp_region_free(there);
}

static void masked_vector_s_message_has_arrived_or_waits(void)
{
    set_up_msix();
    wr(TABLE + 16 * 5, CONTROLLER);
    wr(TABLE + 16 * 5 + 4, 0);
    wr(TABLE + 16 * 5 + 12, 0);
    mask_while_it_is_sent(NULL);
    g_assert_cmphex(rd(PBA), ==, 1u << 5);
    bp_test_reset(host);
    set(MSI_DEVFN, 0x04, 4, 2);
    set(MSI_DEVFN, CAP + 4, CONTROLLER, 4);
    set(MSI_DEVFN, CAP + 2, 0x0001, 2);
    mask_while_it_is_sent(msi);
    g_assert_cmphex(get(MSI_DEVFN, CAP + 20, 4), ==, 1);
}

static bool table_done;

static void *work_on_the_table(void *opaque)
{
    struct bp_space *memory = opaque;
    uint64_t value;

    bp_space_store(memory, TABLE + 16 * 5, 4, CONTROLLER);
    bp_space_store(memory, TABLE + 16 * 5 + 4, 4, 0);
    pci->msix_notify(msix, 5);
    bp_space_load(memory, PBA, 4, &value);
    g_assert_cmphex(value, ==, 1u << 5);
    bp_space_store(memory, TABLE + 16 * 5 + 12, 4, 0); /* not masked: it goes out */
    bp_space_load(memory, TABLE + 16 * 5 + 12, 4, &value);
    g_assert_cmphex(value, ==, 0);
    __atomic_store_n(&table_done, true, __ATOMIC_SEQ_CST);
    return NULL;
}

/* A vCPU masks and unmasks while others hold the machine lock. */
static void table_does_not_wait_for_the_machine_lock(void)
{
    struct bp_machine *machine = bp_test_machine(host);
    struct bp_region *there = bp_region_new_io(NULL, "controller", 4, &controller_ops, NULL);
    GThread *thread;
    unsigned spins = 0;
    bool done;

    set_up_msix();
    bp_region_add(bp_space_root(bp_machine_memory(machine)), there, CONTROLLER, 0);
    __atomic_store_n(&slow_go, 1, __ATOMIC_SEQ_CST);
    received = 0;
    g_assert_true(bp_machine_locked(machine));
    thread = g_thread_new("vcpu", work_on_the_table, bp_machine_memory(machine));
    while (!(done = __atomic_load_n(&table_done, __ATOMIC_SEQ_CST)) && spins++ < 200000)
        g_usleep(100);
    bp_machine_unlock(machine); /* if it waits, let it end */
    g_thread_join(thread);
    bp_machine_lock(machine);
    g_assert_true(done);
    g_assert_cmpuint(received, ==, 1);
    bp_region_free(there);
}

static void msix_reset_masks_and_forgets(void)
{
    set_up_msix();
    pci->msix_notify(msix, 4);
    bp_test_reset(host);
    g_assert_cmphex(get(MSIX_DEVFN, CAP + 2, 2), ==, VECTORS - 1);
    set(MSIX_DEVFN, 0x10, BAR, 4);
    set(MSIX_DEVFN, 0x04, 2, 2);
    g_assert_cmphex(rd(PBA), ==, 0);
    g_assert_cmphex(rd(TABLE + 16 * 4), ==, 0);
    g_assert_cmphex(rd(TABLE + 16 * 4 + 12), ==, 1);
}

/* Everything that a guest can tell of the MSI-X device. */
static void saved_state_brings_tables_and_pending_bits_back(void)
{
    struct bp_error err = {0};
    size_t size = 0, msi_size = 0;
    void *data, *msi_data;

    set_up_msix();
    pci->msix_notify(msix, 9);
    set(MSI_DEVFN, 0x04, 4, 2);
    set(MSI_DEVFN, CAP + 2, 0x0031, 2);
    set(MSI_DEVFN, CAP + 16, 0xff, 4);
    pci->msi_notify(msi, 7);
    g_assert_cmpint(bp_test_save(msix, &data, &size, &err), ==, 0);
    g_assert_cmpint(bp_test_save(msi, &msi_data, &msi_size, &err), ==, 0);
    bp_test_reset(host);
    g_assert_cmpint(bp_test_restore(msix, data, size, &err), ==, 0);
    g_assert_cmpint(bp_test_restore(msi, msi_data, msi_size, &err), ==, 0);
    g_assert_cmphex(rd(PBA), ==, 1u << 9);
    g_assert_cmphex(rd(TABLE + 16 * 9), ==, 0xfee0a000u);
    g_assert_cmphex(get(MSI_DEVFN, CAP + 20, 4), ==, 0x80);
    g_assert_cmpuint(bp_test_messages(host), ==, 0);
    wr(TABLE + 16 * 9 + 12, 0);
    expect_message(1, 0xfee0a000u, 0x49);
    /* Cut short, or of another function: refused. */
    g_assert_cmpint(bp_test_restore(msix, data, size - 1, &err), <, 0);
    g_assert_cmpint(bp_test_restore(msi, data, size, &err), ==, -EINVAL);
    free(data);
    free(msi_data);
}

static void msi_counts_masks_and_sends(void)
{
    bp_test_reset(host);
    bp_test_reset_rises(host);
    g_assert_cmphex(get(MSI_DEVFN, CAP, 2), ==, 0x0005);
    g_assert_cmphex(get(MSI_DEVFN, CAP + 2, 2), ==, 0x0186); /* 8 vectors, 64 bits, masking */
    set(MSI_DEVFN, 0x04, 4, 2);
    set(MSI_DEVFN, CAP + 4, 0xfee03007u, 4);
    set(MSI_DEVFN, CAP + 12, 0x4567, 2);
    g_assert_cmphex(get(MSI_DEVFN, CAP + 4, 4), ==, 0xfee03004u);
    pci->msi_notify(msi, 1);
    g_assert_cmpuint(bp_test_messages(host), ==, 0); /* not switched on */
    set(MSI_DEVFN, CAP + 2, 0x0031, 2);
    g_assert_true(pci->msi_enabled(msi));
    pci->msi_notify(msi, 5);
    expect_message(1, 0xfee03004u, 0x4565); /* the vector replaces the low bits */
    set(MSI_DEVFN, CAP + 16, UINT32_MAX, 4);
    g_assert_cmphex(get(MSI_DEVFN, CAP + 16, 4), ==, 0xff);
    pci->msi_notify(msi, 2);
    pci->msi_notify(msi, 6);
    g_assert_cmpuint(bp_test_messages(host), ==, 1);
    g_assert_cmphex(get(MSI_DEVFN, CAP + 20, 4), ==, 0x44);
    set(MSI_DEVFN, CAP + 16, 0xbf, 4);
    expect_message(2, 0xfee03004u, 0x4566);
    g_assert_cmphex(get(MSI_DEVFN, CAP + 20, 4), ==, 0x04);
    /* Fewer granted than there are, and more than there are. */
    set(MSI_DEVFN, CAP + 16, 0, 4);
    set(MSI_DEVFN, CAP + 2, 0x0001, 2);
    pci->msi_notify(msi, 7);
    expect_message(4, 0xfee03004u, 0x4567);
    set(MSI_DEVFN, CAP + 2, 0x0071, 2);
    pci->msi_notify(msi, 0xfffffff4u);
    expect_message(5, 0xfee03004u, 0x4564);
    set(MSI_DEVFN, 0x04, 0, 2);
    pci->msi_notify(msi, 1);
    g_assert_cmpuint(bp_test_messages(host), ==, 5);
    set(MSI_DEVFN, 0x04, 4, 2);
    expect_message(6, 0xfee03004u, 0x4561);
}

static void a_bar_of_its_own_holds_2048_vectors(void)
{
    struct bp_error err = {0};
    unsigned devfn;

    g_assert_cmpint(bp_test_device(host, "card-big", "addr=08", &big, &err), ==, 0);
    devfn = pci->devfn(big);
    set(devfn, 0x14, UINT32_MAX, 4);
    g_assert_cmphex(get(devfn, 0x14, 4), ==, 0xffff0000u);
    set(devfn, 0x14, 0xe1000000u, 4);
    set(devfn, 0x04, 6, 2);
    set(devfn, CAP + 2, 0x8000, 2);
    wr(0xe1000000u + 2047 * 16, 0xfee00000u);
    wr(0xe1000000u + 2047 * 16 + 8, 0x77);
    bp_test_reset_rises(host);
    pci->msix_notify(big, 2047);
    g_assert_cmphex(rd(0xe1008000u + 252), ==, 1u << 31);
    wr(0xe1000000u + 2047 * 16 + 12, 0);
    expect_message(1, 0xfee00000u, 0x77);
    bp_device_destroy(big); /* a message now goes nowhere, and nothing leaks */
}

static void a_failed_attach_leaves_nothing(void)
{
    struct bp_error err = {0};
    struct bp_device *late;

    g_assert_cmpint(bp_test_device(host, "card-late", "addr=09", &late, &err), <, 0);
    g_assert_nonnull(strstr(err.message, "too late"));
    g_assert_cmphex(get(0x48, 0, 4), ==, UINT32_MAX);
    /* The place is free again, and the next one begins from nothing. */
    g_assert_cmpint(bp_test_device(host, "card-big", "addr=09", &late, &err), ==, 0);
    g_assert_cmphex(get(0x48, CAP, 1), ==, 0x11);
    bp_device_destroy(late);
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    const void *table;
    int rc;

    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bpc_require_interface("pci", 1, &table, &err) < 0)
        g_error("%s", err.message);
    pci = table;
    if (bpc_register_all("test-cards", provides, &err) < 0 ||
        bp_test_device(host, "card-msix", "addr=04", &msix, &err) < 0 ||
        bp_test_device(host, "card-msi", "addr=05", &msi, &err) < 0)
        g_error("%s", err.message);
#define CASE(name) g_test_add_func("/pci-msi/" #name, name)
    CASE(msix_capability_is_as_specified);
    CASE(msix_table_begins_masked_and_keeps_what_is_written);
    CASE(msix_unmasked_vector_sends_at_once);
    CASE(msix_masked_vector_waits_in_its_pending_bit);
    CASE(msix_function_mask_holds_all_back);
    CASE(without_bus_master_nothing_is_sent);
    CASE(switched_off_means_intx);
    CASE(accesses_that_lead_back_come_to_an_end);
    CASE(message_inside_of_an_access_goes_out);
    CASE(message_while_another_thread_accesses_goes_out);
    CASE(table_does_not_wait_for_the_machine_lock);
    CASE(masked_vector_s_message_has_arrived_or_waits);
    CASE(msix_reset_masks_and_forgets);
    CASE(saved_state_brings_tables_and_pending_bits_back);
    CASE(msi_counts_masks_and_sends);
    CASE(a_bar_of_its_own_holds_2048_vectors);
    CASE(a_failed_attach_leaves_nothing);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
