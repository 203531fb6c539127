//! The checks, one for each field.

use prost::Message as _;

use super::{
    Applied, Batch, BatchError, Body, Decision, End, Event, Happened, Hashed, MAX_BATCH_BYTES,
    MAX_EVENTS, MAX_METHOD_BYTES, MAX_NAME_BYTES, MAX_REASON_BYTES, MAX_REQUEST_ID_BYTES,
    MAX_TEMPLATE_BYTES, NUMBER_END, PROTOCOL_VERSION, Token, Trace, Wrong,
};
use crate::action::ActionName;
use crate::audit::{Disposition, Timestamp, Verdict};
use crate::authority::PolicyUsed;
use crate::ids::{Id, IdKind};
use crate::policy::PolicyVersion;
use crate::standing::InFlight;
use crate::table::Fingerprint;
use crate::update::{Position, Revision};
use crate::wire::{self, audit_event::Event as Wire};

/// A field and what is wrong with it.
type Fault = (&'static str, Wrong);
type Checked<T> = Result<T, Fault>;

impl Batch {
    /// Reads an encoded `AuditBatch`, or says what is wrong with it.
    pub fn read(encoded: &[u8]) -> Result<Self, BatchError> {
        if encoded.len() > MAX_BATCH_BYTES {
            return Err(BatchError::TooLong(encoded.len()));
        }
        let batch = wire::AuditBatch::decode(encoded)
            .map_err(|error| BatchError::NotABatch(error.to_string()))?;
        Self::from_wire(batch)
    }

    /// Checks a decoded `AuditBatch`. Its length is for whoever decodes it to bound.
    pub fn from_wire(batch: wire::AuditBatch) -> Result<Self, BatchError> {
        let of_batch = |(field, wrong)| BatchError::Batch { field, wrong };
        if batch.protocol_version != PROTOCOL_VERSION {
            return Err(BatchError::Version(batch.protocol_version));
        }
        let count = batch.events.len();
        at_most("events", count, MAX_EVENTS).map_err(of_batch)?;
        let node = line("node_id", batch.node_id).map_err(of_batch)?;
        let service = service(batch.service).map_err(of_batch)?;
        // The number that comes next must be one that there can be, too.
        let most = NUMBER_END.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        let first = range("first", batch.first, 1, most.saturating_sub(1)).map_err(of_batch)?;
        let numbered = (first..).zip(batch.events);
        let events = numbered.map(|(number, event)| {
            Event::from_wire(number, event).map_err(|(field, wrong)| BatchError::Event {
                number,
                field,
                wrong,
            })
        });
        Ok(Self {
            node,
            slot: batch.slot,
            instance: batch.instance,
            service,
            first,
            events: events.collect::<Result<_, _>>()?,
            clock_ahead_millis: batch.clock_ahead_millis,
            last: batch.last,
        })
    }

    /// The number that comes after those in here.
    pub fn next(&self) -> u64 {
        self.first.saturating_add(u64::try_from(self.events.len()).unwrap_or(u64::MAX))
    }
}

impl Event {
    fn from_wire(number: u64, event: wire::AuditEvent) -> Checked<Self> {
        let happened = match event.event.ok_or(("event", Wrong::Missing))? {
            Wire::Decision(decision) => {
                Happened::Decision(Box::new(Decision::from_wire(decision)?))
            }
            Wire::End(end) => Happened::End {
                decision: earlier("end.decision", end.decision, number)?,
                end: End::from_wire(end)?,
            },
            Wire::Applied(applied) => Happened::Applied(Applied {
                position: position("applied.epoch", applied.epoch, applied.revision)?,
                in_flight: applied.in_flight,
                untracked: below("applied.untracked", applied.untracked)?,
            }),
            Wire::InFlight(request) => Happened::InFlight {
                position: position("in_flight.epoch", request.epoch, request.revision)?,
                decision: earlier("in_flight.decision", request.decision, number)?,
                ending: ending(request.ending)?,
            },
            Wire::Dropped(dropped) => {
                let last = NUMBER_END.saturating_sub(1);
                Happened::Dropped(range("dropped.events", dropped.events, 1, last)?)
            }
        };
        // A proxy without a clock, or with one that is off, has still seen it.
        let time = Timestamp(event.unix_nanos.div_euclid(1_000));
        Ok(Self { number, time, happened })
    }
}

impl Decision {
    fn from_wire(decision: wire::AuditDecision) -> Checked<Self> {
        let verdict = match wire::Verdict::try_from(decision.verdict) {
            Ok(wire::Verdict::Allow) => Verdict::Allow,
            Ok(wire::Verdict::Deny) => Verdict::Deny,
            Ok(wire::Verdict::Pass) => Verdict::Pass,
            Ok(wire::Verdict::Unspecified) | Err(_) => {
                return Err(("decision.verdict", Wrong::Unknown(decision.verdict)));
            }
        };
        let allowed = verdict == Verdict::Allow;
        let position = optional_position(decision.epoch, decision.revision)?;
        if allowed && position.is_none() {
            return Err(("decision.epoch", Wrong::Missing));
        }
        let agent = id("decision.agent_id", &decision.agent_id)?;
        if allowed && agent.is_none() {
            return Err(("decision.agent_id", Wrong::Missing));
        }
        let end = decision.end.map(|end| match (verdict, end.decision) {
            // It never went on, so nothing became of it.
            (Verdict::Deny, _) => Err(("decision.end", Wrong::Unwanted)),
            (_, 0) => End::from_wire(end),
            _ => Err(("decision.end.decision", Wrong::Unwanted)),
        });
        Ok(Self {
            verdict,
            reason: reason(decision.reason, !allowed)?,
            agent,
            principal: id("decision.principal_id", &decision.principal_id)?,
            token: token(&decision.token_fingerprint, &decision.capability_id)?,
            action: action(decision.action)?,
            method: method(decision.method)?,
            template: visible("decision.template", decision.template, MAX_TEMPLATE_BYTES)?,
            policy: policy(&decision.policy_id, decision.policy_version)?,
            position,
            state_age_millis: match decision.state_age_millis {
                u64::MAX => None,
                age => Some(below("decision.state_age_millis", age)?),
            },
            request_id: visible("decision.request_id", decision.request_id, MAX_REQUEST_ID_BYTES)?,
            trace: trace(&decision.trace_id, &decision.parent_span_id)?,
            end: end.transpose()?,
        })
    }
}

impl End {
    fn from_wire(end: wire::AuditEnd) -> Checked<Self> {
        let disposition = match wire::Disposition::try_from(end.disposition) {
            Ok(wire::Disposition::Committed) => Disposition::Committed,
            Ok(wire::Disposition::RolledBack) => Disposition::RolledBack,
            Ok(wire::Disposition::Escalated | wire::Disposition::Unspecified) => {
                Disposition::Escalated
            }
            Err(_) => return Err(("end.disposition", Wrong::Unknown(end.disposition))),
        };
        let status = match end.status {
            0 => None,
            status => {
                range("end.status", status.into(), 100, 999)?;
                Some(status)
            }
        };
        let cut = match (end.cut, end.cut_epoch, end.cut_revision) {
            (false, 0, 0) => None,
            (false, ..) => return Err(("end.cut_epoch", Wrong::Unwanted)),
            (true, epoch, revision) => Some(position("end.cut_epoch", epoch, revision)?),
        };
        Ok(Self {
            disposition,
            status,
            duration_micros: below("end.duration_micros", end.duration_micros)?,
            cut,
            body: body(end.body, &end.body_sha256, end.body_bytes)?,
        })
    }
}

fn body(kind: i32, sha256: &[u8], bytes: u64) -> Checked<Body> {
    let hashed = || {
        let sha256 = exactly("end.body_sha256", sha256)?;
        Ok(Hashed { sha256, bytes: below("end.body_bytes", bytes)? })
    };
    let nothing = |body| match (sha256, bytes) {
        ([], 0) => Ok(body),
        ([], _) => Err(("end.body_bytes", Wrong::Unwanted)),
        _ => Err(("end.body_sha256", Wrong::Unwanted)),
    };
    match wire::BodyHash::try_from(kind) {
        Ok(wire::BodyHash::Unspecified) => nothing(Body::NotHashed),
        Ok(wire::BodyHash::None) => nothing(Body::None),
        Ok(wire::BodyHash::Whole) => hashed().map(Body::Whole),
        Ok(wire::BodyHash::Truncated) => hashed().map(Body::Truncated),
        Err(_) => Err(("end.body", Wrong::Unknown(kind))),
    }
}

fn ending(kind: i32) -> Checked<InFlight> {
    match wire::InFlight::try_from(kind) {
        Ok(wire::InFlight::Unspecified | wire::InFlight::Abort) => Ok(InFlight::Abort),
        Ok(wire::InFlight::Drain) => Ok(InFlight::Drain),
        Err(_) => Err(("in_flight.ending", Wrong::Unknown(kind))),
    }
}

fn reason(text: String, wanted: bool) -> Checked<Option<String>> {
    const FIELD: &str = "decision.reason";
    match (text.is_empty(), wanted) {
        (true, true) => Err((FIELD, Wrong::Missing)),
        (false, false) => Err((FIELD, Wrong::Unwanted)),
        (true, false) => Ok(None),
        // A newer proxy may have reasons that are not known here.
        (false, true) => {
            at_most(FIELD, text.len(), MAX_REASON_BYTES)?;
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            characters(FIELD, &text, plain).map(|()| Some(text))
        }
    }
}

fn token(fingerprint: &[u8], capability: &[u8]) -> Checked<Option<Token>> {
    match (fingerprint, capability) {
        ([], []) => Ok(None),
        (fingerprint, []) => {
            let fingerprint = exactly("decision.token_fingerprint", fingerprint)?;
            Ok(Some(Token::Opaque(Fingerprint(fingerprint))))
        }
        ([], capability) => Ok(id("decision.capability_id", capability)?.map(Token::Capability)),
        _ => Err(("decision.capability_id", Wrong::Unwanted)),
    }
}

fn policy(policy: &[u8], version: u32) -> Checked<Option<PolicyUsed>> {
    match (id("decision.policy_id", policy)?, PolicyVersion::new(version)) {
        (Some(id), Some(version)) => Ok(Some(PolicyUsed { id, version })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(("decision.policy_version", Wrong::Missing)),
        (None, Some(_)) => Err(("decision.policy_version", Wrong::Unwanted)),
    }
}

fn trace(id: &[u8], parent: &[u8]) -> Checked<Option<Trace>> {
    if id.is_empty() && parent.is_empty() {
        return Ok(None);
    }
    let (id, parent) =
        (exactly("decision.trace_id", id)?, exactly("decision.parent_span_id", parent)?);
    match (id == [0; 16], parent == [0; 8]) {
        (false, false) => Ok(Some(Trace { id, parent })),
        (true, _) => Err(("decision.trace_id", Wrong::Zeros)),
        (false, true) => Err(("decision.parent_span_id", Wrong::Zeros)),
    }
}

fn action(text: String) -> Checked<Option<ActionName>> {
    const FIELD: &str = "decision.action";
    if text.is_empty() {
        return Ok(None);
    }
    at_most(FIELD, text.len(), crate::change::MAX_ACTION_BYTES)?;
    ActionName::try_from(text).map(Some).map_err(|_| (FIELD, Wrong::Character))
}

fn method(text: String) -> Checked<Option<String>> {
    const FIELD: &str = "decision.method";
    at_most(FIELD, text.len(), MAX_METHOD_BYTES)?;
    characters(FIELD, &text, is_token_byte)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// A character of a `token` (RFC 9110 section 5.6.2), of which methods are made.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn service(text: String) -> Checked<Option<String>> {
    const FIELD: &str = "service";
    at_most(FIELD, text.len(), MAX_NAME_BYTES)?;
    characters(FIELD, &text, crate::action::is_action_byte)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn line(field: &'static str, text: String) -> Checked<String> {
    at_most(field, text.len(), MAX_NAME_BYTES)?;
    match (text.is_empty(), text.chars().any(char::is_control)) {
        (true, _) => Err((field, Wrong::Missing)),
        (_, true) => Err((field, Wrong::Character)),
        _ => Ok(text),
    }
}

/// A text of visible ASCII characters; empty is none.
fn visible(field: &'static str, text: String, most: usize) -> Checked<Option<String>> {
    at_most(field, text.len(), most)?;
    characters(field, &text, |byte| byte.is_ascii_graphic())?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn characters(field: &'static str, text: &str, plain: impl Fn(u8) -> bool) -> Checked<()> {
    if text.bytes().all(plain) { Ok(()) } else { Err((field, Wrong::Character)) }
}

fn id<K: IdKind>(field: &'static str, bytes: &[u8]) -> Checked<Option<Id<K>>> {
    if bytes.is_empty() {
        Ok(None)
    } else {
        exactly(field, bytes).map(|it| Some(Id::from_bytes(it)))
    }
}

fn exactly<const N: usize>(field: &'static str, bytes: &[u8]) -> Checked<[u8; N]> {
    bytes.try_into().map_err(|_| (field, Wrong::Length { bytes: bytes.len(), must: N }))
}

fn optional_position(epoch: u64, revision: u64) -> Checked<Option<Position>> {
    if epoch == 0 && revision == 0 {
        Ok(None)
    } else {
        position("decision.epoch", epoch, revision).map(Some)
    }
}

/// A position. Epochs count from 1; revision 0 is that of an empty store.
fn position(field: &'static str, epoch: u64, revision: u64) -> Checked<Position> {
    let epoch = range(field, epoch, 1, NUMBER_END.saturating_sub(1))?;
    Ok(Position { epoch, revision: Revision(below("revision", revision)?) })
}

/// The number of a decision that this event follows.
fn earlier(field: &'static str, decision: u64, number: u64) -> Checked<u64> {
    range(field, decision, 1, number.saturating_sub(1))
}

fn below(field: &'static str, has: u64) -> Checked<u64> {
    range(field, has, 0, NUMBER_END.saturating_sub(1))
}

fn range(field: &'static str, has: u64, from: u64, to: u64) -> Checked<u64> {
    if (from..=to).contains(&has) { Ok(has) } else { Err((field, Wrong::Range { has, from, to })) }
}

fn at_most(field: &'static str, has: usize, most: usize) -> Checked<()> {
    if has <= most { Ok(()) } else { Err((field, Wrong::TooMany { has, most })) }
}
