use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, anyhow};

// Below the range from which Linux takes ports for outgoing connections, so
// that no client of a test can sit on a port that a server is to come back to.
const FIRST: u16 = 15_000;
const COUNT: u16 = 15_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A free port on 127.0.0.1 that stays free for a server that starts later, or
/// that is stopped and started again on the same address.
///
/// A server that starts once should bind port 0 instead.
///
/// # Errors
/// When a hundred ports in a row are taken.
pub fn reserve_port() -> Result<u16> {
    // Test binaries run side by side, so each begins somewhere else.
    let offset = (process::id() % u32::from(COUNT)) as u16;
    for _ in 0..100 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(7);
        let port = FIRST + offset.wrapping_mul(31).wrapping_add(step) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(anyhow!("no free port between {FIRST} and {}", FIRST + COUNT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_reservations_are_two_ports() {
        assert_ne!(reserve_port().unwrap(), reserve_port().unwrap());
    }
}
