//! A guest in the middle of a host call: its state and its memory.

use wasmtime::{Caller, Extern, Memory};

use crate::abi::Status;
use crate::fault::Effect;
use crate::headers::HeaderMap;
use crate::vm::{VmState, call_guest};

/// Why a host call ends early.
pub(crate) enum Stop {
    /// The guest gets this status.
    Status(Status),
    /// The guest traps: it broke the ABI, or its allocator failed.
    Trap(wasmtime::Error),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl Stop {
    /// The host does not do this, and traps.
    pub(crate) fn trap(what: &str) -> Self {
        Self::Trap(wasmtime::Error::msg(format!("host trap: {what}")))
    }
}

/// What a host call comes to.
pub(crate) type Answer = Result<(), Stop>;

/// Runs a host call, unless a fault strikes it, and turns what it comes to into a
/// status for the guest.
pub(crate) fn answer(
    mut caller: Caller<'_, VmState>,
    name: &'static str,
    call: impl FnOnce(&mut Guest<'_>) -> Answer,
) -> wasmtime::Result<u32> {
    caller.data_mut().counter.host_call(name);
    let state = caller.data();
    if state.settings.profile.traps_on(name) {
        return Err(wasmtime::Error::msg(format!("host trap (not implemented): {name}")));
    }
    if let Some(effect) = state.process.fault(name, state.name) {
        return struck(name, effect);
    }
    match call(&mut Guest::new(caller)?) {
        Ok(()) => Ok(Status::Ok as u32),
        Err(Stop::Status(status)) => Ok(status as u32),
        Err(Stop::Trap(error)) => Err(error),
    }
}

/// What a guest gets from a call that a fault struck.
pub(crate) fn struck(name: &str, effect: Effect) -> wasmtime::Result<u32> {
    match effect {
        Effect::Answer(number) => Ok(number),
        Effect::Trap => Err(wasmtime::Error::msg(format!("an injected fault of {name}"))),
    }
}

/// The guest that made the running host call.
pub(crate) struct Guest<'a> {
    caller: Caller<'a, VmState>,
    memory: Memory,
}

impl<'a> Guest<'a> {
    pub(crate) fn new(mut caller: Caller<'a, VmState>) -> wasmtime::Result<Self> {
        let memory = match caller.data().memory {
            Some(memory) => Some(memory),
            // Not known yet while the guest is instantiated.
            None => caller.get_export("memory").and_then(Extern::into_memory),
        };
        let memory = memory.ok_or_else(|| wasmtime::Error::msg("the guest exports no `memory`"))?;
        Ok(Self { caller, memory })
    }

    pub(crate) fn state(&mut self) -> &mut VmState {
        self.caller.data_mut()
    }

    /// Copies `length` bytes at `pointer` out of the guest.
    pub(crate) fn read(&mut self, pointer: u32, length: u32) -> Result<Vec<u8>, Stop> {
        let memory = self.memory.data(&self.caller);
        let bytes = range(pointer, length).and_then(|range| memory.get(range));
        let bytes = bytes.ok_or(Status::InvalidMemoryAccess)?.to_vec();
        self.state().counter.copied_to_host(length);
        Ok(bytes)
    }

    /// As [`read`](Self::read), for what must be text.
    pub(crate) fn read_text(&mut self, pointer: u32, length: u32) -> Result<String, Stop> {
        let bytes = self.read(pointer, length)?;
        String::from_utf8(bytes).map_err(|_| Status::BadArgument.into())
    }

    /// As [`read`](Self::read), for a header map. Envoy takes a map whose
    /// lengths do not fit as empty; here the mistake is shown.
    pub(crate) fn read_headers(&mut self, pointer: u32, length: u32) -> Result<HeaderMap, Stop> {
        let bytes = self.read(pointer, length)?;
        HeaderMap::decode(&bytes).ok_or_else(|| Status::ParseFailure.into())
    }

    /// Copies bytes into the guest, to where it said.
    pub(crate) fn write(&mut self, pointer: u32, bytes: &[u8]) -> Answer {
        let length = u32::try_from(bytes.len()).map_err(|_| Status::InvalidMemoryAccess)?;
        let memory = self.memory.data_mut(&mut self.caller);
        let target = range(pointer, length).and_then(|range| memory.get_mut(range));
        target.ok_or(Status::InvalidMemoryAccess)?.copy_from_slice(bytes);
        self.state().counter.copied_to_guest(length);
        Ok(())
    }

    pub(crate) fn write_u32(&mut self, pointer: u32, number: u32) -> Answer {
        self.write(pointer, &number.to_le_bytes())
    }

    pub(crate) fn write_u64(&mut self, pointer: u32, number: u64) -> Answer {
        self.write(pointer, &number.to_le_bytes())
    }

    /// Hands bytes over in memory that the guest allocates and then owns, and
    /// writes where they are and how many. No bytes are a null pointer.
    pub(crate) fn give(&mut self, bytes: &[u8], pointer_at: u32, length_at: u32) -> Answer {
        let length = u32::try_from(bytes.len()).map_err(|_| Status::InvalidMemoryAccess)?;
        let pointer = if bytes.is_empty() { 0 } else { self.allocate(length)? };
        self.write(pointer, bytes)?;
        self.write_u32(pointer_at, pointer)?;
        self.write_u32(length_at, length)
    }

    /// Calls an export of the guest from inside of the host call.
    pub(crate) fn call_back(
        &mut self,
        export: &str,
        arguments: &[u32],
    ) -> Result<Option<u32>, Stop> {
        let function = self.caller.get_export(export).and_then(Extern::into_func);
        let Some(function) = function else { return Ok(None) };
        call_guest(&mut self.caller, function, arguments).map_err(Stop::Trap)
    }

    fn allocate(&mut self, length: u32) -> Result<u32, Stop> {
        self.state().counter.block();
        let pointer = match self.call_back("proxy_on_memory_allocate", &[length])? {
            Some(pointer) => Some(pointer),
            None => self.call_back("malloc", &[length])?,
        };
        match pointer {
            Some(0) => Err(Status::InvalidMemoryAccess.into()),
            Some(pointer) => Ok(pointer),
            None => Err(Stop::Trap(wasmtime::Error::msg(
                "the guest exports neither `proxy_on_memory_allocate` nor `malloc`",
            ))),
        }
    }
}

/// The range that starts at `pointer`; `None` when it leaves the address space.
fn range(pointer: u32, length: u32) -> Option<std::ops::Range<usize>> {
    let end = pointer.checked_add(length)?;
    Some(usize::try_from(pointer).ok()?..usize::try_from(end).ok()?)
}
