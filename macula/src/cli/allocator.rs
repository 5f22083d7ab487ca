//! How much freed memory the process keeps for what it takes next.

use std::hint::black_box;

/// A little more than what is on its way through a node that is busy: frames of 64 KiB that wait for their subscribers.
const KEPT: usize = 2 << 20;

/// Has glibc keep up to twice [`KEPT`] bytes of freed memory in each of its arenas, instead of 128 KiB.
///
/// What passes a node is joined in frames of up to 64 KiB, and the allocator gave their memory back to the system as often
/// as it took it: three tenths of the CPU that a subscriber took beyond bare quinn were page faults. glibc raises its
/// threshold when a block larger than it is freed (`mallopt(3)`, `M_MMAP_THRESHOLD`: dynamic), and no
/// page of this one is ever touched. Another allocator takes no notice.
pub(super) fn keep_freed_memory() {
    drop(black_box(Vec::<u8>::with_capacity(KEPT)));
}
