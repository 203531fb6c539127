//! Events as `AuditBatch` (audit.proto), written straight into the bytes that are sent.
//!
//! The generated encoder would first want each text in a `String` and each id in a
//! `Vec`; this one copies what is there. The tests read it back with the generated
//! decoder.

use kya_core::Position;
use kya_core::audit::event::{MAX_EVENTS, MAX_EVENTS_BYTES, PROTOCOL_VERSION};
use kya_core::wire;

use super::event::{Body, Decision, End, Event, Happened, InFlight, Token};
use crate::config::Actions;

/// What stands around the events of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) node_id: &'a str,
    pub(super) slot: u32,
    pub(super) instance: u64,
    pub(super) service: &'a str,
    pub(super) first: u64,
    pub(super) clock_ahead_millis: i64,
}

/// A batch under way.
pub(super) struct Writer {
    bytes: Vec<u8>,
    /// Bytes of the events.
    events: usize,
    count: u64,
    event: Message,
    inner: Message,
    end: Message,
}

impl Writer {
    pub(super) fn new(head: &Head<'_>) -> Self {
        let mut bytes = Message(Vec::with_capacity(4096));
        bytes.number(1, PROTOCOL_VERSION.into());
        bytes.bytes(2, head.node_id.as_bytes());
        bytes.number(3, head.slot.into());
        bytes.fixed(4, head.instance);
        bytes.bytes(5, head.service.as_bytes());
        bytes.number(6, head.first);
        bytes.number(8, zigzag(head.clock_ahead_millis));
        let empty = || Message(Vec::new());
        Self { bytes: bytes.0, events: 0, count: 0, event: empty(), inner: empty(), end: empty() }
    }

    /// Adds an event; false if there is no room for it in this batch.
    pub(super) fn add(&mut self, event: &Event, actions: &Actions) -> bool {
        let (out, inner) = (&mut self.event, &mut self.inner);
        out.0.clear();
        inner.0.clear();
        out.fixed(1, event.unix_nanos);
        let field = match &event.happened {
            Happened::Decision(decision) => {
                write_decision(inner, &mut self.end, decision, actions);
                2
            }
            Happened::End { decision, end } => {
                inner.number(1, *decision);
                write_end(inner, end);
                3
            }
            Happened::Applied { position, in_flight, untracked } => {
                write_position(inner, [1, 2], *position);
                inner.number(3, (*in_flight).into());
                inner.number(4, *untracked);
                4
            }
            Happened::InFlight { position, decision, ending } => {
                write_position(inner, [1, 2], *position);
                inner.number(3, *decision);
                let ending = match ending {
                    InFlight::Abort => wire::InFlight::Abort,
                    InFlight::Drain => wire::InFlight::Drain,
                };
                inner.name(4, ending.into());
                5
            }
            Happened::Dropped(events) => {
                inner.number(1, *events);
                6
            }
        };
        out.message(field, inner);
        let length = out.0.len().saturating_add(4);
        let too_long = self.events.saturating_add(length) > MAX_EVENTS_BYTES;
        if too_long || self.count >= u64::try_from(MAX_EVENTS).unwrap_or(u64::MAX) {
            return false;
        }
        let mut bytes = Message(std::mem::take(&mut self.bytes));
        bytes.message(7, out);
        self.bytes = bytes.0;
        self.events = self.events.saturating_add(length);
        self.count = self.count.saturating_add(1);
        true
    }

    /// How many events are in it.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn finish(self, last: bool) -> Vec<u8> {
        let mut bytes = Message(self.bytes);
        bytes.number(9, last.into());
        bytes.0
    }
}

fn write_decision(out: &mut Message, scratch: &mut Message, it: &Decision, actions: &Actions) {
    let id = |id: &Option<[u8; 16]>| id.unwrap_or_default();
    out.name(1, it.verdict.into());
    out.bytes(2, it.reason.as_bytes());
    if it.agent.is_some() {
        out.bytes(3, &id(&it.agent));
    }
    if it.principal.is_some() {
        out.bytes(4, &id(&it.principal));
    }
    match &it.token {
        Token::None => {}
        Token::Opaque(fingerprint) => out.bytes(5, fingerprint),
        Token::Capability(id) => out.bytes(6, id),
    }
    if let Some(rule) = it.rule {
        out.bytes(7, actions.name(rule).map(|name| name.as_str()).unwrap_or_default().as_bytes());
    }
    out.bytes(8, it.method.as_bytes());
    if let Some(rule) = it.rule {
        out.bytes(9, actions.template(rule).unwrap_or_default().as_bytes());
    }
    if let Some((id, version)) = &it.policy {
        out.bytes(10, id);
        out.number(11, (*version).into());
    }
    if let Some(position) = it.position {
        write_position(out, [12, 13], position);
    }
    out.number(14, it.state_age_millis);
    out.bytes(15, it.request_id.as_bytes());
    if let Some(trace) = &it.trace {
        out.bytes(16, &trace.id);
        out.bytes(17, &trace.parent);
    }
    if let Some(end) = &it.end {
        scratch.0.clear();
        write_end(scratch, end);
        out.message(18, scratch);
    }
}

fn write_end(out: &mut Message, it: &End) {
    out.name(2, it.disposition.into());
    out.number(3, it.status.into());
    out.number(4, it.duration_micros);
    if let Some(position) = it.cut {
        out.number(5, 1);
        write_position(out, [6, 7], position);
    }
    let Body { hashed, sha256, bytes } = &it.body;
    out.name(8, (*hashed).into());
    if matches!(hashed, wire::BodyHash::Whole | wire::BodyHash::Truncated) {
        out.bytes(9, sha256);
        out.number(10, *bytes);
    }
}

fn write_position(out: &mut Message, [epoch, revision]: [u32; 2], position: Position) {
    out.number(epoch, position.epoch);
    out.number(revision, position.revision.0);
}

/// One message of Protocol Buffers, as it is written. What is empty or zero is left out,
/// as the language asks.
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, field: u32, number: u64) {
        if number != 0 {
            self.varint(tag(field, 0));
            self.varint(number);
        }
    }

    /// A value of an enum; none is negative.
    fn name(&mut self, field: u32, name: i32) {
        self.number(field, u64::try_from(name).unwrap_or(0));
    }

    fn fixed(&mut self, field: u32, number: u64) {
        if number != 0 {
            self.varint(tag(field, 1));
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.delimited(field, bytes);
        }
    }

    /// One that is there though it is empty.
    fn message(&mut self, field: u32, message: &Self) {
        self.delimited(field, &message.0);
    }

    fn delimited(&mut self, field: u32, bytes: &[u8]) {
        self.varint(tag(field, 2));
        self.varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.0.extend_from_slice(bytes);
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(0x80 | low_bits(number));
            number >>= 7;
        }
        self.0.push(low_bits(number));
    }
}

fn low_bits(number: u64) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or(0)
}

fn tag(field: u32, kind: u64) -> u64 {
    u64::from(field).wrapping_shl(3) | kind
}

/// A `sint64` (ZigZag).
fn zigzag(number: i64) -> u64 {
    (number.wrapping_shl(1) ^ number.wrapping_shr(63)).cast_unsigned()
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
