//! Reused memory for password hashing.
//!
//! A hash needs about 20 MiB. Allocating it on whichever thread computes the hash would leave that much memory in the
//! allocator's arena of every such thread. With reused buffers, only as many exist as there are concurrent hashes.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::Block;

/// The free buffers. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct HashMemory {
    free: Arc<Mutex<Vec<Vec<Block>>>>,
}

impl HashMemory {
    /// Calls `work` with a buffer of `blocks` blocks.
    pub(super) fn with_buffer<R>(&self, blocks: usize, work: impl FnOnce(&mut [Block]) -> R) -> R {
        let kept = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffer = kept.unwrap_or_default();
        if buffer.len() < blocks {
            // A new buffer instead of a longer one, because the content need not be copied.
            buffer = vec![Block::new(); blocks];
        }
        let (part, _) = buffer.split_at_mut(blocks);
        let result = work(part);
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        result
    }

    /// The sizes of the free buffers, in blocks.
    #[cfg(test)]
    pub(super) fn blocks(&self) -> Vec<usize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Vec::len).collect()
    }
}
