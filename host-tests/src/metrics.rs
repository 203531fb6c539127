//! Stats: one per kind and name in a process, whichever VM defines it.

use std::collections::BTreeMap;

use crate::abi::{MetricType, Status};

/// The stats of a process.
#[derive(Debug, Default)]
pub(crate) struct Metrics(BTreeMap<(MetricType, String), u64>);

/// The stats that one VM has defined: ids are of the VM, values of the process.
#[derive(Debug, Default)]
pub(crate) struct MetricIds(Vec<(MetricType, String)>);

/// An id's two low bits are the kind, as in Envoy.
const KIND_BITS: u32 = 2;

impl MetricIds {
    pub(crate) fn define(&mut self, kind: MetricType, name: String) -> u32 {
        let serial = u32::try_from(self.0.len()).unwrap_or(u32::MAX >> KIND_BITS);
        self.0.push((kind, name));
        (serial << KIND_BITS) | kind as u32
    }

    pub(crate) fn find(&self, id: u32) -> Result<&(MetricType, String), Status> {
        let kind = MetricType::from_number(id & ((1 << KIND_BITS) - 1));
        let kind = kind.ok_or(Status::BadArgument)?;
        let found = usize::try_from(id >> KIND_BITS).ok().and_then(|at| self.0.get(at));
        found.filter(|(defined, _)| *defined == kind).ok_or(Status::NotFound)
    }
}

impl Metrics {
    pub(crate) fn define(&mut self, stat: (MetricType, String)) {
        self.0.entry(stat).or_default();
    }

    /// A counter goes up only; a gauge both ways; a histogram has no increment.
    pub(crate) fn increment(
        &mut self,
        stat: &(MetricType, String),
        offset: i64,
    ) -> Result<(), Status> {
        let value = self.0.get_mut(stat).ok_or(Status::NotFound)?;
        match stat.0 {
            MetricType::Counter if offset <= 0 => return Err(Status::BadArgument),
            MetricType::Counter | MetricType::Gauge => {
                *value = value.wrapping_add_signed(offset);
            }
            MetricType::Histogram => return Err(Status::BadArgument),
        }
        Ok(())
    }

    /// Adds to a counter, sets a gauge, counts a sample of a histogram.
    pub(crate) fn record(
        &mut self,
        stat: &(MetricType, String),
        sample: u64,
    ) -> Result<(), Status> {
        let value = self.0.get_mut(stat).ok_or(Status::NotFound)?;
        match stat.0 {
            MetricType::Counter => *value = value.wrapping_add(sample),
            MetricType::Gauge => *value = sample,
            MetricType::Histogram => *value = value.wrapping_add(1),
        }
        Ok(())
    }

    pub(crate) fn read(&self, stat: &(MetricType, String)) -> Result<u64, Status> {
        match stat.0 {
            MetricType::Histogram => Err(Status::BadArgument),
            _ => self.0.get(stat).copied().ok_or(Status::NotFound),
        }
    }

    /// Value by name: of a counter or gauge, or the number of samples of a
    /// histogram. `None` when nobody has defined it.
    pub(crate) fn by_name(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|((_, defined), _)| defined == name).map(|(_, value)| *value)
    }

    /// Every stat, by kind and name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|((_, name), value)| (name.as_str(), *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_vms_that_define_one_name_share_the_value() {
        let mut metrics = Metrics::default();
        let (mut one, mut two) = (MetricIds::default(), MetricIds::default());
        two.define(MetricType::Counter, "other".into());
        let a = one.define(MetricType::Gauge, "g".into());
        let b = two.define(MetricType::Gauge, "g".into());
        assert_ne!(a, b, "ids are of the VM");
        metrics.define(one.find(a).unwrap().clone());
        metrics.increment(one.find(a).unwrap(), 5).unwrap();
        metrics.increment(two.find(b).unwrap(), -2).unwrap();
        assert_eq!(metrics.by_name("g"), Some(3));
    }

    #[test]
    fn a_counter_never_goes_down_and_an_id_of_another_kind_is_unknown() {
        let mut metrics = Metrics::default();
        let mut ids = MetricIds::default();
        let id = ids.define(MetricType::Counter, "c".into());
        let stat = ids.find(id).unwrap().clone();
        metrics.define(stat.clone());
        assert_eq!(metrics.increment(&stat, -1), Err(Status::BadArgument));
        assert_eq!(metrics.increment(&stat, 0), Err(Status::BadArgument));
        assert_eq!(ids.find(id | 1), Err(Status::NotFound));
        assert_eq!(ids.find(id | 3), Err(Status::BadArgument));
    }
}
