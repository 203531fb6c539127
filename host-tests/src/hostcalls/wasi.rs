//! The part of WASI preview 1 that Envoy has: standard output, clocks, random
//! bytes, and the environment that the proxy gives the VM.

use wasmtime::{Caller, Linker};

use super::guest::{Answer, Guest, Stop, struck};
use crate::log::{LogLine, LogSource};
use crate::vm::VmState;

/// Errors by their numbers in WASI.
const SUCCESS: u32 = 0;
const EBADF: u32 = 8;
const EFAULT: u32 = 21;
const EINVAL: u32 = 28;
const ENOSYS: u32 = 52;
const ENOTSUP: u32 = 58;

/// As many slices as one `fd_write` may have.
const MAX_SLICES: u32 = 1024;

macro_rules! wasi_calls {
    ($($name:literal => $function:path, ($($argument:ident: $kind:ty),* $(,)?);)+) => {
        /// Those that can answer, and so can fail.
        pub(super) const NAMES: &[&str] = &[$($name),+];

        pub(super) fn link(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
            $(linker.func_wrap(
                "wasi_snapshot_preview1",
                $name,
                |caller: Caller<'_, VmState>, $($argument: $kind),*| {
                    errno(caller, $name, |guest| $function(guest, $($argument),*))
                },
            )?;)+
            linker.func_wrap("wasi_snapshot_preview1", "proc_exit", proc_exit)?;
            Ok(())
        }
    };
}

wasi_calls! {
    "random_get" => random_get, (data: u32, length: u32);
    "clock_time_get" => clock_time_get, (clock: u32, _precision: u64, time_at: u32);
    "fd_write" => fd_write, (file: u32, slices: u32, count: u32, written_at: u32);
    "environ_sizes_get" => environ_sizes_get, (count_at: u32, size_at: u32);
    "environ_get" => environ_get, (table: u32, data: u32);
    "args_sizes_get" => args_sizes_get, (count_at: u32, size_at: u32);
    "args_get" => args_get, (_table: u32, _data: u32);
    "sched_yield" => sched_yield, ();
    "fd_prestat_get" => no_such_file, (_file: u32, _result_at: u32);
    "fd_close" => not_here, (_file: u32);
}

/// What a WASI call comes to: an error's number, or nothing.
type Errno = Result<u32, Stop>;

fn errno(
    mut caller: Caller<'_, VmState>,
    name: &'static str,
    call: impl FnOnce(&mut Guest<'_>) -> Errno,
) -> wasmtime::Result<u32> {
    caller.data_mut().counter.host_call(name);
    let state = caller.data();
    if let Some(effect) = state.process.fault(name, state.name) {
        return struck(name, effect);
    }
    match call(&mut Guest::new(caller)?) {
        Ok(number) => Ok(number),
        Err(Stop::Status(_)) => Ok(EFAULT),
        Err(Stop::Trap(error)) => Err(error),
    }
}

fn done(answer: Answer) -> Errno {
    answer.map(|()| SUCCESS)
}

fn random_get(guest: &mut Guest<'_>, data: u32, length: u32) -> Errno {
    // Look at the pointer before a bad one costs 4 GiB of random bytes.
    guest.read(data, length)?;
    let length = usize::try_from(length).unwrap_or_default();
    let bytes = guest.state().process.lock().random.bytes(length);
    done(guest.write(data, &bytes))
}

fn clock_time_get(guest: &mut Guest<'_>, clock: u32, _precision: u64, time_at: u32) -> Errno {
    let clocks = guest.state().process.lock().clock;
    let now = match clock {
        0 => clocks.wall(),
        1 => clocks.monotonic(),
        _ => return Ok(ENOTSUP),
    };
    done(guest.write_u64(time_at, now))
}

fn fd_write(guest: &mut Guest<'_>, file: u32, slices: u32, count: u32, written_at: u32) -> Errno {
    let source = match file {
        1 => LogSource::Stdout,
        2 => LogSource::Stderr,
        _ => return Ok(EBADF),
    };
    if count > MAX_SLICES {
        return Ok(EINVAL);
    }
    let mut text = Vec::new();
    for entry in guest.read(slices, count * 8)?.chunks_exact(8) {
        let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| entry[at + byte]));
        text.extend(guest.read(number(0), number(4))?);
    }
    guest.write_u32(written_at, u32::try_from(text.len()).unwrap_or(u32::MAX))?;
    let state = guest.state();
    let mut process = state.process.lock();
    for line in String::from_utf8_lossy(&text).lines() {
        process.log.push(LogLine { vm: state.name, source, text: line.to_owned() });
    }
    Ok(SUCCESS)
}

/// Variables as WASI writes them: `NAME=value` and a zero byte.
fn variables(guest: &mut Guest<'_>) -> Vec<Vec<u8>> {
    let environment = &guest.state().settings.environment;
    environment.iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

fn environ_sizes_get(guest: &mut Guest<'_>, count_at: u32, size_at: u32) -> Errno {
    let variables = variables(guest);
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    guest.write_u32(count_at, number(variables.len()))?;
    done(guest.write_u32(size_at, number(variables.iter().map(Vec::len).sum())))
}

fn environ_get(guest: &mut Guest<'_>, table: u32, data: u32) -> Errno {
    let (mut entry, mut at) = (Some(table), Some(data));
    for variable in variables(guest) {
        let (Some(here), Some(to)) = (entry, at) else { return Ok(EFAULT) };
        guest.write_u32(here, to)?;
        guest.write(to, &variable)?;
        entry = here.checked_add(4);
        at = u32::try_from(variable.len()).ok().and_then(|length| to.checked_add(length));
    }
    Ok(SUCCESS)
}

/// There are no arguments.
fn args_sizes_get(guest: &mut Guest<'_>, count_at: u32, size_at: u32) -> Errno {
    guest.write_u32(count_at, 0)?;
    done(guest.write_u32(size_at, 0))
}

fn args_get(_guest: &mut Guest<'_>, _table: u32, _data: u32) -> Errno {
    Ok(SUCCESS)
}

fn sched_yield(_guest: &mut Guest<'_>) -> Errno {
    Ok(SUCCESS)
}

/// No directory is open from the start.
fn no_such_file(_guest: &mut Guest<'_>, _file: u32, _result_at: u32) -> Errno {
    Ok(EBADF)
}

fn not_here(_guest: &mut Guest<'_>, _file: u32) -> Errno {
    Ok(ENOSYS)
}

fn proc_exit(_caller: Caller<'_, VmState>, code: u32) -> wasmtime::Result<()> {
    Err(wasmtime::Error::msg(format!("the guest called proc_exit({code})")))
}
