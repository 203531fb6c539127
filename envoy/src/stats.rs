use std::collections::BTreeMap;

/// Counters and gauges of one Envoy at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats(BTreeMap<String, u64>);

impl Stats {
    /// Reads the text of Envoy's `/stats`; histograms are left out.
    pub fn parse(text: &str) -> Self {
        let entry = |line: &str| {
            let (name, value) = line.rsplit_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Self(text.lines().filter_map(entry).collect())
    }

    /// The value of `name`, 0 for what Envoy has not counted yet.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Everything whose name starts with `prefix`.
    pub fn starting_with(&self, prefix: &str) -> impl Iterator<Item = (&str, u64)> {
        let entries = self.0.iter().map(|(name, value)| (name.as_str(), *value));
        entries.filter(move |(name, _)| name.starts_with(prefix))
    }

    /// How often the filter decided `reason` (`allow`, or a reason to deny).
    pub fn decisions(&self, reason: &str) -> u64 {
        self.get(&format!("wasmcustom.kya.decision.{reason}"))
    }

    /// Every decision the filter has counted, by reason, without the zeros.
    pub fn all_decisions(&self) -> BTreeMap<&str, u64> {
        self.0
            .iter()
            .filter_map(|(name, value)| {
                Some((name.strip_prefix("wasmcustom.kya.decision.")?, *value))
            })
            .filter(|(_, value)| *value > 0)
            .collect()
    }

    /// How many updates from the control plane the filter refused, for any cause.
    pub fn refused_updates(&self) -> u64 {
        let refused = |name: &str| name.starts_with("wasmcustom.kya.update.rejected.");
        self.0.iter().filter(|(name, _)| refused(name)).map(|(_, value)| value).sum()
    }

    /// Connections that each worker has accepted, by worker index.
    pub fn connections_by_worker(&self, workers: u32) -> Vec<u64> {
        (0..workers)
            .map(|worker| {
                self.get(&format!("listener.kya_ingress.worker_{worker}.downstream_cx_total"))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
listener.kya_ingress.worker_0.downstream_cx_total: 4
listener.kya_ingress.worker_1.downstream_cx_total: 5
wasmcustom.kya.decision.agent_revoked: 7
wasmcustom.kya.decision.allow: 0
listener.kya_ingress.downstream_cx_length_ms: No recorded values
";

    #[test]
    fn counters_are_read_and_histograms_are_not() {
        let stats = Stats::parse(PAGE);
        assert_eq!(stats.connections_by_worker(2), [4, 5]);
        assert_eq!(stats.decisions("agent_revoked"), 7);
        assert_eq!(stats.decisions("never_seen"), 0);
        assert_eq!(stats.all_decisions(), BTreeMap::from([("agent_revoked", 7)]));
        assert_eq!(stats.0.len(), 4);
    }
}
