//! The guest's allocator: it hands out addresses in order and takes back only the newest. Every call is a fresh instance whose memory is
//! dropped as a whole, so that bookkeeping for memory that could be used again is work for nobody. What a plugin may hold is
//! bounded by Rolecall either way.
#![expect(unsafe_code, reason = "an allocator can't be written without; nothing else in the SDK that is not generated is unsafe")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr;

const PAGE_BYTES: usize = 64 * 1024;

struct Newest {
    /// The first free address; 0 before the first allocation.
    free: Cell<usize>,
    /// Where the memory ends.
    end: Cell<usize>,
}

#[global_allocator]
static ALLOCATOR: Newest = Newest { free: Cell::new(0), end: Cell::new(0) };

// SAFETY: a plugin has one thread; the contract has no way to start another, and the host has threads switched off.
unsafe impl Sync for Newest {}

impl Newest {
    /// Moves the first free address to `free`, with more memory where there is not enough.
    fn advance(&self, free: usize) -> bool {
        if free > self.end.get() {
            let pages = (free - self.end.get()).div_ceil(PAGE_BYTES);
            if core::arch::wasm32::memory_grow(0, pages) == usize::MAX {
                return false;
            }
            self.end.set(self.end.get() + pages * PAGE_BYTES);
        }
        self.free.set(free);
        true
    }
}

// SAFETY: blocks never overlap, because each starts at or after the end of all blocks that are still in use; they are aligned,
// and lie in memory that was grown for them or that the linker left free.
unsafe impl GlobalAlloc for Newest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.end.get() == 0 {
            // What the linker placed ends at the heap base; memory beyond it, to the end of the last page, is free.
            self.free.set(ptr::addr_of!(heap_base) as usize);
            self.end.set(core::arch::wasm32::memory_size(0) * PAGE_BYTES);
        }
        let start = self.free.get().checked_next_multiple_of(layout.align());
        let end = start.and_then(|start| start.checked_add(layout.size()));
        match (start, end) {
            (Some(start), Some(end)) if self.advance(end) => ptr::without_provenance_mut(start),
            _ => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if block.addr() + layout.size() == self.free.get() {
            self.free.set(block.addr());
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The newest block grows and shrinks where it is: a text that is being written is mostly it.
        if block.addr() + layout.size() == self.free.get() {
            return match block.addr().checked_add(size) {
                Some(end) if self.advance(end) => block,
                _ => ptr::null_mut(),
            };
        }
        if size <= layout.size() {
            return block;
        }
        // SAFETY: the caller's promises for `realloc` are those of `alloc` with the new size.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both blocks are of at least the old size and don't overlap.
            unsafe { ptr::copy_nonoverlapping(block, moved, layout.size()) };
        }
        moved
    }
}

unsafe extern "C" {
    /// Placed by the linker behind static data and stack.
    #[link_name = "__heap_base"]
    static heap_base: u8;
}
