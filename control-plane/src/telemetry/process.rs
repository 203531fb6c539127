//! The figures of the process, under the names that Prometheus gives them everywhere. They
//! are read from `/proc` when somebody asks; where there is none, there are none.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGauge, Opts};

use super::whole;

#[derive(Debug)]
pub(super) struct Process {
    cpu: Counter,
    open_fds: IntGauge,
    max_fds: IntGauge,
    virtual_bytes: IntGauge,
    resident_bytes: IntGauge,
    threads: IntGauge,
    started: Gauge,
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Found {
    cpu_seconds: f64,
    threads: u64,
    virtual_bytes: u64,
    resident_bytes: u64,
    started_seconds: f64,
}

impl Process {
    /// `None` where there is no `/proc`.
    pub(super) fn new() -> Result<Option<Self>, prometheus::Error> {
        if Found::read().is_none() {
            return Ok(None);
        }
        let gauge = |name: &str, help: &str| IntGauge::new(name, help);
        Ok(Some(Self {
            cpu: Counter::with_opts(Opts::new(
                "process_cpu_seconds_total",
                "Total user and system CPU time spent in seconds.",
            ))?,
            open_fds: gauge("process_open_fds", "Number of open file descriptors.")?,
            max_fds: gauge("process_max_fds", "Maximum number of open file descriptors.")?,
            virtual_bytes: gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.")?,
            resident_bytes: gauge(
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
            )?,
            threads: gauge("process_threads", "Number of OS threads in the process.")?,
            started: Gauge::new(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
            )?,
        }))
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = [
            &self.open_fds,
            &self.max_fds,
            &self.virtual_bytes,
            &self.resident_bytes,
            &self.threads,
        ];
        let mut all = self.cpu.desc();
        all.extend(gauges.into_iter().flat_map(Collector::desc));
        all.extend(self.started.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(found) = Found::read() {
            // Whoever asks at the same time may add it too: never less than nothing.
            self.cpu.inc_by((found.cpu_seconds - self.cpu.get()).max(0.0));
            self.threads.set(whole(found.threads));
            self.virtual_bytes.set(whole(found.virtual_bytes));
            self.resident_bytes.set(whole(found.resident_bytes));
            self.started.set(found.started_seconds);
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is that of the folder.
            self.open_fds.set(whole(open.count().saturating_sub(1)));
        }
        if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
            self.max_fds.set(whole(most));
        }
        let gauges = [
            &self.open_fds,
            &self.max_fds,
            &self.virtual_bytes,
            &self.resident_bytes,
            &self.threads,
        ];
        let mut all = self.cpu.collect();
        all.extend(gauges.into_iter().flat_map(Collector::collect));
        all.extend(self.started.collect());
        all
    }
}

impl Found {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let booted = fs::read_to_string("/proc/stat").ok()?;
        let booted = booted.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse();
        let ticks = rustix::param::clock_ticks_per_second();
        let page = u64::try_from(rustix::param::page_size()).ok()?;
        Self::parse(&stat, booted.ok()?, ticks, page)
    }

    /// Of the fields of proc_pid_stat(5): what comes after the name in parentheses, which may
    /// have any character.
    fn parse(stat: &str, booted: u64, ticks: u64, page: u64) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        // The first of them has number 3.
        let number = |at: usize| fields.get(at.checked_sub(3)?)?.parse::<u64>().ok();
        let seconds = |ticks_of: u64| ticks_of as f64 / ticks.max(1) as f64;
        let booted = booted as f64;
        Some(Self {
            cpu_seconds: seconds(number(14)?.saturating_add(number(15)?)),
            threads: number(20)?,
            started_seconds: booted + seconds(number(22)?),
            virtual_bytes: number(23)?,
            resident_bytes: number(24)?.saturating_mul(page),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_after_the_name_whatever_that_is() {
        let stat = "42 (a ) b (c) S 1 42 42 0 -1 4194304 900 0 0 0 250 150 0 0 20 0 9 0 1000 \
                    123456 77 18446744073709551615 1 1 0";
        let found = Found::parse(stat, 1_000_000, 100, 4096).unwrap();
        assert_eq!(found.cpu_seconds, 4.0);
        assert_eq!((found.threads, found.virtual_bytes), (9, 123_456));
        assert_eq!(found.resident_bytes, 77 * 4096);
        assert_eq!(found.started_seconds, 1_000_010.0);
        assert_eq!(Found::parse("42 (short) S 1", 0, 100, 4096), None);
    }
}
