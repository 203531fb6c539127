//! What Linux knows of a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub(in crate::bench) struct Memory {
    /// Resident now.
    pub(in crate::bench) resident: u64,
    /// The most that ever was.
    pub(in crate::bench) peak: u64,
}

/// Memory of process `pid`, by `/proc/PID/status`.
pub(in crate::bench) fn memory(pid: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
        let kib: u64 = kib.with_context(|| format!("no {name}"))?.trim().parse()?;
        anyhow::Ok(kib * 1024)
    };
    Ok(Memory { resident: bytes("VmRSS")?, peak: bytes("VmHWM")? })
}

/// CPU time that the threads of process `pid` have used, in user mode and in the
/// kernel, to the nanosecond, by `/proc/PID/task/*/schedstat`. Threads that have ended
/// are not in it: Envoy's do not end.
pub(in crate::bench) fn cpu(pid: u32) -> Result<Duration> {
    let mut nanos = 0u64;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path().join("schedstat");
        let stat = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        nanos += time_on_cpu(&stat).with_context(|| format!("cannot read: {stat}"))?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// The first of three numbers (Linux, Documentation/scheduler/sched-stats.rst).
fn time_on_cpu(stat: &str) -> Option<u64> {
    stat.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_is_the_time() {
        assert_eq!(time_on_cpu("120034 77 5\n"), Some(120_034));
        assert_eq!(time_on_cpu("\n"), None);
    }

    #[test]
    fn this_process_has_memory_and_has_worked() {
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.peak >= memory.resident && memory.resident > 100_000);
        let before = cpu(std::process::id()).unwrap();
        assert!((0..10_000_000u64).map(std::hint::black_box).sum::<u64>() > 0);
        assert!(cpu(std::process::id()).unwrap() > before);
    }
}
