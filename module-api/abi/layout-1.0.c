/* SPDX-License-Identifier: MIT */
/*
 * Made by ./dev abi accept. How ABI 1.0 lays out what modules and the core share, on x86_64.
 * That this compiles is the test: members may be appended where docs/abi.md says so, none may move.
 */
#include <stddef.h>

#include <bp/base.h>
#include <bp/bus/isa.h>
#include <bp/bus/pci.h>
#include <bp/chip/fw-cfg.h>
#include <bp/chip/i440fx.h>
#include <bp/chip/i8259.h>
#include <bp/chip/mc146818.h>
#include <bp/chip/piix.h>
#include <bp/clock.h>
#include <bp/command.h>
#include <bp/device.h>
#include <bp/error.h>
#include <bp/host/chardev.h>
#include <bp/host/disassembler.h>
#include <bp/host/secret.h>
#include <bp/irq.h>
#include <bp/log.h>
#include <bp/loop.h>
#include <bp/memory.h>
#include <bp/module.h>
#include <bp/object.h>
#include <bp/option.h>
#include <bp/run.h>
#include <bp/schema.h>
#include <bp/state.h>
#include <bp/value.h>

#ifdef __x86_64__
_Static_assert(sizeof(struct bp_bus_class) >= 184, "bp_bus_class");
_Static_assert(offsetof(struct bp_bus_class, type) == 0, "bp_bus_class.type");
_Static_assert(offsetof(struct bp_bus_class, child_size) == 88, "bp_bus_class.child_size");
_Static_assert(offsetof(struct bp_bus_class, child_props) == 96, "bp_bus_class.child_props");
_Static_assert(offsetof(struct bp_bus_class, max_children) == 104, "bp_bus_class.max_children");
_Static_assert(offsetof(struct bp_bus_class, child_attach) == 112, "bp_bus_class.child_attach");
_Static_assert(offsetof(struct bp_bus_class, child_attached) == 120, "bp_bus_class.child_attached");
_Static_assert(offsetof(struct bp_bus_class, child_detach) == 128, "bp_bus_class.child_detach");
_Static_assert(offsetof(struct bp_bus_class, reset) == 136, "bp_bus_class.reset");
_Static_assert(offsetof(struct bp_bus_class, child_address) == 144, "bp_bus_class.child_address");
_Static_assert(offsetof(struct bp_bus_class, reserved) == 152, "bp_bus_class.reserved");
_Static_assert(sizeof(struct bp_chardev_class) >= 176, "bp_chardev_class");
_Static_assert(offsetof(struct bp_chardev_class, type) == 0, "bp_chardev_class.type");
_Static_assert(offsetof(struct bp_chardev_class, open) == 88, "bp_chardev_class.open");
_Static_assert(offsetof(struct bp_chardev_class, close) == 96, "bp_chardev_class.close");
_Static_assert(offsetof(struct bp_chardev_class, write) == 104, "bp_chardev_class.write");
_Static_assert(offsetof(struct bp_chardev_class, accept_input) == 112, "bp_chardev_class.accept_input");
_Static_assert(offsetof(struct bp_chardev_class, ioctl) == 120, "bp_chardev_class.ioctl");
_Static_assert(offsetof(struct bp_chardev_class, set_echo) == 128, "bp_chardev_class.set_echo");
_Static_assert(offsetof(struct bp_chardev_class, filename) == 136, "bp_chardev_class.filename");
_Static_assert(offsetof(struct bp_chardev_class, reserved) == 144, "bp_chardev_class.reserved");
_Static_assert(sizeof(struct bp_chardev_handlers) == 40, "bp_chardev_handlers");
_Static_assert(offsetof(struct bp_chardev_handlers, can_read) == 0, "bp_chardev_handlers.can_read");
_Static_assert(offsetof(struct bp_chardev_handlers, read) == 8, "bp_chardev_handlers.read");
_Static_assert(offsetof(struct bp_chardev_handlers, event) == 16, "bp_chardev_handlers.event");
_Static_assert(offsetof(struct bp_chardev_handlers, reserved) == 24, "bp_chardev_handlers.reserved");
_Static_assert(sizeof(struct bp_chardev_interface) >= 224, "bp_chardev_interface");
_Static_assert(offsetof(struct bp_chardev_interface, size) == 0, "bp_chardev_interface.size");
_Static_assert(offsetof(struct bp_chardev_interface, from_object) == 8, "bp_chardev_interface.from_object");
_Static_assert(offsetof(struct bp_chardev_interface, find) == 16, "bp_chardev_interface.find");
_Static_assert(offsetof(struct bp_chardev_interface, connect) == 24, "bp_chardev_interface.connect");
_Static_assert(offsetof(struct bp_chardev_interface, disconnect) == 32, "bp_chardev_interface.disconnect");
_Static_assert(offsetof(struct bp_chardev_interface, write) == 40, "bp_chardev_interface.write");
_Static_assert(offsetof(struct bp_chardev_interface, accept_input) == 48, "bp_chardev_interface.accept_input");
_Static_assert(offsetof(struct bp_chardev_interface, ioctl) == 56, "bp_chardev_interface.ioctl");
_Static_assert(offsetof(struct bp_chardev_interface, set_echo) == 64, "bp_chardev_interface.set_echo");
_Static_assert(offsetof(struct bp_chardev_interface, is_open) == 72, "bp_chardev_interface.is_open");
_Static_assert(offsetof(struct bp_chardev_interface, create) == 80, "bp_chardev_interface.create");
_Static_assert(offsetof(struct bp_chardev_interface, create_legacy) == 88, "bp_chardev_interface.create_legacy");
_Static_assert(offsetof(struct bp_chardev_interface, remove) == 96, "bp_chardev_interface.remove");
_Static_assert(offsetof(struct bp_chardev_interface, state) == 104, "bp_chardev_interface.state");
_Static_assert(offsetof(struct bp_chardev_interface, of_state) == 112, "bp_chardev_interface.of_state");
_Static_assert(offsetof(struct bp_chardev_interface, can_read) == 120, "bp_chardev_interface.can_read");
_Static_assert(offsetof(struct bp_chardev_interface, received) == 128, "bp_chardev_interface.received");
_Static_assert(offsetof(struct bp_chardev_interface, opened) == 136, "bp_chardev_interface.opened");
_Static_assert(offsetof(struct bp_chardev_interface, closed) == 144, "bp_chardev_interface.closed");
_Static_assert(offsetof(struct bp_chardev_interface, writable) == 152, "bp_chardev_interface.writable");
_Static_assert(offsetof(struct bp_chardev_interface, received_fds) == 160, "bp_chardev_interface.received_fds");
_Static_assert(offsetof(struct bp_chardev_interface, take_fd) == 168, "bp_chardev_interface.take_fd");
_Static_assert(offsetof(struct bp_chardev_interface, terminal_raw) == 176, "bp_chardev_interface.terminal_raw");
_Static_assert(offsetof(struct bp_chardev_interface, terminal_restore) == 184, "bp_chardev_interface.terminal_restore");
_Static_assert(offsetof(struct bp_chardev_interface, received_break) == 192, "bp_chardev_interface.received_break");
_Static_assert(offsetof(struct bp_chardev_interface, leave_hint) == 200, "bp_chardev_interface.leave_hint");
_Static_assert(offsetof(struct bp_chardev_interface, reserved) == 208, "bp_chardev_interface.reserved");
_Static_assert(sizeof(struct bp_command) >= 80, "bp_command");
_Static_assert(offsetof(struct bp_command, size) == 0, "bp_command.size");
_Static_assert(offsetof(struct bp_command, flags) == 4, "bp_command.flags");
_Static_assert(offsetof(struct bp_command, name) == 8, "bp_command.name");
_Static_assert(offsetof(struct bp_command, summary) == 16, "bp_command.summary");
_Static_assert(offsetof(struct bp_command, args) == 24, "bp_command.args");
_Static_assert(offsetof(struct bp_command, returns) == 32, "bp_command.returns");
_Static_assert(offsetof(struct bp_command, returns_schema) == 40, "bp_command.returns_schema");
_Static_assert(offsetof(struct bp_command, fn) == 48, "bp_command.fn");
_Static_assert(offsetof(struct bp_command, features) == 56, "bp_command.features");
_Static_assert(offsetof(struct bp_command, reserved) == 64, "bp_command.reserved");
_Static_assert(sizeof(struct bp_device_class) >= 184, "bp_device_class");
_Static_assert(offsetof(struct bp_device_class, type) == 0, "bp_device_class.type");
_Static_assert(offsetof(struct bp_device_class, bus) == 88, "bp_device_class.bus");
_Static_assert(offsetof(struct bp_device_class, category) == 96, "bp_device_class.category");
_Static_assert(offsetof(struct bp_device_class, bus_info) == 104, "bp_device_class.bus_info");
_Static_assert(offsetof(struct bp_device_class, attach) == 112, "bp_device_class.attach");
_Static_assert(offsetof(struct bp_device_class, detach) == 120, "bp_device_class.detach");
_Static_assert(offsetof(struct bp_device_class, reset) == 128, "bp_device_class.reset");
_Static_assert(offsetof(struct bp_device_class, unplug_request) == 136, "bp_device_class.unplug_request");
_Static_assert(offsetof(struct bp_device_class, aliases) == 144, "bp_device_class.aliases");
_Static_assert(offsetof(struct bp_device_class, reserved) == 152, "bp_device_class.reserved");
_Static_assert(sizeof(struct bp_disassembler_interface) >= 64, "bp_disassembler_interface");
_Static_assert(offsetof(struct bp_disassembler_interface, size) == 0, "bp_disassembler_interface.size");
_Static_assert(offsetof(struct bp_disassembler_interface, open) == 8, "bp_disassembler_interface.open");
_Static_assert(offsetof(struct bp_disassembler_interface, decode) == 16, "bp_disassembler_interface.decode");
_Static_assert(offsetof(struct bp_disassembler_interface, close) == 24, "bp_disassembler_interface.close");
_Static_assert(offsetof(struct bp_disassembler_interface, reserved) == 32, "bp_disassembler_interface.reserved");
_Static_assert(sizeof(struct bp_error) == 1024, "bp_error");
_Static_assert(offsetof(struct bp_error, code) == 0, "bp_error.code");
_Static_assert(offsetof(struct bp_error, kind) == 4, "bp_error.kind");
_Static_assert(offsetof(struct bp_error, message) == 8, "bp_error.message");
_Static_assert(sizeof(struct bp_event) >= 56, "bp_event");
_Static_assert(offsetof(struct bp_event, size) == 0, "bp_event.size");
_Static_assert(offsetof(struct bp_event, name) == 8, "bp_event.name");
_Static_assert(offsetof(struct bp_event, summary) == 16, "bp_event.summary");
_Static_assert(offsetof(struct bp_event, data) == 24, "bp_event.data");
_Static_assert(offsetof(struct bp_event, rate_ms) == 32, "bp_event.rate_ms");
_Static_assert(offsetof(struct bp_event, reserved) == 40, "bp_event.reserved");
_Static_assert(sizeof(struct bp_field) == 120, "bp_field");
_Static_assert(offsetof(struct bp_field, name) == 0, "bp_field.name");
_Static_assert(offsetof(struct bp_field, kind) == 8, "bp_field.kind");
_Static_assert(offsetof(struct bp_field, flags) == 12, "bp_field.flags");
_Static_assert(offsetof(struct bp_field, offset) == 16, "bp_field.offset");
_Static_assert(offsetof(struct bp_field, def) == 24, "bp_field.def");
_Static_assert(offsetof(struct bp_field, help) == 32, "bp_field.help");
_Static_assert(offsetof(struct bp_field, schema) == 40, "bp_field.schema");
_Static_assert(offsetof(struct bp_field, target) == 48, "bp_field.target");
_Static_assert(offsetof(struct bp_field, min) == 56, "bp_field.min");
_Static_assert(offsetof(struct bp_field, max) == 64, "bp_field.max");
_Static_assert(offsetof(struct bp_field, get) == 72, "bp_field.get");
_Static_assert(offsetof(struct bp_field, set) == 80, "bp_field.set");
_Static_assert(offsetof(struct bp_field, features) == 88, "bp_field.features");
_Static_assert(offsetof(struct bp_field, reserved) == 96, "bp_field.reserved");
_Static_assert(sizeof(struct bp_fw_cfg_interface) >= 64, "bp_fw_cfg_interface");
_Static_assert(offsetof(struct bp_fw_cfg_interface, size) == 0, "bp_fw_cfg_interface.size");
_Static_assert(offsetof(struct bp_fw_cfg_interface, add) == 8, "bp_fw_cfg_interface.add");
_Static_assert(offsetof(struct bp_fw_cfg_interface, add_file) == 16, "bp_fw_cfg_interface.add_file");
_Static_assert(offsetof(struct bp_fw_cfg_interface, reserved) == 24, "bp_fw_cfg_interface.reserved");
_Static_assert(sizeof(struct bp_hmp_command) >= 64, "bp_hmp_command");
_Static_assert(offsetof(struct bp_hmp_command, size) == 0, "bp_hmp_command.size");
_Static_assert(offsetof(struct bp_hmp_command, name) == 8, "bp_hmp_command.name");
_Static_assert(offsetof(struct bp_hmp_command, params) == 16, "bp_hmp_command.params");
_Static_assert(offsetof(struct bp_hmp_command, summary) == 24, "bp_hmp_command.summary");
_Static_assert(offsetof(struct bp_hmp_command, args) == 32, "bp_hmp_command.args");
_Static_assert(offsetof(struct bp_hmp_command, fn) == 40, "bp_hmp_command.fn");
_Static_assert(offsetof(struct bp_hmp_command, reserved) == 48, "bp_hmp_command.reserved");
_Static_assert(sizeof(struct bp_i440fx_interface) >= 64, "bp_i440fx_interface");
_Static_assert(offsetof(struct bp_i440fx_interface, size) == 0, "bp_i440fx_interface.size");
_Static_assert(offsetof(struct bp_i440fx_interface, set_memory) == 8, "bp_i440fx_interface.set_memory");
_Static_assert(offsetof(struct bp_i440fx_interface, pci_memory) == 16, "bp_i440fx_interface.pci_memory");
_Static_assert(offsetof(struct bp_i440fx_interface, shadow) == 24, "bp_i440fx_interface.shadow");
_Static_assert(offsetof(struct bp_i440fx_interface, reserved) == 32, "bp_i440fx_interface.reserved");
_Static_assert(sizeof(struct bp_i8259_interface) >= 56, "bp_i8259_interface");
_Static_assert(offsetof(struct bp_i8259_interface, size) == 0, "bp_i8259_interface.size");
_Static_assert(offsetof(struct bp_i8259_interface, acknowledge) == 8, "bp_i8259_interface.acknowledge");
_Static_assert(offsetof(struct bp_i8259_interface, reserved) == 16, "bp_i8259_interface.reserved");
_Static_assert(sizeof(struct bp_import) == 24, "bp_import");
_Static_assert(offsetof(struct bp_import, name) == 0, "bp_import.name");
_Static_assert(offsetof(struct bp_import, major) == 8, "bp_import.major");
_Static_assert(offsetof(struct bp_import, minor) == 10, "bp_import.minor");
_Static_assert(offsetof(struct bp_import, slot) == 16, "bp_import.slot");
_Static_assert(sizeof(struct bp_instruction) == 212, "bp_instruction");
_Static_assert(offsetof(struct bp_instruction, length) == 0, "bp_instruction.length");
_Static_assert(offsetof(struct bp_instruction, text) == 4, "bp_instruction.text");
_Static_assert(sizeof(struct bp_interface) >= 32, "bp_interface");
_Static_assert(offsetof(struct bp_interface, size) == 0, "bp_interface.size");
_Static_assert(offsetof(struct bp_interface, name) == 8, "bp_interface.name");
_Static_assert(offsetof(struct bp_interface, major) == 16, "bp_interface.major");
_Static_assert(offsetof(struct bp_interface, minor) == 18, "bp_interface.minor");
_Static_assert(offsetof(struct bp_interface, table) == 24, "bp_interface.table");
_Static_assert(sizeof(struct bp_isa_interface) >= 72, "bp_isa_interface");
_Static_assert(offsetof(struct bp_isa_interface, size) == 0, "bp_isa_interface.size");
_Static_assert(offsetof(struct bp_isa_interface, add_ports) == 8, "bp_isa_interface.add_ports");
_Static_assert(offsetof(struct bp_isa_interface, irq) == 16, "bp_isa_interface.irq");
_Static_assert(offsetof(struct bp_isa_interface, new_bus) == 24, "bp_isa_interface.new_bus");
_Static_assert(offsetof(struct bp_isa_interface, set_irqs) == 32, "bp_isa_interface.set_irqs");
_Static_assert(offsetof(struct bp_isa_interface, reserved) == 40, "bp_isa_interface.reserved");
_Static_assert(sizeof(struct bp_mapping) == 48, "bp_mapping");
_Static_assert(offsetof(struct bp_mapping, region) == 0, "bp_mapping.region");
_Static_assert(offsetof(struct bp_mapping, host) == 8, "bp_mapping.host");
_Static_assert(offsetof(struct bp_mapping, dirty) == 16, "bp_mapping.dirty");
_Static_assert(offsetof(struct bp_mapping, offset) == 24, "bp_mapping.offset");
_Static_assert(offsetof(struct bp_mapping, length) == 32, "bp_mapping.length");
_Static_assert(offsetof(struct bp_mapping, readonly) == 40, "bp_mapping.readonly");
_Static_assert(sizeof(struct bp_memory_listener) == 48, "bp_memory_listener");
_Static_assert(offsetof(struct bp_memory_listener, begin) == 0, "bp_memory_listener.begin");
_Static_assert(offsetof(struct bp_memory_listener, removed) == 8, "bp_memory_listener.removed");
_Static_assert(offsetof(struct bp_memory_listener, added) == 16, "bp_memory_listener.added");
_Static_assert(offsetof(struct bp_memory_listener, commit) == 24, "bp_memory_listener.commit");
_Static_assert(offsetof(struct bp_memory_listener, reserved) == 32, "bp_memory_listener.reserved");
_Static_assert(sizeof(struct bp_module) >= 88, "bp_module");
_Static_assert(offsetof(struct bp_module, magic) == 0, "bp_module.magic");
_Static_assert(offsetof(struct bp_module, size) == 4, "bp_module.size");
_Static_assert(offsetof(struct bp_module, abi_major) == 8, "bp_module.abi_major");
_Static_assert(offsetof(struct bp_module, abi_minor) == 10, "bp_module.abi_minor");
_Static_assert(offsetof(struct bp_module, flags) == 12, "bp_module.flags");
_Static_assert(offsetof(struct bp_module, name) == 16, "bp_module.name");
_Static_assert(offsetof(struct bp_module, tier) == 24, "bp_module.tier");
_Static_assert(offsetof(struct bp_module, provides) == 32, "bp_module.provides");
_Static_assert(offsetof(struct bp_module, imports) == 40, "bp_module.imports");
_Static_assert(offsetof(struct bp_module, init) == 48, "bp_module.init");
_Static_assert(offsetof(struct bp_module, reserved) == 56, "bp_module.reserved");
_Static_assert(sizeof(struct bp_object_class) >= 112, "bp_object_class");
_Static_assert(offsetof(struct bp_object_class, type) == 0, "bp_object_class.type");
_Static_assert(offsetof(struct bp_object_class, complete) == 88, "bp_object_class.complete");
_Static_assert(offsetof(struct bp_object_class, finalize) == 96, "bp_object_class.finalize");
_Static_assert(offsetof(struct bp_object_class, can_delete) == 104, "bp_object_class.can_delete");
_Static_assert(sizeof(struct bp_option) >= 104, "bp_option");
_Static_assert(offsetof(struct bp_option, size) == 0, "bp_option.size");
_Static_assert(offsetof(struct bp_option, phase) == 4, "bp_option.phase");
_Static_assert(offsetof(struct bp_option, name) == 8, "bp_option.name");
_Static_assert(offsetof(struct bp_option, alias) == 16, "bp_option.alias");
_Static_assert(offsetof(struct bp_option, arg) == 24, "bp_option.arg");
_Static_assert(offsetof(struct bp_option, help) == 32, "bp_option.help");
_Static_assert(offsetof(struct bp_option, group) == 40, "bp_option.group");
_Static_assert(offsetof(struct bp_option, keys) == 48, "bp_option.keys");
_Static_assert(offsetof(struct bp_option, implied) == 56, "bp_option.implied");
_Static_assert(offsetof(struct bp_option, any_keys) == 64, "bp_option.any_keys");
_Static_assert(offsetof(struct bp_option, merge) == 65, "bp_option.merge");
_Static_assert(offsetof(struct bp_option, apply) == 72, "bp_option.apply");
_Static_assert(offsetof(struct bp_option, show_help) == 80, "bp_option.show_help");
_Static_assert(offsetof(struct bp_option, lists) == 88, "bp_option.lists");
_Static_assert(offsetof(struct bp_option, reserved_word) == 92, "bp_option.reserved_word");
_Static_assert(offsetof(struct bp_option, reserved) == 96, "bp_option.reserved");
_Static_assert(sizeof(struct bp_pci_host) == 40, "bp_pci_host");
_Static_assert(offsetof(struct bp_pci_host, memory) == 0, "bp_pci_host.memory");
_Static_assert(offsetof(struct bp_pci_host, io) == 8, "bp_pci_host.io");
_Static_assert(offsetof(struct bp_pci_host, dma) == 16, "bp_pci_host.dma");
_Static_assert(offsetof(struct bp_pci_host, set_irq) == 24, "bp_pci_host.set_irq");
_Static_assert(offsetof(struct bp_pci_host, opaque) == 32, "bp_pci_host.opaque");
_Static_assert(sizeof(struct bp_pci_info) >= 72, "bp_pci_info");
_Static_assert(offsetof(struct bp_pci_info, size) == 0, "bp_pci_info.size");
_Static_assert(offsetof(struct bp_pci_info, vendor) == 4, "bp_pci_info.vendor");
_Static_assert(offsetof(struct bp_pci_info, device) == 6, "bp_pci_info.device");
_Static_assert(offsetof(struct bp_pci_info, subsystem_vendor) == 8, "bp_pci_info.subsystem_vendor");
_Static_assert(offsetof(struct bp_pci_info, subsystem) == 10, "bp_pci_info.subsystem");
_Static_assert(offsetof(struct bp_pci_info, revision) == 12, "bp_pci_info.revision");
_Static_assert(offsetof(struct bp_pci_info, prog_if) == 13, "bp_pci_info.prog_if");
_Static_assert(offsetof(struct bp_pci_info, class_code) == 14, "bp_pci_info.class_code");
_Static_assert(offsetof(struct bp_pci_info, interrupt_pin) == 16, "bp_pci_info.interrupt_pin");
_Static_assert(offsetof(struct bp_pci_info, header_type) == 17, "bp_pci_info.header_type");
_Static_assert(offsetof(struct bp_pci_info, express) == 18, "bp_pci_info.express");
_Static_assert(offsetof(struct bp_pci_info, reserved8) == 19, "bp_pci_info.reserved8");
_Static_assert(offsetof(struct bp_pci_info, config_written) == 24, "bp_pci_info.config_written");
_Static_assert(offsetof(struct bp_pci_info, config_read) == 32, "bp_pci_info.config_read");
_Static_assert(offsetof(struct bp_pci_info, reserved) == 40, "bp_pci_info.reserved");
_Static_assert(sizeof(struct bp_pci_interface) >= 232, "bp_pci_interface");
_Static_assert(offsetof(struct bp_pci_interface, size) == 0, "bp_pci_interface.size");
_Static_assert(offsetof(struct bp_pci_interface, new_root) == 8, "bp_pci_interface.new_root");
_Static_assert(offsetof(struct bp_pci_interface, config_read) == 16, "bp_pci_interface.config_read");
_Static_assert(offsetof(struct bp_pci_interface, config_write) == 24, "bp_pci_interface.config_write");
_Static_assert(offsetof(struct bp_pci_interface, config) == 32, "bp_pci_interface.config");
_Static_assert(offsetof(struct bp_pci_interface, writable) == 40, "bp_pci_interface.writable");
_Static_assert(offsetof(struct bp_pci_interface, write1clear) == 48, "bp_pci_interface.write1clear");
_Static_assert(offsetof(struct bp_pci_interface, add_bar) == 56, "bp_pci_interface.add_bar");
_Static_assert(offsetof(struct bp_pci_interface, set_irq) == 64, "bp_pci_interface.set_irq");
_Static_assert(offsetof(struct bp_pci_interface, add_capability) == 72, "bp_pci_interface.add_capability");
_Static_assert(offsetof(struct bp_pci_interface, devfn) == 80, "bp_pci_interface.devfn");
_Static_assert(offsetof(struct bp_pci_interface, dma) == 88, "bp_pci_interface.dma");
_Static_assert(offsetof(struct bp_pci_interface, find) == 96, "bp_pci_interface.find");
_Static_assert(offsetof(struct bp_pci_interface, msix_init) == 104, "bp_pci_interface.msix_init");
_Static_assert(offsetof(struct bp_pci_interface, msix_init_bar) == 112, "bp_pci_interface.msix_init_bar");
_Static_assert(offsetof(struct bp_pci_interface, msix_enabled) == 120, "bp_pci_interface.msix_enabled");
_Static_assert(offsetof(struct bp_pci_interface, msix_notify) == 128, "bp_pci_interface.msix_notify");
_Static_assert(offsetof(struct bp_pci_interface, msi_init) == 136, "bp_pci_interface.msi_init");
_Static_assert(offsetof(struct bp_pci_interface, msi_enabled) == 144, "bp_pci_interface.msi_enabled");
_Static_assert(offsetof(struct bp_pci_interface, msi_notify) == 152, "bp_pci_interface.msi_notify");
_Static_assert(offsetof(struct bp_pci_interface, dma_read) == 160, "bp_pci_interface.dma_read");
_Static_assert(offsetof(struct bp_pci_interface, dma_write) == 168, "bp_pci_interface.dma_write");
_Static_assert(offsetof(struct bp_pci_interface, reserved) == 176, "bp_pci_interface.reserved");
_Static_assert(sizeof(struct bp_piix4_pm_interface) >= 64, "bp_piix4_pm_interface");
_Static_assert(offsetof(struct bp_piix4_pm_interface, size) == 0, "bp_piix4_pm_interface.size");
_Static_assert(offsetof(struct bp_piix4_pm_interface, enable) == 8, "bp_piix4_pm_interface.enable");
_Static_assert(offsetof(struct bp_piix4_pm_interface, power_button) == 16, "bp_piix4_pm_interface.power_button");
_Static_assert(offsetof(struct bp_piix4_pm_interface, gpe) == 24, "bp_piix4_pm_interface.gpe");
_Static_assert(offsetof(struct bp_piix4_pm_interface, reserved) == 32, "bp_piix4_pm_interface.reserved");
_Static_assert(sizeof(struct bp_provide) == 16, "bp_provide");
_Static_assert(offsetof(struct bp_provide, kind) == 0, "bp_provide.kind");
_Static_assert(offsetof(struct bp_provide, desc) == 8, "bp_provide.desc");
_Static_assert(sizeof(struct bp_region_ops) == 40, "bp_region_ops");
_Static_assert(offsetof(struct bp_region_ops, read) == 0, "bp_region_ops.read");
_Static_assert(offsetof(struct bp_region_ops, write) == 8, "bp_region_ops.write");
_Static_assert(offsetof(struct bp_region_ops, min_access) == 16, "bp_region_ops.min_access");
_Static_assert(offsetof(struct bp_region_ops, max_access) == 17, "bp_region_ops.max_access");
_Static_assert(offsetof(struct bp_region_ops, unaligned) == 18, "bp_region_ops.unaligned");
_Static_assert(offsetof(struct bp_region_ops, parallel) == 19, "bp_region_ops.parallel");
_Static_assert(offsetof(struct bp_region_ops, valid_min) == 20, "bp_region_ops.valid_min");
_Static_assert(offsetof(struct bp_region_ops, valid_max) == 21, "bp_region_ops.valid_max");
_Static_assert(offsetof(struct bp_region_ops, big_endian) == 22, "bp_region_ops.big_endian");
_Static_assert(offsetof(struct bp_region_ops, reserved8) == 23, "bp_region_ops.reserved8");
_Static_assert(offsetof(struct bp_region_ops, reserved) == 24, "bp_region_ops.reserved");
_Static_assert(sizeof(struct bp_rtc_nvram_interface) >= 48, "bp_rtc_nvram_interface");
_Static_assert(offsetof(struct bp_rtc_nvram_interface, size) == 0, "bp_rtc_nvram_interface.size");
_Static_assert(offsetof(struct bp_rtc_nvram_interface, set) == 8, "bp_rtc_nvram_interface.set");
_Static_assert(offsetof(struct bp_rtc_nvram_interface, reserved) == 16, "bp_rtc_nvram_interface.reserved");
_Static_assert(sizeof(struct bp_schema) == 80, "bp_schema");
_Static_assert(offsetof(struct bp_schema, name) == 0, "bp_schema.name");
_Static_assert(offsetof(struct bp_schema, kind) == 8, "bp_schema.kind");
_Static_assert(offsetof(struct bp_schema, members) == 16, "bp_schema.members");
_Static_assert(offsetof(struct bp_schema, choices) == 24, "bp_schema.choices");
_Static_assert(offsetof(struct bp_schema, discriminator) == 32, "bp_schema.discriminator");
_Static_assert(offsetof(struct bp_schema, variants) == 40, "bp_schema.variants");
_Static_assert(offsetof(struct bp_schema, element_kind) == 48, "bp_schema.element_kind");
_Static_assert(offsetof(struct bp_schema, element) == 56, "bp_schema.element");
_Static_assert(offsetof(struct bp_schema, reserved) == 64, "bp_schema.reserved");
_Static_assert(sizeof(struct bp_secret_interface) >= 48, "bp_secret_interface");
_Static_assert(offsetof(struct bp_secret_interface, size) == 0, "bp_secret_interface.size");
_Static_assert(offsetof(struct bp_secret_interface, get) == 8, "bp_secret_interface.get");
_Static_assert(offsetof(struct bp_secret_interface, reserved) == 16, "bp_secret_interface.reserved");
_Static_assert(sizeof(struct bp_section) == 48, "bp_section");
_Static_assert(offsetof(struct bp_section, region) == 0, "bp_section.region");
_Static_assert(offsetof(struct bp_section, start) == 8, "bp_section.start");
_Static_assert(offsetof(struct bp_section, length) == 16, "bp_section.length");
_Static_assert(offsetof(struct bp_section, offset) == 24, "bp_section.offset");
_Static_assert(offsetof(struct bp_section, host) == 32, "bp_section.host");
_Static_assert(offsetof(struct bp_section, readonly) == 40, "bp_section.readonly");
_Static_assert(sizeof(struct bp_serial_params) == 16, "bp_serial_params");
_Static_assert(offsetof(struct bp_serial_params, speed) == 0, "bp_serial_params.speed");
_Static_assert(offsetof(struct bp_serial_params, parity) == 4, "bp_serial_params.parity");
_Static_assert(offsetof(struct bp_serial_params, data_bits) == 8, "bp_serial_params.data_bits");
_Static_assert(offsetof(struct bp_serial_params, stop_bits) == 12, "bp_serial_params.stop_bits");
_Static_assert(sizeof(struct bp_state_bytes) >= 16, "bp_state_bytes");
_Static_assert(offsetof(struct bp_state_bytes, data) == 0, "bp_state_bytes.data");
_Static_assert(offsetof(struct bp_state_bytes, size) == 8, "bp_state_bytes.size");
_Static_assert(offsetof(struct bp_state_bytes, reserved) == 12, "bp_state_bytes.reserved");
_Static_assert(sizeof(struct bp_state_field) == 64, "bp_state_field");
_Static_assert(offsetof(struct bp_state_field, name) == 0, "bp_state_field.name");
_Static_assert(offsetof(struct bp_state_field, kind) == 8, "bp_state_field.kind");
_Static_assert(offsetof(struct bp_state_field, offset) == 12, "bp_state_field.offset");
_Static_assert(offsetof(struct bp_state_field, count) == 16, "bp_state_field.count");
_Static_assert(offsetof(struct bp_state_field, stride) == 20, "bp_state_field.stride");
_Static_assert(offsetof(struct bp_state_field, since) == 24, "bp_state_field.since");
_Static_assert(offsetof(struct bp_state_field, table) == 32, "bp_state_field.table");
_Static_assert(offsetof(struct bp_state_field, needed) == 40, "bp_state_field.needed");
_Static_assert(offsetof(struct bp_state_field, reserved) == 48, "bp_state_field.reserved");
_Static_assert(sizeof(struct bp_state_table) == 56, "bp_state_table");
_Static_assert(offsetof(struct bp_state_table, name) == 0, "bp_state_table.name");
_Static_assert(offsetof(struct bp_state_table, version) == 8, "bp_state_table.version");
_Static_assert(offsetof(struct bp_state_table, oldest) == 12, "bp_state_table.oldest");
_Static_assert(offsetof(struct bp_state_table, fields) == 16, "bp_state_table.fields");
_Static_assert(offsetof(struct bp_state_table, before_save) == 24, "bp_state_table.before_save");
_Static_assert(offsetof(struct bp_state_table, after_load) == 32, "bp_state_table.after_load");
_Static_assert(offsetof(struct bp_state_table, reserved) == 40, "bp_state_table.reserved");
_Static_assert(sizeof(struct bp_type_info) == 88, "bp_type_info");
_Static_assert(offsetof(struct bp_type_info, size) == 0, "bp_type_info.size");
_Static_assert(offsetof(struct bp_type_info, flags) == 4, "bp_type_info.flags");
_Static_assert(offsetof(struct bp_type_info, name) == 8, "bp_type_info.name");
_Static_assert(offsetof(struct bp_type_info, parent) == 16, "bp_type_info.parent");
_Static_assert(offsetof(struct bp_type_info, summary) == 24, "bp_type_info.summary");
_Static_assert(offsetof(struct bp_type_info, state_size) == 32, "bp_type_info.state_size");
_Static_assert(offsetof(struct bp_type_info, props) == 40, "bp_type_info.props");
_Static_assert(offsetof(struct bp_type_info, state) == 48, "bp_type_info.state");
_Static_assert(offsetof(struct bp_type_info, reserved) == 56, "bp_type_info.reserved");
_Static_assert(sizeof(struct bp_variant) == 16, "bp_variant");
_Static_assert(offsetof(struct bp_variant, value) == 0, "bp_variant.value");
_Static_assert(offsetof(struct bp_variant, schema) == 8, "bp_variant.schema");
#endif
