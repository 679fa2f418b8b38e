/* SPDX-License-Identifier: MIT */
/*
 * A device in C++20: a queue of sixteen bytes. Port +0: a write puts a byte in, a read takes the
 * oldest out; port +1, read only: how many there are. What is written to a full queue is lost.
 *
 * The host allocates the state zeroed and frees it without running a constructor or destructor, so
 * it is a plain aggregate. No exception may leave a callback.
 */
#define BP_MODULE_LICENSE "MIT"
#include <bp/bus/isa.h>

#include <array>
#include <cstdint>
#include <type_traits>

namespace {

struct Fifo {
    std::uint16_t iobase;
    std::uint8_t first, count;
    std::array<std::uint8_t, 16> bytes;

    void put(std::uint8_t byte) noexcept
    {
        if (count < bytes.size())
            bytes[(first + count++) % bytes.size()] = byte;
    }

    std::uint8_t take() noexcept
    {
        if (count == 0)
            return 0xff;
        const std::uint8_t byte = bytes[first];
        first = static_cast<std::uint8_t>((first + 1) % bytes.size());
        count--;
        return byte;
    }
};
static_assert(std::is_trivial_v<Fifo> && std::is_standard_layout_v<Fifo>);

Fifo &fifo_of(bp_device *dev) noexcept
{
    return *static_cast<Fifo *>(bp_device_state(dev));
}

/* Loaded state is input: the queue's numbers are used as indices. */
int after_load(void *state, std::uint32_t, bp_error *err)
{
    const Fifo &fifo = *static_cast<Fifo *>(state);

    if (fifo.first >= fifo.bytes.size() || fifo.count > fifo.bytes.size())
        return bp_fail(err, 22 /* EINVAL */, "sample-fifo: %u bytes from %u on",
                       static_cast<unsigned>(fifo.count), static_cast<unsigned>(fifo.first));
    return 0;
}

const bp_field fifo_props[] = {
    BP_PROP("iobase", UINT16, Fifo, iobase, "0x308", "first of two I/O ports"),
    BP_FIELDS_END};
const bp_state_field fifo_fields[] = {
    BP_SAVE(UINT8, Fifo, first),
    BP_SAVE(UINT8, Fifo, count),
    BP_SAVE_BUFFER(Fifo, bytes),
    BP_SAVE_END};
const bp_state_table fifo_state = {
    .name = "sample-fifo", .version = 1, .oldest = 1, .fields = fifo_fields,
    .after_load = after_load};

BP_USE(isa, bp_isa_interface, "isa", 1);

constexpr bp_region_ops fifo_ops = {
    .size = sizeof(bp_region_ops),
    .read = [](void *opaque, std::uint64_t addr, unsigned) -> std::uint64_t {
        Fifo &fifo = *static_cast<Fifo *>(opaque);

        return addr == 0 ? fifo.take() : fifo.count;
    },
    .write = [](void *opaque, std::uint64_t addr, std::uint64_t value, unsigned) {
        if (addr == 0)
            static_cast<Fifo *>(opaque)->put(static_cast<std::uint8_t>(value));
    },
    .max_access = 1};

int fifo_attach(bp_device *dev, bp_error *err)
{
    Fifo &fifo = fifo_of(dev);

    return isa->add_ports(dev, fifo.iobase, 2, "sample-fifo", &fifo_ops, &fifo, nullptr, err);
}

void fifo_reset(bp_device *dev)
{
    fifo_of(dev).first = fifo_of(dev).count = 0;
}

/* In C++ the members stand in the order of the struct. */
BP_DEVICE(fifo, "sample-fifo", "isa", "A queue of bytes", Fifo, fifo_props, &fifo_state,
          .category = "misc", .attach = fifo_attach, .reset = fifo_reset);
const bp_import imports[] = {BP_IMPORT(isa, "isa", 1), {}};

} // namespace

BP_MODULE("sample-fifo", "Sample module in C++", imports, {BP_PROVIDE_DEVICE, &fifo});
