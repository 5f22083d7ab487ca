//! Finds memory that is taken for a length which a peer merely claims.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What any input may take in one piece, in bytes.
const BASE: usize = 64 << 10;
/// What each byte of input may take besides, in bytes.
const FOR_EACH_BYTE: usize = 64;

/// The largest piece of memory that the current execution asked for, in bytes.
static LARGEST: AtomicUsize = AtomicUsize::new(0);

struct Watched;

#[global_allocator]
static ALLOCATOR: Watched = Watched;

// SAFETY: every call is passed on unchanged to the allocator of the system.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System`, by the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: `pointer` came from `System`, by the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Runs `execute` and panics if it asked for more memory in one piece than an input of `length`
/// bytes can be worth.
pub fn bounded(length: usize, execute: impl FnOnce()) {
    LARGEST.store(0, Ordering::Relaxed);
    execute();
    let largest = LARGEST.load(Ordering::Relaxed);
    let bound = length.saturating_mul(FOR_EACH_BYTE).saturating_add(BASE);
    assert!(
        largest <= bound,
        "an input of {length} bytes made the decoder ask for {largest} bytes at once"
    );
}
