//! The part of WASI preview 1 that Envoy has: standard output, clocks, random
//! bytes, and an empty environment.

use wasmtime::{Caller, Linker};

use super::guest::{Answer, Guest, Stop};
use crate::log::{LogLine, LogSource};
use crate::vm::VmState;

/// Errors by their numbers in WASI.
const SUCCESS: u32 = 0;
const EBADF: u32 = 8;
const EFAULT: u32 = 21;
const EINVAL: u32 = 28;
const ENOSYS: u32 = 52;

/// As many slices as one `fd_write` may have.
const MAX_SLICES: u32 = 1024;

macro_rules! wasi_call {
    ($linker:ident, $name:literal, $function:path, ($($argument:ident: $kind:ty),* $(,)?)) => {
        $linker.func_wrap(
            "wasi_snapshot_preview1",
            $name,
            |caller: Caller<'_, VmState>, $($argument: $kind),*| {
                errno(caller, |guest| $function(guest, $($argument),*))
            },
        )?;
    };
}

pub(super) fn link(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    wasi_call!(linker, "random_get", random_get, (data: u32, length: u32));
    wasi_call!(linker, "clock_time_get", clock_time_get,
        (clock: u32, _precision: u64, time_at: u32));
    wasi_call!(linker, "fd_write", fd_write, (file: u32, slices: u32, count: u32, written_at: u32));
    wasi_call!(linker, "environ_sizes_get", nothing_sizes, (count_at: u32, size_at: u32));
    wasi_call!(linker, "environ_get", nothing, (_table: u32, _data: u32));
    wasi_call!(linker, "args_sizes_get", nothing_sizes, (count_at: u32, size_at: u32));
    wasi_call!(linker, "args_get", nothing, (_table: u32, _data: u32));
    wasi_call!(linker, "sched_yield", sched_yield, ());
    wasi_call!(linker, "fd_prestat_get", no_such_file, (_file: u32, _result_at: u32));
    wasi_call!(linker, "fd_close", not_here, (_file: u32));
    linker.func_wrap("wasi_snapshot_preview1", "proc_exit", proc_exit)?;
    Ok(())
}

/// What a WASI call comes to: an error's number, or nothing.
type Errno = Result<u32, Stop>;

fn errno(
    caller: Caller<'_, VmState>,
    call: impl FnOnce(&mut Guest<'_>) -> Errno,
) -> wasmtime::Result<u32> {
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
    let bytes = guest.state().process.borrow_mut().random.bytes(length);
    done(guest.write(data, &bytes))
}

fn clock_time_get(guest: &mut Guest<'_>, clock: u32, _precision: u64, time_at: u32) -> Errno {
    let clocks = guest.state().process.borrow().clock;
    let now = match clock {
        0 => clocks.wall(),
        1 => clocks.monotonic(),
        _ => return Ok(EINVAL),
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
    let mut process = state.process.borrow_mut();
    for line in String::from_utf8_lossy(&text).lines() {
        process.log.push(LogLine { vm: state.name, source, text: line.to_owned() });
    }
    Ok(SUCCESS)
}

/// There are no variables and no arguments.
fn nothing_sizes(guest: &mut Guest<'_>, count_at: u32, size_at: u32) -> Errno {
    guest.write_u32(count_at, 0)?;
    done(guest.write_u32(size_at, 0))
}

fn nothing(_guest: &mut Guest<'_>, _table: u32, _data: u32) -> Errno {
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
