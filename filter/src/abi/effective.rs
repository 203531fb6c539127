//! On whose behalf the filter calls the proxy.
//!
//! A host call is about the context that the proxy is calling about, unless the
//! filter names another (`proxy_set_effective_context`). Streams and HTTP calls
//! belong to the context that made them, so they are made for the root context:
//! those of a request would end with it.

use std::cell::Cell;

use super::imports::{check, proxy_set_effective_context};
use crate::host::Refused;

/// `Unimplemented`.
const UNIMPLEMENTED: Refused = Refused(12);
/// No context has this number: hosts count up from 1.
const NOBODY: u32 = u32::MAX;

thread_local! {
    /// The context that the proxy is calling about.
    static CURRENT: Cell<u32> = const { Cell::new(0) };
    /// Whether naming another context has an effect here.
    static WORKS: Cell<bool> = const { Cell::new(false) };
}

/// Until it is dropped, the proxy is calling about a context.
pub(super) struct Call {
    before: u32,
}

impl Call {
    pub(super) fn about(context: u32) -> Self {
        Self { before: CURRENT.replace(context) }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

/// Finds out whether naming another context has an effect. A host may accept
/// the call and ignore it (ngx_wasm_module does): then a response meant for
/// another request would be sent to the current one.
pub(super) fn probe() {
    WORKS.set(set(NOBODY).is_err());
    let _ = set(CURRENT.get());
}

/// Runs `work` for this context, or not at all.
pub(super) fn within<T>(
    context: u32,
    work: impl FnOnce() -> Result<T, Refused>,
) -> Result<T, Refused> {
    let current = CURRENT.get();
    if context == current {
        return work();
    }
    if !WORKS.get() {
        return Err(UNIMPLEMENTED);
    }
    set(context)?;
    let outcome = work();
    // The proxy is in the middle of a call about it, so it is there.
    let _ = set(current);
    outcome
}

/// Runs `work` for this root context where the host can do that, and otherwise
/// for the current one: what comes of it finds its way by the root of that.
pub(super) fn within_root<T>(
    root: u32,
    work: impl FnOnce() -> Result<T, Refused>,
) -> Result<T, Refused> {
    if WORKS.get() { within(root, work) } else { work() }
}

/// Whether the proxy is calling about this context.
pub(super) fn is_current(context: u32) -> bool {
    CURRENT.get() == context
}

/// Whether another context than the current one can be acted for.
pub(super) fn works() -> bool {
    WORKS.get()
}

fn set(context: u32) -> Result<(), Refused> {
    // SAFETY: no pointers.
    check(unsafe { proxy_set_effective_context(context) })
}
