//! Headers that mean something to the gate, in lower case.

/// By this header the upstream knows the agent.
pub const AGENT_ID: &str = "x-kya-agent-id";
/// The subprotocols that a WebSocket client offers (RFC 6455 section 11.3.4).
pub const SUBPROTOCOLS: &str = "sec-websocket-protocol";
/// Headers that begin so are the gate's: it sets them, and removes a client's.
const OWN_PREFIX: &[u8] = b"x-kya-";

/// Whether only the gate may set the header of this name, written in any case. `_`
/// counts as `-`, since many services do not tell the two apart.
pub fn is_own(name: &[u8]) -> bool {
    name.get(..OWN_PREFIX.len()).is_some_and(|start| {
        let plain = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        start.iter().map(plain).eq(OWN_PREFIX.iter().copied())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gates_own_headers_are_known_however_they_are_spelt() {
        for name in ["x-kya-agent-id", "X-KYA-Agent-ID", "x_kya_agent_id", "x-kya-", "X_kya-x"] {
            assert!(is_own(name.as_bytes()), "{name}");
        }
        for name in
            ["", "x-kya", "x-kyax", "kya-agent-id", "xx-kya-agent-id", "x--kya-a", "x.kya.a"]
        {
            assert!(!is_own(name.as_bytes()), "{name}");
        }
        assert!(!is_own(b"\xff-kya-"));
    }
}
