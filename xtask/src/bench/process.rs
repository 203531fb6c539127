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

/// CPU time that process `pid` has used, in user mode and in the kernel, by
/// `/proc/PID/stat`. It counts in ticks of, as a rule, 10 ms.
pub(in crate::bench) fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = cpu_ticks(&stat).with_context(|| format!("cannot read: {stat}"))?;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// Fields 14 and 15 of proc_pid_stat(5); the second, in brackets, may hold blanks.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(14 - 3);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_time_and_system_time_are_added() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 0 0 0 120 34 0 0 20 0 1 0 5 6 7";
        assert_eq!(cpu_ticks(stat), Some(154));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_memory_and_has_worked() {
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.peak >= memory.resident && memory.resident > 100_000);
        cpu(std::process::id()).unwrap();
    }
}
