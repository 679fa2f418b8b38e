// SPDX-License-Identifier: MIT
//! A device in Rust: CRC-8 (polynomial 0x07) of the bytes that are written to its port; a read gives
//! the sum so far, a reset clears it. Without the standard library: a module needs none, and nothing
//! runs when it is loaded.
#![no_std]

use core::ffi::c_void;
use core::mem::size_of;
use core::ptr::{null, null_mut};

/// C's types on the computers that Backplane runs on.
#[allow(non_camel_case_types)]
mod ctypes {
    pub use core::ffi::c_void;
    pub type c_char = i8;
    pub type c_int = i32;
    pub type c_uint = u32;
    pub type c_ushort = u16;
    pub type c_uchar = u8;
    pub type c_long = i64;
    pub type c_ulong = u64;
}

#[allow(non_camel_case_types, non_upper_case_globals, non_snake_case, dead_code, improper_ctypes)]
#[allow(clippy::all)]
mod bp {
    include!(env!("BP_RS"));
}
use bp::*;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// Constant tables hold pointers to constants; sharing them is sound.
#[repr(transparent)]
pub struct Shared<T>(T);
unsafe impl<T> Sync for Shared<T> {}

/// An ELF note, as BP_NOTE() in <bp/module.h> makes it.
#[repr(C)]
struct Note<const N: usize> {
    name_size: u32,
    text_size: u32,
    kind: u32,
    name: [u8; 12],
    text: [u8; N],
}

impl<const N: usize> Note<N> {
    const fn new(text: &str) -> Self {
        let from = text.as_bytes();
        let mut bytes = [0; N];
        let mut i = 0;
        while i < from.len() {
            bytes[i] = from[i];
            i += 1;
        }
        Note { name_size: 10, text_size: from.len() as u32 + 1, kind: 1, name: *b"Backplane\0\0\0",
               text: bytes }
    }
}

macro_rules! notes {
    ($($ident:ident = $text:expr;)*) => {$(
        #[used]
        #[link_section = ".note.backplane"]
        static $ident: Note<{ ($text.len() + 4) & !3 }> = Note::new($text);
    )*};
}

macro_rules! c {
    ($text:expr) => { concat!($text, "\0").as_ptr() as *const i8 };
}

// The notes tell what the tables below hold.
notes! {
    NOTE_NAME = "name=sample-crc";
    NOTE_SUMMARY = "summary=Sample module in Rust";
    NOTE_VERSION = "version=1.0";
    NOTE_LICENSE = "license=MIT";
    NOTE_ABI = "abi=1.0";
    NOTE_TIER = "tier=public";
    NOTE_REQUIRES = "requires=isa/1";
    NOTE_PROVIDES = "provides=device:sample-crc;bus=isa;user=yes;summary=CRC-8 of what is written";
}

/// What the host allocates (zeroed) for each device.
#[repr(C)]
struct Crc {
    iobase: u16, // at byte 0
    sum: u8,     // at byte 2
}
const OFFSET_IOBASE: u32 = 0;
const OFFSET_SUM: u32 = 2;
const _: () = assert!(size_of::<Crc>() == 4);

static mut ISA: *const bp_isa_interface = null();

unsafe extern "C" fn read(opaque: *mut c_void, _addr: u64, _size: u32) -> u64 {
    (*(opaque as *const Crc)).sum as u64
}

unsafe extern "C" fn write(opaque: *mut c_void, _addr: u64, value: u64, _size: u32) {
    let crc = &mut *(opaque as *mut Crc);

    crc.sum ^= value as u8;
    for _ in 0..8 {
        crc.sum = if crc.sum & 0x80 != 0 { crc.sum << 1 ^ 0x07 } else { crc.sum << 1 };
    }
}

unsafe extern "C" fn attach(dev: *mut bp_device, err: *mut bp_error) -> i32 {
    let crc = bp_device_state(dev) as *mut Crc;

    match (*ISA).add_ports {
        Some(add_ports) => add_ports(dev, (*crc).iobase, 1, c!("sample-crc"), &OPS.0,
                                     crc as *mut c_void, null_mut(), err),
        None => -22,
    }
}

unsafe extern "C" fn reset(dev: *mut bp_device) {
    (*(bp_device_state(dev) as *mut Crc)).sum = 0;
}

/// What a table leaves out is zero, as in C: also what a later version of a header appends.
macro_rules! zeroed {
    ($type:ty) => {
        unsafe { core::mem::transmute::<[u8; size_of::<$type>()], $type>([0; size_of::<$type>()]) }
    };
}

static PROPS: Shared<[bp_field; 2]> = Shared([
    bp_field { name: c!("iobase"), kind: BP_KIND_UINT16, offset: OFFSET_IOBASE, def: c!("0x30c"),
               help: c!("I/O port"), ..zeroed!(bp_field) },
    zeroed!(bp_field),
]);

static STATE_FIELDS: Shared<[bp_state_field; 2]> = Shared([
    bp_state_field { name: c!("sum"), kind: BP_STATE_UINT8, offset: OFFSET_SUM, count: 1,
                     stride: 1, ..zeroed!(bp_state_field) },
    zeroed!(bp_state_field),
]);
static STATE: Shared<bp_state_table> = Shared(bp_state_table {
    name: c!("sample-crc"), version: 1, oldest: 1, fields: &STATE_FIELDS.0 as *const _,
    ..zeroed!(bp_state_table)
});

static OPS: Shared<bp_region_ops> = Shared(bp_region_ops {
    size: size_of::<bp_region_ops>() as _, read: Some(read), write: Some(write), min_access: 1,
    max_access: 1, ..zeroed!(bp_region_ops)
});

static DEVICE: Shared<bp_device_class> = Shared(bp_device_class {
    type_: bp_type_info {
        size: size_of::<bp_device_class>() as u32, name: c!("sample-crc"),
        summary: c!("CRC-8 of what is written"), state_size: size_of::<Crc>() as u64,
        props: &PROPS.0 as *const _, state: &STATE.0, ..zeroed!(bp_type_info)
    },
    bus: c!("isa"), category: c!("misc"), attach: Some(attach), reset: Some(reset),
    ..zeroed!(bp_device_class)
});

static PROVIDES: Shared<[bp_provide; 2]> = Shared([
    bp_provide { kind: BP_PROVIDE_DEVICE, desc: &DEVICE as *const _ as *const c_void },
    bp_provide { kind: BP_PROVIDE_END, desc: null() },
]);
static IMPORTS: Shared<[bp_import; 2]> = Shared([
    bp_import { name: c!("isa"), major: 1, minor: 0,
                slot: unsafe { core::ptr::addr_of!(ISA) } as *mut *const c_void },
    bp_import { name: null(), major: 0, minor: 0, slot: null_mut() },
]);

/// The one symbol that a module exports.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub static bp_module: Shared<bp::bp_module> = Shared(bp::bp_module {
    magic: BP_MODULE_MAGIC, size: size_of::<bp::bp_module>() as u32,
    abi_major: BP_ABI_MAJOR as u16, abi_minor: 0, flags: 0, name: c!("sample-crc"),
    tier: c!("public"), provides: &PROVIDES.0 as *const _, imports: &IMPORTS.0 as *const _,
    ..zeroed!(bp::bp_module)
});
