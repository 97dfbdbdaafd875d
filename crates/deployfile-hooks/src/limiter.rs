//! How much a call may hold, and why it was refused more.

use deployfile_model::units::Bytes;
use std::fmt;
use wasmtime::ResourceLimiter;

/// Elements of all tables of one call; each takes a few bytes of the host's memory.
const TABLE_ELEMENTS: usize = 200_000;
/// Core instances, memories and tables that one component may have; CPython's has about ten.
const PARTS: usize = 100;

/// Counts the linear memory of all memories together.
pub(crate) struct Limiter {
    memory: u64,
    used: u64,
    tables: usize,
    /// Set when more was asked for.
    pub(crate) hit: Option<Hit>,
}

/// What was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hit {
    Memory { limit: Bytes, wanted: Bytes },
    Table,
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hit::Memory { limit, wanted } => write!(f, "it asked for {wanted}, its limit is {limit}"),
            Hit::Table => write!(f, "its tables asked for more than {TABLE_ELEMENTS} elements"),
        }
    }
}
impl std::error::Error for Hit {}

impl Limiter {
    pub(crate) fn new(memory: Bytes) -> Self {
        Self { memory: memory.0, used: 0, tables: 0, hit: None }
    }
}

impl ResourceLimiter for Limiter {
    // An error traps; `Ok(false)` would reach the guest, whose allocator makes it look like a panic.
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.used.saturating_add(desired.saturating_sub(current) as u64);
        if wanted > self.memory {
            let hit = Hit::Memory { limit: Bytes(self.memory), wanted: Bytes(wanted) };
            self.hit = Some(hit);
            return Err(hit.into());
        }
        self.used = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.tables.saturating_add(desired.saturating_sub(current));
        if wanted > TABLE_ELEMENTS {
            self.hit = Some(Hit::Table);
            return Err(Hit::Table.into());
        }
        self.tables = wanted;
        Ok(true)
    }

    fn instances(&self) -> usize {
        PARTS
    }
    fn tables(&self) -> usize {
        PARTS
    }
    fn memories(&self) -> usize {
        PARTS
    }
}
