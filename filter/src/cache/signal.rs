//! The signal: a gauge that all VMs of a proxy see, and that changes with the
//! head of the cache.
//!
//! Reading a gauge costs a tenth of reading shared data. It only says when to
//! look: what is there to be seen is in the cache, and wakes and ticks look
//! whatever the signal says.

use crate::cache::records::Head;
use crate::host::{Host, MetricId, MetricKind};

/// The gauge, if the proxy has gauges.
#[derive(Debug, Clone, Copy, Default)]
pub struct Signal(Option<MetricId>);

/// A value of the signal. The same head has the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised(u64);

impl Signal {
    /// Makes the gauge, or finds the one that another VM made. Its name holds the
    /// prefix of the cache, since gauges are those of the whole proxy.
    pub fn define(host: &impl Host, namespace: &str) -> Self {
        let name = format!("kya.signal.{}", namespace.replace('/', "."));
        Self(host.define_metric(MetricKind::Gauge, &name).ok())
    }

    /// The value that stands for this head.
    pub fn of(head: &Head) -> Raised {
        // FNV-1a; of 63 bits, so that every proxy can hold it in any integer.
        let hash = head.encode().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Raised(hash >> 1)
    }

    /// Tells the other VMs that the head is another.
    pub fn raise(&self, host: &impl Host, head: &Head) {
        if let Some(gauge) = self.0 {
            host.record_metric(gauge, Self::of(head).0);
        }
    }

    /// The value now; `None` where there is no gauge.
    pub fn value(&self, host: &impl Host) -> Option<Raised> {
        host.metric(self.0?).ok().map(Raised)
    }
}
