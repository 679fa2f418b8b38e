/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Local APIC, I/O APIC and MSI off the machine lock: two threads send, a processor's thread
 * acknowledges, a fourth pulls lines, while the main thread holds the machine lock all the time.
 * Whatever needed it would stand still. Made for ThreadSanitizer. On the fake host, with a
 * processor that only has an APIC.
 */
#include <glib.h>
#include <sched.h>

#include <bp/bus/pci.h>
#include <bp/exact/x86.h>
#include <bp/loop.h>
#include <bp/test.h>

#include "parts.h"
#include "registry.h"

#define EACH 4000u
#define BAR 0xe0000000u
#define DEVFN 0x20u
#define REG_EOI 0x0bu

enum { V_DIRECT = 0x41, V_MSIX = 0x52, V_EDGE = 0x63, V_LEVEL = 0x74, V_SELF = 0x85 };

static struct bp_test_host *host;
static const struct bp_apic_interface *apic;
static const struct bp_ioapic_interface *ioapic;
static const struct bp_pci_interface *pci;
static struct bp_cpu *cpu;
static struct bp_x86_cpu *x, *far; /* far: with an id that only x2APIC has */
static struct bp_device *bus, *lapic, *far_lapic, *io, *card;

#define FAR_ID 300u

static unsigned taken[256]; /* atomic: how often each vector was served */
static int stop;

/* ---- a processor, and a card with MSI-X ---- */
static bool has_work(struct bp_cpu *c)
{
    return false;
}

static const struct bp_cpu_class cpu_class = {
    .type = {.size = sizeof(struct bp_cpu_class), .name = "test-x86_64-cpu", .parent = "x86_64-cpu",
             .summary = "of this test", .state_size = sizeof(struct bp_x86_cpu)},
    .model = "test", .arch = "x86_64", .has_work = has_work};
static const struct bp_accel_class accel_class = {
    .type = {.size = sizeof(struct bp_accel_class), .name = "test", .summary = "of this test",
             .state_size = 1},
    .arch = "any", .no_cpus = true};

static int card_attach(struct bp_device *dev, struct bp_error *err)
{
    return pci->msix_init_bar(dev, 4, 0, err);
}

static const struct bp_pci_info card_info = {.size = sizeof(struct bp_pci_info), .vendor = 0x1234,
                                             .device = 1, .class_code = 0xff00};
static const struct bp_device_class card_class = {
    .type = {.size = sizeof(struct bp_device_class), .name = "card", .summary = "card", .state_size = 1},
    .bus = "pci", .bus_info = &card_info, .attach = card_attach};
static const struct bp_provide provides[] = {{BP_PROVIDE_CPU, &cpu_class},
                                             {BP_PROVIDE_DEVICE, &card_class},
                                             {BP_PROVIDE_END, NULL}};

static struct bp_x86_cpu *make_cpu(uint32_t id)
{
    static struct bp_accel accel = {.class = &accel_class};
    struct bp_error err = {0};
    struct bp_cpu *cpu;
    struct bp_x86_cpu *x;

    bp_test_machine(host)->accel = &accel;
    cpu = bp_alloc(sizeof(*cpu));
    cpu->class = &cpu_class;
    cpu->obj.machine = bp_test_machine(host);
    if (bpc_object_init(&cpu->obj, BP_PROVIDE_CPU, &cpu_class.type, &err) < 0)
        g_error("%s", err.message);
    bpc_cpu_thread_init(cpu);
    x = bp_cpu_state(cpu);
    x->cpu = cpu;
    x->is_bsp = id == 0;
    x->apic_id = id;
    x->phys_bits = 40;
    x->tsc_hz = 1000000000;
    x->features[BP_X86_FW_1_ECX] = 1u << 21;
    return x;
}

static void mmio(uint64_t addr, uint32_t value)
{
    bp_test_write(host, addr, value, 4);
}

static void redirect(unsigned pin, uint32_t entry)
{
    mmio(0xfec00000u, 0x10 + 2 * pin);
    mmio(0xfec00010u, entry);
}

static void set_up(void)
{
    uint64_t base;

    memset(taken, 0, sizeof(taken));
    stop = 0;
    bp_test_reset(host);
    base = x->apic->get_base(x->apic_opaque);
    g_assert_cmpint(x->apic->set_base(x->apic_opaque, base | 1u << 10), ==, 0); /* x2APIC */
    g_assert_cmpint(x->apic->write_msr(x->apic_opaque, 0x0f, 0x1ff), ==, 0);
    redirect(4, V_EDGE);
    redirect(10, 0x8000 | V_LEVEL);
    bp_test_config_write(host, DEVFN, 0x10, BAR, 4);
    bp_test_config_write(host, DEVFN, 0x04, 6, 2);
    mmio(BAR, 0xfee00000u);
    mmio(BAR + 8, V_MSIX);
    mmio(BAR + 12, 0);
    bp_test_config_write(host, DEVFN, 0x42, 0x8000, 2);
    g_assert_true(pci->msix_enabled(card));
}

/* ---- the threads ---- */
static unsigned served(unsigned vector)
{
    return __atomic_load_n(&taken[vector], __ATOMIC_ACQUIRE);
}

static void *processor(void *opaque)
{
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        int vector;

        if (!(__atomic_load_n(&x->interrupts, __ATOMIC_SEQ_CST) & BP_X86_INT_HARD)) {
            sched_yield();
            continue;
        }
        g_assert_false(bp_machine_locked(bp_test_machine(host)));
        vector = x->apic->acknowledge(x->apic_opaque);
        if (vector < 0)
            continue;
        if (vector == V_EDGE && served(V_EDGE) % 16 == 0) /* self IPI */
            g_assert_cmpint(x->apic->write_msr(x->apic_opaque, 0x3f, V_SELF), ==, 0);
        g_assert_cmpint(x->apic->write_msr(x->apic_opaque, REG_EOI, 0), ==, 0);
        __atomic_fetch_add(&taken[vector], 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void wait_for(unsigned vector, unsigned count)
{
    while (served(vector) < count)
        sched_yield();
}

static void *send_messages(void *opaque)
{
    for (unsigned i = 1; i <= EACH; i++) {
        g_assert_cmpint(bp_space_store(bp_machine_memory(bp_test_machine(host)), 0xfee00000u, 4, V_DIRECT), ==, 0);
        wait_for(V_DIRECT, i);
    }
    return NULL;
}

static void *notify_msix(void *opaque)
{
    for (unsigned i = 1; i <= EACH; i++) {
        uint8_t byte = (uint8_t)i;

        g_assert_cmpint(pci->dma_write(card, 0x2000, &byte, 1), ==, 0);
        pci->msix_notify(card, 0);
        wait_for(V_MSIX, i);
        g_assert_cmpint(pci->dma_read(card, 0x2000, &byte, 1), ==, 0);
        g_assert_cmpuint(byte, ==, (uint8_t)i);
    }
    return NULL;
}

static void messages_need_no_machine_lock(void)
{
    GThread *vcpu, *senders[2];

    set_up();
    g_assert_true(bp_machine_locked(bp_test_machine(host)));
    vcpu = g_thread_new("vcpu", processor, NULL);
    senders[0] = g_thread_new("messages", send_messages, NULL);
    senders[1] = g_thread_new("msix", notify_msix, NULL);
    for (unsigned i = 1; i <= EACH; i++) { /* lines are the lock's holder's */
        bp_irq_pulse(bp_device_irq_input(io, "irq", 4));
        wait_for(V_EDGE, i);
    }
    g_thread_join(senders[0]);
    g_thread_join(senders[1]);
    wait_for(V_SELF, EACH / 16);
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    g_thread_join(vcpu);
    g_assert_cmpuint(served(V_DIRECT), ==, EACH);
    g_assert_cmpuint(served(V_MSIX), ==, EACH);
    g_assert_cmpuint(served(V_EDGE), ==, EACH);
    g_assert_cmpuint(served(V_SELF), ==, EACH / 16);
}

/* A level that stays up comes again after each end of interrupt, and no more once it fell. */
static void level_comes_again_until_it_falls(void)
{
    set_up();
    for (unsigned i = 0; i < 3; i++) {
        bp_irq_set(bp_device_irq_input(io, "irq", 10), 1);
        g_assert_cmpint(x->apic->acknowledge(x->apic_opaque), ==, V_LEVEL);
        g_assert_cmpint(x->apic->acknowledge(x->apic_opaque), ==, -1);
        g_assert_cmpint(x->apic->write_msr(x->apic_opaque, REG_EOI, 0), ==, 0);
        g_assert_cmpint(x->apic->acknowledge(x->apic_opaque), ==, V_LEVEL);
        bp_irq_set(bp_device_irq_input(io, "irq", 10), 0);
        g_assert_cmpint(x->apic->write_msr(x->apic_opaque, REG_EOI, 0), ==, 0);
        g_assert_cmpint(x->apic->acknowledge(x->apic_opaque), ==, -1);
    }
}

/* INIT forgets everything but IDs and base, also a timer that is due just now. */
static void init_forgets_interrupts_and_timer(void)
{
    uint64_t value = 1, ldr, id;

    set_up();
    g_assert_cmpint(x->apic->read_msr(x->apic_opaque, 0x0d, &ldr), ==, 0);
    g_assert_cmpint(x->apic->read_msr(x->apic_opaque, 0x02, &id), ==, 0);
    g_assert_cmpint(x->apic->write_msr(x->apic_opaque, 0x32, 0x20041), ==, 0); /* periodic */
    g_assert_cmpint(x->apic->write_msr(x->apic_opaque, 0x3e, 0xb), ==, 0);
    g_assert_cmpint(x->apic->write_msr(x->apic_opaque, 0x38, 1000), ==, 0);
    bp_test_step(host, 1000);
    g_assert_cmphex(x->interrupts & BP_X86_INT_HARD, ==, BP_X86_INT_HARD);
    x->apic->init(x->apic_opaque);
    bp_test_step(host, 5000);
    g_assert_cmphex(x->interrupts & BP_X86_INT_HARD, ==, 0);
    g_assert_cmpint(x->apic->acknowledge(x->apic_opaque), ==, -1);
    g_assert_cmpint(x->apic->read_msr(x->apic_opaque, 0x0f, &value), ==, 0);
    g_assert_cmphex(value, ==, 0xff);
    g_assert_cmpint(x->apic->read_msr(x->apic_opaque, 0x32, &value), ==, 0);
    g_assert_cmphex(value, ==, 0x10000);
    g_assert_cmpint(x->apic->read_msr(x->apic_opaque, 0x0d, &value), ==, 0);
    g_assert_cmphex(value, ==, ldr);
    g_assert_cmpint(x->apic->read_msr(x->apic_opaque, 0x02, &value), ==, 0);
    g_assert_cmphex(value, ==, id);
}

static void deadline_comes_at_its_time(void)
{
    uint64_t now;

    set_up();
    g_assert_cmphex(bp_test_read(host, 0xfee00030u, 4), ==, UINT32_MAX); /* x2APIC: no page */
    g_assert_cmpint(x->apic->write_msr(x->apic_opaque, 0x32, 0x40000 | V_SELF), ==, 0);
    now = bp_x86_tsc(x);
    x->apic->set_tsc_deadline(x->apic_opaque, now + 5000);
    g_assert_cmpuint(x->apic->get_tsc_deadline(x->apic_opaque), ==, now + 5000);
    bp_test_step(host, 4990);
    g_assert_cmpint(x->apic->acknowledge(x->apic_opaque), ==, -1);
    bp_test_step(host, 20);
    g_assert_cmpint(x->apic->acknowledge(x->apic_opaque), ==, V_SELF);
    g_assert_cmpint(x->apic->write_msr(x->apic_opaque, REG_EOI, 0), ==, 0);
    g_assert_cmpuint(x->apic->get_tsc_deadline(x->apic_opaque), ==, 0);
    x->apic->set_tsc_deadline(x->apic_opaque, bp_x86_tsc(x) + 5000);
    x->apic->set_tsc_deadline(x->apic_opaque, 0); /* disarmed */
    bp_test_step(host, 10000);
    g_assert_cmpint(x->apic->acknowledge(x->apic_opaque), ==, -1);
    x->apic->set_tsc_deadline(x->apic_opaque, 1); /* past */
    bp_test_step(host, 1);
    g_assert_cmpint(x->apic->acknowledge(x->apic_opaque), ==, V_SELF);
}

static void switched_off_it_forgets_everything(void)
{
    uint64_t base, value;

    set_up();
    bp_space_store(bp_machine_memory(bp_test_machine(host)), 0xfee00000u, 4, V_DIRECT);
    base = x->apic->get_base(x->apic_opaque);
    g_assert_cmpint(x->apic->set_base(x->apic_opaque, base & ~0xc00ull), ==, 0);
    g_assert_cmpint(x->apic->acknowledge(x->apic_opaque), ==, -1);
    g_assert_cmpint(x->apic->set_base(x->apic_opaque, base & ~0x400ull), ==, 0);
    g_assert_cmpint(x->apic->set_base(x->apic_opaque, base), ==, 0);
    g_assert_cmpint(x->apic->read_msr(x->apic_opaque, 0x0f, &value), ==, 0);
    g_assert_cmphex(value, ==, 0xff);
    g_assert_cmpint(x->apic->acknowledge(x->apic_opaque), ==, -1);
}

/* ---- ids of 32 bits ---- */
static int sent(struct bp_apic_message m)
{
    m.vector = V_DIRECT;
    apic->send(bus, &m);
    return far->apic->acknowledge(far->apic_opaque);
}

static void far_mode(uint64_t mode)
{
    set_up();
    g_assert_cmpint(far->apic->set_base(far->apic_opaque, far->apic->get_base(far->apic_opaque) | mode), ==, 0);
}

static void ids_of_32_bits_are_reached(void)
{
    uint64_t value;

    far_mode(1u << 10);
    g_assert_cmpint(far->apic->write_msr(far->apic_opaque, 0x0f, 0x1ff), ==, 0);
    g_assert_cmpint(far->apic->read_msr(far->apic_opaque, 0x02, &value), ==, 0);
    g_assert_cmpuint(value, ==, FAR_ID);
    g_assert_cmpint(far->apic->read_msr(far->apic_opaque, 0x0d, &value), ==, 0);
    g_assert_cmphex(value, ==, (FAR_ID >> 4) << 16 | 1u << (FAR_ID & 15));
    g_assert_cmpint(sent((struct bp_apic_message){.dest = FAR_ID, .wide = true}), ==, V_DIRECT);
    g_assert_cmpint(far->apic->write_msr(far->apic_opaque, REG_EOI, 0), ==, 0);
    g_assert_cmpint(sent((struct bp_apic_message){.dest = (uint32_t)value, .logical = true, .wide = true}), ==,
                    V_DIRECT);
    g_assert_cmpint(far->apic->write_msr(far->apic_opaque, REG_EOI, 0), ==, 0);
    g_assert_cmpint(sent((struct bp_apic_message){.dest = UINT32_MAX, .wide = true}), ==, V_DIRECT);
    g_assert_cmpint(far->apic->write_msr(far->apic_opaque, REG_EOI, 0), ==, 0);
    g_assert_cmpint(sent((struct bp_apic_message){.dest = FAR_ID & 0xff, .wide = true}), ==, -1);
    g_assert_cmpint(sent((struct bp_apic_message){.dest = 0xff}), ==, -1); /* an x2APIC's all ones are 32 */
}

/* One that is started is an xAPIC, which 8 bits name; 255 is a processor for those that send 32. */
static void processors_beyond_254_are_started_by_their_ids(void)
{
    far_mode(0);
    g_assert_cmpint(x->apic->write_msr(x->apic_opaque, 0x30, 0xffull << 32 | 0x4500), ==, 0);
    g_assert_cmpint(x->apic->write_msr(x->apic_opaque, 0x30, (uint64_t)(FAR_ID & 0xff) << 32 | 0x4500), ==, 0);
    g_assert_cmphex(far->interrupts & (BP_X86_INT_INIT | BP_X86_INT_SIPI), ==, 0);
    g_assert_cmpint(x->apic->write_msr(x->apic_opaque, 0x30, (uint64_t)FAR_ID << 32 | 0x4500), ==, 0);
    g_assert_cmphex(far->interrupts & BP_X86_INT_INIT, ==, BP_X86_INT_INIT);
    g_assert_cmpint(x->apic->write_msr(x->apic_opaque, 0x30, (uint64_t)FAR_ID << 32 | 0x4608), ==, 0);
    g_assert_cmphex(far->interrupts & BP_X86_INT_SIPI, ==, BP_X86_INT_SIPI);
    __atomic_fetch_and(&far->interrupts, ~(BP_X86_INT_INIT | BP_X86_INT_NMI), __ATOMIC_SEQ_CST);
    apic->send(bus, &(struct bp_apic_message){.dest = 0xff, .delivery = 4, .wide = true});
    g_assert_cmphex(far->interrupts & BP_X86_INT_NMI, ==, 0);
    apic->msi(bus, 0xfee00000u | 0xffu << 12, 4 << 8); /* 8 bits: everybody */
    g_assert_cmphex(far->interrupts & BP_X86_INT_NMI, ==, BP_X86_INT_NMI);
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int rc;

    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bp_test_interface(host, "apic", 1, (const void **)&apic, &err) < 0 ||
        bp_test_interface(host, "ioapic", 1, (const void **)&ioapic, &err) < 0 ||
        bp_test_interface(host, "pci", 1, (const void **)&pci, &err) < 0 ||
        bpc_register_all("test-apic", provides, &err) < 0)
        g_error("%s", err.message);
    x = make_cpu(0);
    cpu = x->cpu;
    far = make_cpu(FAR_ID);
    if (apic->new_bus(bp_test_machine(host), &bus, &err) < 0 ||
        apic->attach(bus, cpu, &lapic, &err) < 0 || apic->attach(bus, far->cpu, &far_lapic, &err) < 0 ||
        bp_test_device(host, "ioapic", NULL, &io, &err) < 0 ||
        ioapic->connect(io, bus, &err) < 0 || bp_test_device(host, "card", "addr=04", &card, &err) < 0)
        g_error("%s", err.message);
#define CASE(name) g_test_add_func("/apic/" #name, name)
    CASE(messages_need_no_machine_lock);
    CASE(level_comes_again_until_it_falls);
    CASE(init_forgets_interrupts_and_timer);
    CASE(deadline_comes_at_its_time);
    CASE(switched_off_it_forgets_everything);
    CASE(ids_of_32_bits_are_reached);
    CASE(processors_beyond_254_are_started_by_their_ids);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}
