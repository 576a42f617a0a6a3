//! The allocator of flows: a first-fit list of free blocks, ordered by address, neighbours joined.
//!
//! Why not the standard one: a flow waits for most of its life, and thousands wait at once, so what counts is how many pages of
//! memory one of them has touched. This allocator starts right behind the flow's data, in a page that is touched
//! anyway, and writes nothing beside or behind what it hands out; a small flow never asks for more memory. The standard
//! one begins with a fresh 64 KiB and touches both ends of it.
//!
//! The price is a walk along the list for each call. A flow that keeps tens of thousands of small objects is better off with
//! the standard allocator: depend on this crate with `default-features = false`.
//!
//! Invariants: the list is in order of address; no two blocks touch; sizes and addresses are multiples of [`GRAIN`].

use std::alloc::Layout;
use std::ptr::null_mut;

/// What is written into memory that nobody uses. Memory in use has no header: its layout comes back when it is freed.
struct Block {
    size: usize,
    next: *mut Block,
}

const GRAIN: usize = size_of::<Block>();

/// Where memory comes from.
pub(crate) trait Source {
    /// A piece nobody else uses, `(address, length)`; best at least `bytes` long, but a shorter one helps too.
    fn more(&mut self, bytes: usize) -> Option<(usize, usize)>;
}

pub(crate) struct Heap<S> {
    free: *mut Block,
    source: S,
}

fn up(value: usize, to: usize) -> Option<usize> {
    Some(value.checked_add(to - 1)? & !(to - 1))
}

fn grains(layout: Layout) -> Option<usize> {
    up(layout.size().max(1), GRAIN)
}

impl<S: Source> Heap<S> {
    pub(crate) const fn new(source: S) -> Self {
        Self {
            free: null_mut(),
            source,
        }
    }

    /// # Safety
    /// As [`std::alloc::GlobalAlloc::alloc`], and the source keeps its word.
    pub(crate) unsafe fn alloc(&mut self, layout: Layout) -> *mut u8 {
        let (Some(size), align) = (grains(layout), layout.align().max(GRAIN)) else {
            return null_mut();
        };
        loop {
            // SAFETY: the list holds only memory that the source gave and nobody uses.
            if let Some(found) = unsafe { self.take(size, align) } {
                return found as *mut u8;
            }
            let Some(wanted) = size.checked_add(align) else {
                return null_mut();
            };
            let Some((at, length)) = self.source.more(wanted) else {
                return null_mut();
            };
            let start = (at + GRAIN - 1) & !(GRAIN - 1);
            let length = (at + length).saturating_sub(start) & !(GRAIN - 1);
            if length > 0 {
                // SAFETY: fresh from the source, aligned and cut to grains.
                unsafe { self.give(start, length) };
            }
        }
    }

    /// # Safety
    /// As [`std::alloc::GlobalAlloc::dealloc`].
    pub(crate) unsafe fn dealloc(&mut self, at: *mut u8, layout: Layout) {
        if let Some(size) = grains(layout) {
            // SAFETY: the caller gives back what `alloc` handed out with this layout.
            unsafe { self.give(at as usize, size) };
        }
    }

    /// Makes it longer, if what lies behind is free, or shorter, without moving it. # Safety: as `dealloc`.
    pub(crate) unsafe fn resize(&mut self, at: *mut u8, layout: Layout, new_size: usize) -> bool {
        let (Some(old), Some(new)) = (grains(layout), up(new_size.max(1), GRAIN)) else {
            return false;
        };
        // SAFETY: the tail of what the caller gives up is free; and what the list holds nobody uses.
        unsafe {
            if new < old {
                self.give(at as usize + new, old - new);
            }
            new <= old || self.take_at(at as usize + old, new - old)
        }
    }

    /// First fit. # Safety: the invariants hold.
    unsafe fn take(&mut self, size: usize, align: usize) -> Option<usize> {
        let mut link: *mut *mut Block = &mut self.free;
        unsafe {
            while !(*link).is_null() {
                let block = *link;
                let (start, end) = (block as usize, block as usize + (*block).size);
                let at = up(start, align)?;
                if at.checked_add(size).is_some_and(|used| used <= end) {
                    Self::cut(link, at, size);
                    return Some(at);
                }
                link = &mut (*block).next;
            }
        }
        None
    }

    /// The free block that starts here, if it is long enough. # Safety: the invariants hold.
    unsafe fn take_at(&mut self, at: usize, size: usize) -> bool {
        let mut link: *mut *mut Block = &mut self.free;
        unsafe {
            while !(*link).is_null() && (*link as usize) < at {
                link = &mut (**link).next;
            }
            if *link as usize != at || (**link).size < size {
                return false;
            }
            Self::cut(link, at, size);
        }
        true
    }

    /// Takes `size` bytes at `at` out of the block that `link` leads to. What is left in front and behind stays in the list.
    /// # Safety: they lie within that block.
    unsafe fn cut(link: *mut *mut Block, at: usize, size: usize) {
        unsafe {
            let block = *link;
            let (start, end, mut next) = (block as usize, block as usize + (*block).size, (*block).next);
            if at + size < end {
                let rest = (at + size) as *mut Block;
                rest.write(Block {
                    size: end - at - size,
                    next,
                });
                next = rest;
            }
            if at > start {
                (*block).size = at - start;
                (*block).next = next;
            } else {
                *link = next;
            }
        }
    }

    /// Puts a piece into the list and joins it with its neighbours. # Safety: nobody uses it, and it is in grains.
    unsafe fn give(&mut self, at: usize, size: usize) {
        let mut before: *mut Block = null_mut();
        let mut after = self.free;
        unsafe {
            while !after.is_null() && (after as usize) < at {
                before = after;
                after = (*after).next;
            }
            let mut piece = Block { size, next: after };
            if !after.is_null() && at + size == after as usize {
                piece.size += (*after).size;
                piece.next = (*after).next;
            }
            if before.is_null() {
                (at as *mut Block).write(piece);
                self.free = at as *mut Block;
            } else if before as usize + (*before).size == at {
                (*before).size += piece.size;
                (*before).next = piece.next;
            } else {
                (at as *mut Block).write(piece);
                (*before).next = at as *mut Block;
            }
        }
    }
}

#[cfg(all(target_arch = "wasm32", feature = "heap"))]
mod wasm {
    use std::alloc::{GlobalAlloc, Layout};
    use std::cell::UnsafeCell;

    use super::{Heap, Source};

    const PAGE: usize = 65_536;

    unsafe extern "C" {
        /// Set by the linker: the first address behind stack and data.
        static __heap_base: u8;
    }

    /// First what the linker left of the last page, then new pages.
    struct Memory {
        rest_taken: bool,
    }

    impl Source for Memory {
        fn more(&mut self, bytes: usize) -> Option<(usize, usize)> {
            if !self.rest_taken {
                self.rest_taken = true;
                let start = &raw const __heap_base as usize;
                let end = core::arch::wasm32::memory_size::<0>() * PAGE;
                return Some((start, end.saturating_sub(start)));
            }
            let pages = bytes.div_ceil(PAGE);
            match core::arch::wasm32::memory_grow::<0>(pages) {
                usize::MAX => None,
                before => Some((before * PAGE, pages * PAGE)),
            }
        }
    }

    struct Flow(UnsafeCell<Heap<Memory>>);

    // SAFETY: a flow has one thread, and no method of `Heap` calls out into code that allocates.
    unsafe impl Sync for Flow {}

    // SAFETY: `Heap` hands out memory that nobody else uses until it is given back.
    unsafe impl GlobalAlloc for Flow {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            unsafe { (*self.0.get()).alloc(layout) }
        }
        unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
            unsafe { (*self.0.get()).dealloc(at, layout) }
        }
        unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
            unsafe {
                let heap = &mut *self.0.get();
                if heap.resize(at, layout, new_size) {
                    return at;
                }
                let Ok(new) = Layout::from_size_align(new_size, layout.align()) else {
                    return core::ptr::null_mut();
                };
                let to = heap.alloc(new);
                if !to.is_null() {
                    at.copy_to_nonoverlapping(to, layout.size().min(new_size));
                    heap.dealloc(at, layout);
                }
                to
            }
        }
    }

    #[global_allocator]
    static HEAP: Flow = Flow(UnsafeCell::new(Heap::new(Memory { rest_taken: false })));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives out one buffer in pieces: first a short, crooked one, then by 4 KiB.
    struct Pieces {
        at: usize,
        end: usize,
        first: bool,
    }

    impl Source for Pieces {
        fn more(&mut self, bytes: usize) -> Option<(usize, usize)> {
            let length = if self.first {
                123
            } else {
                bytes.div_ceil(4_096) * 4_096
            };
            self.first = false;
            if self.at + length > self.end {
                return None;
            }
            let piece = (self.at, length);
            self.at += length;
            Some(piece)
        }
    }

    fn heap(buffer: &mut [u128]) -> Heap<Pieces> {
        let at = buffer.as_mut_ptr().expose_provenance();
        Heap::new(Pieces {
            at: at + 5,
            end: at + size_of_val(buffer),
            first: true,
        })
    }

    /// Number and bytes of the free blocks; panics when the list is out of order or two blocks touch.
    fn free(heap: &Heap<Pieces>) -> (usize, usize) {
        let (mut count, mut bytes, mut last_end, mut block) = (0, 0, 0, heap.free);
        while !block.is_null() {
            let size = unsafe { (*block).size };
            assert!(block as usize > last_end, "out of order or not joined");
            assert!(size >= GRAIN && size % GRAIN == 0 && (block as usize).is_multiple_of(GRAIN));
            last_end = block as usize + size;
            (count, bytes, block) = (count + 1, bytes + size, unsafe { (*block).next });
        }
        (count, bytes)
    }

    #[test]
    fn no_byte_is_handed_out_twice_and_all_come_back() {
        let mut buffer = vec![0u128; 16_384];
        let mut heap = heap(&mut buffer);
        let mut held: Vec<(*mut u8, Layout, u8)> = Vec::new();
        let mut random = 0x9E37_79B9_7F4A_7C15u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        for turn in 0..4_000 {
            let mark = turn as u8;
            if next(5) < 3 && held.len() < 100 {
                let layout = Layout::from_size_align(next(600) as usize, 1 << next(7)).unwrap();
                let at = unsafe { heap.alloc(layout) };
                assert!(!at.is_null() && (at as usize).is_multiple_of(layout.align()));
                unsafe { at.write_bytes(mark, layout.size()) };
                held.push((at, layout, mark));
            } else if !held.is_empty() {
                let index = next(held.len() as u64) as usize;
                let (at, layout, mark) = held.swap_remove(index);
                let grown = (layout.size() + next(200) as usize).saturating_sub(100);
                let intact = |size| (0..size).all(|i| unsafe { at.add(i).read() } == mark);
                assert!(intact(layout.size()), "somebody else wrote here");
                if unsafe { heap.resize(at, layout, grown) } {
                    let layout = Layout::from_size_align(grown, layout.align()).unwrap();
                    unsafe { at.write_bytes(mark, grown) };
                    held.push((at, layout, mark));
                } else {
                    unsafe { heap.dealloc(at, layout) };
                }
            }
            free(&heap);
        }
        for (at, layout, mark) in held.drain(..) {
            assert!((0..layout.size()).all(|i| unsafe { at.add(i).read() } == mark));
            unsafe { heap.dealloc(at, layout) };
        }
        let (blocks, bytes) = free(&heap);
        assert!(blocks <= 2, "{blocks} blocks: neighbours were not joined");
        assert!(bytes > 0);
    }

    #[test]
    fn what_the_source_refuses_is_null_and_harms_nothing() {
        let mut buffer = vec![0u128; 1_024];
        let mut heap = heap(&mut buffer);
        let layout = |size| Layout::from_size_align(size, 8).unwrap();
        assert!(unsafe { heap.alloc(layout(1 << 20)) }.is_null());
        assert!(unsafe { heap.alloc(layout(isize::MAX as usize - 7)) }.is_null());
        let at = unsafe { heap.alloc(layout(100)) };
        assert!(!at.is_null());
        assert!(!unsafe { heap.resize(at, layout(100), 1 << 20) });
        unsafe { heap.dealloc(at, layout(100)) };
    }
}
