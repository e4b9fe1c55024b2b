//! The memory of password hashes, which is used again.
//!
//! A hash fills some 20 MiB. Allocated anew for each on whatever thread computes it, that memory stays with the
//! allocator's arenas, as many times as there are threads. A buffer that is kept costs it once for each hash that is
//! computed at the same time, of which there are few.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::Block;

/// The buffers that are not in use. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct HashMemory {
    free: Arc<Mutex<Vec<Vec<Block>>>>,
}

impl HashMemory {
    /// Lends `blocks` blocks to `work`.
    pub(super) fn lend<R>(&self, blocks: usize, work: impl FnOnce(&mut [Block]) -> R) -> R {
        let kept = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffer = kept.unwrap_or_default();
        if buffer.len() < blocks {
            // Replaced instead of extended: nothing in it needs to be copied.
            buffer = vec![Block::new(); blocks];
        }
        let (lent, _) = buffer.split_at_mut(blocks);
        let result = work(lent);
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        result
    }

    /// How many blocks are kept.
    #[cfg(test)]
    pub(super) fn blocks(&self) -> Vec<usize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Vec::len).collect()
    }
}
